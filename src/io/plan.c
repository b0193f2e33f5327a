/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c -- lays out the output files: headers, and where every tensor goes. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

#include "documents.h"
#include "sweep.h"

#define OWN_METADATA   4
#define LONGEST_SUFFIX (sizeof ".weight_global_scale" - sizeof ".weight")

/* The format of each tensor, as options.h has it. */
static void write_choices(struct mxq_text *json, const struct mxq_plan_file *file)
{
    const char *separator = "";
    mxq_text_string(json, "{");
    for (size_t i = 0; i < file->count; i++)
        if (file->tensors[i].decision == MXQ_QUANTIZE) {
            mxq_text_string(json, separator);
            mxq_text_json(json, file->tensors[i].source->name);
            mxq_text_format(json, ":\"%s\"", file->tensors[i].format.name);
            separator = ",";
        }
    mxq_text_string(json, "}");
}

/* The options and version of mxq, then what the source says about itself. */
static void begin_header(struct mxq_plan_file *file, const struct mxq_convert_options *options,
                         struct mxq_metadata *metadata, const char *recorded, const char *choices)
{
    const struct mxq_safetensors *source = &file->shard->header;
    size_t count = 0;
    metadata[count++] = (struct mxq_metadata){"format", "pt"};
    metadata[count++] = (struct mxq_metadata){"mxq.version", options->version};
    metadata[count++] = (struct mxq_metadata){"mxq.options", recorded};
    if (options->candidates)
        metadata[count++] = (struct mxq_metadata){"mxq.formats", choices};
    for (size_t i = 0; i < source->metadata_count; i++)
        if (strcmp(source->metadata[i].key, "format") != 0 &&
            strncmp(source->metadata[i].key, "mxq.", 4) != 0)
            metadata[count++] = source->metadata[i];
    mxq_header_begin(&file->header, metadata, count);
}

/* Describes a part of a tensor in the output.  Returns 0 when there is no such part. */
static int describe_part(const struct mxq_plan_tensor *t, enum mxq_part part,
                         struct mxq_tensor *made)
{
    if (t->decision == MXQ_QUANTIZE)
        return mxq_scheme_part(&t->format.format, t->source, part, made);
    *made = *t->source;
    made->begin = 0;
    made->end = t->source->end - t->source->begin;
    return part == MXQ_ELEMENTS_PART;
}

/* Writes the entry of a part and moves `end`, the bytes of data so far. */
static void lay_out(struct mxq_plan_file *file, struct mxq_plan_tensor *t, enum mxq_part part,
                    struct mxq_tensor *entry, uint64_t *end)
{
    struct mxq_text name = {0};
    if (t->decision == MXQ_QUANTIZE)
        mxq_text_bytes(&name, t->source->name, strlen(t->source->name) - strlen(".weight"));
    mxq_text_string(&name,
                    t->decision == MXQ_QUANTIZE ? t->scheme->suffixes[part] : t->source->name);
    t->begin[part] = *end;
    t->bytes[part] = entry->end;
    entry->begin = *end;
    entry->end = *end += t->bytes[part];
    entry->name = name.data;
    if (!name.failed)
        mxq_header_entry(&file->header, entry);
    file->header.failed |= name.failed;
    file->entries++;
    mxq_text_free(&name);
}

/* Lays out all parts of all tensors, widest types first.  Returns the bytes of the data. */
static uint64_t lay_out_file(struct mxq_plan_file *file)
{
    uint64_t end = 0;
    for (unsigned bits = 64; bits >= 8; bits /= 2)
        for (size_t i = 0; i < file->count; i++)
            for (unsigned part = 0; part < MXQ_PARTS; part++) {
                struct mxq_plan_tensor *t = &file->tensors[i];
                struct mxq_tensor entry;
                if (describe_part(t, (enum mxq_part)part, &entry) &&
                    mxq_dtype_bits(entry.dtype) == bits)
                    lay_out(file, t, (enum mxq_part)part, &entry, &end);
            }
    mxq_header_end(&file->header);
    for (size_t i = 0; i < file->count; i++)
        for (unsigned part = 0; part < MXQ_PARTS; part++)
            file->tensors[i].begin[part] += file->header.bytes;
    return end;
}

