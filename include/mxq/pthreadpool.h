/* SPDX-License-Identifier: Apache-2.0 */
/* pthreadpool.h -- lends a pthreadpool to mxq: struct mxq_parallel p = mxq_pthreadpool(pool); */
#ifndef MXQ_PTHREADPOOL_H
#define MXQ_PTHREADPOOL_H

#include <pthreadpool.h>

#include "mxq/mxq.h"

static inline void mxq_pthreadpool_run(void *pool, size_t tasks, void (*task)(void *, size_t),
                                       void *context)
{
    pthreadpool_parallelize_1d((pthreadpool_t)pool, task, context, tasks, 0);
}

static inline struct mxq_parallel mxq_pthreadpool(pthreadpool_t pool)
{
    struct mxq_parallel parallel = {mxq_pthreadpool_run, pool};
    return parallel;
}

#endif
