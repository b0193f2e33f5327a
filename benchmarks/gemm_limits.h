/* SPDX-License-Identifier: Apache-2.0 */
/* gemm_limits.h -- what the machine allows a product, probed in milliseconds: the rate at which it
 * reads, and the rate at which it multiplies. */
#pragma once

#include <string>

#include "gemm.h"

extern "C" {
#include "limits/limits.h"
}

/* The peak of an instruction set's multipliers; NULL where there is no probe. */
const limit_peak *peak_of(const std::string &isa);

/* Bytes per second that `threads` read from the copies of a rotation, with the widest vectors of
 * the machine, in the way that was the fastest when the first probe tried them all. */
double probe_read(rotation *weights, size_t copy_bytes, bool is_cold, size_t threads);

/* Floating-point operations per second of all threads. */
double probe_peak(const limit_peak &peak, size_t threads);

/* The rates of all ways to read when they were tried, a line for each place. */
std::string describe_reads();
