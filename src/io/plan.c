/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c -- lays out the output files: headers, and where every tensor goes. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

#include "documents.h"

#define OWN_METADATA 3
#define SCALE_SUFFIX "_scale"

/* The options and version of mxq, then what the source says about itself. */
static void begin_header(struct mxq_plan_file *file, const struct mxq_convert_options *options,
                         struct mxq_metadata *metadata, const char *recorded)
{
    const struct mxq_safetensors *source = &file->shard->header;
    metadata[0] = (struct mxq_metadata){"format", "pt"};
    metadata[1] = (struct mxq_metadata){"mxq.version", options->version};
    metadata[2] = (struct mxq_metadata){"mxq.options", recorded};
    size_t count = OWN_METADATA;
    for (size_t i = 0; i < source->metadata_count; i++)
        if (strcmp(source->metadata[i].key, "format") != 0 &&
            strncmp(source->metadata[i].key, "mxq.", 4) != 0)
            metadata[count++] = source->metadata[i];
    mxq_header_begin(&file->header, metadata, count);
}

/* Writes the entries of one tensor and moves `end`, the bytes of data so far. */
static void lay_out(struct mxq_plan_file *file, struct mxq_plan_tensor *t,
                    const struct mxq_convert_options *options, uint64_t *end)
{
    struct mxq_tensor entry = *t->source;
    t->begin = *end;
    t->bytes = t->source->end - t->source->begin;
    if (t->decision == MXQ_QUANTIZE) {
        entry.dtype = options->format.element == MXQ_E4M3 ? MXQ_DTYPE_F8_E4M3 : MXQ_DTYPE_F8_E5M2;
        t->bytes = t->source->elements;
    }
    entry.begin = t->begin;
    entry.end = *end = t->begin + t->bytes;
    mxq_header_entry(&file->header, &entry);
    if (t->decision != MXQ_QUANTIZE)
        return;
    struct mxq_text name = {0};
    mxq_text_string(&name, t->source->name);
    mxq_text_string(&name, SCALE_SUFFIX);
    t->scales_begin = *end;
    t->scales_bytes = t->source->elements / options->format.block_cols;
    entry.name = name.data;
    entry.dtype = MXQ_DTYPE_U8;
    entry.shape[1] /= options->format.block_cols;
    entry.begin = *end;
    entry.end = *end = t->scales_begin + t->scales_bytes;
    if (!name.failed)
        mxq_header_entry(&file->header, &entry);
    file->header.failed |= name.failed;
    mxq_text_free(&name);
}

/* What the reader refuses must not be written. */
static enum mxq_io_code check_limits(const struct mxq_plan_file *file, size_t quantized,
                                     struct mxq_io_error *error)
{
    const struct mxq_io_place place = {file->shard->path, MXQ_IO_NOWHERE, NULL};
    if (file->shard->header.metadata_count + OWN_METADATA > MXQ_MAX_METADATA)
        return mxq_io_fail(error, MXQ_IO_BAD_METADATA, place,
                           "the output would have too many metadata keys: keys = %zu, limit %d",
                           file->shard->header.metadata_count + OWN_METADATA, MXQ_MAX_METADATA);
    for (size_t i = 0; i < file->count; i++)
        if (file->tensors[i].decision == MXQ_QUANTIZE &&
            strlen(file->tensors[i].source->name) > MXQ_MAX_NAME_BYTES - strlen(SCALE_SUFFIX))
            return mxq_io_fail(error, MXQ_IO_BAD_NAME,
                               (struct mxq_io_place){file->shard->path, MXQ_IO_NOWHERE,
                                                     file->tensors[i].source->name},
                               "the name leaves no room for \"" SCALE_SUFFIX
                               "\" behind it: limit %d bytes",
                               MXQ_MAX_NAME_BYTES);
    if (file->count + quantized > MXQ_MAX_TENSORS)
        return mxq_io_fail(error, MXQ_IO_TOO_MANY_TENSORS, place,
                           "the output would have too many tensors: tensors = %zu, limit %d",
                           file->count + quantized, MXQ_MAX_TENSORS);
    if (file->header.failed)
        return mxq_io_fail_memory(error, file->shard->path);
    if (file->header.bytes - 8 > MXQ_MAX_HEADER)
        return mxq_io_fail(error, MXQ_IO_HEADER_TOO_LARGE, place,
                           "the header of the output would be too large: bytes = %zu, limit %d",
                           file->header.bytes - 8, MXQ_MAX_HEADER);
    return MXQ_IO_OK;
}

