/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint.c -- reads a Hugging Face Llama folder. */
#include "checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"

struct mapping map_file(const char *path)
{
    struct stat status;
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &status))
        fail(EXIT_INPUT, "%s: cannot open: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        fail(EXIT_INPUT, "%s: not a regular file", path);
    struct mapping m = {NULL, (size_t)status.st_size};
    if (m.bytes) {
        void *data = mmap(NULL, m.bytes, PROT_READ, MAP_PRIVATE, file, 0);
        if (data == MAP_FAILED)
            fail(EXIT_INPUT, "%s: cannot map: %s", path, strerror(errno));
        m.data = data;
    }
    close(file);
    return m;
}

void unmap_file(struct mapping m)
{
    if (m.bytes)
        munmap((void *)(uintptr_t)m.data, m.bytes);
}

static char *path_in(const struct checkpoint *c, const char *name)
{
    const size_t bytes = strlen(c->folder) + strlen(name) + 2;
    char *path = allocate(bytes, 1);
    snprintf(path, bytes, "%s/%s", c->folder, name);
    return path;
}

/* Parses a JSON object; the caller owns it. */
static json_t *parse(const char *path, const void *text, size_t bytes)
{
    json_error_t error;
    json_t *json = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    if (!json)
        fail(EXIT_INPUT, "%s: bad JSON: %s", path, error.text);
    if (!json_is_object(json)) {
        json_decref(json);
        fail(EXIT_INPUT, "%s: bad JSON: it must be an object", path);
    }
    return json;
}

static json_t *parse_file(const char *path)
{
    const struct mapping m = map_file(path);
    json_t *json = parse(path, m.data ? (const void *)m.data : "", m.bytes);
    unmap_file(m);
    return json;
}

/* ------------------------------------------- Tensors ----------------------------------------- */

static const struct {
    const char *name;
    enum dtype dtype;
    size_t bytes;
} dtypes[] = {
    {"F32", DTYPE_F32, 4},         {"BF16", DTYPE_BF16, 2},  {"F8_E4M3", DTYPE_F8_E4M3, 1},
    {"F8_E5M2", DTYPE_F8_E5M2, 1}, {"U8", DTYPE_U8, 1},      {"F16", DTYPE_OTHER, 2},
    {"F64", DTYPE_OTHER, 8},       {"BOOL", DTYPE_OTHER, 1}, {"I8", DTYPE_OTHER, 1},
    {"I16", DTYPE_OTHER, 2},       {"I32", DTYPE_OTHER, 4},  {"I64", DTYPE_OTHER, 8},
    {"U16", DTYPE_OTHER, 2},       {"U32", DTYPE_OTHER, 4},  {"U64", DTYPE_OTHER, 8},
    {"F8_E8M0", DTYPE_OTHER, 1},
};

/* Returns the size of a value. */
static size_t read_dtype(struct tensor *t, const json_t *field)
{
    t->dtype_name = json_string_value(field);
    for (size_t i = 0; t->dtype_name && i < sizeof dtypes / sizeof *dtypes; i++)
        if (!strcmp(t->dtype_name, dtypes[i].name)) {
            t->dtype = dtypes[i].dtype;
            return dtypes[i].bytes;
        }
    fail(EXIT_INPUT, "%s: unknown type: dtype = %.128s (tensor \"%.128s\")", t->file,
         t->dtype_name ? t->dtype_name : "no string", t->name);
}

static size_t read_size(const struct tensor *t, const json_t *field, const char *what)
{
    const json_int_t value = json_is_integer(field) ? json_integer_value(field) : -1;
    if (value < 0)
        fail(EXIT_INPUT, "%s: %s must hold integers from 0 (tensor \"%.128s\")", t->file, what,
             t->name);
    return (size_t)value;
}

