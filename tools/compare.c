/* SPDX-License-Identifier: Apache-2.0 */
/* compare.c -- mxq compare: what every format would do to every linear layer. */
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "summary.h"
#include "survey.h"

struct arguments {
    struct mxq_convert_options options;
    struct run_options run;
};

static int take(void *context, const char *name, const char *value)
{
    struct arguments *a = context;
    const int taken = take_run_option(&a->run, name, value);
    return taken >= 0 ? taken : take_convert_option(&a->options, name, value);
}

/* ------------------------------------------- Groups ------------------------------------------- */

/* Layers whose names differ only in numbers: their sums. */
struct group {
    char *pattern;
    size_t count;
    struct mxq_moments moments;
    double amax;
    double largest; /* amax over the root mean square of a layer: of all, the largest */
    struct mxq_statistics *statistics; /* of each candidate; of no values where a layer has none */
};

struct groups {
    struct group *items; /* in the order of their first layers; the last one is all layers */
    size_t count;
    size_t *wins; /* of each candidate: layers on which it is the best of its size */
};

static double outlier(const struct mxq_moments *moments, double amax)
{
    const double rms = mxq_rms(moments);
    return rms > 0 ? amax / rms : 0;
}

static void add_layer(struct group *group, const struct mxq_layer *layer, size_t candidates)
{
    const double ratio = outlier(&layer->moments, layer->amax);
    for (size_t c = 0; c < candidates; c++) {
        struct mxq_statistics *sum = &group->statistics[c];
        if (group->count && !mxq_was_measured(sum))
            continue; /* a layer before had none */
        if (mxq_was_measured(&layer->statistics[c]))
            mxq_statistics_add(sum, &layer->statistics[c]);
        else
            *sum = (struct mxq_statistics){0};
    }
    mxq_moments_add(&group->moments, &layer->moments);
    group->amax = layer->amax > group->amax ? layer->amax : group->amax;
    group->largest = ratio > group->largest ? ratio : group->largest;
    group->count++;
}

static void free_groups(struct groups *groups)
{
    for (size_t i = 0; groups->items && i < groups->count; i++) {
        free(groups->items[i].pattern);
        free(groups->items[i].statistics);
    }
    free(groups->items);
    free(groups->wins);
}

/* Appends a group of that name.  Takes the name over; returns 0 when memory runs out. */
static int add_group(struct groups *groups, char *pattern, size_t candidates)
{
    struct group *group = &groups->items[groups->count++];
    group->pattern = pattern;
    group->statistics = calloc(candidates + 1, sizeof *group->statistics);
    return pattern && group->statistics;
}

/* Returns 0 when memory runs out. */
static int make_groups(struct groups *groups, const struct mxq_survey *survey)
{
    const size_t candidates = survey->candidate_count;
    *groups = (struct groups){.items = calloc(survey->layer_count + 2, sizeof *groups->items),
                              .wins = calloc(candidates + 1, sizeof *groups->wins)};
    int ok = groups->items && groups->wins;
    for (size_t i = 0; ok && i < survey->layer_count; i++) {
        const struct mxq_layer *layer = &survey->layers[i];
        char *pattern = name_pattern(layer->tensor->source->name);
        size_t g = 0;
        while (pattern && g < groups->count && strcmp(groups->items[g].pattern, pattern) != 0)
            g++;
        if (g < groups->count)
            free(pattern);
        else
            ok = add_group(groups, pattern, candidates);
        if (ok)
            add_layer(&groups->items[g], layer, candidates);
        for (size_t c = 0; c < candidates; c++)
            groups->wins[c] += mxq_best_candidate(survey, layer->statistics,
                                                  survey->candidates[c].element_bits) == c;
    }
    ok = ok && add_group(groups, strdup("all layers"), candidates);
    for (size_t i = 0; ok && i < survey->layer_count; i++)
        add_layer(&groups->items[groups->count - 1], &survey->layers[i], candidates);
    return ok;
}

