/* SPDX-License-Identifier: Apache-2.0 */
/* quotient.c -- scales that are no powers of two, from amax, AVX2 column. */
#include "avx2/vec.h"

#include "lanes/quotient.h"

QUOTIENT_KERNEL(avx2)
