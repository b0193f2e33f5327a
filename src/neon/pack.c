/* SPDX-License-Identifier: Apache-2.0 */
/* pack.c -- element packing, NEON column. */
#include "neon/vec.h"

#include "lanes/pack.h"

#define MXQ_ELEMENT(E, e, ...)                                                                     \
    PACK_KERNEL(mxq_pack_##e##_f32_neon, MXQ_##E, MXQ_F32)                                         \
    PACK_KERNEL(mxq_pack_##e##_bf16_neon, MXQ_##E, MXQ_BF16)                                       \
    PACK_KERNEL(mxq_pack_##e##_f16_neon, MXQ_##E, MXQ_F16)
#include "elements.def"
