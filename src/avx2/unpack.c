/* SPDX-License-Identifier: Apache-2.0 */
/* unpack.c -- FP8 unpacking, AVX2 column. */
#include "avx2/vec.h"

#include "lanes/unpack.h"

UNPACK_KERNEL(mxq_unpack_f32_e4m3_avx2, MXQ_E4M3, MXQ_F32)
UNPACK_KERNEL(mxq_unpack_bf16_e4m3_avx2, MXQ_E4M3, MXQ_BF16)
UNPACK_KERNEL(mxq_unpack_f16_e4m3_avx2, MXQ_E4M3, MXQ_F16)
UNPACK_KERNEL(mxq_unpack_f32_e5m2_avx2, MXQ_E5M2, MXQ_F32)
UNPACK_KERNEL(mxq_unpack_bf16_e5m2_avx2, MXQ_E5M2, MXQ_BF16)
UNPACK_KERNEL(mxq_unpack_f16_e5m2_avx2, MXQ_E5M2, MXQ_F16)
