/* SPDX-License-Identifier: Apache-2.0 */
/* encode.c -- elements under every rounding, NEON column. */
#include "neon/vec.h"

#include "lanes/encode.h"

#define MXQ_ELEMENT(E, e, ...) ENCODE_KERNELS(neon, e, MXQ_##E)
#include "elements.def"
