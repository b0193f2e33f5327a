/* SPDX-License-Identifier: Apache-2.0 */
/* model.c -- opens model folders and single files; see model.h for what a folder holds. */
#include "model.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json.h"

#define MAX_INDEX_BYTES  (256u << 20)
#define MAX_CONFIG_BYTES (16u << 20)
#define MAX_FOLDER_DEPTH 16

#define FAIL(code, path, ...)                                                                      \
    mxq_io_fail(error, MXQ_IO_##code, (struct mxq_io_place){path, MXQ_IO_NOWHERE, NULL},           \
                __VA_ARGS__)

char *mxq_join_path(const char *folder, const char *name)
{
    struct mxq_text text = {0};
    mxq_text_string(&text, folder);
    if (text.bytes && text.data[text.bytes - 1] != '/')
        mxq_text_string(&text, "/");
    mxq_text_string(&text, name);
    if (text.failed)
        mxq_text_free(&text);
    return text.data;
}

/* ------------------------------------- Files of a folder -------------------------------------- */

/* Returns 1 when `path` lies below `folder`; both are absolute and free of links. */
static int lies_below(const char *path, const char *folder, size_t folder_bytes)
{
    return !strncmp(path, folder, folder_bytes) && path[folder_bytes] == '/';
}

/* Returns 1 when the target of a link may be read: it is in the folder, or the folder is
 * <repository>/snapshots/<revision> of a Hugging Face cache and it is in <repository>/blobs. */
static int may_follow(const char *folder, const char *target)
{
    if (lies_below(target, folder, strlen(folder)))
        return 1;
    const char *revision = strrchr(folder, '/');
    static const char snapshots[] = "/snapshots";
    const size_t bytes = sizeof snapshots - 1;
    if (!revision || (size_t)(revision - folder) < bytes ||
        memcmp(revision - bytes, snapshots, bytes) != 0)
        return 0;
    const size_t repository = (size_t)(revision - folder) - bytes;
    return lies_below(target, folder, repository) &&
           !strncmp(target + repository, "/blobs/", sizeof "/blobs/" - 1);
}

static enum mxq_io_code open_link(const struct mxq_model *model, const char *path,
                                  struct mxq_file *file, struct mxq_io_error *error)
{
    char *folder = realpath(model->path, NULL);
    char *target = realpath(path, NULL);
    enum mxq_io_code code;
    if (!folder || !target)
        code = mxq_io_fail_system(error, path, "cannot follow the symbolic link", errno);
    else if (!may_follow(folder, target))
        code = FAIL(UNSAFE_PATH, path, "a symbolic link leaves the model's folder");
    else
        code = mxq_file_open(file, AT_FDCWD, target, O_NOFOLLOW, path, error);
    free(folder);
    free(target);
    return code;
}

enum mxq_io_code mxq_model_open_file(const struct mxq_model *model, const char *name,
                                     const char *path, struct mxq_file *file,
                                     struct mxq_io_error *error)
{
    struct stat s;
    if (fstatat(model->folder, name, &s, AT_SYMLINK_NOFOLLOW))
        return mxq_io_fail_system(error, path, "cannot open", errno);
    if (S_ISLNK(s.st_mode))
        return open_link(model, path, file, error);
    return mxq_file_open(file, model->folder, name, O_NOFOLLOW, path, error);
}

static enum mxq_io_code load(const struct mxq_model *model, const char *name, size_t limit,
                             enum mxq_io_code too_large, char **text, size_t *bytes,
                             struct mxq_io_error *error)
{
    char *path = mxq_join_path(model->path, name);
    if (!path)
        return mxq_io_fail_memory(error, name);
    struct mxq_file file;
    enum mxq_io_code code = mxq_model_open_file(model, name, path, &file, error);
    if (!code) {
        code = mxq_file_load(&file, limit, too_large, text, bytes, error);
        mxq_file_close(&file);
    }
    free(path);
    return code;
}