static enum mxq_io_code plan_file(struct mxq_plan *plan, struct mxq_plan_file *file,
                                  const struct mxq_convert_options *options, const char *recorded,
                                  struct mxq_io_error *error)
{
    const struct mxq_safetensors *source = &file->shard->header;
    file->tensors = calloc(source->count + 1, sizeof *file->tensors);
    struct mxq_metadata *metadata = calloc(source->metadata_count + OWN_METADATA, sizeof *metadata);
    if (!file->tensors || !metadata) {
        free(metadata);
        return mxq_io_fail_memory(error, file->shard->path);
    }
    begin_header(file, options, metadata, recorded);
    free(metadata);
    uint64_t end = 0;
    size_t quantized = 0;
    for (size_t i = 0; i < source->count; i++) {
        struct mxq_plan_tensor *t = &file->tensors[file->count++];
        t->source = &source->tensors[i];
        if (mxq_is_quantized(t->source))
            return mxq_io_fail(
                error, MXQ_IO_ALREADY_QUANTIZED,
                (struct mxq_io_place){file->shard->path, t->source->at, t->source->name},
                "the input is already quantized: dtype = %s", mxq_dtype_name(t->source->dtype));
        t->decision = mxq_decide(t->source, options, &t->type);
        quantized += t->decision == MXQ_QUANTIZE;
        lay_out(file, t, options, &end);
    }
    mxq_header_end(&file->header);
    for (size_t i = 0; i < file->count; i++) {
        file->tensors[i].begin += file->header.bytes;
        file->tensors[i].scales_begin += file->header.bytes;
    }
    file->bytes = file->header.bytes + end;
    plan->source_bytes += source->data_bytes;
    plan->output_bytes += end;
    plan->quantized += quantized;
    return check_limits(file, quantized, error);
}

/* ------------------------------------------- Notes -------------------------------------------- */

/* Layers that servers fuse into one: all of them must be quantized, or none. */
static const char *const fused[][3] = {
    {"q_proj", "k_proj", "v_proj"}, {"gate_proj", "up_proj", NULL}, {"w1", "w3", NULL}};

/* Returns what was decided about a tensor, or MXQ_DECISIONS when there is none of that name. */
static enum mxq_decision decision_about(const struct mxq_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct mxq_plan_file *file = &plan->files[i];
        const struct mxq_tensor *t = mxq_safetensors_find(&file->shard->header, name);
        if (t)
            return file->tensors[t - file->shard->header.tensors].decision;
    }
    return MXQ_DECISIONS;
}

/* Returns 1 when `name` is the first of a fused group and the others are treated differently. */
static int splits_fused_layer(const struct mxq_plan *plan, const char *name, int is_quantized)
{
    const size_t bytes = strlen(name);
    for (size_t g = 0; g < sizeof fused / sizeof fused[0]; g++) {
        const size_t tail = strlen(fused[g][0]) + strlen(".weight");
        if (bytes < tail || strncmp(name + bytes - tail, fused[g][0], strlen(fused[g][0])) != 0 ||
            strcmp(name + bytes - strlen(".weight"), ".weight") != 0 ||
            (bytes > tail && name[bytes - tail - 1] != '.'))
            continue;
        for (int i = 1; i < 3 && fused[g][i]; i++) {
            struct mxq_text sibling = {0};
            mxq_text_bytes(&sibling, name, bytes - tail);
            mxq_text_format(&sibling, "%s.weight", fused[g][i]);
            const enum mxq_decision other =
                sibling.failed ? MXQ_DECISIONS : decision_about(plan, sibling.data);
            mxq_text_free(&sibling);
            if (other != MXQ_DECISIONS && (other == MXQ_QUANTIZE) != is_quantized)
                return 1;
        }
    }
    return 0;
}

