/* SPDX-License-Identifier: Apache-2.0 */
/* survey.c -- quantizes each band of rows to every candidate, and adds up in their order. */
#include "survey.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "amax.h"
#include "convert.h"

/* ------------------------------------------ Moments ------------------------------------------- */

double mxq_rms(const struct mxq_moments *moments)
{
    return moments->values ? sqrt(moments->sums[1] / (double)moments->values) : 0;
}

double mxq_kurtosis(const struct mxq_moments *moments)
{
    const double n = (double)moments->values;
    if (!moments->values)
        return 0;
    const double mean = moments->sums[0] / n, square = moments->sums[1] / n;
    const double cube = moments->sums[2] / n, fourth = moments->sums[3] / n;
    const double variance = square - mean * mean;
    const double central =
        fourth - 4 * mean * cube + 6 * mean * mean * square - 3 * mean * mean * mean * mean;
    return variance > 0 ? central / (variance * variance) : 0;
}

void mxq_moments_add(struct mxq_moments *sum, const struct mxq_moments *more)
{
    sum->values += more->values;
    for (int i = 0; i < 4; i++)
        sum->sums[i] += more->sums[i];
}

static float value_at(const void *values, size_t index, enum mxq_type type)
{
    const unsigned char *at = (const unsigned char *)values + index * mxq_type_bytes(type);
    uint16_t half;
    float value;
    if (type == MXQ_F32) {
        memcpy(&value, at, sizeof value);
        return value;
    }
    memcpy(&half, at, sizeof half);
    const uint32_t bits = type == MXQ_BF16
                              ? (uint32_t)half << 16
                              : (uint32_t)(half & 0x8000) << 16 | mxq_widen_f16(half & 0x7FFF);
    memcpy(&value, &bits, sizeof value);
    return value;
}

#define LANES                                                                                      \
    8 /* sums that run side by side, so that adding them is no chain; part of the digits */

/* Values that are not finite are left out. */
static struct mxq_moments measure_moments(const void *values, size_t count, enum mxq_type type)
{
    double lanes[4][LANES] = {{0}};
    struct mxq_moments m = {0};
    for (size_t i = 0; i < count; i++) {
        const double x = (double)value_at(values, i, type);
        if (!isfinite(x))
            continue;
        m.values++;
        lanes[0][i % LANES] += x;
        lanes[1][i % LANES] += x * x;
        lanes[2][i % LANES] += x * x * x;
        lanes[3][i % LANES] += x * x * (x * x);
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < LANES; j++)
            m.sums[i] += lanes[i][j];
    return m;
}

/* ------------------------------------------- Bands -------------------------------------------- */

/* One file in work. */
struct work {
    const struct mxq_survey *survey;
    const struct mxq_convert_options *options;
    const struct mxq_reader *reader;
    const float *amaxes;
    struct mxq_chunk_sizes sizes;
    struct mxq_moments *moments;       /* of each band */
    struct mxq_statistics *statistics; /* [band][candidate] */
};

static enum mxq_io_code visit(void *context, const struct mxq_chunk *chunk, void *scratch,
                              struct mxq_io_error *error)
{
    const struct work *w = context;
    const struct mxq_plan_tensor *t = chunk->tensor;
    const struct mxq_survey *survey = w->survey;
    uint8_t *values = scratch;
    enum mxq_io_code code =
        mxq_read(w->reader, values, chunk->source_bytes, chunk->source_begin, error);
    if (code)
        return code;
    w->moments[chunk->index] = measure_moments(values, chunk->count, t->type);
    for (size_t i = 0; !code && i < survey->candidate_count; i++) {
        const struct mxq_format *format = &survey->candidates[i].format.format;
        struct mxq_quantizing q = {.options = w->options,
                                   .format = format,
                                   .amax = mxq_amax_of(t, format, w->amaxes),
                                   .values = values,
                                   .elements = values + w->sizes.source,
                                   .scales = values + w->sizes.source + w->sizes.elements,
                                   .statistics =
                                       &w->statistics[chunk->index * survey->candidate_count + i]};
        if (mxq_format_takes_row(format, t->source->shape[1]))
            code = mxq_quantize_chunk(&q, chunk, w->reader->path, error);
    }
    return code;
}

static int is_layer(const struct mxq_plan_tensor *tensor)
{
    return tensor->decision == MXQ_QUANTIZE;
}

