/* SPDX-License-Identifier: Apache-2.0 */
/* mse.c -- the better of two E8M0 scales, AVX-512 column. */
#include "avx512/vec.h"

#include "lanes/mse.h"

#define MXQ_ELEMENT(E, e, ...) MSE_KERNEL(mxq_mse_##e##_f32_avx512, MXQ_##E)
#include "elements.def"
