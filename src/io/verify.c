/* SPDX-License-Identifier: Apache-2.0 */
/* verify.c -- quantizes again, compares bytes, and measures. */
#include "verify.h"

#include <stdlib.h>
#include <string.h>

#include "amax.h"
#include "convert.h"

/* Keeps the first difference and counts them all. */
#define DIFFERS(v, path, at, tensor, ...)                                                          \
    do {                                                                                           \
        if (!(v)->differences++)                                                                   \
            mxq_io_fail(&(v)->difference, MXQ_IO_MISMATCH,                                         \
                        (struct mxq_io_place){path, at, tensor}, __VA_ARGS__);                     \
    } while (0)

/* ------------------------------------------- Chunks ------------------------------------------- */

/* What one chunk showed. */
struct finding {
    struct mxq_statistics statistics;
    uint64_t at; /* the first byte of the output that differs, or MXQ_IO_NOWHERE */
    enum mxq_part part;
    uint8_t found;
    uint8_t expected;
};

struct comparison {
    const struct mxq_convert_options *options;
    const struct mxq_reader *source;
    const struct mxq_reader *output;
    const float *amaxes;
    struct mxq_chunk_sizes sizes;
    struct finding *findings; /* of each chunk */
};

static void compare(struct finding *finding, const uint8_t *found, const uint8_t *expected,
                    size_t bytes, uint64_t begin)
{
    if (finding->at != MXQ_IO_NOWHERE || !memcmp(found, expected, bytes))
        return;
    size_t i = 0;
    while (found[i] == expected[i])
        i++;
    finding->at = begin + i;
    finding->found = found[i];
    finding->expected = expected[i];
}

/* Compares bytes of a part, from `begin` on, with the output; `found` is memory for those. */
static enum mxq_io_code compare_part(const struct comparison *c, struct finding *finding,
                                     const struct mxq_plan_tensor *t, enum mxq_part part,
                                     const struct mxq_memory *expected, uint64_t begin,
                                     uint8_t *found, struct mxq_io_error *error)
{
    const int is_same_yet = finding->at == MXQ_IO_NOWHERE;
    const enum mxq_io_code code =
        mxq_read(c->output, found, expected->bytes, t->begin[part] + begin, error);
    if (code)
        return code;
    compare(finding, found, expected->data, expected->bytes, t->begin[part] + begin);
    if (is_same_yet)
        finding->part = part;
    return MXQ_IO_OK;
}

static enum mxq_io_code compare_quantized(const struct comparison *c, const struct mxq_chunk *chunk,
                                          uint8_t *values, struct finding *finding,
                                          struct mxq_io_error *error)
{
    const struct mxq_plan_tensor *t = chunk->tensor;
    const struct mxq_chunk_place place = mxq_place_chunk(chunk, &t->format.format);
    struct mxq_quantizing q = {.options = c->options,
                               .format = &t->format.format,
                               .amax = mxq_amax_of(t, &t->format.format, c->amaxes),
                               .values = values,
                               .elements = values + c->sizes.source,
                               .scales = values + c->sizes.source + c->sizes.elements,
                               .statistics = &finding->statistics};
    uint8_t *found = q.scales + c->sizes.scales;
    enum mxq_io_code code = mxq_quantize_chunk(&q, chunk, c->source->path, error);
    if (!code)
        code = compare_part(c, finding, t, MXQ_ELEMENTS_PART,
                            &(struct mxq_memory){q.elements, place.elements_bytes},
                            place.elements_begin, found, error);
    if (!code && (chunk->first == 0 || t->format.format.block_rows))
        code = compare_part(c, finding, t, MXQ_SCALES_PART,
                            &(struct mxq_memory){q.scales, place.scales_bytes}, place.scales_begin,
                            found, error);
    if (!code && chunk->first == 0 && t->bytes[MXQ_TENSOR_SCALE_PART])
        code = compare_part(c, finding, t, MXQ_TENSOR_SCALE_PART,
                            &(struct mxq_memory){&q.tensor_scale, sizeof q.tensor_scale}, 0, found,
                            error);
    return code;
}