/* ------------------------------------------ Scanning ------------------------------------------ */

struct names {
    char **items;
    size_t count;
    size_t capacity;
};

/* Takes ownership of `name`, which may be NULL after an allocation failed. */
static int add_name(struct names *names, char *name)
{
    if (names->count == names->capacity && name) {
        const size_t capacity = names->capacity ? 2 * names->capacity : 16;
        char **grown = realloc(names->items, capacity * sizeof *grown);
        if (grown) {
            names->items = grown;
            names->capacity = capacity;
        }
    }
    if (!name || names->count == names->capacity) {
        free(name);
        return 0;
    }
    names->items[names->count++] = name;
    return 1;
}

static void free_names(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
    *names = (struct names){0};
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_names(struct names *names)
{
    if (names->count)
        qsort(names->items, names->count, sizeof *names->items, compare_strings);
}

static int matches_any(const char *name, const char *const *patterns)
{
    for (; *patterns; patterns++)
        if (!fnmatch(*patterns, name, 0))
            return 1;
    return 0;
}

/* What a walk through a folder found. */
struct scan {
    struct names shards;     /* *.safetensors in the folder itself */
    struct names indices;    /* *.safetensors.index.json there */
    struct names companions; /* everything else, subfolders too */
    struct names folders;    /* still to be walked */
};

/* Sorts one directory entry into the lists; `path` is its path below the model. */
static int classify(struct mxq_model *model, struct scan *scan, int is_folder, const char *path)
{
    static const char *const other_weights[] = {
        "*.bin", "*.bin.index.json", "*.pt",   "*.pth",         "*.gguf",
        "*.h5",  "*.msgpack",        "*.onnx", "*.safetensors", "*.safetensors.index.json",
        NULL};
    static const char *const left_out[] = {"hf_quant_config.json", "*.mxq-*.part", NULL};
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (is_folder) {
        size_t depth = 0;
        for (const char *p = path; *p; p++)
            depth += *p == '/';
        if (name[0] == '.' || !strcmp(path, "original") || depth >= MAX_FOLDER_DEPTH)
            return 1;
        return add_name(&scan->folders, strdup(path));
    }
    if (!slash && !fnmatch("*.safetensors", name, 0))
        return add_name(&scan->shards, strdup(path));
    if (!slash && !fnmatch("*.safetensors.index.json", name, 0))
        return add_name(&scan->indices, strdup(path));
    if (!strcmp(path, "hf_quant_config.json"))
        model->has_hf_quant_config = 1;
    if (matches_any(name, left_out) || !strcmp(path, "config.json"))
        return 1;
    if (matches_any(name, other_weights)) {
        model->has_other_weights = 1;
        return 1;
    }
    return add_name(&scan->companions, strdup(path));
}

static enum mxq_io_code walk(struct mxq_model *model, struct scan *scan, const char *below,
                             struct mxq_io_error *error)
{
    const int fd = openat(model->folder, *below ? below : ".",
                          O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        const int number = errno;
        if (fd >= 0)
            close(fd);
        return mxq_io_fail_system(error, model->path, "cannot list the folder", number);
    }
    enum mxq_io_code code = MXQ_IO_OK;
    struct dirent *entry;
    while (!code && (errno = 0, entry = readdir(directory))) {
        struct stat s;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (fstatat(fd, entry->d_name, &s, AT_SYMLINK_NOFOLLOW))
            continue; /* it went away meanwhile */
        if (!S_ISDIR(s.st_mode) && !S_ISREG(s.st_mode) && !S_ISLNK(s.st_mode))
            continue; /* pipes and sockets are no part of a model */
        char *path = *below ? mxq_join_path(below, entry->d_name) : strdup(entry->d_name);
        if (!path || !classify(model, scan, S_ISDIR(s.st_mode), path))
            code = mxq_io_fail_memory(error, model->path);
        free(path);
    }
    if (!code && errno)
        code = mxq_io_fail_system(error, model->path, "cannot list the folder", errno);
    closedir(directory);
    return code;
}

static enum mxq_io_code scan_folder(struct mxq_model *model, struct scan *scan,
                                    struct mxq_io_error *error)
{
    enum mxq_io_code code = walk(model, scan, "", error);
    while (!code && scan->folders.count) {
        char *below = scan->folders.items[--scan->folders.count];
        code = walk(model, scan, below, error);
        free(below);
    }
    sort_names(&scan->shards);
    sort_names(&scan->indices);
    sort_names(&scan->companions);
    return code;
}

/* ----------------------------------------- The index ------------------------------------------ */

struct placement {
    char *tensor;
    char *shard;
};

struct index {
    struct placement *items;
    size_t count;
    size_t capacity;
};

static int compare_by_shard(const void *a, const void *b)
{
    return strcmp(((const struct placement *)a)->shard, ((const struct placement *)b)->shard);
}

static int compare_by_tensor(const void *a, const void *b)
{
    return strcmp(((const struct placement *)a)->tensor, ((const struct placement *)b)->tensor);
}

static void free_index(struct index *index)
{
    for (size_t i = 0; i < index->count; i++) {
        free(index->items[i].tensor);
        free(index->items[i].shard);
    }
    free(index->items);
    *index = (struct index){0};
}

/* A shard is a plain file name: no separators of any system, no drive letter, nothing hidden. */
static int is_shard_name(const char *name)
{
    const size_t bytes = strlen(name);
    if (bytes > 200 || name[0] == '.' || fnmatch("?*.safetensors", name, 0))
        return 0;
    for (const char *p = name; *p; p++)
        if (*p == '/' || *p == '\\' || *p == ':' || (unsigned char)*p < 0x20 || *p == 0x7F)
            return 0;
    return 1;
}

static enum mxq_io_code fail_index(const char *path, const struct mxq_json_fault *fault,
                                   struct mxq_io_error *error)
{
    const enum mxq_io_code code =
        fault->code == MXQ_IO_HEADER_NOT_OBJECT ? MXQ_IO_BAD_JSON : fault->code;
    return mxq_io_fail(error, code, (struct mxq_io_place){path, fault->at, NULL}, "%s",
                       fault->what);
}

/* Takes ownership of both strings. */
static int add_placement(struct index *index, char *tensor, char *shard)
{
    if (index->count == index->capacity) {
        const size_t capacity = index->capacity ? 2 * index->capacity : 64;
        struct placement *grown = realloc(index->items, capacity * sizeof *grown);
        if (!grown) {
            free(tensor);
            free(shard);
            return 0;
        }
        index->items = grown;
        index->capacity = capacity;
    }
    index->items[index->count++] = (struct placement){tensor, shard};
    return 1;
}

static enum mxq_io_code read_weight_map(struct index *index, const char *path, const char *text,
                                        struct mxq_json_span map, struct mxq_io_error *error)
{
    struct mxq_json_fault fault;
    struct mxq_json_steps steps = mxq_json_enter(text, map);
    struct mxq_json_span key, value;
    int more;
    while ((more = mxq_json_next(&steps, &key, &value, &fault)) == 1) {
        const struct mxq_io_place place = {path, value.begin, NULL};
        if (text[value.begin] != '"')
            return mxq_io_fail(error, MXQ_IO_BAD_INDEX, place, "the name of a shard is no string");
        char *tensor = mxq_json_unescape(text, key, &fault);
        char *shard = tensor ? mxq_json_unescape(text, value, &fault) : NULL;
        if (!shard) {
            free(tensor);
            return fail_index(path, &fault, error);
        }
        if (!is_shard_name(shard)) {
            char escaped[MXQ_IO_ESCAPED];
            const enum mxq_io_code code =
                mxq_io_fail(error, MXQ_IO_UNSAFE_PATH, place,
                            "the name of a shard must be a plain file name ending in "
                            ".safetensors: shard = \"%s\"",
                            mxq_io_escape(escaped, shard, MXQ_IO_NAME_LIMIT));
            free(tensor);
            free(shard);
            return code;
        }
        if (!add_placement(index, tensor, shard))
            return mxq_io_fail_memory(error, path);
    }
    return more ? fail_index(path, &fault, error) : MXQ_IO_OK;
}

static uint64_t declared(const char *text, struct mxq_json_span metadata, const char *name)
{
    struct mxq_json_fault fault;
    struct mxq_json_span value;
    if (!mxq_json_find(text, metadata, name, NULL, &value))
        return 0;
    json_t *json = mxq_json_parse(text, value, &fault);
    const json_int_t number = json_is_integer(json) ? json_integer_value(json) : 0;
    json_decref(json);
    return number > 0 ? (uint64_t)number : 0;
}

static enum mxq_io_code read_index_text(struct mxq_model *model, struct index *index,
                                        const char *path, const char *text, size_t bytes,
                                        struct mxq_io_error *error)
{
    static const struct mxq_json_rules rules = {8, 0, 0};
    struct mxq_json_fault fault;
    if (!mxq_json_check(text, bytes, &rules, &fault))
        return fail_index(path, &fault, error);
    const struct mxq_json_span root = {0, bytes};
    struct mxq_json_span value;
    if (mxq_json_find(text, root, "metadata", NULL, &value) && text[value.begin] == '{') {
        model->declared_size = declared(text, value, "total_size");
        model->declared_elements = declared(text, value, "total_parameters");
    }
    if (!mxq_json_find(text, root, "weight_map", NULL, &value) || text[value.begin] != '{')
        return FAIL(BAD_INDEX, path, "the index has no object \"weight_map\"");
    const enum mxq_io_code code = read_weight_map(index, path, text, value, error);
    if (code)
        return code;
    if (!index->count)
        return FAIL(BAD_INDEX, path, "the index names no tensor");
    qsort(index->items, index->count, sizeof *index->items, compare_by_tensor);
    for (size_t i = 1; i < index->count; i++)
        if (!strcmp(index->items[i - 1].tensor, index->items[i].tensor))
            return mxq_io_fail(error, MXQ_IO_BAD_INDEX,
                               (struct mxq_io_place){path, MXQ_IO_NOWHERE, index->items[i].tensor},
                               "the index names a tensor twice");
    return MXQ_IO_OK;
}

/* Lists the shards that an index names, sorted. */
static int list_shards(struct index *index, struct names *shards)
{
    qsort(index->items, index->count, sizeof *index->items, compare_by_shard);
    int ok = 1;
    for (size_t i = 0; ok && i < index->count; i++)
        if (!i || strcmp(index->items[i - 1].shard, index->items[i].shard) != 0)
            ok = add_name(shards, strdup(index->items[i].shard));
    qsort(index->items, index->count, sizeof *index->items, compare_by_tensor);
    return ok;
}

/* ------------------------------------ Tensors over shards ------------------------------------- */

struct located {
    const struct mxq_tensor *tensor;
    const struct mxq_shard *shard;
};

static int compare_located(const void *a, const void *b)
{
    const struct located *x = a, *y = b;
    const int order = strcmp(x->tensor->name, y->tensor->name);
    return order ? order : (x->shard > y->shard) - (x->shard < y->shard);
}

/* Every tensor must be in one shard, and in the one that the index names. */
static enum mxq_io_code check_placements(const struct mxq_model *model, const struct index *index,
                                         const char *index_path, struct mxq_io_error *error)
{
    size_t count = 0;
    for (size_t i = 0; i < model->count; i++)
        count += model->shards[i].header.count;
    struct located *all = malloc((count + 1) * sizeof *all);
    if (!all)
        return mxq_io_fail_memory(error, model->path);
    size_t n = 0;
    for (size_t i = 0; i < model->count; i++)
        for (size_t j = 0; j < model->shards[i].header.count; j++)
            all[n++] = (struct located){&model->shards[i].header.tensors[j], &model->shards[i]};
    qsort(all, count, sizeof *all, compare_located);
    enum mxq_io_code code = MXQ_IO_OK;
    for (size_t i = 1; !code && i < count; i++)
        if (!strcmp(all[i - 1].tensor->name, all[i].tensor->name))
            code = mxq_io_fail(
                error, MXQ_IO_BAD_INDEX,
                (struct mxq_io_place){all[i].shard->path, all[i].tensor->at, all[i].tensor->name},
                "a tensor is in two shards: the other is \"%s\"", all[i - 1].shard->name);
    size_t k = 0; /* both lists are sorted by name */
    for (size_t i = 0; !code && i < index->count; i++) {
        const struct placement *p = &index->items[i];
        while (k < count && strcmp(all[k].tensor->name, p->tensor) < 0)
            k++;
        if (k == count || strcmp(all[k].tensor->name, p->tensor) != 0 ||
            strcmp(all[k].shard->name, p->shard) != 0)
            code = mxq_io_fail(error, MXQ_IO_BAD_INDEX,
                               (struct mxq_io_place){index_path, MXQ_IO_NOWHERE, p->tensor},
                               "a tensor is not in its shard: shard = \"%s\"", p->shard);
    }
    free(all);
    return code;
}

/* ------------------------------------------ Opening ------------------------------------------- */

static enum mxq_io_code read_shard(struct mxq_model *model, struct mxq_shard *shard,
                                   struct mxq_io_error *error)
{
    struct mxq_file file;
    enum mxq_io_code code =
        model->folder < 0 ? mxq_file_open(&file, AT_FDCWD, shard->name, 0, shard->path, error)
                          : mxq_model_open_file(model, shard->name, shard->path, &file, error);
    if (code == MXQ_IO_NOT_FOUND && model->index_name)
        return FAIL(BAD_INDEX, shard->path, "a shard that the index names is missing");
    if (code)
        return code;
    shard->identity = file.identity;
    code = mxq_safetensors_read(&shard->header, &file.reader, error);
    mxq_file_close(&file);
    return code;
}

/* Reads the header of every shard, in the order of the names. */
static enum mxq_io_code read_shards(struct mxq_model *model, struct names *names,
                                    struct mxq_io_error *error)
{
    model->shards = calloc(names->count + 1, sizeof *model->shards);
    if (!model->shards)
        return mxq_io_fail_memory(error, model->path);
    enum mxq_io_code code = MXQ_IO_OK;
    for (size_t i = 0; !code && i < names->count; i++) {
        struct mxq_shard *shard = &model->shards[model->count];
        shard->name = strdup(names->items[i]);
        shard->path =
            model->folder < 0 ? strdup(model->path) : mxq_join_path(model->path, names->items[i]);
        model->count++;
        code = shard->name && shard->path ? read_shard(model, shard, error)
                                          : mxq_io_fail_memory(error, model->path);
    }
    return code;
}

/* Chooses the index: model.safetensors.index.json, or the only one there is. */
static enum mxq_io_code choose_index(struct mxq_model *model, const struct scan *scan,
                                     struct mxq_io_error *error)
{
    static const char usual[] = "model.safetensors.index.json";
    const char *chosen = scan->indices.count == 1 ? scan->indices.items[0] : NULL;
    for (size_t i = 0; i < scan->indices.count; i++)
        if (!strcmp(scan->indices.items[i], usual))
            chosen = usual;
    if (!chosen && scan->indices.count)
        return FAIL(BAD_INDEX, model->path, "several *.safetensors.index.json, none named %s",
                    usual);
    if (chosen && !(model->index_name = strdup(chosen)))
        return mxq_io_fail_memory(error, model->path);
    return MXQ_IO_OK;
}

static enum mxq_io_code open_weights(struct mxq_model *model, struct scan *scan,
                                     struct mxq_io_error *error)
{
    struct index index = {0};
    struct names shards = {0};
    char *path = NULL;
    enum mxq_io_code code = choose_index(model, scan, error);
    if (!code && model->index_name) {
        char *text = NULL;
        size_t bytes = 0;
        path = mxq_join_path(model->path, model->index_name);
        code = path ? load(model, model->index_name, MAX_INDEX_BYTES, MXQ_IO_BAD_INDEX, &text,
                           &bytes, error)
                    : mxq_io_fail_memory(error, model->path);
        if (!code)
            code = read_index_text(model, &index, path, text, bytes, error);
        free(text);
        if (!code && !list_shards(&index, &shards))
            code = mxq_io_fail_memory(error, model->path);
    }
    if (!code && !model->index_name && !scan->shards.count)
        code = FAIL(NO_WEIGHTS, model->path, "the folder holds no *.safetensors%s",
                    model->has_other_weights ? "; convert its weights to safetensors first" : "");
    if (!code)
        code = read_shards(model, model->index_name ? &shards : &scan->shards, error);
    if (!code)
        code = check_placements(model, &index, path, error);
    free(path);
    free_names(&shards);
    free_index(&index);
    return code;
}

static enum mxq_io_code open_folder(struct mxq_model *model, struct mxq_io_error *error)
{
    struct scan scan = {0};
    enum mxq_io_code code = scan_folder(model, &scan, error);
    if (!code)
        code = open_weights(model, &scan, error);
    if (!code) {
        code = load(model, "config.json", MAX_CONFIG_BYTES, MXQ_IO_BAD_CONFIG, &model->config,
                    &model->config_bytes, error);
        if (code == MXQ_IO_NOT_FOUND)
            code = MXQ_IO_OK;
    }
    model->companions = scan.companions.items;
    model->companion_count = scan.companions.count;
    free_names(&scan.shards);
    free_names(&scan.indices);
    free_names(&scan.folders);
    return code;
}

enum mxq_io_code mxq_model_open(struct mxq_model *model, const char *path,
                                struct mxq_io_error *error)
{
    *model = (struct mxq_model){.path = strdup(path), .folder = -1};
    if (!model->path)
        return mxq_io_fail_memory(error, path);
    enum mxq_io_code code;
    struct stat s;
    if (stat(path, &s)) {
        code = mxq_io_fail_system(error, path, "cannot open", errno);
    } else if (S_ISDIR(s.st_mode)) {
        model->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        code = model->folder < 0 ? mxq_io_fail_system(error, path, "cannot open", errno)
                                 : open_folder(model, error);
    } else {
        struct names single = {&model->path, 1, 1};
        code = read_shards(model, &single, error);
    }
    if (code)
        mxq_model_close(model);
    return code;
}

void mxq_model_close(struct mxq_model *model)
{
    for (size_t i = 0; i < model->count; i++) {
        mxq_safetensors_free(&model->shards[i].header);
        free(model->shards[i].name);
        free(model->shards[i].path);
    }
    for (size_t i = 0; i < model->companion_count; i++)
        free(model->companions[i]);
    free(model->shards);
    free(model->companions);
    free(model->config);
    free(model->index_name);
    free(model->path);
    if (model->folder >= 0)
        close(model->folder);
    *model = (struct mxq_model){.folder = -1};
}

enum mxq_io_code mxq_shard_open(const struct mxq_model *model, const struct mxq_shard *shard,
                                struct mxq_file *file, struct mxq_io_error *error)
{
    enum mxq_io_code code = model->folder < 0
                                ? mxq_file_open(file, AT_FDCWD, shard->name, 0, shard->path, error)
                                : mxq_model_open_file(model, shard->name, shard->path, file, error);
    if (code)
        return code;
    code = mxq_file_check_identity(file, &shard->identity, error);
    if (code)
        mxq_file_close(file);
    return code;
}
