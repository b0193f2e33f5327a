/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors.c -- reads and checks safetensors headers, and writes them. */
#include "safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "json.h"

/* A header while it is read. */
struct parse {
    const struct mxq_reader *reader;
    struct mxq_io_error *error;
    struct mxq_safetensors *st;
    char *text; /* the N bytes of the header */
    size_t bytes;
    size_t capacity; /* of st->tensors */
    int has_metadata;
};

#define TEXT_BEGIN 8 /* of the header text in the file */

/* Fails at a byte of the header text. */
#define FAIL(p, code, position, tensor, ...)                                                       \
    mxq_io_fail((p)->error, MXQ_IO_##code,                                                         \
                (struct mxq_io_place){(p)->reader->path, TEXT_BEGIN + (position), tensor},         \
                __VA_ARGS__)

/* Fails at a byte of the file. */
#define FAIL_FILE(reader, error, code, position, ...)                                              \
    mxq_io_fail(error, MXQ_IO_##code, (struct mxq_io_place){(reader)->path, position, NULL},       \
                __VA_ARGS__)

static enum mxq_io_code fail_json(struct parse *p, const struct mxq_json_fault *fault,
                                  const char *tensor)
{
    const struct mxq_io_place place = {p->reader->path, TEXT_BEGIN + fault->at, tensor};
    return mxq_io_fail(p->error, fault->code, place, "%s", fault->what);
}

/* --------------------------------------- The fixed part --------------------------------------- */

