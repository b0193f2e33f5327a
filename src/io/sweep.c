/* SPDX-License-Identifier: Apache-2.0 */
/* sweep.c -- hands out the chunks of a file to threads. */
#include "sweep.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct sweep {
    const struct mxq_plan_file *file;
    const struct mxq_monitor *monitor;
    mxq_visit_fn *visit;
    void *context;
    uint64_t *ends;  /* chunks up to and with each tensor */
    uint64_t chunks; /* in all */
    char *scratch;   /* of all workers */
    size_t scratch_bytes;
    _Atomic uint64_t next;
    atomic_int stopped;
    pthread_mutex_t lock; /* of what follows */
    uint64_t failed;      /* the first chunk that failed */
    struct mxq_io_error *error;
};

static uint64_t extent(const struct mxq_plan_tensor *t)
{
    return t->decision == MXQ_QUANTIZE ? t->source->elements : t->bytes;
}

static size_t chunk_extent(const struct mxq_plan_tensor *t)
{
    return t->decision == MXQ_QUANTIZE ? MXQ_CHUNK_VALUES : MXQ_CHUNK_BYTES;
}

uint64_t mxq_count_tensor_chunks(const struct mxq_plan_tensor *t)
{
    const uint64_t whole = extent(t) / chunk_extent(t);
    return whole + (extent(t) % chunk_extent(t) != 0);
}

uint64_t mxq_count_chunks(const struct mxq_plan_file *file)
{
    uint64_t chunks = 0;
    for (size_t i = 0; i < file->count; i++)
        chunks += mxq_count_tensor_chunks(&file->tensors[i]);
    return chunks;
}

/* Finds the tensor that chunk `index` is in: the first whose chunks end behind it. */
static struct mxq_chunk locate(const struct sweep *s, uint64_t index)
{
    size_t low = 0, high = s->file->count - 1;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (s->ends[middle] > index)
            high = middle;
        else
            low = middle + 1;
    }
    const struct mxq_plan_tensor *t = &s->file->tensors[low];
    struct mxq_chunk chunk = {.index = index, .tensor = t};
    chunk.first = (index - (s->ends[low] - mxq_count_tensor_chunks(t))) * chunk_extent(t);
    const uint64_t left = extent(t) - chunk.first;
    chunk.count = left < chunk_extent(t) ? (size_t)left : chunk_extent(t);
    const size_t unit = t->decision == MXQ_QUANTIZE ? mxq_type_bytes(t->type) : 1;
    chunk.source_begin = s->file->shard->header.data_begin + t->source->begin + chunk.first * unit;
    chunk.source_bytes = chunk.count * unit;
    return chunk;
}

/* Keeps the failure of the smallest index.  Chunks are handed out in order, so every one before it
 * is in work already, and its own failure, if any, still arrives. */
static void report(struct sweep *s, uint64_t index, const struct mxq_io_error *error)
{
    pthread_mutex_lock(&s->lock);
    if (index < s->failed) {
        s->failed = index;
        *s->error = *error;
    }
    pthread_mutex_unlock(&s->lock);
    atomic_store(&s->stopped, 1);
}

static int is_interrupted(const struct mxq_monitor *monitor)
{
    return monitor->is_interrupted && monitor->is_interrupted(monitor->context);
}

static void work(void *context, size_t worker)
{
    struct sweep *s = context;
    char *scratch = s->scratch + worker * s->scratch_bytes;
    struct mxq_io_error error;
    while (!atomic_load(&s->stopped)) {
        const uint64_t index = atomic_fetch_add(&s->next, 1);
        if (index >= s->chunks)
            return;
        const struct mxq_chunk chunk = locate(s, index);
        if (is_interrupted(s->monitor)) {
            mxq_io_fail(&error, MXQ_IO_INTERRUPTED,
                        (struct mxq_io_place){NULL, MXQ_IO_NOWHERE, NULL}, "interrupted");
            report(s, index, &error);
        } else if (s->visit(s->context, &chunk, scratch, &error)) {
            report(s, index, &error);
        } else if (s->monitor->advance) {
            s->monitor->advance(s->monitor->context, chunk.source_bytes);
        }
    }
}

enum mxq_io_code mxq_sweep(const struct mxq_plan_file *file, const struct mxq_workers *workers,
                           const struct mxq_monitor *monitor, size_t scratch_bytes,
                           mxq_visit_fn *visit, void *context, struct mxq_io_error *error)
{
    struct sweep s = {.file = file,
                      .monitor = monitor,
                      .visit = visit,
                      .context = context,
                      .scratch_bytes = (scratch_bytes + 63) / 64 * 64,
                      .failed = UINT64_MAX,
                      .error = error};
    s.ends = malloc((file->count + 1) * sizeof *s.ends);
    s.scratch = aligned_alloc(64, s.scratch_bytes * workers->count);
    if (!s.ends || !s.scratch || pthread_mutex_init(&s.lock, NULL)) {
        free(s.ends);
        free(s.scratch);
        return mxq_io_fail_memory(error, file->shard->path);
    }
    for (size_t i = 0; i < file->count; i++)
        s.ends[i] = s.chunks += mxq_count_tensor_chunks(&file->tensors[i]);
    if (workers->parallel && workers->count > 1)
        workers->parallel->run(workers->parallel->pool, workers->count, work, &s);
    else
        work(&s, 0);
    pthread_mutex_destroy(&s.lock);
    free(s.ends);
    free(s.scratch);
    return s.failed == UINT64_MAX ? MXQ_IO_OK : error->code;
}
