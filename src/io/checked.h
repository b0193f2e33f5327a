/* SPDX-License-Identifier: Apache-2.0 */
/* checked.h -- arithmetic on sizes that come from files: 1 when the result is exact, else 0. */
#ifndef MXQ_IO_CHECKED_H
#define MXQ_IO_CHECKED_H

#include <stdint.h>

static inline int mxq_add_u64(uint64_t *sum, uint64_t a, uint64_t b)
{
    return !__builtin_add_overflow(a, b, sum);
}

static inline int mxq_mul_u64(uint64_t *product, uint64_t a, uint64_t b)
{
    return !__builtin_mul_overflow(a, b, product);
}

#endif
