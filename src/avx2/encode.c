/* SPDX-License-Identifier: Apache-2.0 */
/* encode.c -- elements under every rounding, AVX2 column. */
#include "avx2/vec.h"

#include "lanes/encode.h"

#define MXQ_ELEMENT(E, e, ...) ENCODE_KERNELS(avx2, e, MXQ_##E)
#include "elements.def"
