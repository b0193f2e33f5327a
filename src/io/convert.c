/* SPDX-License-Identifier: Apache-2.0 */
/* convert.c -- reads, quantizes and writes chunk by chunk. */
#include "convert.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "amax.h"

static enum mxq_io_code fail_quantize(const struct mxq_chunk *chunk, size_t cols,
                                      const struct mxq_error *detail, const char *path,
                                      struct mxq_io_error *error)
{
    const struct mxq_tensor *source = chunk->tensor->source;
    if (detail->status != MXQ_ERR_NONFINITE)
        return mxq_io_fail(error, MXQ_IO_SYSTEM,
                           (struct mxq_io_place){path, MXQ_IO_NOWHERE, source->name},
                           "cannot quantize: %s", detail->what);
    const uint64_t index = chunk->first + detail->row * cols + detail->col;
    return mxq_io_fail(error, MXQ_IO_NONFINITE,
                       (struct mxq_io_place){path, MXQ_IO_NOWHERE, source->name},
                       "a weight is a NaN or an infinity: element = %llu (row %llu, column %llu); "
                       "--nonfinite nan would keep such blocks as NaN, clamp the largest element",
                       (unsigned long long)index, (unsigned long long)(index / source->shape[1]),
                       (unsigned long long)(index % source->shape[1]));
}

enum mxq_io_code mxq_quantize_chunk(struct mxq_quantizing *q, const struct mxq_chunk *chunk,
                                    const char *path, struct mxq_io_error *error)
{
    const struct mxq_format *format = q->format;
    const size_t cols =
        mxq_format_is_flat(format) ? chunk->count : (size_t)chunk->tensor->source->shape[1];
    const size_t rows = chunk->count / cols;
    const struct mxq_matrix x = {q->values, chunk->tensor->type, rows, cols, cols};
    struct mxq_quantize_options how;
    struct mxq_sizes sizes;
    struct mxq_error detail;
    float tensor_scale;
    enum mxq_status status = mxq_make_quantize_options(q->options, format, &how, &detail);
    if (!status) {
        status = mxq_quantized_sizes(format, rows, cols, &sizes);
        detail = (struct mxq_error){status, "a size overflows", 0, 0};
    }
    if (!status) {
        const struct mxq_quantized to = {*format,
                                         rows,
                                         cols,
                                         q->elements,
                                         sizes.elements_row_bytes,
                                         q->scales,
                                         sizes.scales_row_bytes,
                                         format->scale == MXQ_E4M3_SCALE ? &tensor_scale : NULL};
        how.first_index = chunk->first;
        how.statistics = q->statistics;
        how.amax = q->amax;
        how.amax_count = q->amax != NULL;
        status = mxq_quantize(&to, &x, &how, &detail);
    }
    if (status)
        return fail_quantize(chunk, cols, &detail, path, error);
    if (format->scale == MXQ_E4M3_SCALE)
        q->tensor_scale = 1 / tensor_scale;
    return MXQ_IO_OK;
}

/* ------------------------------------ One file of weights ------------------------------------- */

struct conversion {
    const struct mxq_convert_options *options;
    const struct mxq_reader *reader;
    const struct mxq_output *output;
    const float *amaxes;
    struct mxq_chunk_sizes sizes;
    _Atomic uint64_t written; /* bytes of elements and kept values */
};

/* So much is handed to the disk at a time while the conversion runs on. */
#define WRITEBACK_BYTES (UINT64_C(64) << 20)

static void note_written(struct conversion *c, uint64_t bytes)
{
    const uint64_t before = atomic_fetch_add(&c->written, bytes);
    if (before / WRITEBACK_BYTES != (before + bytes) / WRITEBACK_BYTES)
        mxq_output_start_writeback(c->output);
}

static enum mxq_io_code quantize_chunk(struct conversion *c, const struct mxq_chunk *chunk,
                                       uint8_t *values, struct mxq_io_error *error)
{
    const struct mxq_plan_tensor *t = chunk->tensor;
    const struct mxq_chunk_place place = mxq_place_chunk(chunk, &t->format.format);
    struct mxq_quantizing q = {.options = c->options,
                               .format = &t->format.format,
                               .amax = mxq_amax_of(t, &t->format.format, c->amaxes),
                               .values = values,
                               .elements = values + c->sizes.source,
                               .scales = values + c->sizes.source + c->sizes.elements};
    enum mxq_io_code code = mxq_quantize_chunk(&q, chunk, c->reader->path, error);
    if (!code)
        code = mxq_output_write(c->output, q.elements, place.elements_bytes,
                                t->begin[MXQ_ELEMENTS_PART] + place.elements_begin, error);
    /* One scale for all is the same from every chunk. */
    if (!code && (chunk->first == 0 || t->format.format.block_rows))
        code = mxq_output_write(c->output, q.scales, place.scales_bytes,
                                t->begin[MXQ_SCALES_PART] + place.scales_begin, error);
    if (!code && chunk->first == 0 && t->bytes[MXQ_TENSOR_SCALE_PART])
        code = mxq_output_write(c->output, &q.tensor_scale, sizeof q.tensor_scale,
                                t->begin[MXQ_TENSOR_SCALE_PART], error);
    return code;
}