uint64_t mxq_plan_tensor_bytes(const struct mxq_plan_tensor *t)
{
    return t->bytes[MXQ_ELEMENTS_PART] + t->bytes[MXQ_SCALES_PART] +
           t->bytes[MXQ_TENSOR_SCALE_PART];
}

/* The values of a chunk of whole rows, a multiple of `rows` of them. */
static uint64_t whole_rows(const struct mxq_plan_tensor *t, uint64_t rows)
{
    const uint64_t least = rows * t->source->shape[1];
    return least < MXQ_CHUNK_VALUES ? MXQ_CHUNK_VALUES / least * least : least;
}

/* A chunk is a run of blocks, or whole rows that are a whole number of blocks: at least one. */
static uint64_t choose_chunk(const struct mxq_plan_tensor *t)
{
    if (t->decision != MXQ_QUANTIZE)
        return MXQ_CHUNK_BYTES;
    const struct mxq_format *format = &t->format.format;
    if (mxq_format_is_flat(format))
        return MXQ_CHUNK_VALUES;
    return whole_rows(t, format->block_rows ? format->block_rows : 1);
}

/* What the reader refuses must not be written. */
static enum mxq_io_code check_limits(const struct mxq_plan_file *file, struct mxq_io_error *error)
{
    const struct mxq_io_place place = {file->shard->path, MXQ_IO_NOWHERE, NULL};
    if (file->shard->header.metadata_count + OWN_METADATA > MXQ_MAX_METADATA)
        return mxq_io_fail(error, MXQ_IO_BAD_METADATA, place,
                           "the output would have too many metadata keys: keys = %zu, limit %d",
                           file->shard->header.metadata_count + OWN_METADATA, MXQ_MAX_METADATA);
    for (size_t i = 0; i < file->count; i++)
        if (file->tensors[i].decision == MXQ_QUANTIZE &&
            strlen(file->tensors[i].source->name) > MXQ_MAX_NAME_BYTES - LONGEST_SUFFIX)
            return mxq_io_fail(error, MXQ_IO_BAD_NAME,
                               (struct mxq_io_place){file->shard->path, MXQ_IO_NOWHERE,
                                                     file->tensors[i].source->name},
                               "the name leaves no room for what is put behind it: limit %zu "
                               "bytes",
                               MXQ_MAX_NAME_BYTES - LONGEST_SUFFIX);
    if (file->entries > MXQ_MAX_TENSORS)
        return mxq_io_fail(error, MXQ_IO_TOO_MANY_TENSORS, place,
                           "the output would have too many tensors: tensors = %zu, limit %d",
                           file->entries, MXQ_MAX_TENSORS);
    if (file->header.failed)
        return mxq_io_fail_memory(error, file->shard->path);
    if (file->header.bytes - 8 > MXQ_MAX_HEADER)
        return mxq_io_fail(error, MXQ_IO_HEADER_TOO_LARGE, place,
                           "the header of the output would be too large: bytes = %zu, limit %d",
                           file->header.bytes - 8, MXQ_MAX_HEADER);
    return MXQ_IO_OK;
}

