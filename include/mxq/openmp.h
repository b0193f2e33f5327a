/* SPDX-License-Identifier: Apache-2.0 */
/* openmp.h -- lends OpenMP's threads to mxq: struct mxq_parallel p = mxq_openmp(); */
#ifndef MXQ_OPENMP_H
#define MXQ_OPENMP_H

#include "mxq/mxq.h"

static inline void mxq_openmp_run(void *pool, size_t tasks, void (*task)(void *, size_t),
                                  void *context)
{
    (void)pool;
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < tasks; i++)
        task(context, i);
}

static inline struct mxq_parallel mxq_openmp(void)
{
    struct mxq_parallel parallel = {mxq_openmp_run, NULL};
    return parallel;
}

#endif
