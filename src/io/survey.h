/* SPDX-License-Identifier: Apache-2.0 */
/* survey.h -- measures what every candidate format would do to every linear layer, and chooses. */
#ifndef MXQ_IO_SURVEY_H
#define MXQ_IO_SURVEY_H

#include "sweep.h"

/* Sums of powers of some values, F64, in an order that depends on the shape alone. */
struct mxq_moments {
    uint64_t values;
    double sums[4]; /* of x, x^2, x^3, x^4 */
};

/* sqrt(mean of x^2); 0 without values. */
double mxq_rms(const struct mxq_moments *moments);

/* The fourth central moment over the square of the second: 3 for a Gaussian, large with outliers; 0
 * where all values are equal. */
double mxq_kurtosis(const struct mxq_moments *moments);

void mxq_moments_add(struct mxq_moments *sum, const struct mxq_moments *more);

struct mxq_candidate {
    struct mxq_format_info format;
    unsigned element_bits;
};

struct mxq_layer {
    const struct mxq_plan_file *file;
    const struct mxq_plan_tensor *tensor;
    struct mxq_moments moments;
    double amax;
    struct mxq_statistics
        *statistics; /* of each candidate; of no values where rows are no whole blocks */
};

struct mxq_survey {
    struct mxq_plan plan;
    struct mxq_candidate *candidates; /* in the order of mxq_format_at() */
    size_t candidate_count;
    struct mxq_layer *layers; /* in the order of the files */
    size_t layer_count;
    struct mxq_statistics *statistics; /* [layer][candidate] */
};

/* Prepares a survey of options->candidates; both arguments must outlive it.  On failure nothing is
 * left to free. */
enum mxq_io_code mxq_survey_begin(struct mxq_survey *survey, const struct mxq_model *model,
                                  const struct mxq_convert_options *options,
                                  struct mxq_io_error *error);

/* Measures everything: reads the weights twice. */
enum mxq_io_code mxq_survey_run(struct mxq_survey *survey, const struct mxq_model *model,
                                const struct mxq_convert_options *options,
                                const struct mxq_workers *workers,
                                const struct mxq_monitor *monitor, struct mxq_io_error *error);
void mxq_survey_end(struct mxq_survey *survey);

/* Returns 1 when a candidate was measured on a layer. */
int mxq_was_measured(const struct mxq_statistics *statistics);

/* Bits for each weight of a layer in a format, scales counted. */
double mxq_bits_per_weight(const struct mxq_format *format, const struct mxq_tensor *tensor);

/* Returns the candidate with the best ratio among those of so many element bits, or
 * candidate_count. */
size_t mxq_best_candidate(const struct mxq_survey *survey, const struct mxq_statistics *statistics,
                          unsigned element_bits);

/* Chooses for each layer the smallest candidate whose ratio is at least options->min_sqnr, of
 * equally small ones the best.  Layers without one get none. */
enum mxq_io_code mxq_survey_choose(const struct mxq_survey *survey,
                                   struct mxq_convert_options *options, struct mxq_io_error *error);

#endif
