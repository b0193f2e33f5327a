/* SPDX-License-Identifier: Apache-2.0 */
/* convert.h -- carries out a plan: streams a model through mxq_quantize() into a target. */
#ifndef MXQ_IO_CONVERT_H
#define MXQ_IO_CONVERT_H

#include "sweep.h"
#include "target.h"

/* Writes everything that the plan says, and publishes it.  On failure, and when interrupted,
 * nothing appears; mxq_target_close() removes what is temporary. */
enum mxq_io_code mxq_convert(const struct mxq_model *model, const struct mxq_plan *plan,
                             const struct mxq_convert_options *options, struct mxq_target *target,
                             const struct mxq_workers *workers, const struct mxq_monitor *monitor,
                             struct mxq_io_error *error);

/* The quantization of a chunk. */
struct mxq_quantizing {
    const struct mxq_convert_options *options;
    const struct mxq_format *format;
    const float *amax; /* of the tensor, where mxq_format_needs_amax() */
    void *values;
    uint8_t *elements;
    uint8_t *scales;
    float tensor_scale;                /* out: the divisor 1 / S; E4M3 scales only */
    struct mxq_statistics *statistics; /* out; NULL: none */
};

/* Quantizes a chunk, as every conversion and verification does.  A NaN or an infinity fails as the
 * options say. */
enum mxq_io_code mxq_quantize_chunk(struct mxq_quantizing *q, const struct mxq_chunk *chunk,
                                    const char *path, struct mxq_io_error *error);

#endif
