/* SPDX-License-Identifier: Apache-2.0 */
/* encode.c -- elements from scaled values under every rounding, NEON column. */
#include "neon/vec.h"

#include "lanes/encode.h"

#define MXQ_ELEMENT(E, e, ...) ENCODE_KERNEL(mxq_encode_##e##_f32_neon, MXQ_##E)
#include "elements.def"
