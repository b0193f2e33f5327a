/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_safetensors.c -- feeds any bytes to the safetensors reader and the planner.
 *
 * What is accepted must be whole: data without holes or overlaps, and a plan whose header reads
 * back as planned.  With clang, -fsanitize=fuzzer makes it a fuzzer; else main() replays files and
 * folders and small mutations of them. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check_whole(const struct mxq_safetensors *st)
{
    uint64_t end = 0;
    for (size_t i = 0; i < st->count; i++) {
        const struct mxq_tensor *t = &st->tensors[i];
        REQUIRE(t->begin == end && t->end >= t->begin);
        REQUIRE((t->end - t->begin) * 8 == t->elements * mxq_dtype_bits(t->dtype));
        REQUIRE(mxq_safetensors_find(st, t->name) == t);
        end = t->end;
    }
    REQUIRE(end == st->data_bytes);
}

/* An output file of which only the header is in memory. */
static int read_planned(const void *context, void *to, size_t bytes, uint64_t offset)
{
    const struct mxq_text *header = context;
    REQUIRE(offset <= header->bytes && bytes <= header->bytes - offset);
    memcpy(to, header->data + offset, bytes);
    return 0;
}

static void check_plan(const struct mxq_safetensors *st, const struct mxq_format_info *format)
{
    struct mxq_io_error error;
    struct mxq_plan plan;
    struct mxq_convert_options options;
    struct mxq_shard shard = {.path = (char[]){"fuzz"}, .name = (char[]){"fuzz"}, .header = *st};
    const struct mxq_model model = {.path = shard.path, .folder = -1, .shards = &shard, .count = 1};
    REQUIRE(mxq_convert_options_init(&options));
    options.format = *format;
    if (!mxq_plan_make(&plan, &model, &options, &error)) {
        const struct mxq_plan_file *file = &plan.files[0];
        const struct mxq_reader reader = {"plan", file->bytes, read_planned, &file->header};
        struct mxq_safetensors again;
        const enum mxq_io_code code = mxq_safetensors_read(&again, &reader, &error);
        REQUIRE(!code);
        check_whole(&again);
        REQUIRE(again.count == file->entries);
        mxq_safetensors_free(&again);
        mxq_plan_free(&plan);
    }
    mxq_convert_options_free(&options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mxq_safetensors st;
    struct mxq_io_error error;
    const struct mxq_memory memory = {data, size};
    const struct mxq_reader reader = mxq_memory_reader(&memory, "fuzz");
    if (mxq_safetensors_read(&st, &reader, &error))
        return 0;
    check_whole(&st);
    struct mxq_format_info format;
    for (size_t i = 0; mxq_format_at(i, &format); i++)
        check_plan(&st, &format);
    mxq_safetensors_free(&st);
    return 0;
}

#ifndef MXQ_LIBFUZZER

/* Runs a file as it is, then with each of its first bytes changed, and cut there. */
static int replay(const char *path)
{
    FILE *from = fopen(path, "rb");
    if (!from)
        return 1;
    static uint8_t bytes[1 << 20];
    const size_t size = fread(bytes, 1, sizeof bytes, from);
    fclose(from);
    LLVMFuzzerTestOneInput(bytes, size);
    uint8_t *copy = malloc(size + 1);
    if (!copy)
        return 1;
    for (size_t i = 0; i < size && i < 1024; i++) {
        static const uint8_t changes[] = {0x01, 0x20, 0x80, 0xFF};
        for (size_t c = 0; c < sizeof changes; c++) {
            memcpy(copy, bytes, size);
            copy[i] ^= changes[c];
            LLVMFuzzerTestOneInput(copy, size);
        }
        LLVMFuzzerTestOneInput(copy, i);
    }
    free(copy);
    return 0;
}

int main(int argc, char **argv)
{
    size_t count = 0;
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        struct dirent *entry;
        while (folder && (entry = readdir(folder))) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            if (entry->d_name[0] != '.' && replay(path))
                return 1;
            count += entry->d_name[0] != '.';
        }
        if (folder)
            closedir(folder);
        else if (replay(argv[i]))
            return 1;
        else
            count++;
    }
    printf("%zu files replayed\n", count);
    return count ? 0 : 1;
}

#endif