static enum mxq_io_code compare_chunk(void *context, const struct mxq_chunk *chunk, void *scratch,
                                      struct mxq_io_error *error)
{
    const struct comparison *c = context;
    uint8_t *values = scratch;
    struct finding *finding = &c->findings[chunk->index];
    finding->at = MXQ_IO_NOWHERE;
    const enum mxq_io_code code =
        mxq_read(c->source, values, chunk->source_bytes, chunk->source_begin, error);
    if (code)
        return code;
    if (chunk->tensor->decision == MXQ_QUANTIZE)
        return compare_quantized(c, chunk, values, finding, error);
    return compare_part(c, finding, chunk->tensor, MXQ_ELEMENTS_PART,
                        &(struct mxq_memory){values, chunk->source_bytes}, chunk->first,
                        values + c->sizes.source, error);
}

/* ------------------------------------ One file of weights ------------------------------------- */

/* Puts the findings of a file together, in the order of its chunks. */
static void collect(struct mxq_verification *v, const struct mxq_plan_file *file,
                    struct mxq_statistics *statistics, const struct finding *findings,
                    const char *path)
{
    static const char *const parts[MXQ_PARTS] = {"elements", "scales", "tensor scale"};
    uint64_t chunk = 0;
    for (size_t i = 0; i < file->count; i++) {
        const struct mxq_plan_tensor *t = &file->tensors[i];
        for (uint64_t end = chunk + mxq_count_chunks(t); chunk < end; chunk++) {
            const struct finding *f = &findings[chunk];
            mxq_statistics_add(&statistics[i], &f->statistics);
            if (f->at != MXQ_IO_NOWHERE)
                DIFFERS(v, path, f->at, t->source->name,
                        "a byte of the %s differs: byte = 0x%02x, expected 0x%02x",
                        t->decision == MXQ_QUANTIZE ? parts[f->part] : "kept values", f->found,
                        f->expected);
        }
        mxq_statistics_add(&v->total, &statistics[i]);
    }
}

/* Returns 1 when size and header are as planned, so that the data can be compared. */
static enum mxq_io_code compare_header(struct mxq_verification *v, const struct mxq_plan_file *file,
                                       const struct mxq_reader *output, int *same,
                                       struct mxq_io_error *error)
{
    *same = 0;
    if (output->size != file->bytes) {
        DIFFERS(v, output->path, MXQ_IO_NOWHERE, NULL,
                "the size differs: size = %llu, expected %llu", (unsigned long long)output->size,
                (unsigned long long)file->bytes);
        return MXQ_IO_OK;
    }
    char *header = malloc(file->header.bytes);
    if (!header)
        return mxq_io_fail_memory(error, output->path);
    const enum mxq_io_code code = mxq_read(output, header, file->header.bytes, 0, error);
    size_t i = 0;
    while (!code && i < file->header.bytes && header[i] == file->header.data[i])
        i++;
    *same = i == file->header.bytes;
    if (!code && !*same)
        DIFFERS(v, output->path, i, NULL, "the header differs: byte = 0x%02x, expected 0x%02x",
                (unsigned char)header[i], (unsigned char)file->header.data[i]);
    free(header);
    return code;
}

static enum mxq_io_code compare_file(struct mxq_verification *v, const struct mxq_plan_file *file,
                                     struct mxq_statistics *statistics, const float *amaxes,
                                     const struct mxq_file *source, const struct mxq_file *output,
                                     const struct mxq_workers *workers,
                                     const struct mxq_monitor *monitor, struct mxq_io_error *error)
{
    int same;
    enum mxq_io_code code = compare_header(v, file, &output->reader, &same, error);
    if (code || !same)
        return code;
    struct comparison c = {
        &v->options, &source->reader, &output->reader, amaxes, mxq_chunk_sizes(file, NULL), NULL};
    uint64_t chunks = 0;
    for (size_t i = 0; i < file->count; i++)
        chunks += mxq_count_chunks(&file->tensors[i]);
    c.findings = calloc((size_t)chunks + 1, sizeof *c.findings);
    if (!c.findings)
        return mxq_io_fail_memory(error, output->reader.path);
    const size_t expected = c.sizes.elements + c.sizes.scales;
    const struct mxq_sweep sweep = {.file = file,
                                    .visit = compare_chunk,
                                    .context = &c,
                                    .scratch_bytes = c.sizes.source + 2 * expected + sizeof(float)};
    code = mxq_sweep(&sweep, workers, monitor, error);
    if (!code)
        collect(v, file, statistics, c.findings, output->reader.path);
    free(c.findings);
    return code;
}

