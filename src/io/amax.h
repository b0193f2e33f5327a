/* SPDX-License-Identifier: Apache-2.0 */
/* amax.h -- the first pass that formats with a scale for the whole tensor need. */
#ifndef MXQ_IO_AMAX_H
#define MXQ_IO_AMAX_H

#include "sweep.h"

/* Finds each of plan->amaxes: the largest finite magnitude of all tensors that have it.  On success
 * the caller frees *amaxes; on failure there is nothing to free. */
enum mxq_io_code mxq_find_amaxes(const struct mxq_model *model, const struct mxq_plan *plan,
                                 const struct mxq_workers *workers,
                                 const struct mxq_monitor *monitor, float **amaxes,
                                 struct mxq_io_error *error);

/* Returns the amax of a tensor for a format, or NULL when that needs none. */
const float *mxq_amax_of(const struct mxq_plan_tensor *tensor, const struct mxq_format *format,
                         const float *amaxes);

/* Returns the F32 bits of an F16 magnitude. */
uint32_t mxq_widen_f16(uint32_t half);

#endif