static enum mxq_io_code convert_chunk(void *context, const struct mxq_chunk *chunk, void *scratch,
                                      struct mxq_io_error *error)
{
    struct conversion *c = context;
    const struct mxq_plan_tensor *t = chunk->tensor;
    enum mxq_io_code code =
        mxq_read(c->reader, scratch, chunk->source_bytes, chunk->source_begin, error);
    if (!code && t->decision == MXQ_QUANTIZE)
        code = quantize_chunk(c, chunk, scratch, error);
    else if (!code)
        code = mxq_output_write(c->output, scratch, chunk->count,
                                t->begin[MXQ_ELEMENTS_PART] + chunk->first, error);
    if (!code)
        note_written(c, chunk->count);
    return code;
}

static enum mxq_io_code convert_file(const struct mxq_model *model,
                                     const struct mxq_plan_file *file,
                                     const struct mxq_convert_options *options, const float *amaxes,
                                     const struct mxq_target *target,
                                     const struct mxq_workers *workers,
                                     const struct mxq_monitor *monitor, struct mxq_io_error *error)
{
    struct mxq_file source;
    enum mxq_io_code code = mxq_shard_open(model, file->shard, &source, error);
    if (code)
        return code;
    struct mxq_output output;
    code = mxq_output_create(&output, target, file->shard->name, file->bytes, error);
    if (!code) {
        struct conversion c = {
            options, &source.reader, &output, amaxes, mxq_chunk_sizes(file, NULL), 0};
        const struct mxq_sweep sweep = {.file = file,
                                        .visit = convert_chunk,
                                        .context = &c,
                                        .scratch_bytes =
                                            c.sizes.source + c.sizes.elements + c.sizes.scales};
        code = mxq_output_write(&output, file->header.data, file->header.bytes, 0, error);
        if (!code)
            code = mxq_sweep(&sweep, workers, monitor, error);
        if (!code)
            code = mxq_file_check_identity(&source, &file->shard->identity, error);
        if (!code)
            code = mxq_output_finish(&output, error);
        mxq_output_close(&output);
    }
    mxq_file_close(&source);
    if (!code && monitor->finish)
        monitor->finish(monitor->context, file);
    return code;
}

/* ---------------------------------- What else a folder holds ---------------------------------- */

static enum mxq_io_code copy_bytes(const struct mxq_file *from, const struct mxq_output *to,
                                   struct mxq_io_error *error)
{
    const uint64_t size = from->reader.size;
    char *buffer = malloc(MXQ_CHUNK_BYTES);
    if (!buffer)
        return mxq_io_fail_memory(error, from->reader.path);
    enum mxq_io_code code = MXQ_IO_OK;
    for (uint64_t done = 0; !code && done < size;) {
        const uint64_t left = size - done;
        const size_t bytes = left < MXQ_CHUNK_BYTES ? (size_t)left : MXQ_CHUNK_BYTES;
        code = mxq_read(&from->reader, buffer, bytes, done, error);
        if (!code)
            code = mxq_output_write(to, buffer, bytes, done, error);
        done += bytes;
    }
    free(buffer);
    return code;
}

static enum mxq_io_code copy_companion(const struct mxq_model *model, const char *name,
                                       const struct mxq_target *target, struct mxq_io_error *error)
{
    char *path = mxq_join_path(model->path, name);
    if (!path)
        return mxq_io_fail_memory(error, model->path);
    struct mxq_file from;
    struct mxq_output to;
    enum mxq_io_code code = mxq_model_open_file(model, name, path, &from, error);
    if (!code) {
        code = mxq_output_create(&to, target, name, from.reader.size, error);
        if (!code) {
            code = copy_bytes(&from, &to, error);
            if (!code)
                code = mxq_file_check_identity(&from, &from.identity, error);
            if (!code)
                code = mxq_output_finish(&to, error);
            mxq_output_close(&to);
        }
        mxq_file_close(&from);
    }
    free(path);
    return code;
}

static enum mxq_io_code write_document(const struct mxq_document *document,
                                       const struct mxq_target *target, struct mxq_io_error *error)
{
    struct mxq_output to;
    enum mxq_io_code code =
        mxq_output_create(&to, target, document->name, document->text.bytes, error);
    if (code)
        return code;
    code = mxq_output_write(&to, document->text.data, document->text.bytes, 0, error);
    if (!code)
        code = mxq_output_finish(&to, error);
    mxq_output_close(&to);
    return code;
}

enum mxq_io_code mxq_convert(const struct mxq_model *model, const struct mxq_plan *plan,
                             const struct mxq_convert_options *options, struct mxq_target *target,
                             const struct mxq_workers *workers, const struct mxq_monitor *monitor,
                             struct mxq_io_error *error)
{
    float *amaxes;
    enum mxq_io_code code = mxq_find_amaxes(model, plan, workers, monitor, &amaxes, error);
    if (code)
        return code;
    for (size_t i = 0; !code && i < model->companion_count; i++)
        code = copy_companion(model, model->companions[i], target, error);
    for (size_t i = 0; !code && i < plan->document_count; i++)
        code = write_document(&plan->documents[i], target, error);
    for (size_t i = 0; !code && i < plan->count; i++)
        code =
            convert_file(model, &plan->files[i], options, amaxes, target, workers, monitor, error);
    free(amaxes);
    if (!code && monitor->is_interrupted && monitor->is_interrupted(monitor->context))
        code = mxq_io_fail(error, MXQ_IO_INTERRUPTED,
                           (struct mxq_io_place){NULL, MXQ_IO_NOWHERE, NULL}, "interrupted");
    return code ? code : mxq_target_publish(target, error);
}
