/* SPDX-License-Identifier: Apache-2.0 */
/* convert.c -- reads, quantizes and writes chunk by chunk. */
#include "convert.h"

#include <stdatomic.h>
#include <stdlib.h>

enum mxq_io_code mxq_quantize_values(const struct mxq_plan_tensor *tensor,
                                     const struct mxq_convert_options *options, uint64_t first,
                                     size_t count, void *values, uint8_t *elements, uint8_t *scales,
                                     const char *path, struct mxq_io_error *error)
{
    /* Rows are whole blocks without gaps, so any run of blocks is a matrix of one row. */
    const struct mxq_matrix x = {values, tensor->type, 1, count, count};
    const struct mxq_quantized q = {options->format, 1, count, elements, count, scales, count};
    struct mxq_quantize_options how = MXQ_QUANTIZE_OPTIONS;
    how.scale_mode = options->scale_mode;
    how.nonfinite = options->nonfinite;
    struct mxq_error detail;
    const enum mxq_status status = mxq_quantize(&q, &x, &how, &detail);
    if (status == MXQ_OK)
        return MXQ_IO_OK;
    if (status != MXQ_ERR_NONFINITE)
        return mxq_io_fail(error, MXQ_IO_SYSTEM,
                           (struct mxq_io_place){path, MXQ_IO_NOWHERE, tensor->source->name},
                           "cannot quantize: %s", detail.what);
    const uint64_t index = first + detail.col;
    const uint64_t cols = tensor->source->shape[1];
    return mxq_io_fail(error, MXQ_IO_NONFINITE,
                       (struct mxq_io_place){path, MXQ_IO_NOWHERE, tensor->source->name},
                       "a weight is a NaN or an infinity: element = %llu (row %llu, column %llu); "
                       "--nonfinite nan would keep such blocks as NaN",
                       (unsigned long long)index, (unsigned long long)(index / cols),
                       (unsigned long long)(index % cols));
}

/* ------------------------------------ One file of weights ------------------------------------- */

struct conversion {
    const struct mxq_convert_options *options;
    const struct mxq_reader *reader;
    const struct mxq_output *output;
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

static enum mxq_io_code convert_chunk(void *context, const struct mxq_chunk *chunk, void *scratch,
                                      struct mxq_io_error *error)
{
    struct conversion *c = context;
    const struct mxq_plan_tensor *t = chunk->tensor;
    char *values = scratch;
    enum mxq_io_code code =
        mxq_read(c->reader, values, chunk->source_bytes, chunk->source_begin, error);
    if (code)
        return code;
    if (t->decision != MXQ_QUANTIZE) {
        code = mxq_output_write(c->output, values, chunk->count, t->begin + chunk->first, error);
    } else {
        const uint32_t block = c->options->format.block_cols;
        uint8_t *elements = (uint8_t *)values + MXQ_CHUNK_BYTES;
        uint8_t *scales = elements + MXQ_CHUNK_VALUES;
        code = mxq_quantize_values(t, c->options, chunk->first, chunk->count, values, elements,
                                   scales, c->reader->path, error);
        if (!code)
            code =
                mxq_output_write(c->output, elements, chunk->count, t->begin + chunk->first, error);
        if (!code)
            code = mxq_output_write(c->output, scales, chunk->count / block,
                                    t->scales_begin + chunk->first / block, error);
    }
    if (!code)
        note_written(c, chunk->count);
    return code;
}

static enum mxq_io_code convert_file(const struct mxq_model *model,
                                     const struct mxq_plan_file *file,
                                     const struct mxq_convert_options *options,
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
        struct conversion c = {options, &source.reader, &output, 0};
        code = mxq_output_write(&output, file->header.data, file->header.bytes, 0, error);
        if (!code)
            code = mxq_sweep(file, workers, monitor,
                             MXQ_CHUNK_BYTES + MXQ_CHUNK_VALUES +
                                 MXQ_CHUNK_VALUES / options->format.block_cols,
                             convert_chunk, &c, error);
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
    enum mxq_io_code code = MXQ_IO_OK;
    for (size_t i = 0; !code && i < model->companion_count; i++)
        code = copy_companion(model, model->companions[i], target, error);
    for (size_t i = 0; !code && i < plan->document_count; i++)
        code = write_document(&plan->documents[i], target, error);
    for (size_t i = 0; !code && i < plan->count; i++)
        code = convert_file(model, &plan->files[i], options, target, workers, monitor, error);
    if (!code && monitor->is_interrupted && monitor->is_interrupted(monitor->context))
        code = mxq_io_fail(error, MXQ_IO_INTERRUPTED,
                           (struct mxq_io_place){NULL, MXQ_IO_NOWHERE, NULL}, "interrupted");
    return code ? code : mxq_target_publish(target, error);
}
