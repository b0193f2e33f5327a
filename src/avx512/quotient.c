/* SPDX-License-Identifier: Apache-2.0 */
/* quotient.c -- scales that are no powers of two, from amax, AVX-512 column. */
#include "avx512/vec.h"

#include "lanes/quotient.h"

QUOTIENT_KERNEL(avx512)
