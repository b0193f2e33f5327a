/* SPDX-License-Identifier: Apache-2.0 */
/* workers.c -- a parallel_for for tests: any number of threads, tasks in random order. */
#include "workers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "random.h"

struct job {
    struct workers *workers;
    size_t *order;
    size_t tasks;
    void (*task)(void *context, size_t index);
    void *context;
    _Atomic size_t next;
};

static void *work(void *argument)
{
    struct job *job = argument;
    if (job->workers->begin)
        job->workers->begin(job->workers->user);
    for (size_t i; (i = atomic_fetch_add(&job->next, 1)) < job->tasks;)
        job->task(job->context, job->order[i]);
    if (job->workers->end)
        job->workers->end(job->workers->user);
    return NULL;
}

static void shuffle(size_t *order, size_t n, struct random *r)
{
    for (size_t i = 0; i < n; i++) {
        const size_t j = random_below(r, (uint32_t)i + 1);
        order[i] = order[j];
        order[j] = i;
    }
}

static void run(void *pool, size_t tasks, void (*task)(void *context, size_t index), void *context)
{
    struct workers *w = pool;
    struct random r = {w->seed++};
    struct job job = {w, malloc(tasks * sizeof(size_t)), tasks, task, context, 0};
    pthread_t threads[WORKERS_MAX];
    if (!job.order) {
        perror("workers");
        exit(99);
    }
    w->tasks = tasks;
    shuffle(job.order, tasks, &r);
    if (w->threads == 1)
        work(&job);
    for (unsigned i = 0; w->threads > 1 && i < w->threads; i++)
        if (pthread_create(&threads[i], NULL, work, &job)) {
            perror("workers");
            exit(99);
        }
    for (unsigned i = 0; w->threads > 1 && i < w->threads; i++)
        pthread_join(threads[i], NULL);
    free(job.order);
}

struct mxq_parallel workers_parallel(struct workers *w)
{
    const struct mxq_parallel parallel = {run, w};
    return parallel;
}
