/* SPDX-License-Identifier: Apache-2.0 */
/* pack.c -- element packing, AVX2 column. */
#include "avx2/vec.h"

#include "lanes/pack.h"

#define MXQ_ELEMENT(E, e, ...)                                                                     \
    PACK_KERNEL(mxq_pack_##e##_f32_avx2, MXQ_##E, MXQ_F32)                                         \
    PACK_KERNEL(mxq_pack_##e##_bf16_avx2, MXQ_##E, MXQ_BF16)                                       \
    PACK_KERNEL(mxq_pack_##e##_f16_avx2, MXQ_##E, MXQ_F16)
#include "elements.def"
