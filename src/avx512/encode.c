/* SPDX-License-Identifier: Apache-2.0 */
/* encode.c -- elements under every rounding, AVX-512 column. */
#include "avx512/vec.h"

#include "lanes/encode.h"

#define MXQ_ELEMENT(E, e, ...) ENCODE_KERNELS(avx512, e, MXQ_##E)
#include "elements.def"