/* ------------------------------------------- Tables ------------------------------------------- */

static void write_outliers(struct mxq_text *text, const struct groups *groups)
{
    static const char *const titles[] = {"LAYERS", "COUNT",    "WEIGHTS",
                                         "AMAX",   "AMAX/RMS", "KURTOSIS"};
    struct table table = {.columns = 6, .alignment = "lrrrrr"};
    char escaped[MXQ_IO_ESCAPED];
    for (size_t i = 0; i < table.columns; i++)
        table_cell(&table, "%s", titles[i]);
    for (size_t i = 0; i < groups->count; i++) {
        const struct group *g = &groups->items[i];
        table_cell(&table, "%s", mxq_io_escape(escaped, g->pattern, MXQ_IO_NAME_LIMIT));
        table_cell(&table, "%zu", g->count);
        table_cell(&table, "%llu", (unsigned long long)g->moments.values);
        table_cell(&table, "%.4g", g->amax);
        table_cell(&table, "%.1f", g->largest);
        table_cell(&table, "%.2f", mxq_kurtosis(&g->moments));
    }
    table_write(&table, text);
}

/* Returns the first candidate from `first` on of so many element bits, or candidate_count. */
static size_t next_of_size(const struct mxq_survey *survey, size_t first, unsigned bits)
{
    while (first < survey->candidate_count && survey->candidates[first].element_bits != bits)
        first++;
    return first;
}

#define FOR_EACH_OF_SIZE(c, survey, bits)                                                          \
    for (size_t c = next_of_size(survey, 0, bits); c < (survey)->candidate_count;                  \
         c = next_of_size(survey, c + 1, bits))

static double bits_per_weight(const struct mxq_survey *survey, size_t candidate)
{
    double bits = 0, weights = 0;
    for (size_t i = 0; i < survey->layer_count; i++) {
        const struct mxq_layer *layer = &survey->layers[i];
        const double elements = (double)layer->tensor->source->elements;
        if (!mxq_was_measured(&layer->statistics[candidate]))
            continue;
        bits += elements * mxq_bits_per_weight(&survey->candidates[candidate].format.format,
                                               layer->tensor->source);
        weights += elements;
    }
    return weights > 0 ? bits / weights : 0;
}

static void write_group(struct table *table, const struct mxq_survey *survey,
                        const struct group *group, unsigned bits)
{
    char escaped[MXQ_IO_ESCAPED];
    const size_t best = mxq_best_candidate(survey, group->statistics, bits);
    table_cell(table, "%s", mxq_io_escape(escaped, group->pattern, MXQ_IO_NAME_LIMIT));
    FOR_EACH_OF_SIZE(c, survey, bits)
    {
        if (mxq_was_measured(&group->statistics[c]))
            table_cell(table, "%s%.2f", c == best ? "*" : "", mxq_sqnr(&group->statistics[c]));
        else
            table_cell(table, "-");
    }
}

/* The candidates of a size, side by side. */
static void write_size(struct mxq_text *text, const struct mxq_survey *survey,
                       const struct groups *groups, unsigned bits)
{
    char alignment[MAX_COLUMNS] = {'l'};
    struct table table = {.columns = 1, .alignment = alignment};
    FOR_EACH_OF_SIZE(c, survey, bits)
    alignment[table.columns++] = 'r';
    table_cell(&table, "SQNR dB, ELEMENTS OF %u BITS", bits);
    FOR_EACH_OF_SIZE(c, survey, bits)
    table_cell(&table, "%s", survey->candidates[c].format.name);
    for (size_t i = 0; i < groups->count; i++)
        write_group(&table, survey, &groups->items[i], bits);
    const struct group *all = &groups->items[groups->count - 1];
    table_cell(&table, "cosine");
    FOR_EACH_OF_SIZE(c, survey, bits)
    if (mxq_was_measured(&all->statistics[c]))
        table_cell(&table, "%.6f", mxq_cosine(&all->statistics[c]));
    else
        table_cell(&table, "-");
    table_cell(&table, "bits per weight");
    FOR_EACH_OF_SIZE(c, survey, bits)
    table_cell(&table, "%.3f", bits_per_weight(survey, c));
    table_cell(&table, "best on so many layers");
    FOR_EACH_OF_SIZE(c, survey, bits)
    table_cell(&table, "%zu", groups->wins[c]);
    mxq_text_string(text, "\n");
    table_write(&table, text);
}

