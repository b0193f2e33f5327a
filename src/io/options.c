/* SPDX-License-Identifier: Apache-2.0 */
/* options.c -- names of options, and their record in an output. */
#include "options.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "scheme.h"

static const char *const scale_modes[MXQ_SCALE_MODES] = {
    [MXQ_SCALE_DEFAULT] = "default", [MXQ_SCALE_MSE] = "mse",     [MXQ_SCALE_UNIT] = "unit",
    [MXQ_SCALE_RCEIL] = "rceil",     [MXQ_SCALE_FLOOR] = "floor", [MXQ_SCALE_CEIL] = "ceil",
    [MXQ_SCALE_EVEN] = "even",       [MXQ_SCALE_CT] = "ct",
};
static const char *const roundings[MXQ_ROUNDINGS] = {
    [MXQ_NEAREST_EVEN] = "nearest-even", [MXQ_NEAREST_AWAY] = "nearest-away",
    [MXQ_NEAREST_ZERO] = "nearest-zero", [MXQ_TOWARD_ZERO] = "toward-zero",
    [MXQ_STOCHASTIC] = "stochastic",
};
static const char *const nonfinites[] = {
    [MXQ_NONFINITE_NAN] = "nan", [MXQ_NONFINITE_ERROR] = "error", [MXQ_NONFINITE_CLAMP] = "clamp"};

#define NAME(names, index) ((index) < sizeof(names) / sizeof *(names) ? (names)[index] : NULL)

const char *mxq_format_name(size_t index)
{
    struct mxq_format_info info;
    return mxq_format_at(index, &info) ? info.name : NULL;
}

const char *mxq_scale_mode_name(size_t index)
{
    return NAME(scale_modes, index);
}

const char *mxq_rounding_name(size_t index)
{
    return NAME(roundings, index);
}

const char *mxq_nonfinite_name(size_t index)
{
    return NAME(nonfinites, index);
}

int mxq_find_name(mxq_name_fn *name_at, const char *name)
{
    for (size_t i = 0; name_at(i); i++)
        if (!strcmp(name_at(i), name))
            return (int)i;
    return -1;
}

int mxq_find_format(const char *name, struct mxq_format_info *format)
{
    const int i = mxq_find_name(mxq_format_name, name);
    return i >= 0 && mxq_format_at((size_t)i, format);
}

int mxq_globs_add(struct mxq_globs *globs, const char *pattern)
{
    char **grown = realloc(globs->items, (globs->count + 1) * sizeof *grown);
    if (!grown)
        return 0;
    globs->items = grown;
    grown[globs->count] = strdup(pattern);
    return grown[globs->count] ? (int)++globs->count : 0;
}

int mxq_find_formats(const char *names, uint64_t *formats)
{
    *formats = 0;
    for (const char *p = names;; p++) {
        const size_t bytes = strcspn(p, ",");
        size_t i = 0;
        while (mxq_format_name(i) &&
               (strlen(mxq_format_name(i)) != bytes || strncmp(mxq_format_name(i), p, bytes) != 0))
            i++;
        if (!mxq_format_name(i))
            return 0;
        *formats |= UINT64_C(1) << i;
        p += bytes;
        if (!*p)
            return 1;
    }
}

uint64_t mxq_all_formats(void)
{
    uint64_t all = 0;
    for (size_t i = 0; mxq_format_name(i); i++)
        all |= UINT64_C(1) << i;
    return all;
}

/* ------------------------------------------- Choices ------------------------------------------ */

int mxq_add_choice(struct mxq_convert_options *options, const char *tensor,
                   const struct mxq_format_info *format)
{
    const size_t count = options->choice_count;
    if ((count & (count - 1)) == 0) { /* full: it has room for a power of two */
        struct mxq_choice *grown =
            realloc(options->choices, (count ? 2 * count : 1) * sizeof *grown);
        if (!grown)
            return 0;
        options->choices = grown;
    }
    char *name = strdup(tensor);
    if (!name)
        return 0;
    options->choices[options->choice_count++] = (struct mxq_choice){name, *format};
    return 1;
}

static int compare_choices(const void *a, const void *b)
{
    const struct mxq_choice *x = a, *y = b;
    return strcmp(x->tensor, y->tensor);
}

