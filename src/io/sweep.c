/* SPDX-License-Identifier: Apache-2.0 */
/* sweep.c -- hands out the chunks of a file to threads. */
#include "sweep.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct sweep {
    const struct mxq_sweep *what;
    const struct mxq_monitor *monitor;
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
    return t->decision == MXQ_QUANTIZE ? t->source->elements : t->bytes[MXQ_ELEMENTS_PART];
}

static size_t unit(const struct mxq_plan_tensor *t)
{
    return t->decision == MXQ_QUANTIZE ? mxq_type_bytes(t->type) : 1;
}

uint64_t mxq_count_chunks(const struct mxq_plan_tensor *t)
{
    return extent(t) / t->chunk + (extent(t) % t->chunk != 0);
}

struct mxq_chunk_place mxq_place_chunk(const struct mxq_chunk *chunk,
                                       const struct mxq_format *format)
{
    const uint64_t cols = chunk->tensor->source->shape[1];
    const int is_flat = mxq_format_is_flat(format);
    struct mxq_sizes before, own;
    /* These fit: the whole tensor's do. */
    enum mxq_status status = mxq_quantized_sizes(format, is_flat ? 1 : chunk->first / cols,
                                                 is_flat ? chunk->first : cols, &before);
    if (!status)
        status = mxq_quantized_sizes(format, is_flat ? 1 : chunk->count / cols,
                                     is_flat ? chunk->count : cols, &own);
    if (status)
        return (struct mxq_chunk_place){0};
    struct mxq_chunk_place place = {before.elements_bytes, own.elements_bytes, before.scales_bytes,
                                    own.scales_bytes};
    if (format->block_rows == 0)
        place.scales_begin = 0; /* the one scale of all chunks */
    return place;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

struct mxq_chunk_sizes mxq_chunk_sizes(const struct mxq_plan_file *file,
                                       const struct mxq_format *format)
{
    struct mxq_chunk_sizes sizes = {0};
    for (size_t i = 0; i < file->count; i++) {
        const struct mxq_plan_tensor *t = &file->tensors[i];
        const uint64_t count = extent(t) < t->chunk ? extent(t) : t->chunk;
        const struct mxq_chunk chunk = {.tensor = t, .count = (size_t)count};
        sizes.source = larger(sizes.source, chunk.count * unit(t));
        if (t->decision != MXQ_QUANTIZE) {
            sizes.elements = larger(sizes.elements, chunk.count);
            continue;
        }
        const struct mxq_chunk_place place =
            mxq_place_chunk(&chunk, format ? format : &t->format.format);
        sizes.elements = larger(sizes.elements, place.elements_bytes);
        sizes.scales = larger(sizes.scales, place.scales_bytes);
    }
    return sizes;
}

/* Finds the tensor that chunk `index` is in: the first whose chunks end behind it. */
static struct mxq_chunk locate(const struct sweep *s, uint64_t index)
{
    const struct mxq_plan_file *file = s->what->file;
    size_t low = 0, high = file->count - 1;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (s->ends[middle] > index)
            high = middle;
        else
            low = middle + 1;
    }
    const struct mxq_plan_tensor *t = &file->tensors[low];
    struct mxq_chunk chunk = {.index = index, .tensor = t};
    chunk.first = (index - (s->ends[low] - mxq_count_chunks(t))) * t->chunk;
    const uint64_t left = extent(t) - chunk.first;
    chunk.count = (size_t)(left < t->chunk ? left : t->chunk);
    chunk.source_begin = file->shard->header.data_begin + t->source->begin + chunk.first * unit(t);
    chunk.source_bytes = chunk.count * unit(t);
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
        } else if (s->what->visit(s->what->context, &chunk, scratch, &error)) {
            report(s, index, &error);
        } else if (s->monitor->advance) {
            s->monitor->advance(s->monitor->context, chunk.source_bytes);
        }
    }
}

enum mxq_io_code mxq_sweep(const struct mxq_sweep *what, const struct mxq_workers *workers,
                           const struct mxq_monitor *monitor, struct mxq_io_error *error)
{
    const struct mxq_plan_file *file = what->file;
    struct sweep s = {.what = what,
                      .monitor = monitor,
                      .scratch_bytes = what->scratch_bytes / 64 * 64 + 64,
                      .failed = UINT64_MAX,
                      .error = error};
    s.ends = malloc((file->count + 1) * sizeof *s.ends);
    s.scratch = aligned_alloc(64, s.scratch_bytes * workers->count);
    if (!s.ends || !s.scratch || pthread_mutex_init(&s.lock, NULL)) {
        free(s.ends);
        free(s.scratch);
        return mxq_io_fail_memory(error, file->shard->path);
    }
    for (size_t i = 0; i < file->count; i++) {
        const struct mxq_plan_tensor *t = &file->tensors[i];
        s.ends[i] = s.chunks += !what->wants || what->wants(t) ? mxq_count_chunks(t) : 0;
    }
    if (workers->parallel && workers->count > 1)
        workers->parallel->run(workers->parallel->pool, workers->count, work, &s);
    else
        work(&s, 0);
    pthread_mutex_destroy(&s.lock);
    free(s.ends);
    free(s.scratch);
    return s.failed == UINT64_MAX ? MXQ_IO_OK : error->code;
}
