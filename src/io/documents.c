/* SPDX-License-Identifier: Apache-2.0 */
/* documents.c -- writes the index, config.json and hf_quant_config.json of an output folder.
 *
 * config.json keeps every byte it had: the member "quantization_config" is put behind its last one.
 * Both files name every linear layer that was kept, with its full path: servers treat what is not
 * named as quantized, and take a short name for part of many. */
#include "documents.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"

/* Servers look for this producer before they read the rest: it names the layout, not a program. */
#define PRODUCER_NAME    "modelopt"
#define PRODUCER_VERSION "0.46.0"

static struct mxq_text *add_document(struct mxq_plan *plan, const char *name)
{
    struct mxq_document *document = &plan->documents[plan->document_count++];
    *document = (struct mxq_document){name, {0}};
    return &document->text;
}

/* -------------------------------------- Layers to ignore -------------------------------------- */

struct layers {
    char **items;
    size_t count;
    size_t capacity;
};

static void free_layers(struct layers *layers)
{
    for (size_t i = 0; i < layers->count; i++)
        free(layers->items[i]);
    free(layers->items);
}

static int add_layer(struct layers *layers, const char *name, size_t bytes)
{
    if (layers->count == layers->capacity) {
        const size_t capacity = layers->capacity ? 2 * layers->capacity : 16;
        char **grown = realloc(layers->items, capacity * sizeof *grown);
        if (!grown)
            return 0;
        layers->items = grown;
        layers->capacity = capacity;
    }
    char *layer = strndup(name, bytes);
    if (layer)
        layers->items[layers->count++] = layer;
    return layer != NULL;
}