/* The next smaller size of elements that a candidate has, or 0. */
static unsigned next_size(const struct mxq_survey *survey, unsigned bits)
{
    unsigned next = 0;
    for (size_t c = 0; c < survey->candidate_count; c++)
        if (survey->candidates[c].element_bits < bits && survey->candidates[c].element_bits > next)
            next = survey->candidates[c].element_bits;
    return next;
}

#define NO_SIZE 65 /* larger than any */

static void write_tables(struct mxq_text *text, const struct mxq_survey *survey,
                         const struct groups *groups)
{
    write_outliers(text, groups);
    for (unsigned bits = next_size(survey, NO_SIZE); bits; bits = next_size(survey, bits))
        write_size(text, survey, groups, bits);
    mxq_text_string(text,
                    "\n* the best of its size; - rows of a layer are no whole blocks.  AMAX/RMS is "
                    "that of the\nlayer with the largest; the kurtosis of a Gaussian is 3.\n");
}

/* -------------------------------------------- JSON -------------------------------------------- */

static void write_formats_json(struct mxq_text *text, const struct mxq_survey *survey,
                               const struct mxq_statistics *statistics,
                               const struct mxq_layer *layer)
{
    const char *separator = "";
    mxq_text_string(text, "\"formats\": {");
    for (size_t c = 0; c < survey->candidate_count; c++) {
        const struct mxq_candidate *candidate = &survey->candidates[c];
        if (!mxq_was_measured(&statistics[c]))
            continue;
        mxq_text_format(text, "%s\"%s\": {\"bits_per_weight\": ", separator,
                        candidate->format.name);
        write_number(text,
                     layer ? mxq_bits_per_weight(&candidate->format.format, layer->tensor->source)
                           : bits_per_weight(survey, c));
        mxq_text_string(text, ", ");
        write_statistics_json(text, &statistics[c]);
        mxq_text_string(text, "}");
        separator = ", ";
    }
    mxq_text_string(text, "}, \"best\": {");
    separator = "";
    for (unsigned bits = next_size(survey, NO_SIZE); bits; bits = next_size(survey, bits)) {
        const size_t best = mxq_best_candidate(survey, statistics, bits);
        if (best == survey->candidate_count)
            continue;
        mxq_text_format(text, "%s\"%u\": \"%s\"", separator, bits,
                        survey->candidates[best].format.name);
        separator = ", ";
    }
    mxq_text_string(text, "}");
}

static void write_moments_json(struct mxq_text *text, const struct mxq_moments *moments,
                               double amax)
{
    mxq_text_string(text, "\"amax\": ");
    write_number(text, amax);
    mxq_text_string(text, ", \"rms\": ");
    write_number(text, mxq_rms(moments));
    mxq_text_string(text, ", \"amax_over_rms\": ");
    write_number(text, outlier(moments, amax));
    mxq_text_string(text, ", \"kurtosis\": ");
    write_number(text, mxq_kurtosis(moments));
    mxq_text_string(text, ", ");
}

