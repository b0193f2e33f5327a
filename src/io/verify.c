/* SPDX-License-Identifier: Apache-2.0 */
/* verify.c -- quantizes again, compares bytes, dequantizes, and measures. */
#include "verify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "convert.h"

double mxq_quality_sqnr(const struct mxq_quality *quality)
{
    return quality->noise == 0 ? (double)INFINITY : 10 * log10(quality->signal / quality->noise);
}

double mxq_quality_cosine(const struct mxq_quality *quality)
{
    const double norms = sqrt(quality->signal) * sqrt(quality->decoded);
    if (norms > 0)
        return quality->product / norms;
    return quality->signal == 0 && quality->decoded == 0 ? 1 : 0;
}

static void add_quality(struct mxq_quality *sum, const struct mxq_quality *more)
{
    sum->elements += more->elements;
    sum->saturated += more->saturated;
    sum->flushed += more->flushed;
    sum->nan += more->nan;
    sum->signal += more->signal;
    sum->decoded += more->decoded;
    sum->product += more->product;
    sum->noise += more->noise;
    sum->largest = more->largest > sum->largest ? more->largest : sum->largest;
}

/* Keeps the first difference and counts them all. */
#define DIFFERS(v, path, at, tensor, ...)                                                          \
    do {                                                                                           \
        if (!(v)->differences++)                                                                   \
            mxq_io_fail(&(v)->difference, MXQ_IO_MISMATCH,                                         \
                        (struct mxq_io_place){path, at, tensor}, __VA_ARGS__);                     \
    } while (0)

/* ------------------------------------------- Values ------------------------------------------- */

static float f32_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float f32_of_f16(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    const uint32_t exponent = half >> 10 & 31, mantissa = half & 0x3FF;
    if (exponent == 31)
        return f32_of_bits(sign | 0x7F800000 | mantissa << 13);
    if (exponent)
        return f32_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
    const float magnitude = (float)mantissa * 0x1p-24f;
    return sign ? -magnitude : magnitude;
}

static void widen(float *to, const void *values, enum mxq_type type, size_t count)
{
    const uint16_t *halves = values;
    if (type == MXQ_F32)
        memcpy(to, values, count * sizeof *to);
    else if (type == MXQ_BF16)
        for (size_t i = 0; i < count; i++)
            to[i] = f32_of_bits((uint32_t)halves[i] << 16);
    else
        for (size_t i = 0; i < count; i++)
            to[i] = f32_of_f16(halves[i]);
}

#define LANES                                                                                      \
    8 /* sums that run side by side, so that adding them is no chain; part of the digits */

struct lanes {
    double signal[LANES], decoded[LANES], product[LANES], noise[LANES], largest[LANES];
};

static void measure_values(struct lanes *lanes, const float *x, const float *y, size_t count)
{
    for (size_t i = 0; i < count; i += LANES)
        for (size_t j = 0; j < LANES; j++) {
            const double a = x[i + j], b = y[i + j], error = a - b, magnitude = fabs(error);
            lanes->signal[j] += a * a;
            lanes->decoded[j] += b * b;
            lanes->product[j] += a * b;
            lanes->noise[j] += error * error;
            lanes->largest[j] = magnitude > lanes->largest[j] ? magnitude : lanes->largest[j];
        }
}

static struct mxq_quality measure(const struct mxq_format *format, const float *x, const float *y,
                                  const uint8_t *elements, const uint8_t *scales, size_t count)
{
    static const uint8_t max_code[MXQ_ELEMENTS] = {[MXQ_E4M3] = 0x7E, [MXQ_E5M2] = 0x7B};
    const uint8_t max = max_code[format->element];
    const size_t block = format->block_cols;
    struct mxq_quality q = {.elements = count};
    struct lanes lanes = {0};
    for (size_t begin = 0; begin < count; begin += block) {
        if (scales[begin / block] == 0xFF) {
            q.nan += block;
            continue;
        }
        measure_values(&lanes, x + begin, y + begin, block);
        for (size_t i = begin; i < begin + block; i++) {
            const uint8_t magnitude = elements[i] & 0x7F;
            q.saturated += magnitude == max && fabsf(x[i]) > fabsf(y[i]);
            q.flushed += magnitude == 0 && x[i] != 0;
        }
    }
    for (size_t j = 0; j < LANES; j++)
        add_quality(&q, &(struct mxq_quality){.signal = lanes.signal[j],
                                              .decoded = lanes.decoded[j],
                                              .product = lanes.product[j],
                                              .noise = lanes.noise[j],
                                              .largest = lanes.largest[j]});
    return q;
}

/* ------------------------------------------- Chunks ------------------------------------------- */

/* What one chunk showed. */
struct finding {
    struct mxq_quality quality;
    uint64_t at; /* the first byte of the output that differs, or MXQ_IO_NOWHERE */
    uint8_t found;
    uint8_t expected;
};

struct comparison {
    const struct mxq_convert_options *options;
    const struct mxq_reader *source;
    const struct mxq_reader *output;
    struct finding *findings; /* of each chunk */
};

