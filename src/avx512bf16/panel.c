/* SPDX-License-Identifier: Apache-2.0 */
/* panel.c -- packed weights to BF16 operands, AVX512-BF16 column: in the order of its tile.k_order. */
#include "avx512bf16/panel.h"

PANEL_KERNEL(mxq_panel_bf16_e4m3_avx512bf16, MXQ_E4M3, 1)
PANEL_KERNEL(mxq_panel_bf16_e5m2_avx512bf16, MXQ_E5M2, 1)
