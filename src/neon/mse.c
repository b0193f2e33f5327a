/* SPDX-License-Identifier: Apache-2.0 */
/* mse.c -- the better of two E8M0 scales, NEON column. */
#include "neon/vec.h"

#include "lanes/mse.h"

#define MXQ_ELEMENT(E, e, ...) MSE_KERNEL(mxq_mse_##e##_f32_neon, MXQ_##E)
#include "elements.def"