void mxq_sort_choices(struct mxq_convert_options *options)
{
    if (options->choice_count)
        qsort(options->choices, options->choice_count, sizeof *options->choices, compare_choices);
}

const struct mxq_format_info *mxq_find_choice(const struct mxq_convert_options *options,
                                              const char *tensor)
{
    size_t low = 0, high = options->choice_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(options->choices[middle].tensor, tensor);
        if (!order)
            return &options->choices[middle].format;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static void free_globs(struct mxq_globs *globs)
{
    for (size_t i = 0; i < globs->count; i++)
        free(globs->items[i]);
    free(globs->items);
    *globs = (struct mxq_globs){0};
}

int mxq_convert_options_init(struct mxq_convert_options *options)
{
    *options = (struct mxq_convert_options){
        .min_sqnr = NAN, .nonfinite = MXQ_NONFINITE_ERROR, .version = strdup(MXQ_VERSION_STRING)};
    return options->version && mxq_find_format("mxfp8", &options->format);
}

void mxq_convert_options_free(struct mxq_convert_options *options)
{
    free_globs(&options->skip);
    free_globs(&options->only);
    for (size_t i = 0; i < options->choice_count; i++)
        free(options->choices[i].tensor);
    free(options->choices);
    options->choices = NULL;
    options->choice_count = 0;
    free(options->version);
    options->version = NULL;
}

static void write_globs(struct mxq_text *json, const char *name, const struct mxq_globs *globs)
{
    mxq_text_format(json, ",\"%s\":[", name);
    for (size_t i = 0; i < globs->count; i++) {
        mxq_text_string(json, i ? "," : "");
        mxq_text_json(json, globs->items[i]);
    }
    mxq_text_string(json, "]");
}

/* ---------------------------------------- Combinations ---------------------------------------- */

enum mxq_status mxq_make_quantize_options(const struct mxq_convert_options *options,
                                          const struct mxq_format *format,
                                          struct mxq_quantize_options *how, struct mxq_error *error)
{
    *how = (struct mxq_quantize_options)MXQ_QUANTIZE_OPTIONS;
    how->nonfinite = options->nonfinite;
    how->seed = options->seed;
    how->scale_mode = options->scale_mode;
    how->rounding = options->rounding;
    return options->profile ? mxq_profile_options(options->profile, format, how, error) : MXQ_OK;
}

static enum mxq_io_code fail_usage(const char *what, struct mxq_io_error *error)
{
    return mxq_io_fail(error, MXQ_IO_USAGE, (struct mxq_io_place){NULL, MXQ_IO_NOWHERE, NULL}, "%s",
                       what);
}

/* The library knows what goes together: a matrix without values asks it. */
static enum mxq_io_code check_format(const struct mxq_convert_options *options,
                                     const struct mxq_format_info *format,
                                     struct mxq_io_error *error)
{
    struct mxq_quantize_options how;
    struct mxq_error detail = {.what = "the options do not go together"};
    if (options->nonfinite == MXQ_NONFINITE_NAN && mxq_format_needs_amax(&format->format))
        return fail_usage("--nonfinite nan would make the whole tensor NaN where one scale is for "
                          "all of it, as in nvfp4 and fp8-tensor: error or clamp are for those",
                          error);
    float value = 0, tensor_scale;
    uint8_t element, scale;
    const struct mxq_matrix x = {&value, MXQ_F32, 0, 0, 0};
    const struct mxq_quantized q = {format->format,
                                    0,
                                    0,
                                    &element,
                                    0,
                                    &scale,
                                    0,
                                    format->format.scale == MXQ_E4M3_SCALE ? &tensor_scale : NULL};
    if (mxq_make_quantize_options(options, &format->format, &how, &detail) ||
        mxq_quantize(&q, &x, &how, &detail))
        return mxq_io_fail(error, MXQ_IO_USAGE, (struct mxq_io_place){NULL, MXQ_IO_NOWHERE, NULL},
                           "--format %s: %s", format->name, detail.what);
    return MXQ_IO_OK;
}

enum mxq_io_code mxq_convert_options_check(const struct mxq_convert_options *options,
                                           struct mxq_io_error *error)
{
    if (options->profile && (options->scale_mode || options->rounding))
        return fail_usage("--profile sets scales and rounding: leave out --scale and --round",
                          error);
    if (options->seed && options->rounding != MXQ_STOCHASTIC)
        return fail_usage("--seed is for --round stochastic only", error);
    struct mxq_format_info format = options->format;
    if (!options->candidates)
        return check_format(options, &format, error);
    enum mxq_io_code code = MXQ_IO_OK;
    for (size_t i = 0; !code && mxq_format_at(i, &format); i++)
        if (options->candidates >> i & 1)
            code = check_format(options, &format, error);
    return code;
}

/* -------------------------------------- Writing and reading ----------------------------------- */

/* The shortest number that reads back as the same. */
static void write_shortest(struct mxq_text *json, double number)
{
    char digits[32];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, number);
        if (strtod(digits, NULL) == number)
            break;
    }
    mxq_text_string(json, digits);
}