static enum mxq_io_code compare_shard(struct mxq_verification *v, size_t index, const float *amaxes,
                                      const struct mxq_model *source,
                                      const struct mxq_model *output,
                                      const struct mxq_workers *workers,
                                      const struct mxq_monitor *monitor, struct mxq_io_error *error)
{
    const struct mxq_plan_file *file = &v->plan.files[index];
    struct mxq_file from, to;
    enum mxq_io_code code = mxq_shard_open(source, file->shard, &from, error);
    if (code)
        return code;
    code = mxq_shard_open(output, &output->shards[index], &to, error);
    if (!code) {
        code = compare_file(v, file, v->statistics[index], amaxes, &from, &to, workers, monitor,
                            error);
        if (!code)
            code = mxq_file_check_identity(&from, &file->shard->identity, error);
        mxq_file_close(&to);
    }
    mxq_file_close(&from);
    if (!code && monitor->finish)
        monitor->finish(monitor->context, file);
    return code;
}

/* -------------------------------------- The other files --------------------------------------- */

/* Compares a file of the output folder with what it must hold. */
static enum mxq_io_code compare_whole(struct mxq_verification *v, const struct mxq_model *output,
                                      const char *name, const struct mxq_reader *expected,
                                      struct mxq_io_error *error)
{
    static const size_t step = 64u << 10;
    char *path = mxq_join_path(output->path, name);
    char *buffer = malloc(2 * step);
    struct mxq_file file = {.fd = -1};
    enum mxq_io_code code = path && buffer ? mxq_model_open_file(output, name, path, &file, error)
                                           : mxq_io_fail_memory(error, name);
    if (code == MXQ_IO_NOT_FOUND) {
        DIFFERS(v, path, MXQ_IO_NOWHERE, NULL, "the file is missing");
        code = MXQ_IO_OK;
    } else if (!code && file.reader.size != expected->size) {
        DIFFERS(v, path, MXQ_IO_NOWHERE, NULL, "the size differs: size = %llu, expected %llu",
                (unsigned long long)file.reader.size, (unsigned long long)expected->size);
    } else {
        struct finding finding = {.at = MXQ_IO_NOWHERE};
        for (uint64_t done = 0; !code && done < expected->size; done += step) {
            const uint64_t left = expected->size - done;
            const size_t bytes = left < step ? (size_t)left : step;
            code = mxq_read(expected, buffer, bytes, done, error);
            if (!code)
                code = mxq_read(&file.reader, buffer + step, bytes, done, error);
            if (!code)
                compare(&finding, (uint8_t *)buffer + step, (uint8_t *)buffer, bytes, done);
        }
        if (!code && finding.at != MXQ_IO_NOWHERE)
            DIFFERS(v, path, finding.at, NULL, "the file differs: byte = 0x%02x, expected 0x%02x",
                    finding.found, finding.expected);
    }
    mxq_file_close(&file);
    free(buffer);
    free(path);
    return code;
}

static enum mxq_io_code compare_others(struct mxq_verification *v, const struct mxq_model *source,
                                       const struct mxq_model *output, struct mxq_io_error *error)
{
    enum mxq_io_code code = MXQ_IO_OK;
    for (size_t i = 0; !code && i < v->plan.document_count; i++) {
        const struct mxq_document *d = &v->plan.documents[i];
        const struct mxq_memory memory = {d->text.data, d->text.bytes};
        const struct mxq_reader expected = mxq_memory_reader(&memory, d->name);
        code = compare_whole(v, output, d->name, &expected, error);
    }
    for (size_t i = 0; !code && i < source->companion_count; i++) {
        char *path = mxq_join_path(source->path, source->companions[i]);
        struct mxq_file from = {.fd = -1};
        code = path ? mxq_model_open_file(source, source->companions[i], path, &from, error)
                    : mxq_io_fail_memory(error, source->path);
        if (!code)
            code = compare_whole(v, output, source->companions[i], &from.reader, error);
        mxq_file_close(&from);
        free(path);
    }
    return code;
}