/* Decides about the tensors of a file. */
static enum mxq_io_code decide_file(struct mxq_plan *plan, struct mxq_plan_file *file,
                                    const struct mxq_convert_options *options,
                                    struct mxq_io_error *error)
{
    const struct mxq_safetensors *source = &file->shard->header;
    file->tensors = calloc(source->count + 1, sizeof *file->tensors);
    if (!file->tensors)
        return mxq_io_fail_memory(error, file->shard->path);
    for (size_t i = 0; i < source->count; i++) {
        struct mxq_plan_tensor *t = &file->tensors[file->count++];
        t->source = &source->tensors[i];
        if (mxq_is_quantized(t->source))
            return mxq_io_fail(
                error, MXQ_IO_ALREADY_QUANTIZED,
                (struct mxq_io_place){file->shard->path, t->source->at, t->source->name},
                "the input is already quantized: dtype = %s", mxq_dtype_name(t->source->dtype));
        t->decision = mxq_decide(t->source, options, &t->type);
        t->format = options->format;
        t->amax = t->shared_amax = MXQ_NO_AMAX;
    }
    plan->source_bytes += source->data_bytes;
    return MXQ_IO_OK;
}

/* Gives each tensor of a file what was chosen for it, or keeps it. */
static void apply_choices(struct mxq_plan_file *file, const struct mxq_convert_options *options)
{
    for (size_t i = 0; i < file->count; i++) {
        struct mxq_plan_tensor *t = &file->tensors[i];
        const struct mxq_format_info *choice = mxq_find_choice(options, t->source->name);
        if (t->decision != MXQ_QUANTIZE)
            continue;
        if (choice && mxq_format_takes_row(&choice->format, t->source->shape[1]))
            t->format = *choice;
        else
            t->decision = MXQ_KEEP_SQNR;
    }
}

static enum mxq_io_code write_file(struct mxq_plan *plan, struct mxq_plan_file *file,
                                   const struct mxq_convert_options *options, const char *recorded,
                                   struct mxq_io_error *error)
{
    struct mxq_metadata *metadata =
        calloc(file->shard->header.metadata_count + OWN_METADATA, sizeof *metadata);
    struct mxq_text choices = {0};
    write_choices(&choices, file);
    const int has_memory = metadata && !choices.failed;
    if (has_memory)
        begin_header(file, options, metadata, recorded, choices.data);
    mxq_text_free(&choices);
    free(metadata);
    if (!has_memory)
        return mxq_io_fail_memory(error, file->shard->path);
    for (size_t i = 0; i < file->count; i++) {
        struct mxq_plan_tensor *t = &file->tensors[i];
        t->scheme = mxq_scheme_find(&t->format);
        t->chunk = choose_chunk(t);
        plan->quantized += t->decision == MXQ_QUANTIZE;
    }
    const uint64_t end = lay_out_file(file);
    file->bytes = file->header.bytes + end;
    plan->output_bytes += end;
    return check_limits(file, error);
}

/* ---------------------------------------- Fused layers ---------------------------------------- */

/* Layers that servers fuse into one: all of them must be quantized, or none, and with one tensor
 * scale. */
#define MOST_FUSED 3
static const char *const fused[][MOST_FUSED] = {
    {"q_proj", "k_proj", "v_proj"}, {"gate_proj", "up_proj", NULL}, {"w1", "w3", NULL}};

/* Returns the tensor of a name, or NULL. */
static struct mxq_plan_tensor *find_tensor(const struct mxq_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct mxq_plan_file *file = &plan->files[i];
        const struct mxq_tensor *t = mxq_safetensors_find(&file->shard->header, name);
        if (t)
            return &file->tensors[t - file->shard->header.tensors];
    }
    return NULL;
}

/* Returns the bytes of the path in front of a member of a fused group, "model.layers.0.mlp." in
 * front of "up_proj.weight", and the group; or SIZE_MAX. */
static size_t find_group(const char *name, size_t *group)
{
    const size_t bytes = strlen(name);
    for (size_t g = 0; g < sizeof fused / sizeof fused[0]; g++)
        for (int i = 0; i < MOST_FUSED && fused[g][i]; i++) {
            const size_t tail = strlen(fused[g][i]) + strlen(".weight");
            if (bytes >= tail && !strncmp(name + bytes - tail, fused[g][i], strlen(fused[g][i])) &&
                !strcmp(name + bytes - strlen(".weight"), ".weight") &&
                (bytes == tail || name[bytes - tail - 1] == '.')) {
                *group = g;
                return bytes - tail;
            }
        }
    return SIZE_MAX;
}

