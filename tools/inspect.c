/* SPDX-License-Identifier: Apache-2.0 */
/* inspect.c -- mxq inspect: the tensors of a file or folder, and how they are quantized. */
#include <string.h>

#include "command.h"
#include "json.h"
#include "model.h"
#include "options.h"

struct arguments {
    int json;
};

static int take(void *context, const char *name, const char *value)
{
    (void)name;
    (void)value;
    ((struct arguments *)context)->json = 1;
    return 1;
}

/* ------------------------------------------- Scheme ------------------------------------------- */

/* What the config says about quantization, as far as it says it in words. */
static void describe_config(struct mxq_text *text, const struct mxq_model *model)
{
    struct mxq_json_fault fault;
    json_t *config = mxq_json_load(model->config, model->config_bytes, &fault);
    const json_t *quantization = json_object_get(config, "quantization_config");
    const char *method = json_string_value(json_object_get(quantization, "quant_method"));
    const char *algorithm = json_string_value(json_object_get(quantization, "quant_algo"));
    char escaped[MXQ_IO_ESCAPED];
    if (method)
        mxq_text_string(text, mxq_io_escape(escaped, method, MXQ_IO_NAME_LIMIT));
    if (method && algorithm)
        mxq_text_format(text, " %s", mxq_io_escape(escaped, algorithm, MXQ_IO_NAME_LIMIT));
    json_decref(config);
}

/* "mxfp8, scale floor (mxq 0.1.0)", "modelopt MXFP8" or "not quantized". */
static void describe_scheme(struct mxq_text *text, const struct mxq_model *model)
{
    const struct mxq_safetensors *first = &model->shards[0].header;
    const char *recorded = mxq_safetensors_metadata(first, "mxq.options");
    const char *version = mxq_safetensors_metadata(first, "mxq.version");
    struct mxq_convert_options options;
    struct mxq_io_error unused;
    const size_t before = text->bytes;
    if (recorded && version &&
        !mxq_convert_options_read(&options, recorded, version, model->path, &unused)) {
        char escaped[MXQ_IO_ESCAPED];
        write_options(text, &options);
        mxq_text_format(text, " (mxq %s)", mxq_io_escape(escaped, version, MXQ_IO_NAME_LIMIT));
        mxq_convert_options_free(&options);
    } else if (model->config) {
        describe_config(text, model);
    }
    if (text->bytes == before)
        mxq_text_string(text, "not quantized");
}

/* ------------------------------------------- Output ------------------------------------------- */

struct totals {
    size_t tensors;
    uint64_t bytes;
    uint64_t of[MXQ_DTYPES]; /* bytes of each type */
};

static struct totals count(const struct mxq_model *model)
{
    struct totals totals = {0};
    for (size_t i = 0; i < model->count; i++)
        for (size_t j = 0; j < model->shards[i].header.count; j++) {
            const struct mxq_tensor *t = &model->shards[i].header.tensors[j];
            totals.tensors++;
            totals.bytes += t->end - t->begin;
            totals.of[t->dtype] += t->end - t->begin;
        }
    return totals;
}

static void write_shard(struct mxq_text *text, const struct mxq_shard *shard)
{
    struct table table = {.columns = 4, .alignment = "lllr"};
    char escaped[MXQ_IO_ESCAPED], size[SIZE_TEXT];
    mxq_text_format(text, "%s: %zu tensors, data at byte %llu, %s\n",
                    mxq_io_escape(escaped, shard->path, MXQ_IO_PATH_LIMIT), shard->header.count,
                    (unsigned long long)shard->header.data_begin,
                    format_size(size, shard->header.data_begin + shard->header.data_bytes));
    for (size_t i = 0; i < shard->header.count; i++) {
        const struct mxq_tensor *t = &shard->header.tensors[i];
        struct mxq_text shape = {0};
        write_shape(&shape, t);
        table_cell(&table, "  %s", mxq_io_escape(escaped, t->name, MXQ_IO_NAME_LIMIT));
        table_cell(&table, "%s", mxq_dtype_name(t->dtype));
        table_cell(&table, "%s", shape.failed ? "" : shape.data);
        table_cell(&table, "%llu", (unsigned long long)(t->end - t->begin));
        text->failed |= shape.failed;
        mxq_text_free(&shape);
    }
    table_write(&table, text);
    for (size_t i = 0; i < shard->header.metadata_count; i++) {
        char value[MXQ_IO_ESCAPED];
        mxq_text_format(text, "  metadata %s: %s\n",
                        mxq_io_escape(escaped, shard->header.metadata[i].key, MXQ_IO_NAME_LIMIT),
                        mxq_io_escape(value, shard->header.metadata[i].value, MXQ_IO_PATH_LIMIT));
    }
    mxq_text_string(text, "\n");
}

