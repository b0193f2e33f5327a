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

/* Quantizes `count` values of a tensor from value `first` on, a whole number of blocks, as every
 * conversion and verification does.  A NaN or an infinity fails as the options say. */
enum mxq_io_code mxq_quantize_values(const struct mxq_plan_tensor *tensor,
                                     const struct mxq_convert_options *options, uint64_t first,
                                     size_t count, void *values, uint8_t *elements, uint8_t *scales,
                                     const char *path, struct mxq_io_error *error);

#endif