/* Adds the bands of a file to its layers, in order. */
static void collect(struct mxq_survey *survey, const struct mxq_plan_file *file,
                    const struct work *w)
{
    uint64_t band = 0;
    for (size_t i = 0; i < survey->layer_count; i++) {
        struct mxq_layer *layer = &survey->layers[i];
        if (layer->file != file)
            continue;
        layer->amax = (double)w->amaxes[layer->tensor->amax];
        for (uint64_t end = band + mxq_count_chunks(layer->tensor); band < end; band++) {
            mxq_moments_add(&layer->moments, &w->moments[band]);
            for (size_t c = 0; c < survey->candidate_count; c++)
                mxq_statistics_add(&layer->statistics[c],
                                   &w->statistics[band * survey->candidate_count + c]);
        }
    }
}

static struct mxq_chunk_sizes largest_sizes(const struct mxq_survey *survey,
                                            const struct mxq_plan_file *file)
{
    struct mxq_chunk_sizes largest = {0};
    for (size_t i = 0; i < survey->candidate_count; i++) {
        const struct mxq_chunk_sizes sizes =
            mxq_chunk_sizes(file, &survey->candidates[i].format.format);
        largest.source = sizes.source;
        if (sizes.elements > largest.elements)
            largest.elements = sizes.elements;
        if (sizes.scales > largest.scales)
            largest.scales = sizes.scales;
    }
    return largest;
}

static enum mxq_io_code survey_open_file(struct mxq_survey *survey,
                                         const struct mxq_plan_file *file, struct work *w,
                                         const struct mxq_workers *workers,
                                         const struct mxq_monitor *monitor,
                                         struct mxq_io_error *error)
{
    uint64_t bands = 0;
    for (size_t i = 0; i < file->count; i++)
        bands += is_layer(&file->tensors[i]) ? mxq_count_chunks(&file->tensors[i]) : 0;
    w->sizes = largest_sizes(survey, file);
    w->moments = calloc((size_t)bands + 1, sizeof *w->moments);
    w->statistics = calloc(((size_t)bands + 1) * survey->candidate_count, sizeof *w->statistics);
    const struct mxq_sweep sweep = {.file = file,
                                    .wants = is_layer,
                                    .visit = visit,
                                    .context = w,
                                    .scratch_bytes =
                                        w->sizes.source + w->sizes.elements + w->sizes.scales};
    enum mxq_io_code code = w->moments && w->statistics
                                ? mxq_sweep(&sweep, workers, monitor, error)
                                : mxq_io_fail_memory(error, file->shard->path);
    if (!code)
        collect(survey, file, w);
    free(w->moments);
    free(w->statistics);
    return code;
}

static enum mxq_io_code survey_file(struct mxq_survey *survey, const struct mxq_model *model,
                                    const struct mxq_plan_file *file,
                                    const struct mxq_convert_options *options, const float *amaxes,
                                    const struct mxq_workers *workers,
                                    const struct mxq_monitor *monitor, struct mxq_io_error *error)
{
    struct mxq_file source;
    enum mxq_io_code code = mxq_shard_open(model, file->shard, &source, error);
    if (code)
        return code;
    struct work w = {
        .survey = survey, .options = options, .reader = &source.reader, .amaxes = amaxes};
    code = survey_open_file(survey, file, &w, workers, monitor, error);
    if (!code)
        code = mxq_file_check_identity(&source, &file->shard->identity, error);
    mxq_file_close(&source);
    if (!code && monitor->finish)
        monitor->finish(monitor->context, file);
    return code;
}

enum mxq_io_code mxq_survey_run(struct mxq_survey *survey, const struct mxq_model *model,
                                const struct mxq_convert_options *options,
                                const struct mxq_workers *workers,
                                const struct mxq_monitor *monitor, struct mxq_io_error *error)
{
    float *amaxes;
    enum mxq_io_code code = mxq_find_amaxes(model, &survey->plan, workers, monitor, &amaxes, error);
    if (code)
        return code;
    for (size_t i = 0; !code && i < survey->plan.count; i++)
        code = survey_file(survey, model, &survey->plan.files[i], options, amaxes, workers, monitor,
                           error);
    free(amaxes);
    return code;
}

/* ----------------------------------------- All of it ------------------------------------------ */

static void list_candidates(struct mxq_survey *survey, uint64_t wanted)
{
    struct mxq_format_info format;
    for (size_t i = 0; mxq_format_at(i, &format); i++)
        if (wanted >> i & 1)
            survey->candidates[survey->candidate_count++] =
                (struct mxq_candidate){format, mxq_element_bits(&format.format)};
}