static void write_candidates(const struct mxq_convert_options *options, struct mxq_text *json)
{
    mxq_text_string(json, "{\"format\":\"auto\",\"min_sqnr\":");
    write_shortest(json, options->min_sqnr);
    mxq_text_string(json, ",\"formats\":[");
    const char *separator = "";
    for (size_t i = 0; mxq_format_name(i); i++)
        if (options->candidates >> i & 1) {
            mxq_text_format(json, "%s\"%s\"", separator, mxq_format_name(i));
            separator = ",";
        }
    mxq_text_string(json, "]");
}

void mxq_convert_options_write(const struct mxq_convert_options *options, struct mxq_text *json)
{
    if (options->candidates)
        write_candidates(options, json);
    else
        mxq_text_format(json, "{\"format\":\"%s\"", options->format.name);
    if (options->profile)
        mxq_text_format(json, ",\"profile\":\"%s\"", options->profile);
    else
        mxq_text_format(json, ",\"scale\":\"%s\",\"round\":\"%s\"",
                        mxq_scale_mode_name(options->scale_mode),
                        mxq_rounding_name(options->rounding));
    if (options->rounding == MXQ_STOCHASTIC)
        mxq_text_format(json, ",\"seed\":%llu", (unsigned long long)options->seed);
    mxq_text_format(json, ",\"nonfinite\":\"%s\"", mxq_nonfinite_name(options->nonfinite));
    write_globs(json, "skip", &options->skip);
    write_globs(json, "only", &options->only);
    mxq_text_string(json, "}");
}

/* Readers return MXQ_IO_OK, MXQ_IO_NOT_CONVERTED or MXQ_IO_NO_MEMORY. */
static enum mxq_io_code read_globs(struct mxq_globs *globs, const json_t *array)
{
    if (!json_is_array(array))
        return MXQ_IO_NOT_CONVERTED;
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *pattern = json_string_value(json_array_get(array, i));
        if (!pattern)
            return MXQ_IO_NOT_CONVERTED;
        if (!mxq_globs_add(globs, pattern))
            return MXQ_IO_NO_MEMORY;
    }
    return MXQ_IO_OK;
}

static const char *member(const json_t *json, const char *name)
{
    const char *value = json_string_value(json_object_get(json, name));
    return value ? value : "";
}

/* Reads one of some names into *index and counts the member.  Returns 0 for any other. */
static int read_name(const json_t *root, const char *key, mxq_name_fn *name_at, size_t *index,
                     size_t *members)
{
    const int i = mxq_find_name(name_at, member(root, key));
    *index = i < 0 ? 0 : (size_t)i;
    ++*members;
    return i >= 0;
}

static int read_scales_and_rounding(struct mxq_convert_options *options, const json_t *root,
                                    size_t *members)
{
    size_t index;
    if (json_object_get(root, "profile")) {
        const int known = read_name(root, "profile", mxq_profile_at, &index, members);
        options->profile = known ? mxq_profile_at(index) : NULL;
        return known;
    }
    if (!read_name(root, "scale", mxq_scale_mode_name, &index, members))
        return 0;
    options->scale_mode = (enum mxq_scale_mode)index;
    if (!read_name(root, "round", mxq_rounding_name, &index, members))
        return 0;
    options->rounding = (enum mxq_rounding)index;
    if (options->rounding != MXQ_STOCHASTIC)
        return 1;
    const json_t *seed = json_object_get(root, "seed");
    options->seed = (uint64_t)json_integer_value(seed);
    ++*members;
    return json_is_integer(seed) && options->seed <= MXQ_MAX_SEED;
}

