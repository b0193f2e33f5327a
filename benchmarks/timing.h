/* SPDX-License-Identifier: Apache-2.0 */
/* timing.h -- the time of a call: the median of some calls in a row. */
#pragma once

#include <algorithm>
#include <ctime>
#include <vector>

/* A thread that waits for a CPU is not billed for its neighbour; several threads have no one CPU
 * time that would mean anything. */
inline double clock_seconds(bool is_one_thread)
{
    struct timespec now;
    clock_gettime(is_one_thread ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/* The median time of call(), called until `seconds` have been spent. */
template <class Call> double median_seconds(Call call, double seconds, bool is_one_thread)
{
    std::vector<double> times;
    const double first = clock_seconds(is_one_thread);
    for (double end, start = first; start - first < seconds; start = end) {
        call();
        end = clock_seconds(is_one_thread);
        times.push_back(end - start);
    }
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    return *middle;
}