/* Reads one entry of a header whose data has `limit` bytes. */
static void read_tensor(struct tensor *t, const json_t *entry, const uint8_t *data, size_t limit)
{
    size_t bytes = read_dtype(t, json_object_get(entry, "dtype"));
    const json_t *shape = json_object_get(entry, "shape");
    const json_t *offsets = json_object_get(entry, "data_offsets");
    t->dims = json_array_size(shape);
    if (!json_is_array(shape) || t->dims > MAX_DIMS)
        fail(EXIT_INPUT, "%s: shape must be a list of at most %d sizes (tensor \"%.128s\")",
             t->file, MAX_DIMS, t->name);
    for (size_t i = 0; i < t->dims; i++) {
        t->shape[i] = read_size(t, json_array_get(shape, i), "shape");
        if (__builtin_mul_overflow(bytes, t->shape[i], &bytes))
            fail(EXIT_INPUT, "%s: shape is too large (tensor \"%.128s\")", t->file, t->name);
    }
    if (json_array_size(offsets) != 2)
        fail(EXIT_INPUT, "%s: data_offsets must be [begin, end] (tensor \"%.128s\")", t->file,
             t->name);
    const size_t begin = read_size(t, json_array_get(offsets, 0), "data_offsets");
    const size_t end = read_size(t, json_array_get(offsets, 1), "data_offsets");
    if (begin > end || end > limit)
        fail(EXIT_INPUT,
             "%s: data past the end of the file: data_offsets = [%zu, %zu], %zu bytes of data "
             "(tensor \"%.128s\")",
             t->file, begin, end, limit, t->name);
    if (end - begin != bytes)
        fail(EXIT_INPUT,
             "%s: dtype and shape make %zu bytes: data_offsets = [%zu, %zu] (tensor \"%.128s\")",
             t->file, bytes, begin, end, t->name);
    t->data = data + begin;
}

/* A safetensors file.  Tensors point into all of it. */
struct shard {
    char *path;
    struct mapping file;
    json_t *header;
};

static void *grow(void *array, size_t count, size_t bytes)
{
    void *grown = realloc(array, (count ? count : 1) * bytes);
    if (!grown)
        fail(EXIT_INPUT, "out of memory: %zu x %zu bytes", count, bytes);
    return grown;
}

/* Opens a file and appends its tensors.  Keeps `path`. */
static void read_shard(struct checkpoint *c, char *path)
{
    const struct mapping m = map_file(path);
    uint64_t length = 0;
    for (size_t i = 0; i < 8 && m.bytes >= 8; i++)
        length |= (uint64_t)m.data[i] << 8 * i;
    if (m.bytes < 8 || length > m.bytes - 8)
        fail(EXIT_INPUT, "%s: no safetensors file: header length = %llu, %zu bytes in the file",
             path, (unsigned long long)length, m.bytes);
    const uint8_t *data = m.data + 8 + length;
    json_t *header = parse(path, m.data + 8, (size_t)length);
    c->shards = grow(c->shards, c->shard_count + 1, sizeof *c->shards);
    c->shards[c->shard_count++] = (struct shard){path, m, header};
    c->tensors = grow(c->tensors, c->tensor_count + json_object_size(header), sizeof *c->tensors);
    const char *name;
    json_t *entry;
    json_object_foreach(header, name, entry)
    {
        if (!strcmp(name, "__metadata__"))
            continue;
        struct tensor *t = &c->tensors[c->tensor_count++];
        *t = (struct tensor){.name = name, .file = path};
        read_tensor(t, entry, data, (size_t)(m.bytes - 8 - length));
        c->is_quantized |= t->dtype == DTYPE_F8_E4M3 || t->dtype == DTYPE_F8_E5M2;
    }
}

static const struct tensor *find(const struct checkpoint *c, const char *name)
{
    for (size_t i = 0; i < c->tensor_count; i++)
        if (!strcmp(c->tensors[i].name, name))
            return &c->tensors[i];
    return NULL;
}

