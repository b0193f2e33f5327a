/* SPDX-License-Identifier: Apache-2.0 */
/* machine.h -- what the numbers were measured on: cache sizes, and facts for the report. */
#pragma once

#include <cstddef>

/* The working sets of the rows, in bytes read + written. */
struct working_set {
    const char *name; // "L1", "L2", "LLC", "DRAM"
    size_t bytes;     /* 0: this machine has no such level */
};

constexpr size_t working_sets = 4;

/* Half of L1d, half of L2, half of the last-level cache (at most 32 MiB: the cache may be shared
 * with neighbours), and four times the last-level cache within 256 and 512 MiB. */
const working_set *detect_working_sets();

/* Adds CPU, caches, kernel, governor, huge pages, compiler and commit to the report's context. */
void describe_machine();