/* What a file is that is no safetensors file: better than "the header is too large". */
static enum mxq_io_code fail_foreign(const struct mxq_reader *reader, const unsigned char *head,
                                     size_t bytes, struct mxq_io_error *error)
{
    static const struct {
        const char *magic;
        size_t bytes;
        enum mxq_io_code code;
        const char *what;
    } known[] = {
        {"version https://git-lfs", 23, MXQ_IO_LFS_POINTER,
         "this is a Git LFS pointer, not the weights; run `git lfs pull`"},
        {"version ", 8, MXQ_IO_LFS_POINTER,
         "this looks like a Git LFS pointer, not the weights; run `git lfs pull`"},
        {"PK\x03\x04", 4, MXQ_IO_UNSUPPORTED_PICKLE,
         "this is a zip archive, as PyTorch writes pickles; mxq never executes pickles: convert "
         "it to safetensors first"},
        {"\x80\x02", 2, MXQ_IO_UNSUPPORTED_PICKLE,
         "this is a Python pickle; mxq never executes pickles: convert it to safetensors first"},
        {"\x89HDF\r\n", 6, MXQ_IO_UNSUPPORTED_FORMAT,
         "this is an HDF5 file; convert it to safetensors first"},
        {"\x93NUMPY", 6, MXQ_IO_UNSUPPORTED_FORMAT,
         "this is a NumPy file; convert it to safetensors first"},
        {"GGUF", 4, MXQ_IO_UNSUPPORTED_FORMAT,
         "this is a GGUF file; convert it to safetensors first"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (bytes >= known[i].bytes && !memcmp(head, known[i].magic, known[i].bytes))
            return mxq_io_fail(error, known[i].code, (struct mxq_io_place){reader->path, 0, NULL},
                               "%s", known[i].what);
    return MXQ_IO_OK;
}

/* Reads N and checks it against the file. */
static enum mxq_io_code read_length(const struct mxq_reader *reader, uint64_t *length,
                                    struct mxq_io_error *error)
{
    unsigned char head[24] = {0};
    const size_t bytes = reader->size < sizeof head ? (size_t)reader->size : sizeof head;
    enum mxq_io_code code = mxq_read(reader, head, bytes, 0, error);
    if (code)
        return code;
    if (bytes < 8)
        return FAIL_FILE(reader, error, TRUNCATED_HEADER, 0,
                         "the file is too short: size = %zu, need at least 8", bytes);
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--)
        n = n << 8 | head[i];
    const int fits = n <= MXQ_MAX_HEADER && n <= reader->size - 8;
    if (!fits || (bytes > 8 && head[8] != '{')) {
        code = fail_foreign(reader, head, bytes, error);
        if (code)
            return code;
    }
    if (n > MXQ_MAX_HEADER)
        return FAIL_FILE(reader, error, HEADER_TOO_LARGE, 0,
                         "the header is too large: header length = %llu, limit %d",
                         (unsigned long long)n, MXQ_MAX_HEADER);
    if (!fits)
        return FAIL_FILE(reader, error, HEADER_PAST_EOF, 0,
                         "the header ends behind the file: header length = %llu, file has %llu "
                         "bytes behind it",
                         (unsigned long long)n, (unsigned long long)(reader->size - 8));
    if (n < 2)
        return FAIL_FILE(reader, error, HEADER_TOO_SMALL, 0,
                         "the header is too small: header length = %llu, need at least 2",
                         (unsigned long long)n);
    *length = n;
    return MXQ_IO_OK;
}

/* ------------------------------------------ Metadata ------------------------------------------ */

/* An object of jansson is many times its text: the only one without a bound of its own gets one. */
static int has_few_members(const struct parse *p, struct mxq_json_span object)
{
    struct mxq_json_fault fault;
    struct mxq_json_steps steps = mxq_json_enter(p->text, object);
    struct mxq_json_span key, value;
    size_t members = 0;
    while (members <= MXQ_MAX_METADATA && mxq_json_next(&steps, &key, &value, &fault) == 1)
        members++;
    return members <= MXQ_MAX_METADATA;
}

static enum mxq_io_code read_metadata(struct parse *p, struct mxq_json_span span)
{
    struct mxq_json_fault fault;
    if (p->text[span.begin] != '{')
        return FAIL(p, BAD_METADATA, span.begin, NULL, "__metadata__ must be an object");
    if (!has_few_members(p, span))
        return FAIL(p, BAD_METADATA, span.begin, NULL, "__metadata__ has too many keys: limit %d",
                    MXQ_MAX_METADATA);
    json_t *json = mxq_json_parse(p->text, span, &fault);
    if (!json) {
        if (fault.code == MXQ_IO_DUPLICATE_KEY)
            fault.code = MXQ_IO_BAD_METADATA;
        return fail_json(p, &fault, NULL);
    }
    p->st->metadata = calloc(json_object_size(json) + 1, sizeof *p->st->metadata);
    enum mxq_io_code code =
        p->st->metadata ? MXQ_IO_OK : mxq_io_fail_memory(p->error, p->reader->path);
    const char *key;
    json_t *value;
    json_object_foreach(json, key, value)
    {
        if (code)
            break;
        if (!json_is_string(value)) {
            struct mxq_json_span at = span;
            mxq_json_find(p->text, span, key, NULL, &at);
            char escaped[MXQ_IO_ESCAPED];
            code = FAIL(p, BAD_METADATA, at.begin, NULL,
                        "a metadata value is no string: __metadata__.%s",
                        mxq_io_escape(escaped, key, MXQ_IO_NAME_LIMIT));
            break;
        }
        struct mxq_metadata *entry = &p->st->metadata[p->st->metadata_count++];
        entry->key = strdup(key);
        entry->value = strdup(json_string_value(value));
        if (!entry->key || !entry->value)
            code = mxq_io_fail_memory(p->error, p->reader->path);
    }
    json_decref(json);
    return code;
}

/* ------------------------------------------ Entries ------------------------------------------- */

/* The position of item `index` of the array that is member `name` of an entry. */
static size_t item_position(const struct parse *p, struct mxq_json_span entry, const char *name,
                            size_t index)
{
    struct mxq_json_fault fault;
    struct mxq_json_span array, key, item = {entry.begin, entry.begin};
    if (!mxq_json_find(p->text, entry, name, NULL, &array))
        return entry.begin;
    struct mxq_json_steps steps = mxq_json_enter(p->text, array);
    for (size_t i = 0; i <= index; i++)
        if (mxq_json_next(&steps, &key, &item, &fault) != 1)
            break;
    return item.begin;
}

static size_t field_position(const struct parse *p, struct mxq_json_span entry, const char *name)
{
    struct mxq_json_span value;
    return mxq_json_find(p->text, entry, name, NULL, &value) ? value.begin : entry.begin;
}

/* Takes the integer at index i of an array.  The scanner has checked that it is one in 0 .. 2^53,
 * if it is a number at all. */
static int take_integer(const json_t *array, size_t i, uint64_t *value)
{
    const json_t *item = json_array_get(array, i);
    if (!json_is_integer(item))
        return 0;
    *value = (uint64_t)json_integer_value(item);
    return 1;
}

static enum mxq_io_code check_fields(struct parse *p, struct mxq_json_span span, json_t *entry,
                                     const char *name)
{
    static const char *const fields[] = {"dtype", "shape", "data_offsets"};
    const char *key;
    json_t *value;
    json_object_foreach(entry, key, value)
    {
        if (!strcmp(key, fields[0]) || !strcmp(key, fields[1]) || !strcmp(key, fields[2]))
            continue;
        struct mxq_json_span at = span, unused;
        mxq_json_find(p->text, span, key, &at, &unused);
        char escaped[MXQ_IO_ESCAPED];
        return FAIL(p, BAD_FIELD, at.begin, name, "unknown field: field = \"%s\"",
                    mxq_io_escape(escaped, key, MXQ_IO_NAME_LIMIT));
    }
    for (int i = 0; i < 3; i++) {
        const json_t *field = json_object_get(entry, fields[i]);
        if (!field)
            return FAIL(p, BAD_FIELD, span.begin, name, "missing field: field = \"%s\"", fields[i]);
        if (i == 0 ? !json_is_string(field) : !json_is_array(field))
            return FAIL(p, BAD_FIELD, field_position(p, span, fields[i]), name,
                        "wrong type of field: %s, expected %s", fields[i],
                        i == 0 ? "a string" : "an array");
    }
    return MXQ_IO_OK;
}

static enum mxq_io_code read_dtype(struct parse *p, struct mxq_json_span span, const json_t *field,
                                   struct mxq_tensor *t)
{
    t->dtype = mxq_dtype_find(json_string_value(field));
    if (t->dtype != MXQ_DTYPES)
        return MXQ_IO_OK;
    char escaped[MXQ_IO_ESCAPED];
    return FAIL(p, BAD_DTYPE, field_position(p, span, "dtype"), t->name,
                "unknown dtype: dtype = \"%s\"",
                mxq_io_escape(escaped, json_string_value(field), MXQ_IO_NAME_LIMIT));
}

static enum mxq_io_code read_shape(struct parse *p, struct mxq_json_span span, const json_t *field,
                                   struct mxq_tensor *t)
{
    const size_t dims = json_array_size(field);
    if (dims > MXQ_MAX_DIMS)
        return FAIL(p, TOO_MANY_DIMS, field_position(p, span, "shape"), t->name,
                    "too many dimensions: dimensions = %zu, limit %d", dims, MXQ_MAX_DIMS);
    t->dims = (unsigned)dims;
    t->elements = 1;
    for (size_t i = 0; i < dims; i++) {
        if (!take_integer(field, i, &t->shape[i]))
            return FAIL(p, BAD_NUMBER, item_position(p, span, "shape", i), t->name,
                        "a dimension is no integer: shape[%zu]", i);
        if (!mxq_mul_u64(&t->elements, t->elements, t->shape[i]) || t->elements > INT64_MAX)
            return FAIL(p, SHAPE_OVERFLOW, item_position(p, span, "shape", i), t->name,
                        "the shape has more than 2^63-1 elements: shape[%zu] = %llu", i,
                        (unsigned long long)t->shape[i]);
    }
    return MXQ_IO_OK;
}

static enum mxq_io_code read_offsets(struct parse *p, struct mxq_json_span span,
                                     const json_t *field, struct mxq_tensor *t)
{
    const size_t at = field_position(p, span, "data_offsets");
    if (json_array_size(field) != 2 || !take_integer(field, 0, &t->begin) ||
        !take_integer(field, 1, &t->end))
        return FAIL(p, BAD_OFFSETS, at, t->name, "data_offsets must be two integers");
    const unsigned long long begin = t->begin, end = t->end;
    if (end < begin)
        return FAIL(p, BAD_OFFSETS, at, t->name,
                    "the data ends before it begins: data_offsets = [%llu, %llu]", begin, end);
    const unsigned bits = mxq_dtype_bits(t->dtype);
    uint64_t size;
    if (!mxq_mul_u64(&size, t->elements, bits))
        return FAIL(p, SIZE_OVERFLOW, field_position(p, span, "shape"), t->name,
                    "the size overflows 64 bits: elements = %llu of %u bits",
                    (unsigned long long)t->elements, bits);
    if (size % 8)
        return FAIL(p, SUBBYTE, field_position(p, span, "shape"), t->name,
                    "not a whole number of bytes: elements = %llu of %u bits",
                    (unsigned long long)t->elements, bits);
    if (end - begin != size / 8)
        return FAIL(p, SIZE_MISMATCH, at, t->name,
                    "the size does not fit shape and dtype: data_offsets = [%llu, %llu], which is "
                    "%llu bytes, expected %llu",
                    begin, end, end - begin, (unsigned long long)size / 8);
    if (end > p->st->data_bytes)
        return FAIL(p, DATA_PAST_EOF, at, t->name,
                    "the data lies behind the end of the file: data_offsets = [%llu, %llu], file "
                    "has %llu bytes of data",
                    begin, end, (unsigned long long)p->st->data_bytes);
    return MXQ_IO_OK;
}

static enum mxq_io_code read_entry(struct parse *p, struct mxq_json_span span, struct mxq_tensor *t)
{
    struct mxq_json_fault fault;
    if (p->text[span.begin] != '{')
        return FAIL(p, BAD_FIELD, span.begin, t->name, "the entry of a tensor must be an object");
    json_t *entry = mxq_json_parse(p->text, span, &fault);
    if (!entry)
        return fail_json(p, &fault, t->name);
    enum mxq_io_code code = check_fields(p, span, entry, t->name);
    if (!code)
        code = read_dtype(p, span, json_object_get(entry, "dtype"), t);
    if (!code)
        code = read_shape(p, span, json_object_get(entry, "shape"), t);
    if (!code)
        code = read_offsets(p, span, json_object_get(entry, "data_offsets"), t);
    json_decref(entry);
    return code;
}

/* ------------------------------------------- Names -------------------------------------------- */

static enum mxq_io_code read_name(struct parse *p, struct mxq_json_span key, char **name)
{
    struct mxq_json_fault fault;
    *name = mxq_json_unescape(p->text, key, &fault);
    if (!*name)
        return fail_json(p, &fault, NULL);
    const size_t bytes = strlen(*name);
    if (bytes && bytes <= MXQ_MAX_NAME_BYTES)
        return MXQ_IO_OK;
    const enum mxq_io_code code =
        FAIL(p, BAD_NAME, key.begin, NULL, "a tensor's name must have 1 .. %d bytes: length = %zu",
             MXQ_MAX_NAME_BYTES, bytes);
    free(*name);
    return code;
}

/* qsort has no context: an index remembers its tensor while it is sorted. */
struct by_name {
    const struct mxq_tensor *tensor;
    uint32_t index;
};

static int compare_names(const void *a, const void *b)
{
    const struct mxq_tensor *x = ((const struct by_name *)a)->tensor;
    const struct mxq_tensor *y = ((const struct by_name *)b)->tensor;
    const int order = strcmp(x->name, y->name);
    return order ? order : (x->at > y->at) - (x->at < y->at);
}

static enum mxq_io_code sort_names(struct parse *p)
{
    struct mxq_safetensors *st = p->st;
    struct by_name *sorted = malloc((st->count + 1) * sizeof *sorted);
    st->by_name = malloc((st->count + 1) * sizeof *st->by_name);
    if (!sorted || !st->by_name) {
        free(sorted);
        return mxq_io_fail_memory(p->error, p->reader->path);
    }
    for (size_t i = 0; i < st->count; i++)
        sorted[i] = (struct by_name){&st->tensors[i], (uint32_t)i};
    qsort(sorted, st->count, sizeof *sorted, compare_names);
    const struct mxq_tensor *duplicate = NULL; /* the first one in the file */
    for (size_t i = 0; i < st->count; i++) {
        st->by_name[i] = sorted[i].index;
        if (i && !strcmp(sorted[i - 1].tensor->name, sorted[i].tensor->name) &&
            (!duplicate || sorted[i].tensor->at < duplicate->at))
            duplicate = sorted[i].tensor;
    }
    free(sorted);
    if (duplicate)
        return FAIL(p, DUPLICATE_NAME, duplicate->at - TEXT_BEGIN, duplicate->name,
                    "two tensors have the same name");
    return MXQ_IO_OK;
}

/* ------------------------------------------- Layout ------------------------------------------- */

static int compare_data(const void *a, const void *b)
{
    const struct mxq_tensor *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* The data of the tensors, in its order, must cover the data of the file exactly. */
static enum mxq_io_code check_layout(struct parse *p)
{
    const struct mxq_safetensors *st = p->st;
    uint64_t end = 0;
    for (size_t i = 0; i < st->count; i++) {
        const struct mxq_tensor *t = &st->tensors[i];
        const unsigned long long begin = t->begin, expected = end;
        char escaped[MXQ_IO_ESCAPED];
        if (t->begin < end)
            return FAIL(p, OVERLAP, t->at - TEXT_BEGIN, t->name,
                        "overlaps tensor \"%s\": begin = %llu, expected %llu",
                        mxq_io_escape(escaped, t[-1].name, MXQ_IO_NAME_LIMIT), begin, expected);
        if (t->begin > end)
            return FAIL(p, HOLE, t->at - TEXT_BEGIN, t->name,
                        "%llu bytes before it belong to no tensor: begin = %llu, expected %llu",
                        begin - expected, begin, expected);
        end = t->end;
    }
    if (end < st->data_bytes)
        return FAIL_FILE(p->reader, p->error, TRAILING_BYTES, st->data_begin + end,
                         "%llu bytes behind the last tensor belong to none: size = %llu, expected "
                         "%llu",
                         (unsigned long long)(st->data_bytes - end),
                         (unsigned long long)p->reader->size,
                         (unsigned long long)(st->data_begin + end));
    return MXQ_IO_OK;
}

/* ------------------------------------------ Reading ------------------------------------------- */

static enum mxq_io_code add_tensor(struct parse *p, char *name, size_t at)
{
    struct mxq_safetensors *st = p->st;
    if (st->count == MXQ_MAX_TENSORS) {
        free(name);
        return FAIL(p, TOO_MANY_TENSORS, at, NULL, "too many tensors: limit %d", MXQ_MAX_TENSORS);
    }
    if (st->count == p->capacity) {
        const size_t capacity = p->capacity ? 2 * p->capacity : 16;
        struct mxq_tensor *grown = realloc(st->tensors, capacity * sizeof *grown);
        if (!grown) {
            free(name);
            return mxq_io_fail_memory(p->error, p->reader->path);
        }
        st->tensors = grown;
        p->capacity = capacity;
    }
    st->tensors[st->count++] = (struct mxq_tensor){.name = name, .at = TEXT_BEGIN + at};
    return MXQ_IO_OK;
}

static enum mxq_io_code read_member(struct parse *p, struct mxq_json_span key,
                                    struct mxq_json_span value)
{
    char *name;
    enum mxq_io_code code = read_name(p, key, &name);
    if (code)
        return code;
    if (strcmp(name, "__metadata__")) {
        code = add_tensor(p, name, key.begin);
        return code ? code : read_entry(p, value, &p->st->tensors[p->st->count - 1]);
    }
    free(name);
    if (p->has_metadata)
        return FAIL(p, DUPLICATE_KEY, key.begin, NULL, "duplicate key: __metadata__");
    p->has_metadata = 1;
    return read_metadata(p, value);
}

static enum mxq_io_code read_members(struct parse *p)
{
    static const struct mxq_json_rules rules = {4, 1, 1};
    struct mxq_json_fault fault;
    if (!mxq_json_check(p->text, p->bytes, &rules, &fault))
        return fail_json(p, &fault, NULL);
    struct mxq_json_steps steps = mxq_json_enter(p->text, (struct mxq_json_span){0, p->bytes});
    struct mxq_json_span key, value;
    int more;
    while ((more = mxq_json_next(&steps, &key, &value, &fault)) == 1) {
        const enum mxq_io_code code = read_member(p, key, value);
        if (code)
            return code;
    }
    return more ? fail_json(p, &fault, NULL) : MXQ_IO_OK;
}

enum mxq_io_code mxq_safetensors_read(struct mxq_safetensors *st, const struct mxq_reader *reader,
                                      struct mxq_io_error *error)
{
    *st = (struct mxq_safetensors){0};
    uint64_t length = 0;
    enum mxq_io_code code = read_length(reader, &length, error);
    if (code)
        return code;
    st->data_begin = 8 + length;
    st->data_bytes = reader->size - st->data_begin;
    struct parse p = {.reader = reader, .error = error, .st = st, .bytes = (size_t)length};
    p.text = malloc(p.bytes);
    code = p.text ? mxq_read(reader, p.text, p.bytes, 8, error)
                  : mxq_io_fail_memory(error, reader->path);
    if (!code)
        code = read_members(&p);
    free(p.text);
    if (!code && st->count)
        qsort(st->tensors, st->count, sizeof *st->tensors, compare_data);
    if (!code)
        code = sort_names(&p);
    if (!code)
        code = check_layout(&p);
    if (code)
        mxq_safetensors_free(st);
    return code;
}

/* Frees a string that is const to everybody else. */
static void free_string(const char *string)
{
    free((char *)(uintptr_t)string);
}

void mxq_safetensors_free(struct mxq_safetensors *st)
{
    for (size_t i = 0; i < st->count; i++)
        free_string(st->tensors[i].name);
    for (size_t i = 0; i < st->metadata_count; i++) {
        free_string(st->metadata[i].key);
        free_string(st->metadata[i].value);
    }
    free(st->tensors);
    free(st->by_name);
    free(st->metadata);
    *st = (struct mxq_safetensors){0};
}

const struct mxq_tensor *mxq_safetensors_find(const struct mxq_safetensors *st, const char *name)
{
    size_t low = 0, high = st->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const struct mxq_tensor *t = &st->tensors[st->by_name[middle]];
        const int order = strcmp(name, t->name);
        if (!order)
            return t;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const char *mxq_safetensors_metadata(const struct mxq_safetensors *st, const char *key)
{
    for (size_t i = 0; i < st->metadata_count; i++)
        if (!strcmp(st->metadata[i].key, key))
            return st->metadata[i].value;
    return NULL;
}

/* ------------------------------------------ Writing ------------------------------------------- */

#define DATA_ALIGNMENT 4096

void mxq_header_begin(struct mxq_text *header, const struct mxq_metadata *metadata, size_t count)
{
    mxq_text_bytes(header, "\0\0\0\0\0\0\0\0", 8);
    mxq_text_string(header, "{\"__metadata__\":{");
    for (size_t i = 0; i < count; i++) {
        mxq_text_string(header, i ? "," : "");
        mxq_text_json(header, metadata[i].key);
        mxq_text_string(header, ":");
        mxq_text_json(header, metadata[i].value);
    }
    mxq_text_string(header, "}");
}

void mxq_header_entry(struct mxq_text *header, const struct mxq_tensor *tensor)
{
    mxq_text_string(header, ",");
    mxq_text_json(header, tensor->name);
    mxq_text_format(header, ":{\"dtype\":\"%s\",\"shape\":[", mxq_dtype_name(tensor->dtype));
    for (unsigned i = 0; i < tensor->dims; i++)
        mxq_text_format(header, "%s%llu", i ? "," : "", (unsigned long long)tensor->shape[i]);
    mxq_text_format(header, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)tensor->begin,
                    (unsigned long long)tensor->end);
}

void mxq_header_end(struct mxq_text *header)
{
    mxq_text_string(header, "}");
    while (!header->failed && header->bytes % DATA_ALIGNMENT)
        mxq_text_string(header, " ");
    if (header->failed)
        return;
    const uint64_t length = header->bytes - 8;
    for (int i = 0; i < 8; i++)
        header->data[i] = (char)(length >> (8 * i) & 0xFF);
}
