/* SPDX-License-Identifier: Apache-2.0 */
/* pack.c -- element packing, AVX-512 column. */
#include "avx512/vec.h"

#include "lanes/pack.h"

#define MXQ_ELEMENT(E, e, ...)                                                                     \
    PACK_KERNEL(mxq_pack_##e##_f32_avx512, MXQ_##E, MXQ_F32)                                       \
    PACK_KERNEL(mxq_pack_##e##_bf16_avx512, MXQ_##E, MXQ_BF16)                                     \
    PACK_KERNEL(mxq_pack_##e##_f16_avx512, MXQ_##E, MXQ_F16)
#include "elements.def"
