/* SPDX-License-Identifier: Apache-2.0 */
/* unpack.c -- element unpacking, AVX2 column. */
#include "avx2/vec.h"

#include "lanes/unpack.h"

#define MXQ_ELEMENT(E, e, ...)                                                                     \
    UNPACK_KERNEL(mxq_unpack_f32_##e##_avx2, MXQ_##E, MXQ_F32)                                     \
    UNPACK_KERNEL(mxq_unpack_bf16_##e##_avx2, MXQ_##E, MXQ_BF16)                                   \
    UNPACK_KERNEL(mxq_unpack_f16_##e##_avx2, MXQ_##E, MXQ_F16)
#include "elements.def"
