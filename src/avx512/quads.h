/* SPDX-License-Identifier: Apache-2.0 */
/* quads.h -- where things are in a sub-block of a panel of bytes, four k of an output side by side. */
#ifndef MXQ_AVX512_QUADS_H
#define MXQ_AVX512_QUADS_H

#include "kernels.h"

#define QUADS          (MXQ_BLOCK / 4)
#define QUAD_BYTES     (4 * MXQ_PANEL)
#define AT_CORRECTIONS (QUADS * QUAD_BYTES)
#define AT_FACTORS     (AT_CORRECTIONS + 4 * MXQ_PANEL)

#endif
