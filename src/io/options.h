/* SPDX-License-Identifier: Apache-2.0 */
/* options.h -- what decides the bytes of a conversion, and how an output records it.
 *
 * An output carries its options as a JSON object in the metadata key "mxq.options", so that a later
 * verification can make the same plan again:
 *
 *     {"format":"mxfp8","scale":"default","round":"nearest-even","nonfinite":"error",
 *      "skip":["GLOB"],"only":["GLOB"]}
 *
 * "round":"stochastic" is followed by "seed":N; "scale" and "round" are replaced by
 * "profile":"NAME" where one sets them.  Where the format was chosen for each tensor,
 * "format":"auto" is followed by "min_sqnr":DB and "formats":["NAME"], and the metadata key
 * "mxq.formats" of each file has the choices:
 *
 *     {"TENSOR":"NAME"} */
#ifndef MXQ_IO_OPTIONS_H
#define MXQ_IO_OPTIONS_H

#include "error.h"
#include "mxq/mxq.h"
#include "text.h"

struct mxq_globs {
    char **items;
    size_t count;
};

/* What was chosen for a tensor. */
struct mxq_choice {
    char *tensor;
    struct mxq_format_info format;
};

struct mxq_convert_options {
    struct mxq_format_info format; /* unless it is chosen for each tensor */
    uint64_t candidates;           /* a bit for each format to choose from; 0: none is chosen */
    double min_sqnr; /* candidates: in dB, what a choice must reach; NaN until it is set */
    struct mxq_choice *choices; /* candidates: in the order of their names */
    size_t choice_count;
    const char *profile;            /* one of mxq_profile_at(), or NULL */
    enum mxq_scale_mode scale_mode; /* without a profile */
    enum mxq_rounding rounding;     /* without a profile */
    enum mxq_nonfinite nonfinite;
    uint64_t seed;         /* of stochastic rounding, at most MXQ_MAX_SEED */
    struct mxq_globs skip; /* tensors to keep */
    struct mxq_globs only; /* if there are any: quantize nothing else */
    char *version;         /* of mxq, as recorded */
};

/* The largest integer that every reader of JSON keeps. */
#define MXQ_MAX_SEED (UINT64_C(1) << 53)

/* Fills in the defaults: mxfp8, default scales, nearest even, error, this version.  Returns 0
 * without memory. */
int mxq_convert_options_init(struct mxq_convert_options *options);
void mxq_convert_options_free(struct mxq_convert_options *options);

/* Adds a copy of a pattern.  Returns 0 when memory runs out. */
int mxq_globs_add(struct mxq_globs *globs, const char *pattern);

/* Names as options and files spell them, by enumerator or index: "rceil", "nearest-even", "nan",
 * "mxfp8". NULL past the last one. */
typedef const char *mxq_name_fn(size_t index);
mxq_name_fn mxq_format_name, mxq_scale_mode_name, mxq_rounding_name, mxq_nonfinite_name;

/* Returns the index of a name, or -1. */
int mxq_find_name(mxq_name_fn *name_at, const char *name);

/* Returns 1, and the format of that name, when there is one. */
int mxq_find_format(const char *name, struct mxq_format_info *format);

/* Reads a list of formats, "mxfp4,nvfp4", as bits.  Returns 0 when a name is unknown. */
int mxq_find_formats(const char *names, uint64_t *formats);

/* All formats that have a name, as bits. */
uint64_t mxq_all_formats(void);

/* Adds a choice; they must be sorted before they are looked up.  Returns 0 when memory runs out. */
int mxq_add_choice(struct mxq_convert_options *options, const char *tensor,
                   const struct mxq_format_info *format);
void mxq_sort_choices(struct mxq_convert_options *options);

/* Returns what was chosen for a tensor, or NULL. */
const struct mxq_format_info *mxq_find_choice(const struct mxq_convert_options *options,
                                              const char *tensor);

/* Fills in what mxq_quantize() is told for a format. */
enum mxq_status mxq_make_quantize_options(const struct mxq_convert_options *options,
                                          const struct mxq_format *format,
                                          struct mxq_quantize_options *how,
                                          struct mxq_error *error);

/* Fails with USAGE, and what there is instead, when the options do not go together. */
enum mxq_io_code mxq_convert_options_check(const struct mxq_convert_options *options,
                                           struct mxq_io_error *error);

void mxq_convert_options_write(const struct mxq_convert_options *options, struct mxq_text *json);

/* Adds the choices of one file, as in its metadata. */
enum mxq_io_code mxq_choices_read(struct mxq_convert_options *options, const char *json,
                                  const char *path, struct mxq_io_error *error);

/* Reads what mxq_convert_options_write() wrote and `version`; `path` is for messages.  On failure
 * nothing is left to free. */
enum mxq_io_code mxq_convert_options_read(struct mxq_convert_options *options, const char *json,
                                          const char *version, const char *path,
                                          struct mxq_io_error *error);

#endif