/* Finds the tensors that servers fuse with one, itself among them, in the order of the group.
 * Returns how many there are: 0 when it is no member of a group. */
static size_t find_fused(struct mxq_plan *plan, const struct mxq_plan_tensor *t,
                         struct mxq_plan_tensor *members[MOST_FUSED])
{
    size_t group, count = 0;
    const size_t bytes = find_group(t->source->name, &group);
    for (int i = 0; bytes != SIZE_MAX && i < MOST_FUSED && fused[group][i]; i++) {
        struct mxq_text name = {0};
        mxq_text_bytes(&name, t->source->name, bytes);
        mxq_text_format(&name, "%s.weight", fused[group][i]);
        members[count] = name.failed ? NULL : find_tensor(plan, name.data);
        count += members[count] != NULL;
        plan->notes.failed |= name.failed;
        mxq_text_free(&name);
    }
    return count;
}

/* Numbers the amax that a tensor shares with those it is fused with, but for ones that the user
 * keeps. */
static void share_amax(struct mxq_plan *plan, struct mxq_plan_tensor *t)
{
    struct mxq_plan_tensor *members[MOST_FUSED];
    if (t->shared_amax != MXQ_NO_AMAX)
        return;
    t->shared_amax = plan->amaxes++;
    const size_t count = find_fused(plan, t, members);
    for (size_t m = 0; m < count; m++)
        if (members[m]->decision == MXQ_QUANTIZE || members[m]->decision == MXQ_KEEP_SQNR)
            members[m]->shared_amax = t->shared_amax;
}

/* Numbers the amaxes that quantizing needs, or both of every tensor.  Fused layers share the tensor
 * scale of E4M3 scales. */
static void number_amaxes(struct mxq_plan *plan, int is_survey)
{
    for (size_t i = 0; i < plan->count; i++)
        for (size_t j = 0; j < plan->files[i].count; j++) {
            struct mxq_plan_tensor *t = &plan->files[i].tensors[j];
            if (t->decision != MXQ_QUANTIZE)
                continue;
            if (is_survey || t->format.format.block_rows == 0)
                t->amax = plan->amaxes++;
            if (is_survey || t->format.format.scale == MXQ_E4M3_SCALE)
                share_amax(plan, t);
        }
    for (size_t i = 0; i < plan->count; i++)
        for (size_t j = 0; j < plan->files[i].count; j++) {
            const struct mxq_plan_tensor *t = &plan->files[i].tensors[j];
            if (t->amax != MXQ_NO_AMAX || t->shared_amax != MXQ_NO_AMAX)
                plan->amax_bytes += t->source->end - t->source->begin;
        }
}

/* ------------------------------------------- Notes -------------------------------------------- */

/* Returns 1 when `t` is the first of a fused group of which only a part is quantized. */
static int splits_fused_layer(struct mxq_plan *plan, const struct mxq_plan_tensor *t)
{
    struct mxq_plan_tensor *members[MOST_FUSED];
    const size_t count = find_fused(plan, t, members);
    size_t quantized = 0;
    for (size_t m = 0; m < count; m++)
        quantized += members[m]->decision == MXQ_QUANTIZE;
    return count && members[0] == t && quantized && quantized < count;
}

