/* SPDX-License-Identifier: Apache-2.0 */
/* workers.h -- a parallel_for for tests: any number of threads, tasks in random order. */
#ifndef MXQ_TESTS_WORKERS_H
#define MXQ_TESTS_WORKERS_H

#include "mxq/mxq.h"

#define WORKERS_MAX 16

struct workers {
    unsigned threads; /* 1 .. WORKERS_MAX; 1: the calling thread */
    uint64_t seed;    /* of the order */
    size_t tasks;     /* out: how many tasks the last run had */

    /* Called by each thread before its first task, and after its last one; may be NULL. */
    void (*begin)(void *user);
    void (*end)(void *user);
    void *user;
};

/* Returns the callback; w must outlive it. */
struct mxq_parallel workers_parallel(struct workers *w);

#endif