static int compare_layers(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_layers(struct layers *layers)
{
    if (!layers->count)
        return;
    qsort(layers->items, layers->count, sizeof *layers->items, compare_layers);
    size_t kept = 1;
    for (size_t i = 1; i < layers->count; i++)
        if (strcmp(layers->items[kept - 1], layers->items[i]) != 0)
            layers->items[kept++] = layers->items[i];
        else
            free(layers->items[i]);
    layers->count = kept;
}

/* Returns the bytes of the path of the experts in "...mlp.experts.gate_up_proj", a tensor that
 * holds the weights of all experts, or 0. */
static size_t fused_experts(const struct mxq_tensor *tensor)
{
    static const char experts[] = ".experts";
    const char *last = strrchr(tensor->name, '.');
    const size_t bytes = last ? (size_t)(last - tensor->name) : 0;
    const size_t tail = sizeof experts - 1;
    return tensor->dims == 3 && bytes > tail && !memcmp(last - tail, experts, tail) ? bytes : 0;
}

/* Collects every layer that servers must not take for quantized. */
static int find_layers(const struct mxq_plan *plan, struct layers *layers)
{
    int has_head = 0, has_embedding = 0, ok = 1;
    for (size_t i = 0; i < plan->count; i++)
        for (size_t j = 0; ok && j < plan->files[i].count; j++) {
            const struct mxq_plan_tensor *t = &plan->files[i].tensors[j];
            const char *name = t->source->name;
            has_head |= t->decision == MXQ_KEEP_HEAD;
            has_embedding |= t->decision == MXQ_KEEP_EMBEDDING;
            if (mxq_must_be_ignored(t->source, t->decision))
                ok = add_layer(layers, name, strlen(name) - strlen(".weight"));
            else if (t->decision != MXQ_QUANTIZE && fused_experts(t->source))
                ok = add_layer(layers, name, fused_experts(t->source));
        }
    /* A head that is tied to the embedding has no tensor, but servers build its layer. */
    if (ok && has_embedding && !has_head)
        ok = add_layer(layers, "lm_head", strlen("lm_head"));
    sort_layers(layers);
    return ok;
}

static void write_layers(struct mxq_text *text, const struct layers *layers, const char *indent)
{
    mxq_text_string(text, "[");
    for (size_t i = 0; i < layers->count; i++) {
        mxq_text_format(text, "%s\n%s  ", i ? "," : "", indent);
        mxq_text_json(text, layers->items[i]);
    }
    if (layers->count)
        mxq_text_format(text, "\n%s", indent);
    mxq_text_string(text, "]");
}

/* ---------------------------------------- config.json ----------------------------------------- */

/* What the writers of a config know. */
struct config {
    const struct mxq_convert_options *options;
    const struct mxq_plan *plan;
    const struct mxq_scheme *scheme;
    const struct layers *layers; /* that are not quantized */
};

static void write_modelopt(struct mxq_text *text, const struct config *c)
{
    mxq_text_string(text, "    \"quant_method\": \"modelopt\",\n    \"quant_algo\": \"MXFP8\",\n"
                          "    \"ignore\": ");
    write_layers(text, c->layers, "    ");
    mxq_text_string(text, ",\n    \"producer\": {\n      \"name\": \"" PRODUCER_NAME
                          "\",\n      \"version\": \"" PRODUCER_VERSION "\"\n    }");
}

static void write_compressed_tensors(struct mxq_text *text, const struct config *c)
{
    mxq_text_format(text,
                    "    \"quant_method\": \"compressed-tensors\",\n    \"format\": \"%s\",\n"
                    "    \"quantization_status\": \"compressed\",\n    \"config_groups\": {\n"
                    "      \"group_0\": {\n        \"targets\": [\"Linear\"],\n"
                    "        \"weights\": %s,\n        \"input_activations\": %s,\n"
                    "        \"output_activations\": null\n      }\n    },\n    \"ignore\": ",
                    c->scheme->kind, c->scheme->weights, c->scheme->activations);
    write_layers(text, c->layers, "    ");
    mxq_text_string(text, ",\n    \"kv_cache_scheme\": null,\n    \"version\": \"0.15.0\"");
}

static void write_fp8(struct mxq_text *text, const struct config *c)
{
    const struct mxq_format *format = &c->plan->format.format;
    mxq_text_string(text, "    \"quant_method\": \"fp8\",\n    \"fmt\": \"e4m3\",\n");
    if (c->options->scale_mode == MXQ_SCALE_RCEIL)
        mxq_text_string(text, "    \"scale_fmt\": \"ue8m0\",\n"); /* powers of two */
    mxq_text_format(text,
                    "    \"activation_scheme\": \"dynamic\",\n"
                    "    \"weight_block_size\": [%u, %u],\n    \"ignored_layers\": ",
                    format->block_rows, format->block_cols);
    write_layers(text, c->layers, "    ");
    mxq_text_string(text, ",\n    \"modules_to_not_convert\": ");
    write_layers(text, c->layers, "    ");
}

/* The format of each layer. */
static void write_formats(struct mxq_text *text, const struct mxq_plan *plan)
{
    const char *separator = "";
    mxq_text_string(text, "    \"formats\": {");
    for (size_t i = 0; i < plan->count; i++)
        for (size_t j = 0; j < plan->files[i].count; j++) {
            const struct mxq_plan_tensor *t = &plan->files[i].tensors[j];
            struct mxq_text layer = {0};
            if (t->decision != MXQ_QUANTIZE)
                continue;
            mxq_text_bytes(&layer, t->source->name, strlen(t->source->name) - strlen(".weight"));
            mxq_text_format(text, "%s\n      ", separator);
            if (!layer.failed)
                mxq_text_json(text, layer.bytes ? layer.data : "");
            mxq_text_format(text, ": \"%s\"", t->format.name);
            text->failed |= layer.failed;
            mxq_text_free(&layer);
            separator = ",";
        }
    mxq_text_string(text, "\n    },\n");
}

static void write_mxq(struct mxq_text *text, const struct config *c)
{
    const struct mxq_format_info *format = &c->plan->format;
    mxq_text_format(text, "    \"quant_method\": \"mxq\",\n    \"format\": \"%s\",\n",
                    format->name);
    if (c->scheme->is_mixed)
        write_formats(text, c->plan);
    else
        mxq_text_format(text, "    \"weight_block_size\": [%u, %u],\n", format->format.block_rows,
                        format->format.block_cols);
    mxq_text_string(text, "    \"ignore\": ");
    write_layers(text, c->layers, "    ");
    mxq_text_string(text, ",\n    \"producer\": {\n      \"name\": \"mxq\",\n"
                          "      \"version\": ");
    mxq_text_json(text, c->options->version);
    mxq_text_string(text, "\n    }");
}

static void write_quantization_config(struct mxq_text *text, const struct config *c)
{
    static void (*const writers[])(struct mxq_text * text, const struct config *c) = {
        [MXQ_CONFIG_MXQ] = write_mxq,
        [MXQ_CONFIG_MODELOPT] = write_modelopt,
        [MXQ_CONFIG_COMPRESSED_TENSORS] = write_compressed_tensors,
        [MXQ_CONFIG_FP8] = write_fp8};
    mxq_text_string(text, "{\n");
    writers[c->scheme->config](text, c);
    mxq_text_string(text, "\n  }");
}

static enum mxq_io_code fail_config(const char *path, const struct mxq_json_fault *fault,
                                    struct mxq_io_error *error)
{
    return mxq_io_fail(error,
                       fault->code == MXQ_IO_NO_MEMORY ? MXQ_IO_NO_MEMORY : MXQ_IO_BAD_CONFIG,
                       (struct mxq_io_place){path, fault->at, NULL}, "%s", fault->what);
}

/* Refuses a config that says its model is quantized. */
static enum mxq_io_code check_config(const json_t *config, const char *path,
                                     struct mxq_io_error *error)
{
    const json_t *text_config = json_object_get(config, "text_config");
    const json_t *const found[] = {json_object_get(config, "quantization_config"),
                                   json_object_get(config, "compression_config"),
                                   json_object_get(text_config, "quantization_config")};
    for (int i = 0; i < 3; i++)
        if (found[i] && !json_is_null(found[i]))
            return mxq_io_fail(error, MXQ_IO_ALREADY_QUANTIZED,
                               (struct mxq_io_place){path, MXQ_IO_NOWHERE, NULL},
                               "the input is already quantized: it has a %s",
                               i == 1 ? "compression_config" : "quantization_config");
    return MXQ_IO_OK;
}

/* Writes the source's config with `value` as its quantization_config: in place of a null, or behind
 * the last member. */
static void splice_config(struct mxq_text *text, const struct mxq_model *model, const char *value)
{
    const char *config = model->config;
    const size_t begin = strspn(config, " \t\r\n");
    const struct mxq_json_span root = {begin, model->config_bytes};
    struct mxq_json_fault fault;
    struct mxq_json_span key, old;
    size_t cut = begin + 1, resume = begin + 1;
    if (mxq_json_find(config, root, "quantization_config", NULL, &old)) {
        mxq_text_bytes(text, config, old.begin);
        mxq_text_string(text, value);
        resume = old.end;
    } else {
        struct mxq_json_steps steps = mxq_json_enter(config, root);
        while (mxq_json_next(&steps, &key, &old, &fault) == 1)
            cut = resume = old.end;
        mxq_text_bytes(text, config, cut);
        mxq_text_format(text, "%s\n  \"quantization_config\": ", cut > begin + 1 ? "," : "");
        mxq_text_string(text, value);
        mxq_text_string(text, cut > begin + 1 ? "" : "\n");
    }
    mxq_text_bytes(text, config + resume, model->config_bytes - resume);
}

static enum mxq_io_code make_config(struct mxq_plan *plan, const struct mxq_model *model,
                                    const struct config *written, struct mxq_io_error *error)
{
    char *path = mxq_join_path(model->path, "config.json");
    if (!path)
        return mxq_io_fail_memory(error, model->path);
    struct mxq_json_fault fault;
    json_t *config = mxq_json_load(model->config, model->config_bytes, &fault);
    const enum mxq_io_code code =
        config ? check_config(config, path, error) : fail_config(path, &fault, error);
    json_decref(config);
    free(path);
    if (code)
        return code;
    struct mxq_text value = {0};
    write_quantization_config(&value, written);
    struct mxq_text *text = add_document(plan, "config.json");
    if (!value.failed)
        splice_config(text, model, value.data);
    text->failed |= value.failed;
    mxq_text_free(&value);
    return MXQ_IO_OK;
}

static void make_hf_quant_config(struct mxq_plan *plan, const struct layers *layers)
{
    struct mxq_text *text = add_document(plan, "hf_quant_config.json");
    mxq_text_string(text, "{\n  \"producer\": {\n    \"name\": \"" PRODUCER_NAME
                          "\",\n    \"version\": \"" PRODUCER_VERSION
                          "\"\n  },\n  \"quantization\": {\n    \"quant_algo\": \"MXFP8\",\n"
                          "    \"kv_cache_quant_algo\": null,\n    \"group_size\": 32,\n"
                          "    \"exclude_modules\": ");
    write_layers(text, layers, "    ");
    mxq_text_string(text, "\n  }\n}\n");
}

/* ----------------------------------------- The index ------------------------------------------ */

/* A name, as the first bytes of the source's and what is behind them. */
struct placed {
    const char *name;
    size_t bytes;
    const char *suffix;
    const char *shard;
};

/* The character at a place of a name, 0 behind its end. */
static char character(const struct placed *p, size_t at)
{
    return at < p->bytes ? p->name[at] : p->suffix[at - p->bytes];
}

/* Orders names byte by byte. */
static int compare_placed(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    size_t at = 0;
    while (character(x, at) && character(x, at) == character(y, at))
        at++;
    return (unsigned char)character(x, at) - (unsigned char)character(y, at);
}

/* Adds what a tensor is in the output; returns how many that are. */
static size_t place_parts(struct placed *to, const struct mxq_plan_tensor *t, const char *shard)
{
    const char *name = t->source->name;
    const size_t bytes = strlen(name);
    size_t count = 0;
    if (t->decision != MXQ_QUANTIZE)
        to[count++] = (struct placed){name, bytes, "", shard};
    for (unsigned part = 0; part < MXQ_PARTS && t->decision == MXQ_QUANTIZE; part++)
        if (t->bytes[part])
            to[count++] =
                (struct placed){name, bytes - strlen(".weight"), t->scheme->suffixes[part], shard};
    return count;
}

static enum mxq_io_code make_index(struct mxq_plan *plan, const struct mxq_model *model,
                                   struct mxq_io_error *error)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->count; i++)
        count += plan->files[i].entries;
    struct placed *all = malloc((count + 1) * sizeof *all);
    if (!all)
        return mxq_io_fail_memory(error, model->path);
    count = 0;
    for (size_t i = 0; i < plan->count; i++)
        for (size_t j = 0; j < plan->files[i].count; j++)
            count +=
                place_parts(all + count, &plan->files[i].tensors[j], plan->files[i].shard->name);
    qsort(all, count, sizeof *all, compare_placed);
    struct mxq_text *text = add_document(plan, model->index_name);
    mxq_text_string(text, "{\n  \"metadata\": {\n");
    if (model->declared_elements)
        mxq_text_format(text, "    \"total_parameters\": %llu,\n",
                        (unsigned long long)model->declared_elements);
    mxq_text_format(text, "    \"total_size\": %llu\n  },\n  \"weight_map\": {",
                    (unsigned long long)plan->output_bytes);
    for (size_t i = 0; i < count; i++) {
        struct mxq_text name = {0};
        mxq_text_bytes(&name, all[i].name, all[i].bytes);
        mxq_text_string(&name, all[i].suffix);
        mxq_text_string(text, i ? ",\n    " : "\n    ");
        if (!name.failed)
            mxq_text_json(text, name.data);
        text->failed |= name.failed;
        mxq_text_free(&name);
        mxq_text_string(text, ": ");
        mxq_text_json(text, all[i].shard);
    }
    mxq_text_string(text, "\n  }\n}\n");
    free(all);
    return MXQ_IO_OK;
}

