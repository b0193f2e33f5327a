/* SPDX-License-Identifier: Apache-2.0 */
/* operands.h -- what the rows read and write: normally distributed values, and codes and scales
 * made from them.
 *
 * Every operand starts on a 2 MiB boundary, is backed by huge pages where the kernel grants them,
 * and is written once before anything is timed.  All rows use the same memory, so that they differ
 * in nothing but their code. */
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {
#include "kernels.h"
}

/* Memory of its own, as all operands have it: zeros, until the caller writes them.  Never freed. */
void *operand_memory(size_t bytes);

/* Inputs, each long enough for the largest working set.  Filled on first use. */
const void *wide_values(mxq_type type);
const uint8_t *element_codes(mxq_element element);
const uint8_t *scale_codes(mxq_element element);
const uint32_t *amax_bits();
const float *factors(); /* one for each 8 values */

/* Outputs: the larger one, and the scales of a quantizer. */
void *output();
uint8_t *scale_output();

/* Where codes go that are then an input. */
uint8_t *element_input();