static void note_fused_layers(struct mxq_plan *plan)
{
    size_t count = 0;
    const char *first = NULL;
    for (size_t i = 0; i < plan->count; i++)
        for (size_t j = 0; j < plan->files[i].count; j++) {
            const struct mxq_plan_tensor *t = &plan->files[i].tensors[j];
            if (splits_fused_layer(plan, t)) {
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

static enum mxq_io_code decide_files(struct mxq_plan *plan, const struct mxq_model *model,
                                     const struct mxq_convert_options *options,
                                     struct mxq_io_error *error)
{
    *plan = (struct mxq_plan){0};
    if (model->has_hf_quant_config)
        return mxq_io_fail(error, MXQ_IO_ALREADY_QUANTIZED,
                           (struct mxq_io_place){model->path, MXQ_IO_NOWHERE, NULL},
                           "the input is already quantized: it holds hf_quant_config.json");
    plan->files = calloc(model->count + 1, sizeof *plan->files);
    enum mxq_io_code code = plan->files ? MXQ_IO_OK : mxq_io_fail_memory(error, model->path);
    for (size_t i = 0; !code && i < model->count; i++) {
        plan->files[i].shard = &model->shards[i];
        plan->count++;
        code = decide_file(plan, &plan->files[i], options, error);
    }
    return code;
}

/* Sets the format of the plan. */
static void find_format(struct mxq_plan *plan, const struct mxq_convert_options *options)
{
    const struct mxq_format_info *first = NULL;
    int is_mixed = 0;
    for (size_t i = 0; i < plan->count; i++)
        for (size_t j = 0; j < plan->files[i].count; j++) {
            const struct mxq_plan_tensor *t = &plan->files[i].tensors[j];
            if (t->decision == MXQ_QUANTIZE && !first)
                first = &t->format;
            is_mixed |= t->decision == MXQ_QUANTIZE && strcmp(first->name, t->format.name) != 0;
        }
    plan->format = first ? *first : options->format;
    if (is_mixed)
        plan->format.name = "mixed";
}

static enum mxq_io_code write_files(struct mxq_plan *plan, const struct mxq_model *model,
                                    const struct mxq_convert_options *options,
                                    struct mxq_io_error *error)
{
    struct mxq_text recorded = {0};
    mxq_convert_options_write(options, &recorded);
    enum mxq_io_code code = recorded.failed ? mxq_io_fail_memory(error, model->path) : MXQ_IO_OK;
    for (size_t i = 0; !code && i < plan->count; i++) {
        if (options->candidates)
            apply_choices(&plan->files[i], options);
        code = write_file(plan, &plan->files[i], options, recorded.data, error);
    }
    mxq_text_free(&recorded);
    return code;
}

/* Ends the making of a plan: either all of it is there, or nothing. */
static enum mxq_io_code finish(struct mxq_plan *plan, const struct mxq_model *model,
                               enum mxq_io_code code, struct mxq_io_error *error)
{
    if (!code && plan->notes.failed)
        code = mxq_io_fail_memory(error, model->path);
    if (code)
        mxq_plan_free(plan);
    return code;
}

enum mxq_io_code mxq_plan_make(struct mxq_plan *plan, const struct mxq_model *model,
                               const struct mxq_convert_options *options,
                               struct mxq_io_error *error)
{
    enum mxq_io_code code = decide_files(plan, model, options, error);
    if (!code)
        code = write_files(plan, model, options, error);
    if (!code) {
        find_format(plan, options);
        number_amaxes(plan, 0);
        note_source(plan, model);
        note_fused_layers(plan);
        code = mxq_documents_make(plan, model, options, error);
    }
    return finish(plan, model, code, error);
}

enum mxq_io_code mxq_plan_survey(struct mxq_plan *plan, const struct mxq_model *model,
                                 const struct mxq_convert_options *options,
                                 struct mxq_io_error *error)
{
    const enum mxq_io_code code = decide_files(plan, model, options, error);
    for (size_t i = 0; !code && i < plan->count; i++)
        for (size_t j = 0; j < plan->files[i].count; j++) {
            struct mxq_plan_tensor *t = &plan->files[i].tensors[j];
            if (t->decision == MXQ_QUANTIZE)
                t->chunk = whole_rows(t, MXQ_BAND_ROWS);
        }
    if (!code) {
        number_amaxes(plan, 1);
        plan->source_bytes = plan->amax_bytes; /* what is read */
    }
    return finish(plan, model, code, error);
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
