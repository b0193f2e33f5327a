/* SPDX-License-Identifier: Apache-2.0 */
/* amax.h -- the first pass that formats with a scale for the whole tensor need. */
#ifndef MXQ_IO_AMAX_H
#define MXQ_IO_AMAX_H

#include "sweep.h"

/* Finds the largest finite magnitude for each of plan->amaxes, over all tensors that share it.  On success
 * the caller frees *amaxes; on failure there is nothing to free. */
enum mxq_io_code mxq_find_amaxes(const struct mxq_model *model, const struct mxq_plan *plan,
                                 const struct mxq_workers *workers,
                                 const struct mxq_monitor *monitor, float **amaxes,
                                 struct mxq_io_error *error);

/* Returns the amax of a tensor, or NULL when it needs none. */
const float *mxq_amax_of(const struct mxq_plan_tensor *tensor, const float *amaxes);

#endif
