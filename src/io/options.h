/* SPDX-License-Identifier: Apache-2.0 */
/* options.h -- what decides the bytes of a conversion, and how an output records it.
 *
 * An output carries its options as a JSON object in the metadata key "mxq.options", so that a later
 * verification can make the same plan again:
 *
 *     {"element":"e4m3","scale":"rceil","nonfinite":"error","skip":["GLOB"],"only":["GLOB"]} */
#ifndef MXQ_IO_OPTIONS_H
#define MXQ_IO_OPTIONS_H

#include "error.h"
#include "mxq/mxq.h"
#include "text.h"

struct mxq_globs {
    char **items;
    size_t count;
};

struct mxq_convert_options {
    struct mxq_format format;
    enum mxq_scale_mode scale_mode;
    enum mxq_nonfinite nonfinite;
    struct mxq_globs skip; /* tensors to keep */
    struct mxq_globs only; /* if there are any: quantize nothing else */
    char *version;         /* of mxq, as recorded */
};

/* Fills in the defaults: MXFP8 E4M3, rceil, error, this version.  Returns 0 without memory. */
int mxq_convert_options_init(struct mxq_convert_options *options);
void mxq_convert_options_free(struct mxq_convert_options *options);

/* Adds a copy of a pattern.  Returns 0 when memory runs out. */
int mxq_globs_add(struct mxq_globs *globs, const char *pattern);

/* Names as options and files spell them: "e4m3", "rceil", "nan". */
const char *mxq_element_name(enum mxq_element element);
const char *mxq_scale_mode_name(enum mxq_scale_mode mode);
const char *mxq_nonfinite_name(enum mxq_nonfinite nonfinite);
int mxq_find_element(const char *name, enum mxq_element *element);
int mxq_find_scale_mode(const char *name, enum mxq_scale_mode *mode);
int mxq_find_nonfinite(const char *name, enum mxq_nonfinite *nonfinite);

void mxq_convert_options_write(const struct mxq_convert_options *options, struct mxq_text *json);

/* Reads what mxq_convert_options_write() wrote and `version`; `path` is for messages.  On failure
 * nothing is left to free. */
enum mxq_io_code mxq_convert_options_read(struct mxq_convert_options *options, const char *json,
                                          const char *version, const char *path,
                                          struct mxq_io_error *error);

#endif
