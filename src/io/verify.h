/* SPDX-License-Identifier: Apache-2.0 */
/* verify.h -- checks an output against its source, byte for byte, and measures what was lost. */
#ifndef MXQ_IO_VERIFY_H
#define MXQ_IO_VERIFY_H

#include "sweep.h"

/* What quantization did to some values x, now y.  Sums are F64, in a fixed order: the same digits
 * on every instruction set and for any number of threads.  NaN blocks are counted only. */
struct mxq_quality {
    uint64_t elements;
    uint64_t saturated; /* magnitudes beyond the largest element of their block */
    uint64_t flushed;   /* nonzero values that became zero */
    uint64_t nan;       /* in blocks whose scale is NaN */
    double signal;      /* sum of x^2 */
    double decoded;     /* sum of y^2 */
    double product;     /* sum of x y */
    double noise;       /* sum of (x - y)^2 */
    double largest;     /* max of |x - y| */
};

/* Signal to quantization noise ratio in dB: 10 log10(signal / noise); infinite without noise. */
double mxq_quality_sqnr(const struct mxq_quality *quality);

/* Cosine of the angle between x and y; 1 when both are zero. */
double mxq_quality_cosine(const struct mxq_quality *quality);

struct mxq_verification {
    struct mxq_convert_options options; /* as recorded in the output */
    struct mxq_plan plan;               /* made again from them */
    struct mxq_quality **qualities;     /* [file][tensor] */
    struct mxq_quality total;
    struct mxq_io_error difference; /* the first one; its code is MXQ_IO_OK when there is none */
    size_t differences;             /* files and chunks that differ */
};

/* Opens the verification: reads the options of `output` and makes the plan.  Both models must
 * outlive it.  On failure nothing is left to free. */
enum mxq_io_code mxq_verification_begin(struct mxq_verification *v, const struct mxq_model *source,
                                        const struct mxq_model *output, struct mxq_io_error *error);

/* Compares everything.  Differences are results, not failures. */
enum mxq_io_code mxq_verification_run(struct mxq_verification *v, const struct mxq_model *source,
                                      const struct mxq_model *output,
                                      const struct mxq_workers *workers,
                                      const struct mxq_monitor *monitor,
                                      struct mxq_io_error *error);
void mxq_verification_end(struct mxq_verification *v);

#endif
