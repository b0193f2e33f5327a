/* SPDX-License-Identifier: Apache-2.0 */
/* gemm.h -- what the rows of bench_gemm and its peers have in common: one product, and weights that
 * the caches do not hold. */
#pragma once

#include <cstddef>

#include "machine.h"
#include "operands.h"

/* y = x w^T: x is m x k, w n x k, y m x n in F32. */
struct gemm_product {
    mxq_type type; /* of x, and of a peer's w */
    size_t n;
    size_t k;
    size_t m;
    bool is_cold;   /* the weights come from memory, as they do in a model of many layers */
    size_t threads; /* that take part */

    bool is_one_thread() const
    {
        return threads == 1;
    }
};

/* Copies of one weight matrix that are read in turn: all of them together are larger than the
 * last-level cache, so that none of a copy is left in it when its turn comes again. */
class rotation {
  public:
    rotation() = default;
    rotation(const void *first, size_t copy_bytes, bool is_cold)
        : first_(static_cast<const unsigned char *>(first)), copy_bytes_(copy_bytes),
          copies_(is_cold ? copies_of(copy_bytes) : 1)
    {
    }

    const void *next()
    {
        const unsigned char *copy = first_ + at_ * copy_bytes_;
        at_ = (at_ + 1) % copies_;
        return copy;
    }

    /* As many as the largest working set holds. */
    static size_t copies_of(size_t copy_bytes)
    {
        const size_t whole = detect_working_sets()[working_sets - 1].bytes / copy_bytes;
        return whole ? whole : 1;
    }

  private:
    const unsigned char *first_ = nullptr;
    size_t copy_bytes_ = 0;
    size_t copies_ = 1;
    size_t at_ = 0;
};