static void write_text(struct mxq_text *text, const struct mxq_model *model)
{
    char size[SIZE_TEXT];
    for (size_t i = 0; i < model->count; i++)
        write_shard(text, &model->shards[i]);
    const struct totals totals = count(model);
    mxq_text_string(text, "scheme: ");
    describe_scheme(text, model);
    mxq_text_format(text, "\ntotal: %zu tensors, %s (", totals.tensors,
                    format_size(size, totals.bytes));
    int first = 1;
    for (int d = MXQ_DTYPES - 1; d >= 0; d--)
        if (totals.of[d]) {
            mxq_text_format(text, "%s%s in %s", first ? "" : ", ", format_size(size, totals.of[d]),
                            mxq_dtype_name((enum mxq_dtype)d));
            first = 0;
        }
    mxq_text_string(text, first ? "empty)\n" : ")\n");
}

static void write_shard_json(struct mxq_text *text, const struct mxq_shard *shard)
{
    mxq_text_string(text, "{\"path\": ");
    mxq_text_json(text, shard->path);
    mxq_text_format(text, ", \"bytes\": %llu, \"data_begin\": %llu, \"metadata\": {",
                    (unsigned long long)(shard->header.data_begin + shard->header.data_bytes),
                    (unsigned long long)shard->header.data_begin);
    for (size_t i = 0; i < shard->header.metadata_count; i++) {
        mxq_text_string(text, i ? ", " : "");
        mxq_text_json(text, shard->header.metadata[i].key);
        mxq_text_string(text, ": ");
        mxq_text_json(text, shard->header.metadata[i].value);
    }
    mxq_text_string(text, "}, \"tensors\": [");
    for (size_t i = 0; i < shard->header.count; i++) {
        const struct mxq_tensor *t = &shard->header.tensors[i];
        mxq_text_string(text, i ? ",\n  {\"name\": " : "\n  {\"name\": ");
        mxq_text_json(text, t->name);
        mxq_text_format(text, ", \"dtype\": \"%s\", \"shape\": ", mxq_dtype_name(t->dtype));
        write_shape(text, t);
        mxq_text_format(text, ", \"data_offsets\": [%llu, %llu]}", (unsigned long long)t->begin,
                        (unsigned long long)t->end);
    }
    mxq_text_string(text, "\n]}");
}

static void write_json(struct mxq_text *text, const struct mxq_model *model)
{
    const struct totals totals = count(model);
    struct mxq_text scheme = {0};
    describe_scheme(&scheme, model);
    mxq_text_format(text, "{\"tensors\": %zu, \"bytes\": %llu, \"scheme\": ", totals.tensors,
                    (unsigned long long)totals.bytes);
    mxq_text_json(text, scheme.failed ? "" : scheme.data);
    text->failed |= scheme.failed;
    mxq_text_free(&scheme);
    mxq_text_string(text, ", \"files\": [");
    for (size_t i = 0; i < model->count; i++) {
        mxq_text_string(text, i ? ", " : "");
        write_shard_json(text, &model->shards[i]);
    }
    mxq_text_string(text, "]}\n");
}

static int run(const struct command *command, int argc, char **argv)
{
    struct arguments a = {.json = 0};
    const char *paths[MAX_ARGUMENTS];
    struct mxq_text text = {0};
    struct mxq_io_error error;
    struct mxq_model model;
    const int status = parse_options(command, argc, argv, take, &a, paths);
    if (status >= 0)
        return status;
    if (mxq_model_open(&model, paths[0], &error))
        return report_failure(&error, a.json);
    if (a.json)
        write_json(&text, &model);
    else
        write_text(&text, &model);
    mxq_model_close(&model);
    return print_text(&text, 0);
}

static const struct command_option options[] = {
    {"json", NULL, "print a JSON object instead of a table"},
    {NULL, NULL, NULL},
};

const struct command inspect_command = {
    "inspect",
    "PATH",
    1,
    "list the tensors of a safetensors file or a model folder",
    "Checks the headers of a safetensors file or a model folder, and lists tensors, types, shapes\n"
    "and bytes, and how the model is quantized.\n"
    "\n"
    "Examples:\n"
    "  mxq inspect model.safetensors\n"
    "  mxq inspect --json Llama-3-8B-MXFP8 | jq '.files[].tensors[].name'\n",
    options,
    run,
};