static void list_layers(struct mxq_survey *survey)
{
    for (size_t i = 0; i < survey->plan.count; i++)
        for (size_t j = 0; j < survey->plan.files[i].count; j++) {
            const struct mxq_plan_file *file = &survey->plan.files[i];
            if (!is_layer(&file->tensors[j]))
                continue;
            struct mxq_statistics *statistics =
                survey->statistics + survey->layer_count * survey->candidate_count;
            survey->layers[survey->layer_count++] = (struct mxq_layer){
                .file = file, .tensor = &file->tensors[j], .statistics = statistics};
        }
}

enum mxq_io_code mxq_survey_begin(struct mxq_survey *survey, const struct mxq_model *model,
                                  const struct mxq_convert_options *options,
                                  struct mxq_io_error *error)
{
    *survey = (struct mxq_survey){0};
    const enum mxq_io_code code = mxq_plan_survey(&survey->plan, model, options, error);
    if (code)
        return code;
    survey->candidates = calloc(64, sizeof *survey->candidates);
    if (survey->candidates)
        list_candidates(survey, options->candidates);
    size_t layers = 0;
    for (size_t i = 0; i < survey->plan.count; i++)
        for (size_t j = 0; j < survey->plan.files[i].count; j++)
            layers += is_layer(&survey->plan.files[i].tensors[j]) != 0;
    survey->layers = calloc(layers + 1, sizeof *survey->layers);
    survey->statistics =
        calloc((layers + 1) * (survey->candidate_count + 1), sizeof *survey->statistics);
    if (!survey->candidates || !survey->layers || !survey->statistics) {
        mxq_survey_end(survey);
        return mxq_io_fail_memory(error, model->path);
    }
    list_layers(survey);
    return MXQ_IO_OK;
}

void mxq_survey_end(struct mxq_survey *survey)
{
    free(survey->candidates);
    free(survey->layers);
    free(survey->statistics);
    mxq_plan_free(&survey->plan);
    *survey = (struct mxq_survey){.candidates = NULL};
}

/* ------------------------------------------ Choices ------------------------------------------- */

int mxq_was_measured(const struct mxq_statistics *statistics)
{
    return statistics->values || statistics->nonfinite;
}

double mxq_bits_per_weight(const struct mxq_format *format, const struct mxq_tensor *tensor)
{
    uint64_t bytes = 0;
    struct mxq_tensor made;
    for (unsigned part = 0; part < MXQ_PARTS; part++)
        bytes += mxq_scheme_part(format, tensor, (enum mxq_part)part, &made) ? made.end : 0;
    return 8 * (double)bytes / (double)tensor->elements;
}

size_t mxq_best_candidate(const struct mxq_survey *survey, const struct mxq_statistics *statistics,
                          unsigned element_bits)
{
    size_t best = survey->candidate_count;
    for (size_t i = 0; i < survey->candidate_count; i++)
        if (survey->candidates[i].element_bits == element_bits &&
            mxq_was_measured(&statistics[i]) &&
            (best == survey->candidate_count ||
             mxq_sqnr(&statistics[i]) > mxq_sqnr(&statistics[best])))
            best = i;
    return best;
}

/* Returns the candidate for a layer, or candidate_count. */
static size_t choose(const struct mxq_survey *survey, const struct mxq_layer *layer, double bound)
{
    size_t best = survey->candidate_count;
    double least = 0;
    for (size_t i = 0; i < survey->candidate_count; i++) {
        const struct mxq_statistics *s = &layer->statistics[i];
        const double bits =
            mxq_bits_per_weight(&survey->candidates[i].format.format, layer->tensor->source);
        if (!mxq_was_measured(s) || !(mxq_sqnr(s) >= bound))
            continue;
        if (best == survey->candidate_count || bits < least ||
            (bits == least && mxq_sqnr(s) > mxq_sqnr(&layer->statistics[best]))) {
            best = i;
            least = bits;
        }
    }
    return best;
}

enum mxq_io_code mxq_survey_choose(const struct mxq_survey *survey,
                                   struct mxq_convert_options *options, struct mxq_io_error *error)
{
    for (size_t i = 0; i < survey->layer_count; i++) {
        const struct mxq_layer *layer = &survey->layers[i];
        const size_t chosen = choose(survey, layer, options->min_sqnr);
        if (chosen < survey->candidate_count &&
            !mxq_add_choice(options, layer->tensor->source->name,
                            &survey->candidates[chosen].format))
            return mxq_io_fail_memory(error, layer->file->shard->path);
    }
    mxq_sort_choices(options);
    return MXQ_IO_OK;
}
