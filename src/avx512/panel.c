/* SPDX-License-Identifier: Apache-2.0 */
/* panel.c -- packed weights to F32, AVX-512 column. */
#include "avx512/vec.h"

#include "lanes/panel.h"

PANEL_KERNEL(mxq_panel_f32_e4m3_avx512, MXQ_PACKED_E4M3)
PANEL_KERNEL(mxq_panel_f32_e5m2_avx512, MXQ_PACKED_E5M2)
PANEL_KERNEL(mxq_panel_f32_e2m1_avx512, MXQ_PACKED_E2M1)
PANEL_KERNEL(mxq_panel_f32_nvfp4_avx512, MXQ_PACKED_NVFP4)
PANEL_KERNEL(mxq_panel_f32_int8_avx512, MXQ_PACKED_INT8)
