/* SPDX-License-Identifier: Apache-2.0 */
/* quotient.c -- scales that are no powers of two, from amax, NEON column. */
#include "neon/vec.h"

#include "lanes/quotient.h"

QUOTIENT_KERNEL(neon)