/* ---------------------------------------- All of them ----------------------------------------- */

static void note_readers(struct mxq_plan *plan, const struct mxq_model *model,
                         const struct mxq_scheme *scheme)
{
    if (model->folder >= 0 && !model->config)
        mxq_text_string(&plan->notes, "the source has no config.json, so the output has none\n");
    /* A single file is for whoever reads its names. */
    if (model->folder >= 0 || scheme->config == MXQ_CONFIG_MXQ)
        mxq_text_format(&plan->notes, "%s\n", scheme->note);
}

enum mxq_io_code mxq_documents_make(struct mxq_plan *plan, const struct mxq_model *model,
                                    const struct mxq_convert_options *options,
                                    struct mxq_io_error *error)
{
    struct layers layers = {0};
    const struct config config = {options, plan, mxq_scheme_find(&plan->format), &layers};
    enum mxq_io_code code = MXQ_IO_OK;
    if (model->folder >= 0 && !find_layers(plan, &layers))
        code = mxq_io_fail_memory(error, model->path);
    if (!code && model->config)
        code = make_config(plan, model, &config, error);
    if (!code && model->folder >= 0 && config.scheme->config == MXQ_CONFIG_MODELOPT)
        make_hf_quant_config(plan, &layers);
    if (!code && model->index_name)
        code = make_index(plan, model, error);
    free_layers(&layers);
    for (size_t i = 0; !code && i < plan->document_count; i++)
        if (plan->documents[i].text.failed)
            code = mxq_io_fail_memory(error, model->path);
    if (!code)
        note_readers(plan, model, config.scheme);
    return code;
}
