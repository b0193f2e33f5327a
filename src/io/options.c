/* SPDX-License-Identifier: Apache-2.0 */
/* options.c -- names of options, and their record in an output. */
#include "options.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"

static const char *const elements[] = {[MXQ_E4M3] = "e4m3", [MXQ_E5M2] = "e5m2"};
static const char *const scale_modes[MXQ_SCALE_MODES] = {
    [MXQ_SCALE_DEFAULT] = "default", [MXQ_SCALE_MSE] = "mse",     [MXQ_SCALE_UNIT] = "unit",
    [MXQ_SCALE_RCEIL] = "rceil",     [MXQ_SCALE_FLOOR] = "floor", [MXQ_SCALE_CEIL] = "ceil",
    [MXQ_SCALE_EVEN] = "even",       [MXQ_SCALE_CT] = "ct",
};
static const char *const nonfinites[] = {
    [MXQ_NONFINITE_NAN] = "nan", [MXQ_NONFINITE_ERROR] = "error"};

static int find(const char *const *names, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(names[i], name))
            return i;
    return -1;
}

const char *mxq_element_name(enum mxq_element element)
{
    return elements[element];
}

const char *mxq_scale_mode_name(enum mxq_scale_mode mode)
{
    return scale_modes[mode];
}

const char *mxq_nonfinite_name(enum mxq_nonfinite nonfinite)
{
    return nonfinites[nonfinite];
}

int mxq_find_element(const char *name, enum mxq_element *element)
{
    const int i = find(elements, 2, name);
    if (i >= 0)
        *element = (enum mxq_element)i;
    return i >= 0;
}

int mxq_find_scale_mode(const char *name, enum mxq_scale_mode *mode)
{
    const int i = find(scale_modes, MXQ_SCALE_MODES, name);
    if (i >= 0)
        *mode = (enum mxq_scale_mode)i;
    return i >= 0;
}

int mxq_find_nonfinite(const char *name, enum mxq_nonfinite *nonfinite)
{
    const int i = find(nonfinites, 2, name);
    if (i >= 0)
        *nonfinite = (enum mxq_nonfinite)i;
    return i >= 0;
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

static void free_globs(struct mxq_globs *globs)
{
    for (size_t i = 0; i < globs->count; i++)
        free(globs->items[i]);
    free(globs->items);
    *globs = (struct mxq_globs){0};
}

int mxq_convert_options_init(struct mxq_convert_options *options)
{
    *options = (struct mxq_convert_options){.format = mxq_mxfp8_e4m3,
                                            .scale_mode = MXQ_SCALE_RCEIL,
                                            .nonfinite = MXQ_NONFINITE_ERROR,
                                            .version = strdup(MXQ_VERSION_STRING)};
    return options->version != NULL;
}

void mxq_convert_options_free(struct mxq_convert_options *options)
{
    free_globs(&options->skip);
    free_globs(&options->only);
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

void mxq_convert_options_write(const struct mxq_convert_options *options, struct mxq_text *json)
{
    mxq_text_format(json, "{\"element\":\"%s\",\"scale\":\"%s\",\"nonfinite\":\"%s\"",
                    mxq_element_name(options->format.element),
                    mxq_scale_mode_name(options->scale_mode),
                    mxq_nonfinite_name(options->nonfinite));
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

static enum mxq_io_code read_members(struct mxq_convert_options *options, const json_t *root)
{
    if (json_object_size(root) != 5 ||
        !mxq_find_element(member(root, "element"), &options->format.element) ||
        !mxq_find_scale_mode(member(root, "scale"), &options->scale_mode) ||
        !mxq_find_nonfinite(member(root, "nonfinite"), &options->nonfinite))
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
