/* SPDX-License-Identifier: Apache-2.0 */
/* summary.c -- tells what a plan does. */
#include "summary.h"

#include <stdlib.h>
#include <string.h>

#include "command.h"

/* A line of the table: tensors of one pattern, type and decision. */
struct line {
    char *pattern;
    const struct mxq_plan_tensor *tensor; /* the first one */
    size_t count;
    uint64_t source_bytes;
    uint64_t output_bytes;
};

char *name_pattern(const char *name)
{
    char *pattern = strdup(name);
    if (!pattern)
        return NULL;
    char *to = pattern;
    for (const char *p = name; *p;) {
        const size_t bytes = strcspn(p, ".");
        const int is_number = bytes && strspn(p, "0123456789") == bytes;
        memcpy(to, is_number ? "*" : p, is_number ? 1 : bytes);
        to += is_number ? 1 : bytes;
        p += bytes;
        if (*p)
            *to++ = *p++;
    }
    *to = '\0';
    return pattern;
}

static int compare_lines(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    if (x->tensor->decision != y->tensor->decision)
        return x->tensor->decision < y->tensor->decision ? -1 : 1;
    int order = strcmp(x->pattern, y->pattern);
    if (!order)
        order = strcmp(x->tensor->format.name, y->tensor->format.name);
    if (order)
        return order;
    return (x->tensor->source->dtype > y->tensor->source->dtype) -
           (x->tensor->source->dtype < y->tensor->source->dtype);
}

static struct line *make_lines(const struct mxq_plan *plan, size_t *count)
{
    size_t n = 0;
    for (size_t i = 0; i < plan->count; i++)
        n += plan->files[i].count;
    struct line *lines = calloc(n + 1, sizeof *lines);
    *count = 0;
    for (size_t i = 0; lines && i < plan->count; i++)
        for (size_t j = 0; j < plan->files[i].count; j++) {
            const struct mxq_plan_tensor *t = &plan->files[i].tensors[j];
            struct line *line = &lines[*count];
            *line = (struct line){name_pattern(t->source->name), t, 1,
                                  t->source->end - t->source->begin, mxq_plan_tensor_bytes(t)};
            *count += line->pattern != NULL;
        }
    return lines;
}

/* Joins equal neighbours of a sorted list and returns how many remain. */
static size_t join_lines(struct line *lines, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept && !compare_lines(&lines[kept - 1], &lines[i])) {
            lines[kept - 1].count += lines[i].count;
            lines[kept - 1].source_bytes += lines[i].source_bytes;
            lines[kept - 1].output_bytes += lines[i].output_bytes;
            free(lines[i].pattern);
        } else {
            lines[kept++] = lines[i];
        }
    }
    return kept;
}

void write_plan_table(struct mxq_text *text, const struct mxq_plan *plan)
{
    size_t count;
    struct line *lines = make_lines(plan, &count);
    if (!lines) {
        text->failed = 1;
        return;
    }
    if (count)
        qsort(lines, count, sizeof *lines, compare_lines);
    count = join_lines(lines, count);
    struct table table = {.columns = 6, .alignment = "lrlrrl"};
    static const char *const titles[] = {"TENSORS", "COUNT", "DTYPE", "FROM", "TO", "WHAT"};
    for (size_t i = 0; i < 6; i++)
        table_cell(&table, "%s", titles[i]);
    for (size_t i = 0; i < count; i++) {
        char escaped[MXQ_IO_ESCAPED], from[SIZE_TEXT], to[SIZE_TEXT];
        const enum mxq_decision decision = lines[i].tensor->decision;
        table_cell(&table, "%s", mxq_io_escape(escaped, lines[i].pattern, MXQ_IO_NAME_LIMIT));
        table_cell(&table, "%zu", lines[i].count);
        table_cell(&table, "%s", mxq_dtype_name(lines[i].tensor->source->dtype));
        table_cell(&table, "%s", format_size(from, lines[i].source_bytes));
        table_cell(&table, "%s", format_size(to, lines[i].output_bytes));
        if (decision == MXQ_QUANTIZE)
            table_cell(&table, "%s", lines[i].tensor->format.name);
        else
            table_cell(&table, "kept: %s", mxq_decision_words(decision));
        free(lines[i].pattern);
    }
    free(lines);
    table_write(&table, text);
}

static void write_tensor_json(struct mxq_text *text, const struct mxq_plan_file *file,
                              const struct mxq_plan_tensor *t)
{
    const int quantized = t->decision == MXQ_QUANTIZE;
    mxq_text_string(text, "{\"name\": ");
    mxq_text_json(text, t->source->name);
    mxq_text_string(text, ", \"file\": ");
    mxq_text_json(text, file->shard->name);
    mxq_text_format(text, ", \"dtype\": \"%s\", \"shape\": ", mxq_dtype_name(t->source->dtype));
    write_shape(text, t->source);
    mxq_text_format(text, ", \"action\": \"%s\"", quantized ? "quantize" : "keep");
    if (quantized)
        mxq_text_format(text, ", \"format\": \"%s\"", t->format.name);
    else
        mxq_text_format(text, ", \"reason\": \"%s\"", mxq_decision_key(t->decision));
    mxq_text_format(text, ", \"source_bytes\": %llu, \"output_bytes\": %llu}",
                    (unsigned long long)(t->source->end - t->source->begin),
                    (unsigned long long)(mxq_plan_tensor_bytes(t)));
}

static void write_notes_json(struct mxq_text *text, const struct mxq_plan *plan)
{
    mxq_text_string(text, "[");
    const char *note = plan->notes.bytes ? plan->notes.data : "";
    for (int first = 1; *note; first = 0) {
        const size_t bytes = strcspn(note, "\n");
        struct mxq_text line = {0};
        mxq_text_bytes(&line, note, bytes);
        mxq_text_string(text, first ? "" : ", ");
        if (!line.failed)
            mxq_text_json(text, line.data);
        text->failed |= line.failed;
        mxq_text_free(&line);
        note += bytes + (note[bytes] == '\n');
    }
    mxq_text_string(text, "]");
}

void write_plan_json(struct mxq_text *text, const struct mxq_plan *plan)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->count; i++)
        count += plan->files[i].count;
    mxq_text_format(text,
                    "\"source_bytes\": %llu, \"output_bytes\": %llu, \"quantized\": %zu, "
                    "\"kept\": %zu, \"notes\": ",
                    (unsigned long long)plan->source_bytes, (unsigned long long)plan->output_bytes,
                    plan->quantized, count - plan->quantized);
    write_notes_json(text, plan);
    mxq_text_string(text, ", \"tensors\": [");
    for (size_t i = 0; i < plan->count; i++)
        for (size_t j = 0; j < plan->files[i].count; j++) {
            mxq_text_string(text, i || j ? ",\n  " : "\n  ");
            write_tensor_json(text, &plan->files[i], &plan->files[i].tensors[j]);
        }
    mxq_text_string(text, "\n]");
}