static void note_fused_layers(struct mxq_plan *plan)
{
    size_t count = 0;
    const char *first = NULL;
    for (size_t i = 0; i < plan->count; i++)
        for (size_t j = 0; j < plan->files[i].count; j++) {
            const struct mxq_plan_tensor *t = &plan->files[i].tensors[j];
            if (splits_fused_layer(plan, t->source->name, t->decision == MXQ_QUANTIZE)) {
                first = first ? first : t->source->name;
                count++;
            }
        }
    char escaped[MXQ_IO_ESCAPED];
    if (count)
        mxq_text_format(&plan->notes,
                        "servers fuse q/k/v and gate/up projections and need all or none of them "
                        "quantized: %zu group%s mixed, the first at %s\n",
                        count, count == 1 ? " is" : "s are",
                        mxq_io_escape(escaped, first, MXQ_IO_NAME_LIMIT));
}

static void note_source(struct mxq_plan *plan, const struct mxq_model *model)
{
    if (model->declared_size && model->declared_size != plan->source_bytes)
        mxq_text_format(&plan->notes,
                        "the source's index declares total_size = %llu, but its tensors have %llu "
                        "bytes\n",
                        (unsigned long long)model->declared_size,
                        (unsigned long long)plan->source_bytes);
    if (model->has_other_weights)
        mxq_text_string(&plan->notes,
                        "weights in other formats or in subfolders of the source are left out\n");
    if (!plan->quantized)
        mxq_text_string(&plan->notes, "no tensor is quantized\n");
}

/* ------------------------------------------ The plan ------------------------------------------ */

static enum mxq_io_code plan_files(struct mxq_plan *plan, const struct mxq_model *model,
                                   const struct mxq_convert_options *options,
                                   struct mxq_io_error *error)
{
    struct mxq_text recorded = {0};
    mxq_convert_options_write(options, &recorded);
    plan->files = calloc(model->count + 1, sizeof *plan->files);
    enum mxq_io_code code =
        recorded.failed || !plan->files ? mxq_io_fail_memory(error, model->path) : MXQ_IO_OK;
    for (size_t i = 0; !code && i < model->count; i++) {
        plan->files[i].shard = &model->shards[i];
        plan->count++;
        code = plan_file(plan, &plan->files[i], options, recorded.data, error);
    }
    mxq_text_free(&recorded);
    return code;
}

enum mxq_io_code mxq_plan_make(struct mxq_plan *plan, const struct mxq_model *model,
                               const struct mxq_convert_options *options,
                               struct mxq_io_error *error)
{
    *plan = (struct mxq_plan){0};
    enum mxq_io_code code = MXQ_IO_OK;
    if (model->has_hf_quant_config)
        code = mxq_io_fail(error, MXQ_IO_ALREADY_QUANTIZED,
                           (struct mxq_io_place){model->path, MXQ_IO_NOWHERE, NULL},
                           "the input is already quantized: it holds hf_quant_config.json");
    if (!code)
        code = plan_files(plan, model, options, error);
    if (!code) {
        note_source(plan, model);
        note_fused_layers(plan);
        if (model->folder >= 0)
            code = mxq_documents_make(plan, model, options, error);
        else if (options->format.element == MXQ_E5M2)
            mxq_text_string(&plan->notes, MXQ_NOTE_E5M2);
    }
    if (!code && plan->notes.failed)
        code = mxq_io_fail_memory(error, model->path);
    if (code)
        mxq_plan_free(plan);
    return code;
}

void mxq_plan_free(struct mxq_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        free(plan->files[i].tensors);
        mxq_text_free(&plan->files[i].header);
    }
    for (size_t i = 0; i < plan->document_count; i++)
        mxq_text_free(&plan->documents[i].text);
    mxq_text_free(&plan->notes);
    free(plan->files);
    *plan = (struct mxq_plan){0};
}