/* Reads the shards that an index names, each once. */
static void read_shards(struct checkpoint *c, const char *index_path)
{
    json_t *seen = json_object(), *index = parse_file(index_path), *shard;
    json_t *map = json_object_get(index, "weight_map");
    const char *name;
    if (!seen || !json_object_size(map))
        fail(EXIT_INPUT, "%s: weight_map must be an object", index_path);
    json_object_foreach(map, name, shard)
    {
        const char *file = json_string_value(shard);
        if (!file || !*file || strchr(file, '/'))
            fail(EXIT_INPUT,
                 "%s: a shard must be a plain file name: weight_map = %.128s "
                 "(tensor \"%.128s\")",
                 index_path, file ? file : "no string", name);
        if (!json_object_get(seen, file)) {
            read_shard(c, path_in(c, file));
            json_object_set_new(seen, file, json_true());
        }
        if (!find(c, name))
            fail(EXIT_INPUT, "%s: missing from the shards: tensor \"%.128s\"", index_path, name);
    }
    json_decref(seen);
    json_decref(index);
}

static void write_shape(char *to, size_t bytes, const size_t *shape, size_t dims)
{
    size_t used = (size_t)snprintf(to, bytes, "[");
    for (size_t i = 0; i < dims && used < bytes; i++)
        used += (size_t)snprintf(to + used, bytes - used, "%s%zu", i ? ", " : "", shape[i]);
    if (used < bytes)
        snprintf(to + used, bytes - used, "]");
}

const struct tensor *checkpoint_tensor(const struct checkpoint *c, const char *name, size_t rows,
                                       size_t cols)
{
    const struct tensor *t = find(c, name);
    const size_t shape[] = {rows, cols}, dims = cols ? 2 : 1;
    if (!t)
        fail(EXIT_INPUT, "%s: missing: tensor \"%s\"", c->folder, name);
    if (t->dims != dims || memcmp(t->shape, shape, dims * sizeof *shape)) {
        char is[256], expected[64];
        write_shape(is, sizeof is, t->shape, t->dims);
        write_shape(expected, sizeof expected, shape, dims);
        fail(EXIT_INPUT, "%s: not what config.json says: shape = %s, expected %s (tensor \"%s\")",
             t->file, is, expected, name);
    }
    return t;
}

void fail_dtype(const struct tensor *t, const char *expected)
{
    fail(EXIT_INPUT, "%s: not supported here: dtype = %s, expected %s (tensor \"%s\")", t->file,
         t->dtype_name, expected, t->name);
}

