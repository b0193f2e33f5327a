/* SPDX-License-Identifier: Apache-2.0 */
/* peer.h -- a library that multiplies matrices, in a process of its own: the environment chooses
 * its instruction set when the process starts, and its threads disturb nobody else's.
 *
 * bench_gemm writes a line per measurement to the process, and reads one line:
 *
 *   TYPE N K M COLD THREADS SECONDS     TYPE: bf16 or f32; COLD: 0 or 1
 *   ok SECONDS IMPLEMENTATION           or: error WHY */
#pragma once

#include <functional>
#include <string>

#include "gemm.h"

struct peer_call {
    std::function<void()> multiply;
    std::string implementation; /* what the library says it runs */
};

/* Makes ready what need not be done for each product, such as packed weights.  x is
 * wide_values(type), m x k; w is wide_values(type), n x k, both row-major; y is output(), F32.
 * Throws an exception where the library cannot do it. */
peer_call prepare_peer(const gemm_product &product);
