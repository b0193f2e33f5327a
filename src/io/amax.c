/* SPDX-License-Identifier: Apache-2.0 */
/* amax.c -- looks for the largest magnitude as an integer: bits have the order of magnitudes. */
#include "amax.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* The largest of some 16-bit magnitudes below `infinity`. */
static uint32_t amax_16(const unsigned char *values, size_t count, uint16_t infinity)
{
    uint16_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        uint16_t bits;
        memcpy(&bits, values + 2 * i, sizeof bits);
        bits &= 0x7FFF;
        bits = bits < infinity ? bits : 0;
        largest = bits > largest ? bits : largest;
    }
    return largest;
}

static uint32_t amax_32(const unsigned char *values, size_t count)
{
    uint32_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, values + 4 * i, sizeof bits);
        bits &= 0x7FFFFFFF;
        bits = bits < 0x7F800000 ? bits : 0;
        largest = bits > largest ? bits : largest;
    }
    return largest;
}

uint32_t mxq_widen_f16(uint32_t half)
{
    if (half >= 0x7C00)
        return (half << 13) + (224u << 23);
    if (half >= 0x400)
        return (half << 13) + (112u << 23);
    const float value = (float)half * 0x1p-24f;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* One file in work. */
struct search {
    const struct mxq_reader *reader;
    _Atomic uint32_t *largest; /* as F32 bits */
};

static enum mxq_io_code visit(void *context, const struct mxq_chunk *chunk, void *scratch,
                              struct mxq_io_error *error)
{
    const struct search *s = context;
    const struct mxq_plan_tensor *t = chunk->tensor;
    const size_t count = chunk->source_bytes / mxq_type_bytes(t->type);
    const enum mxq_io_code code =
        mxq_read(s->reader, scratch, chunk->source_bytes, chunk->source_begin, error);
    if (code)
        return code;
    const uint32_t amax = t->type == MXQ_F32    ? amax_32(scratch, count)
                          : t->type == MXQ_BF16 ? amax_16(scratch, count, 0x7F80) << 16
                                                : mxq_widen_f16(amax_16(scratch, count, 0x7C00));
    const size_t places[] = {t->amax, t->shared_amax};
    for (size_t i = 0; i < 2; i++) {
        _Atomic uint32_t *largest = &s->largest[places[i] == MXQ_NO_AMAX ? 0 : places[i]];
        uint32_t seen = atomic_load(largest);
        while (places[i] != MXQ_NO_AMAX && amax > seen &&
               !atomic_compare_exchange_weak(largest, &seen, amax))
            ;
    }
    return MXQ_IO_OK;
}

static int needs_amax(const struct mxq_plan_tensor *tensor)
{
    return tensor->amax != MXQ_NO_AMAX || tensor->shared_amax != MXQ_NO_AMAX;
}

static int has_any(const struct mxq_plan_file *file)
{
    for (size_t i = 0; i < file->count; i++)
        if (needs_amax(&file->tensors[i]))
            return 1;
    return 0;
}

static enum mxq_io_code search_file(const struct mxq_model *model, const struct mxq_plan_file *file,
                                    _Atomic uint32_t *largest, const struct mxq_workers *workers,
                                    const struct mxq_monitor *monitor, struct mxq_io_error *error)
{
    struct mxq_file source;
    enum mxq_io_code code = mxq_shard_open(model, file->shard, &source, error);
    if (code)
        return code;
    struct search search = {&source.reader, largest};
    const struct mxq_sweep sweep = {.file = file,
                                    .wants = needs_amax,
                                    .visit = visit,
                                    .context = &search,
                                    .scratch_bytes = mxq_chunk_sizes(file, NULL).source};
    code = mxq_sweep(&sweep, workers, monitor, error);
    if (!code)
        code = mxq_file_check_identity(&source, &file->shard->identity, error);
    mxq_file_close(&source);
    return code;
}

enum mxq_io_code mxq_find_amaxes(const struct mxq_model *model, const struct mxq_plan *plan,
                                 const struct mxq_workers *workers,
                                 const struct mxq_monitor *monitor, float **amaxes,
                                 struct mxq_io_error *error)
{
    _Atomic uint32_t *largest = calloc(plan->amaxes + 1, sizeof *largest);
    *amaxes = calloc(plan->amaxes + 1, sizeof **amaxes);
    enum mxq_io_code code = largest && *amaxes ? MXQ_IO_OK : mxq_io_fail_memory(error, model->path);
    for (size_t i = 0; !code && i < plan->count; i++)
        if (has_any(&plan->files[i]))
            code = search_file(model, &plan->files[i], largest, workers, monitor, error);
    for (size_t i = 0; !code && i < plan->amaxes; i++) {
        const uint32_t bits = atomic_load(&largest[i]);
        memcpy(&(*amaxes)[i], &bits, sizeof bits);
    }
    free(largest);
    if (code)
        free(*amaxes);
    return code;
}

const float *mxq_amax_of(const struct mxq_plan_tensor *tensor, const struct mxq_format *format,
                         const float *amaxes)
{
    if (format->scale == MXQ_E4M3_SCALE)
        return &amaxes[tensor->shared_amax];
    return format->block_rows == 0 ? &amaxes[tensor->amax] : NULL;
}