float tensor_value(const struct tensor *t, size_t index)
{
    const uint8_t *p = t->data + index * (t->dtype == DTYPE_F32 ? 4 : 2);
    const uint32_t low = p[0] | (uint32_t)p[1] << 8;
    const uint32_t bits =
        t->dtype == DTYPE_F32 ? low | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24 : low << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* -------------------------------------------- Config ----------------------------------------- */

/* config.json, while it is read. */
struct reader {
    const char *path;
    const json_t *json;
};

/* Sizes are bounded so that no product of three of them overflows. */
#define MAX_SIZE   ((json_int_t)1 << 20)
#define MAX_LAYERS 4096

/* Returns an integer field; `fallback` when it is missing or null, unless that is 0. */
static size_t size_field(const struct reader *r, const char *name, size_t fallback)
{
    const json_t *field = json_object_get(r->json, name);
    if ((!field || json_is_null(field)) && fallback)
        return fallback;
    const json_int_t value = json_integer_value(field);
    if (value < 1 || value > MAX_SIZE)
        fail(EXIT_INPUT, "%s: must be an integer from 1 to %lld: %s = %lld", r->path,
             (long long)MAX_SIZE, name, (long long)value);
    return (size_t)value;
}

static double number(const struct reader *r, const json_t *field, const char *name, double from,
                     double to)
{
    const double value = json_number_value(field);
    if (!json_is_number(field) || !(value >= from && value <= to))
        fail(EXIT_INPUT, "%s: must be a number from %g to %g: %s = %g", r->path, from, to, name,
             value);
    return value;
}

/* Fails unless a field is missing, null or `expected`. */
static void expect_string(const struct reader *r, const json_t *field, const char *name,
                          const char *expected)
{
    const char *value = json_string_value(field);
    if (field && !json_is_null(field) && (!value || strcmp(value, expected)))
        fail(EXIT_INPUT, "%s: not supported: %s = %.128s, expected %s", r->path, name,
             value ? value : "no string", expected);
}

static void expect_no(const struct reader *r, const char *name)
{
    if (json_is_true(json_object_get(r->json, name)))
        fail(EXIT_INPUT, "%s: not supported: %s = true, expected false", r->path, name);
}

/* Newer configs have rope_parameters, older ones rope_theta and rope_scaling. */
static double read_rope(const struct reader *r)
{
    const json_t *rope = json_object_get(r->json, "rope_parameters");
    const json_t *scaling = json_object_get(r->json, "rope_scaling");
    const json_t *theta = json_object_get(json_is_object(rope) ? rope : r->json, "rope_theta");
    expect_string(r, json_object_get(rope, "rope_type"), "rope_type", "default");
    if (json_is_object(scaling)) {
        const json_t *type = json_object_get(scaling, "rope_type");
        expect_string(r, type ? type : json_object_get(scaling, "type"), "rope_scaling", "default");
    }
    return theta ? number(r, theta, "rope_theta", 1, 1e12) : 10000;
}

static void read_config(struct checkpoint *c, const char *path)
{
    json_t *json = parse_file(path);
    const struct reader r = {path, json};
    struct config *to = &c->config;
    expect_string(&r, json_object_get(json, "model_type"), "model_type", "llama");
    expect_string(&r, json_object_get(json, "hidden_act"), "hidden_act", "silu");
    expect_no(&r, "attention_bias");
    expect_no(&r, "mlp_bias");
    to->hidden_size = size_field(&r, "hidden_size", 0);
    to->intermediate_size = size_field(&r, "intermediate_size", 0);
    to->layers = size_field(&r, "num_hidden_layers", 0);
    to->heads = size_field(&r, "num_attention_heads", 0);
    to->kv_heads = size_field(&r, "num_key_value_heads", to->heads);
    to->vocab_size = size_field(&r, "vocab_size", 0);
    to->context = size_field(&r, "max_position_embeddings", 2048);
    to->tied = json_is_true(json_object_get(json, "tie_word_embeddings"));
    if (to->heads > to->hidden_size)
        fail(EXIT_INPUT, "%s: num_attention_heads = %zu, at most hidden_size = %zu", path,
             to->heads, to->hidden_size);
    to->head_dim = size_field(&r, "head_dim", to->hidden_size / to->heads);
    to->norm_eps = number(&r, json_object_get(json, "rms_norm_eps"), "rms_norm_eps", 0, 1);
    to->rope_theta = read_rope(&r);
    if (to->layers > MAX_LAYERS)
        fail(EXIT_INPUT, "%s: num_hidden_layers = %zu, at most %d", path, to->layers, MAX_LAYERS);
    if (to->heads % to->kv_heads)
        fail(EXIT_INPUT, "%s: num_attention_heads = %zu, no multiple of num_key_value_heads = %zu",
             path, to->heads, to->kv_heads);
    if (to->head_dim % 2)
        fail(EXIT_INPUT, "%s: head_dim = %zu, must be even", path, to->head_dim);
    json_decref(json);
}

/* Reads the config, and the shards of the index or the one file of weights. */
void checkpoint_open(struct checkpoint *c, const char *folder)
{
    *c = (struct checkpoint){.folder = folder};
    char *config = path_in(c, "config.json"), *index = path_in(c, "model.safetensors.index.json");
    read_config(c, config);
    if (!access(index, F_OK))
        read_shards(c, index);
    else
        read_shard(c, path_in(c, "model.safetensors"));
    free(config);
    free(index);
}

void checkpoint_close(struct checkpoint *c)
{
    for (size_t i = 0; i < c->shard_count; i++) {
        free(c->shards[i].path);
        unmap_file(c->shards[i].file);
        json_decref(c->shards[i].header);
    }
    free(c->shards);
    free(c->tensors);
}