/* ----------------------------------------- All of it ------------------------------------------ */

static enum mxq_io_code read_options(struct mxq_verification *v, const struct mxq_model *output,
                                     struct mxq_io_error *error)
{
    const struct mxq_shard *first = &output->shards[0];
    const char *options = mxq_safetensors_metadata(&first->header, "mxq.options");
    const char *version = mxq_safetensors_metadata(&first->header, "mxq.version");
    if (!options || !version)
        return mxq_io_fail(error, MXQ_IO_NOT_CONVERTED,
                           (struct mxq_io_place){first->path, MXQ_IO_NOWHERE, NULL},
                           "mxq did not write this file: its metadata has no mxq.options");
    enum mxq_io_code code =
        mxq_convert_options_read(&v->options, options, version, first->path, error);
    if (code || !v->options.candidates)
        return code;
    for (size_t i = 0; !code && i < output->count; i++) {
        const char *chosen = mxq_safetensors_metadata(&output->shards[i].header, "mxq.formats");
        if (chosen)
            code = mxq_choices_read(&v->options, chosen, output->shards[i].path, error);
    }
    if (code)
        mxq_convert_options_free(&v->options);
    return code;
}

static enum mxq_io_code allocate(struct mxq_verification *v, struct mxq_io_error *error)
{
    v->statistics = calloc(v->plan.count + 1, sizeof *v->statistics);
    int ok = v->statistics != NULL;
    for (size_t i = 0; ok && i < v->plan.count; i++) {
        v->statistics[i] = calloc(v->plan.files[i].count + 1, sizeof **v->statistics);
        ok = v->statistics[i] != NULL;
    }
    return ok ? MXQ_IO_OK : mxq_io_fail_memory(error, NULL);
}

enum mxq_io_code mxq_verification_begin(struct mxq_verification *v, const struct mxq_model *source,
                                        const struct mxq_model *output, struct mxq_io_error *error)
{
    *v = (struct mxq_verification){.difference = {.code = MXQ_IO_OK}};
    if ((source->folder >= 0) != (output->folder >= 0))
        return mxq_io_fail(error, MXQ_IO_USAGE,
                           (struct mxq_io_place){output->path, MXQ_IO_NOWHERE, NULL},
                           "source and output must both be folders, or both be files");
    enum mxq_io_code code = read_options(v, output, error);
    if (code)
        return code;
    code = mxq_plan_make(&v->plan, source, &v->options, error);
    if (!code)
        code = allocate(v, error);
    if (code)
        mxq_verification_end(v);
    return code;
}

/* Returns 1 when the output has the shards of the plan; both are sorted by name. */
static int has_same_shards(struct mxq_verification *v, const struct mxq_model *output)
{
    int same = v->plan.count == output->count;
    for (size_t i = 0; same && i < output->count && output->folder >= 0; i++)
        same = !strcmp(v->plan.files[i].shard->name, output->shards[i].name);
    if (!same)
        DIFFERS(v, output->path, MXQ_IO_NOWHERE, NULL,
                "the files of weights are not those of the source: files = %zu, expected %zu",
                output->count, v->plan.count);
    return same;
}

enum mxq_io_code mxq_verification_run(struct mxq_verification *v, const struct mxq_model *source,
                                      const struct mxq_model *output,
                                      const struct mxq_workers *workers,
                                      const struct mxq_monitor *monitor, struct mxq_io_error *error)
{
    if (!has_same_shards(v, output))
        return MXQ_IO_OK;
    float *amaxes;
    enum mxq_io_code code = mxq_find_amaxes(source, &v->plan, workers, monitor, &amaxes, error);
    if (code)
        return code;
    for (size_t i = 0; !code && i < v->plan.count; i++)
        code = compare_shard(v, i, amaxes, source, output, workers, monitor, error);
    free(amaxes);
    return code ? code : compare_others(v, source, output, error);
}

void mxq_verification_end(struct mxq_verification *v)
{
    for (size_t i = 0; v->statistics && i < v->plan.count; i++)
        free(v->statistics[i]);
    free(v->statistics);
    mxq_plan_free(&v->plan);
    mxq_convert_options_free(&v->options);
    *v = (struct mxq_verification){.statistics = NULL};
}