/* Reads "format", and what follows "auto".  Returns 0 when it is not as written. */
static int read_format(struct mxq_convert_options *options, const json_t *root, size_t *members)
{
    const json_t *formats = json_object_get(root, "formats");
    const json_t *bound = json_object_get(root, "min_sqnr");
    ++*members;
    if (strcmp(member(root, "format"), "auto") != 0)
        return mxq_find_format(member(root, "format"), &options->format);
    *members += 2;
    options->min_sqnr = json_number_value(bound);
    for (size_t i = 0; i < json_array_size(formats); i++) {
        const char *name = json_string_value(json_array_get(formats, i));
        const int index = name ? mxq_find_name(mxq_format_name, name) : -1;
        if (index < 0)
            return 0;
        options->candidates |= UINT64_C(1) << index;
    }
    return json_is_number(bound) && options->candidates;
}

enum mxq_io_code mxq_choices_read(struct mxq_convert_options *options, const char *json,
                                  const char *path, struct mxq_io_error *error)
{
    struct mxq_json_fault fault;
    json_t *root = mxq_json_load(json, strlen(json), &fault);
    if (!root && fault.code == MXQ_IO_NO_MEMORY)
        return mxq_io_fail_memory(error, path);
    int known = root != NULL, stored = 1;
    for (void *i = json_object_iter(root); i && known && stored;
         i = json_object_iter_next(root, i)) {
        const char *name = json_string_value(json_object_iter_value(i));
        const int index = name ? mxq_find_name(mxq_format_name, name) : -1;
        struct mxq_format_info format;
        known = index >= 0 && (options->candidates >> index & 1) &&
                mxq_format_at((size_t)index, &format);
        if (known)
            stored = mxq_add_choice(options, json_object_iter_key(i), &format);
    }
    json_decref(root);
    if (!stored)
        return mxq_io_fail_memory(error, path);
    if (!known)
        return mxq_io_fail(error, MXQ_IO_NOT_CONVERTED,
                           (struct mxq_io_place){path, MXQ_IO_NOWHERE, NULL},
                           "the recorded formats are none that this version knows");
    mxq_sort_choices(options);
    return MXQ_IO_OK;
}

static enum mxq_io_code read_members(struct mxq_convert_options *options, const json_t *root)
{
    struct mxq_io_error unused;
    size_t members = 2, index; /* skip and only */
    if (!read_format(options, root, &members) ||
        !read_scales_and_rounding(options, root, &members) ||
        !read_name(root, "nonfinite", mxq_nonfinite_name, &index, &members) ||
        json_object_size(root) != members)
        return MXQ_IO_NOT_CONVERTED;
    options->nonfinite = (enum mxq_nonfinite)index;
    if (mxq_convert_options_check(options, &unused))
        return MXQ_IO_NOT_CONVERTED;
    const enum mxq_io_code code = read_globs(&options->skip, json_object_get(root, "skip"));
    return code ? code : read_globs(&options->only, json_object_get(root, "only"));
}

enum mxq_io_code mxq_convert_options_read(struct mxq_convert_options *options, const char *json,
                                          const char *version, const char *path,
                                          struct mxq_io_error *error)
{
    struct mxq_json_fault fault;
    json_t *root = mxq_json_load(json, strlen(json), &fault);
    if (!mxq_convert_options_init(options)) {
        json_decref(root);
        return mxq_io_fail_memory(error, path);
    }
    free(options->version);
    options->version = strdup(version);
    enum mxq_io_code code = MXQ_IO_NO_MEMORY;
    if (!root)
        code = fault.code == MXQ_IO_NO_MEMORY ? MXQ_IO_NO_MEMORY : MXQ_IO_NOT_CONVERTED;
    else if (options->version)
        code = read_members(options, root);
    json_decref(root);
    if (!code)
        return MXQ_IO_OK;
    mxq_convert_options_free(options);
    if (code == MXQ_IO_NO_MEMORY)
        return mxq_io_fail_memory(error, path);
    char escaped[MXQ_IO_ESCAPED];
    return mxq_io_fail(error, code, (struct mxq_io_place){path, MXQ_IO_NOWHERE, NULL},
                       "the recorded options are none that this version knows: mxq.options = %s",
                       mxq_io_escape(escaped, json, MXQ_IO_NAME_LIMIT));
}
