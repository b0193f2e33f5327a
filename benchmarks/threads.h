/* SPDX-License-Identifier: Apache-2.0 */
/* threads.h -- pools of threads, and work that is cut into one part for each. */
#pragma once

#include <cstddef>
#include <map>
#include <pthreadpool.h>

/* Threads of this machine. */
inline size_t machine_threads()
{
    static const size_t count = [] {
        const pthreadpool_t all = pthreadpool_create(0);
        const size_t threads = pthreadpool_get_threads_count(all);
        pthreadpool_destroy(all);
        return threads;
    }();
    return count;
}

/* Lives until the program ends. */
inline pthreadpool_t pool_of(size_t threads)
{
    static std::map<size_t, pthreadpool_t> pools;
    pthreadpool_t &pool = pools[threads];
    if (!pool)
        pool = pthreadpool_create(threads);
    return pool;
}

/* Calls run(part) for each part at once.  Afterwards the threads sleep: they would spin while
 * something else is measured. */
template <class Run> void run_parts(size_t parts, const Run &run)
{
    if (parts == 1) {
        run(size_t{0});
        return;
    }
    const auto task = [](void *context, size_t part) {
        (*static_cast<const Run *>(context))(part);
    };
    pthreadpool_parallelize_1d(pool_of(parts), task, const_cast<Run *>(&run), parts,
                               PTHREADPOOL_FLAG_YIELD_WORKERS);
}