static void write_json(struct mxq_text *text, const struct mxq_survey *survey,
                       const struct groups *groups)
{
    const struct group *all = &groups->items[groups->count - 1];
    mxq_text_string(text, "{\"version\": ");
    mxq_text_json(text, mxq_version());
    mxq_text_format(text, ", \"total\": {\"layers\": %zu, ", all->count);
    write_moments_json(text, &all->moments, all->amax);
    write_formats_json(text, survey, all->statistics, NULL);
    mxq_text_string(text, ", \"wins\": {");
    for (size_t c = 0; c < survey->candidate_count; c++)
        mxq_text_format(text, "%s\"%s\": %zu", c ? ", " : "", survey->candidates[c].format.name,
                        groups->wins[c]);
    mxq_text_string(text, "}}, \"layers\": [");
    for (size_t i = 0; i < survey->layer_count; i++) {
        const struct mxq_layer *layer = &survey->layers[i];
        mxq_text_string(text, i ? ",\n  {\"name\": " : "\n  {\"name\": ");
        mxq_text_json(text, layer->tensor->source->name);
        mxq_text_format(
            text, ", \"dtype\": \"%s\", \"shape\": ", mxq_dtype_name(layer->tensor->source->dtype));
        write_shape(text, layer->tensor->source);
        mxq_text_string(text, ", ");
        write_moments_json(text, &layer->moments, layer->amax);
        write_formats_json(text, survey, layer->statistics, layer);
        mxq_text_string(text, "}");
    }
    mxq_text_string(text, "\n]}\n");
}

/* ------------------------------------------ Running ------------------------------------------- */

static int report(const struct arguments *a, const struct mxq_survey *survey)
{
    struct mxq_text text = {0};
    struct groups groups;
    text.failed = !make_groups(&groups, survey);
    if (!text.failed && a->run.json)
        write_json(&text, survey, &groups);
    else if (!text.failed && !a->run.quiet)
        write_tables(&text, survey, &groups);
    free_groups(&groups);
    return print_text(&text, 0);
}

static int compare(const struct arguments *a, const struct mxq_model *model)
{
    struct mxq_survey survey;
    struct mxq_io_error error;
    int status = run_survey(&survey, model, &a->options, &a->run, &error);
    if (status)
        return status;
    status = report(a, &survey);
    mxq_survey_end(&survey);
    return status;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct arguments a = {.options = {.version = NULL}};
    const char *paths[MAX_ARGUMENTS];
    struct mxq_io_error error;
    struct mxq_model model;
    if (!mxq_convert_options_init(&a.options))
        return mxq_io_exit_status(MXQ_IO_NO_MEMORY);
    a.options.candidates = mxq_all_formats();
    int status = parse_options(command, argc, argv, take, &a, paths);
    if (status < 0 && mxq_convert_options_check(&a.options, &error))
        status = report_failure(&error, a.run.json);
    if (status < 0)
        status = select_isa(a.run.isa) ? mxq_io_exit_status(MXQ_IO_USAGE) : -1;
    if (status < 0 && mxq_model_open(&model, paths[0], &error))
        status = report_failure(&error, a.run.json);
    if (status < 0) {
        status = compare(&a, &model);
        mxq_model_close(&model);
    }
    mxq_convert_options_free(&a.options);
    return status;
}

static const struct command_option options[] = {
    {"formats", "LIST", "compare only these: mxfp8,int8-channel (default: all)"},
    {"skip", "GLOB", "leave tensors of this name out; may be repeated"},
    {"only", "GLOB", "look at no tensors but those of this name; may be repeated"},
    {"nonfinite", "WHAT", "NaN or infinity in a weight: error (default), or clamp"},
    RUN_OPTIONS,
    {NULL, NULL, NULL},
};

const struct command compare_command = {
    "compare",
    "MODEL",
    1,
    "measure what every format would do to a model",
    "Quantizes every linear layer to every format, and shows the signal-to-quantization-noise\n"
    "ratio (SQNR) side by side for formats whose elements are of equal size, the best one marked;\n"
    "bits per weight, scales counted; and how far outliers stand out: amax over the root mean\n"
    "square, and the kurtosis.  Writes nothing.  The digits do not depend on --threads or --isa.\n"
    "\n"
    "Examples:\n"
    "  mxq compare Llama-3-8B\n"
    "  mxq compare --formats mxfp8,fp8-channel,int8-channel --only '*down_proj*' Llama-3-8B\n"
    "  mxq compare --json Llama-3-8B > formats.json\n",
    options,
    run,
};
