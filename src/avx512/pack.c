/* SPDX-License-Identifier: Apache-2.0 */
/* pack.c -- FP8 packing, AVX-512 column. */
#include "avx512/vec.h"

#include "lanes/pack.h"

PACK_KERNEL(mxq_pack_e4m3_f32_avx512, MXQ_E4M3, MXQ_F32)
PACK_KERNEL(mxq_pack_e4m3_bf16_avx512, MXQ_E4M3, MXQ_BF16)
PACK_KERNEL(mxq_pack_e4m3_f16_avx512, MXQ_E4M3, MXQ_F16)
PACK_KERNEL(mxq_pack_e5m2_f32_avx512, MXQ_E5M2, MXQ_F32)
PACK_KERNEL(mxq_pack_e5m2_bf16_avx512, MXQ_E5M2, MXQ_BF16)
PACK_KERNEL(mxq_pack_e5m2_f16_avx512, MXQ_E5M2, MXQ_F16)
