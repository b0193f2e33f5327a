/* SPDX-License-Identifier: Apache-2.0 */
/* panel.c -- packed weights to BF16 operands, AMX column: in the order of k, as they are packed. */
#include "avx512bf16/panel.h"

PANEL_KERNEL(mxq_panel_bf16_e4m3_amx, MXQ_E4M3, 0)
PANEL_KERNEL(mxq_panel_bf16_e5m2_amx, MXQ_E5M2, 0)