/* The memory of one thread while it compares a chunk. */
struct scratch {
    unsigned char values[MXQ_CHUNK_BYTES];
    float x[MXQ_CHUNK_VALUES];
    float y[MXQ_CHUNK_VALUES];
    uint8_t expected[MXQ_CHUNK_VALUES];
    uint8_t found[MXQ_CHUNK_BYTES];
    uint8_t expected_scales[MXQ_CHUNK_VALUES / 32];
    uint8_t found_scales[MXQ_CHUNK_VALUES / 32];
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

static enum mxq_io_code compare_quantized(const struct comparison *c, const struct mxq_chunk *chunk,
                                          struct scratch *s, struct finding *finding,
                                          struct mxq_io_error *error)
{
    const struct mxq_plan_tensor *t = chunk->tensor;
    const struct mxq_format *format = &c->options->format;
    const size_t n = chunk->count, scales = n / format->block_cols;
    const uint64_t begin = t->begin + chunk->first;
    const uint64_t scales_begin = t->scales_begin + chunk->first / format->block_cols;
    enum mxq_io_code code = mxq_read(c->output, s->found, n, begin, error);
    if (!code)
        code = mxq_read(c->output, s->found_scales, scales, scales_begin, error);
    if (!code)
        code = mxq_quantize_values(t, c->options, chunk->first, n, s->values, s->expected,
                                   s->expected_scales, c->source->path, error);
    if (code)
        return code;
    compare(finding, s->found, s->expected, n, begin);
    compare(finding, s->found_scales, s->expected_scales, scales, scales_begin);
    const struct mxq_matrix y = {s->y, MXQ_F32, 1, n, n};
    const struct mxq_quantized q = {*format, 1, n, s->found, n, s->found_scales, scales};
    struct mxq_error detail;
    if (mxq_dequantize(&y, &q, NULL, &detail))
        return mxq_io_fail(error, MXQ_IO_SYSTEM,
                           (struct mxq_io_place){c->output->path, begin, t->source->name},
                           "cannot dequantize: %s", detail.what);
    widen(s->x, s->values, t->type, n);
    finding->quality = measure(format, s->x, s->y, s->found, s->found_scales, n);
    return MXQ_IO_OK;
}

static enum mxq_io_code compare_chunk(void *context, const struct mxq_chunk *chunk, void *scratch,
                                      struct mxq_io_error *error)
{
    const struct comparison *c = context;
    const struct mxq_plan_tensor *t = chunk->tensor;
    struct scratch *s = scratch;
    struct finding *finding = &c->findings[chunk->index];
    finding->at = MXQ_IO_NOWHERE;
    enum mxq_io_code code =
        mxq_read(c->source, s->values, chunk->source_bytes, chunk->source_begin, error);
    if (code)
        return code;
    if (t->decision == MXQ_QUANTIZE)
        return compare_quantized(c, chunk, s, finding, error);
    code = mxq_read(c->output, s->found, chunk->count, t->begin + chunk->first, error);
    if (!code)
        compare(finding, s->found, s->values, chunk->count, t->begin + chunk->first);
    return code;
}

/* ------------------------------------ One file of weights ------------------------------------- */

/* Puts the findings of a file together, in the order of its chunks. */
static void collect(struct mxq_verification *v, const struct mxq_plan_file *file,
                    struct mxq_quality *qualities, const struct finding *findings, const char *path)
{
    uint64_t chunk = 0;
    for (size_t i = 0; i < file->count; i++) {
        const struct mxq_plan_tensor *t = &file->tensors[i];
        for (uint64_t end = chunk + mxq_count_tensor_chunks(t); chunk < end; chunk++) {
            const struct finding *f = &findings[chunk];
            add_quality(&qualities[i], &f->quality);
            if (f->at != MXQ_IO_NOWHERE)
                DIFFERS(v, path, f->at, t->source->name,
                        "a byte of the %s differs: byte = 0x%02x, expected 0x%02x",
                        t->decision != MXQ_QUANTIZE ? "kept values"
                        : f->at >= t->scales_begin  ? "scales"
                                                    : "elements",
                        f->found, f->expected);
        }
        add_quality(&v->total, &qualities[i]);
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
                                     struct mxq_quality *qualities, const struct mxq_file *source,
                                     const struct mxq_file *output,
                                     const struct mxq_workers *workers,
                                     const struct mxq_monitor *monitor, struct mxq_io_error *error)
{
    int same;
    enum mxq_io_code code = compare_header(v, file, &output->reader, &same, error);
    if (code || !same)
        return code;
    struct comparison c = {&v->options, &source->reader, &output->reader, NULL};
    c.findings = calloc((size_t)mxq_count_chunks(file) + 1, sizeof *c.findings);
    if (!c.findings)
        return mxq_io_fail_memory(error, output->reader.path);
    code = mxq_sweep(file, workers, monitor, sizeof(struct scratch), compare_chunk, &c, error);
    if (!code)
        collect(v, file, qualities, c.findings, output->reader.path);
    free(c.findings);
    return code;
}

static enum mxq_io_code compare_shard(struct mxq_verification *v, size_t index,
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
        code = compare_file(v, file, v->qualities[index], &from, &to, workers, monitor, error);
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
    return mxq_convert_options_read(&v->options, options, version, first->path, error);
}

static enum mxq_io_code allocate(struct mxq_verification *v, struct mxq_io_error *error)
{
    v->qualities = calloc(v->plan.count + 1, sizeof *v->qualities);
    int ok = v->qualities != NULL;
    for (size_t i = 0; ok && i < v->plan.count; i++) {
        v->qualities[i] = calloc(v->plan.files[i].count + 1, sizeof **v->qualities);
        ok = v->qualities[i] != NULL;
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
    enum mxq_io_code code = MXQ_IO_OK;
    for (size_t i = 0; !code && i < v->plan.count; i++)
        code = compare_shard(v, i, source, output, workers, monitor, error);
    return code ? code : compare_others(v, source, output, error);
}

void mxq_verification_end(struct mxq_verification *v)
{
    for (size_t i = 0; v->qualities && i < v->plan.count; i++)
        free(v->qualities[i]);
    free(v->qualities);
    mxq_plan_free(&v->plan);
    mxq_convert_options_free(&v->options);
    *v = (struct mxq_verification){.qualities = NULL};
}
