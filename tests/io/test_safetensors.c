/* SPDX-License-Identifier: Apache-2.0 */
/* test_safetensors.c -- every way in which a safetensors header can be wrong has its own code, and
 * the byte at fault is named; what is valid is read as it is written. */
#include "safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "model.h"

/* ------------------------------------------ Building files ------------------------------------ */

struct bytes {
    unsigned char *data;
    size_t count;
};

/* A file with a header of `length` bytes and `data_bytes` bytes of data. */
static struct bytes build(const char *header, size_t length, size_t data_bytes)
{
    struct bytes file = {malloc(8 + length + data_bytes + 1), 8 + length + data_bytes};
    assert_non_null(file.data);
    for (int i = 0; i < 8; i++)
        file.data[i] = (unsigned char)((uint64_t)length >> (8 * i) & 0xFF);
    memcpy(file.data + 8, header, length);
    memset(file.data + 8 + length, 0xA5, data_bytes);
    return file;
}

/* Exactly as large as the file, so that a sanitizer sees any read behind its end. */
static enum mxq_io_code parse(const struct bytes *file, struct mxq_safetensors *st,
                              struct mxq_io_error *error)
{
    unsigned char *exact = malloc(file->count ? file->count : 1);
    assert_non_null(exact);
    memcpy(exact, file->data, file->count);
    const struct mxq_memory memory = {exact, file->count};
    const struct mxq_reader reader = mxq_memory_reader(&memory, "test");
    memset(error, 0, sizeof *error);
    const enum mxq_io_code code = mxq_safetensors_read(st, &reader, error);
    if (code)
        assert_int_equal(code, error->code);
    free(exact);
    return code;
}

/* --------------------------------------- Malformed headers ------------------------------------ */

#define U8(n, begin, end)                                                                          \
    "{\"dtype\":\"U8\",\"shape\":[" #n "],\"data_offsets\":[" #begin "," #end "]}"

/* One malformed file.  A '@' in the header marks the byte at fault, and is no part of it. */
struct malformed {
    const char *name;
    enum mxq_io_code code;
    const char *header;
    size_t data_bytes;
};

static const struct malformed malformed[] = {
    /* C06 .. C17 */
    {"C06 shape", MXQ_IO_SHAPE_OVERFLOW,
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,@4294967296],\"data_offsets\":[0,4]}}", 4},
    {"C06 2^63", MXQ_IO_SHAPE_OVERFLOW,
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,@2147483648],\"data_offsets\":[0,4]}}", 4},
    {"C07 size", MXQ_IO_SIZE_OVERFLOW,
     "{\"a\":{\"dtype\":\"F64\",\"shape\":@[2147483648,2147483648],\"data_offsets\":[0,4]}}", 4},
    {"C07 F4", MXQ_IO_SUBBYTE, "{\"a\":{\"dtype\":\"F4\",\"shape\":@[3],\"data_offsets\":[0,1]}}",
     1},
    {"C07 F6", MXQ_IO_SUBBYTE,
     "{\"a\":{\"dtype\":\"F6_E2M3\",\"shape\":@[2,3],\"data_offsets\":[0,4]}}", 4},
    {"C09 one", MXQ_IO_DATA_PAST_EOF,
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":@[0,4]}}", 3},
    {"C09 far", MXQ_IO_DATA_PAST_EOF,
     "{\"a\":" U8(4, 0, 4) ",\"b\":{\"dtype\":\"U8\",\"shape\":[128],\"data_offsets\":@[100,228]}}",
     200},
    {"C09 all", MXQ_IO_DATA_PAST_EOF,
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[9007199254740992],\"data_offsets\":@[0,"
     "9007199254740992]}}",
     1},
    {"C10 part", MXQ_IO_OVERLAP, "{\"a\":" U8(4, 0, 4) ",@\"b\":" U8(4, 2, 6) "}", 6},
    {"C10 one byte", MXQ_IO_OVERLAP, "{\"a\":" U8(4, 0, 4) ",@\"b\":" U8(4, 3, 7) "}", 7},
    {"C10 same", MXQ_IO_OVERLAP, "{\"a\":" U8(4, 0, 4) ",@\"b\":" U8(4, 0, 4) "}", 4},
    {"C10 inside", MXQ_IO_OVERLAP, "{@\"b\":" U8(1, 2, 3) ",\"a\":" U8(4, 0, 4) "}", 4},
    {"C10 empty inside", MXQ_IO_OVERLAP, "{\"a\":" U8(4, 0, 4) ",@\"b\":" U8(0, 2, 2) "}", 4},
    {"C11 hole", MXQ_IO_HOLE, "{\"a\":" U8(4, 0, 4) ",@\"b\":" U8(4, 5, 9) "}", 9},
    {"C11 first", MXQ_IO_HOLE, "{@\"a\":" U8(4, 1, 5) "}", 5},
    {"C12 plain", MXQ_IO_DUPLICATE_NAME, "{\"a\":" U8(4, 0, 4) ",@\"a\":" U8(4, 4, 8) "}", 8},
    {"C12 escaped", MXQ_IO_DUPLICATE_NAME, "{\"a\":" U8(4, 0, 4) ",@\"\\u0061\":" U8(4, 4, 8) "}",
     8},
    {"C12 same data", MXQ_IO_DUPLICATE_NAME, "{\"a\":" U8(4, 0, 4) ",@\"a\":" U8(4, 0, 4) "}", 4},
    {"C13 empty", MXQ_IO_BAD_NAME, "{@\"\":" U8(4, 0, 4) "}", 4},
    {"C13 NUL", MXQ_IO_BAD_NAME, "{\"a@\\u0000b\":" U8(4, 0, 4) "}", 4},
    {"C15", MXQ_IO_TOO_MANY_DIMS,
     "{\"a\":{\"dtype\":\"U8\",\"shape\":@[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1},
    /* S03 .. S05: text */
    {"S03 array", MXQ_IO_HEADER_NOT_OBJECT, "@[]", 0},
    {"S03 space", MXQ_IO_HEADER_NOT_OBJECT, "@ {}", 0},
    {"S03 text", MXQ_IO_HEADER_NOT_OBJECT, "@hello", 0},
    {"S04 BOM", MXQ_IO_BAD_UTF8, "@\xEF\xBB\xBF{}", 0},
    {"S04 stray", MXQ_IO_BAD_UTF8, "{\"a@\x80\":" U8(4, 0, 4) "}", 4},
    {"S04 overlong", MXQ_IO_BAD_UTF8, "{\"a@\xC0\xAF\":" U8(4, 0, 4) "}", 4},
    {"S04 overlong 3", MXQ_IO_BAD_UTF8, "{\"a@\xE0\x80\xAF\":" U8(4, 0, 4) "}", 4},
    {"S04 overlong 4", MXQ_IO_BAD_UTF8, "{\"a@\xF0\x80\x80\xAF\":" U8(4, 0, 4) "}", 4},
    {"S04 surrogate", MXQ_IO_BAD_UTF8, "{\"a@\xED\xA0\x80\":" U8(4, 0, 4) "}", 4},
    {"S04 large", MXQ_IO_BAD_UTF8, "{\"a@\xF4\x90\x80\x80\":" U8(4, 0, 4) "}", 4},
    {"S04 cut", MXQ_IO_BAD_UTF8, "{\"a@\xE2\x82", 0},
    {"S04 outside", MXQ_IO_BAD_UTF8, "{@\xFF}", 0},
    {"S04 high half", MXQ_IO_BAD_UTF8, "{\"@\\uD800\":" U8(4, 0, 4) "}", 4},
    {"S04 high high", MXQ_IO_BAD_UTF8, "{\"@\\uD800\\uD800\":" U8(4, 0, 4) "}", 4},
    {"S04 low half", MXQ_IO_BAD_UTF8, "{\"@\\udfff\":" U8(4, 0, 4) "}", 4},
    {"S05 end", MXQ_IO_BAD_JSON, "{\"a\":@", 0},
    {"S05 comma", MXQ_IO_BAD_JSON, "{\"a\":" U8(4, 0, 4) ",@}", 4},
    {"S05 no comma", MXQ_IO_BAD_JSON, "{\"a\":" U8(4, 0, 4) "@\"b\":" U8(4, 4, 8) "}", 8},
    {"S05 no colon", MXQ_IO_BAD_JSON, "{\"a\"@" U8(4, 0, 4) "}", 4},
    {"S05 no value", MXQ_IO_BAD_JSON, "{\"a\":@}", 0},
    {"S05 key", MXQ_IO_BAD_JSON, "{@1:" U8(4, 0, 4) "}", 4},
    {"S05 bracket", MXQ_IO_BAD_JSON, "{\"a\":" U8(4, 0, 4) "@]", 4},
    {"S05 single quotes", MXQ_IO_BAD_JSON, "{@'a':1}", 0},
    {"S05 control", MXQ_IO_BAD_JSON, "{\"a@\nb\":" U8(4, 0, 4) "}", 4},
    {"S05 escape", MXQ_IO_BAD_JSON, "{\"a@\\x41\":" U8(4, 0, 4) "}", 4},
    {"S05 hex", MXQ_IO_BAD_JSON, "{\"a@\\u00g1\":" U8(4, 0, 4) "}", 4},
    {"S05 string", MXQ_IO_BAD_JSON, "{@\"a", 0},
    {"S05 backslash", MXQ_IO_BAD_JSON, "{\"a@\\", 0},
    {"S05 depth", MXQ_IO_BAD_JSON, "{\"a\":{\"shape\":[[@[1]]]}}", 0},
    {"S05 junk", MXQ_IO_BAD_JSON, "{}  @{}", 0},
    {"S05 newline", MXQ_IO_BAD_JSON, "{} @\n", 0},
    {"S05 word", MXQ_IO_BAD_JSON, "{\"a\":{\"dtype\":nul@}}", 0},
    /* S06: duplicates inside */
    {"S06 dtype", MXQ_IO_DUPLICATE_KEY,
     "{\"a\":{\"dtype\":\"U8\",@\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4},
    {"S06 escaped", MXQ_IO_DUPLICATE_KEY,
     "{\"a\":{\"dtype\":\"U8\",@\"d\\u0074ype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4},
    {"S06 metadata", MXQ_IO_DUPLICATE_KEY,
     "{\"__metadata__\":{\"a\":\"b\"},@\"__metadata__\":{\"c\":\"d\"}}", 0},
    /* S07: fields */
    {"S07 unknown", MXQ_IO_BAD_FIELD,
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],@\"strides\":[1],\"data_offsets\":[0,4]}}", 4},
    {"S07 no dtype", MXQ_IO_BAD_FIELD, "{\"a\":@{\"shape\":[4],\"data_offsets\":[0,4]}}", 4},
    {"S07 no shape", MXQ_IO_BAD_FIELD, "{\"a\":@{\"dtype\":\"U8\",\"data_offsets\":[0,4]}}", 4},
    {"S07 no offsets", MXQ_IO_BAD_FIELD, "{\"a\":@{\"dtype\":\"U8\",\"shape\":[4]}}", 4},
    {"S07 empty", MXQ_IO_BAD_FIELD, "{\"a\":@{}}", 0},
    {"S07 dtype", MXQ_IO_BAD_FIELD, "{\"a\":{\"dtype\":@8,\"shape\":[4],\"data_offsets\":[0,4]}}",
     4},
    {"S07 shape", MXQ_IO_BAD_FIELD,
     "{\"a\":{\"dtype\":\"U8\",\"shape\":@4,\"data_offsets\":[0,4]}}", 4},
    {"S07 null", MXQ_IO_BAD_FIELD,
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":@null}}", 4},
    {"S07 entry", MXQ_IO_BAD_FIELD, "{\"a\":@[1,2]}", 0},
    {"S07 string", MXQ_IO_BAD_FIELD, "{\"a\":@\"x\"}", 0},
    /* S08: numbers */
    {"S08 negative", MXQ_IO_BAD_NUMBER,
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[@-4],\"data_offsets\":[0,4]}}", 4},
    {"S08 minus zero", MXQ_IO_BAD_NUMBER,
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[@-0,4]}}", 4},
    {"S08 fraction", MXQ_IO_BAD_NUMBER,
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[@4.0],\"data_offsets\":[0,4]}}", 4},
    {"S08 exponent", MXQ_IO_BAD_NUMBER,
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[@4e0],\"data_offsets\":[0,4]}}", 4},
    {"S08 leading zero", MXQ_IO_BAD_NUMBER,
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[@04],\"data_offsets\":[0,4]}}", 4},
    {"S08 2^53 + 1", MXQ_IO_BAD_NUMBER,
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[@9007199254740993],\"data_offsets\":[0,4]}}", 4},
    {"S08 2^64", MXQ_IO_BAD_NUMBER,
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,@18446744073709551620]}}", 4},
    {"S08 endless", MXQ_IO_BAD_NUMBER,
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[@11111111111111111111111111111111111111111111111111],"
     "\"data_offsets\":[0,4]}}",
     4},
    {"S08 string", MXQ_IO_BAD_NUMBER,
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,@\"4\"],\"data_offsets\":[0,4]}}", 4},
    {"S08 true", MXQ_IO_BAD_NUMBER,
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[@true],\"data_offsets\":[0,4]}}", 4},
    /* S09 .. S12 */
    {"S09", MXQ_IO_BAD_DTYPE, "{\"a\":{\"dtype\":@\"F9\",\"shape\":[4],\"data_offsets\":[0,4]}}",
     4},
    {"S09 case", MXQ_IO_BAD_DTYPE,
     "{\"a\":{\"dtype\":@\"bf16\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4},
    {"S10 reversed", MXQ_IO_BAD_OFFSETS,
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":@[4,0]}}", 4},
    {"S10 one", MXQ_IO_BAD_OFFSETS,
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":@[4]}}", 4},
    {"S10 three", MXQ_IO_BAD_OFFSETS,
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":@[0,4,8]}}", 4},
    {"S10 string", MXQ_IO_BAD_OFFSETS,
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":@[0,\"4\"]}}", 4},
    {"S11 less", MXQ_IO_SIZE_MISMATCH,
     "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,4],\"data_offsets\":@[0,31]}}", 31},
    {"S11 more", MXQ_IO_SIZE_MISMATCH,
     "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":@[0,8]}}", 8},
    {"S11 F6", MXQ_IO_SIZE_MISMATCH,
     "{\"a\":{\"dtype\":\"F6_E3M2\",\"shape\":[4],\"data_offsets\":@[0,4]}}", 4},
    {"S12 number", MXQ_IO_BAD_METADATA, "{\"__metadata__\":{\"a\":\"b\",\"n\":@1}}", 0},
    {"S12 object", MXQ_IO_BAD_METADATA, "{\"__metadata__\":{\"n\":@{}}}", 0},
    {"S12 string", MXQ_IO_BAD_METADATA, "{\"__metadata__\":@\"x\"}", 0},
    {"S12 duplicate", MXQ_IO_BAD_METADATA, "{\"__metadata__\":{\"a\":\"b\",@\"a\":\"c\"}}", 0},
};

#define MALFORMED (sizeof malformed / sizeof malformed[0])

/* Builds the file of a row; `at` is the byte at fault. */
static struct bytes build_malformed(const struct malformed *row, uint64_t *at)
{
    const size_t length = strlen(row->header) - 1;
    const size_t mark = strcspn(row->header, "@");
    char *header = malloc(length + 2);
    assert_non_null(header);
    memcpy(header, row->header, mark);
    memcpy(header + mark, row->header + mark + 1, length - mark + 1);
    *at = 8 + mark;
    const struct bytes file = build(header, length, row->data_bytes);
    free(header);
    return file;
}

static void each_malformed_header_has_its_code_and_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < MALFORMED; i++) {
        uint64_t at;
        struct mxq_safetensors st;
        struct mxq_io_error error;
        const struct bytes file = build_malformed(&malformed[i], &at);
        const enum mxq_io_code code = parse(&file, &st, &error);
        if (code != malformed[i].code || error.at != at)
            fail_msg("%s: got %s at %llu, expected %s at %llu: %s", malformed[i].name,
                     mxq_io_code_name(code), (unsigned long long)error.at,
                     mxq_io_code_name(malformed[i].code), (unsigned long long)at, error.message);
        assert_non_null(strstr(error.message, "(at byte "));
        assert_memory_equal(error.message, "test: ", 6);
        free(file.data);
    }
}

/* The same row behind a valid tensor, and before one, still names the byte at fault. */
static void errors_are_found_anywhere(void **state)
{
    (void)state;
    static const char before[] = "{\"valid\":" U8(0, 0, 0) ",";
    for (size_t i = 0; i < MALFORMED; i++) {
        const struct malformed *row = &malformed[i];
        if (row->header[0] != '{' || row->header[1] == '}')
            continue;
        struct mxq_text text = {0};
        mxq_text_string(&text, before);
        mxq_text_string(&text, row->header + 1);
        const struct malformed moved = {row->name, row->code, text.data, row->data_bytes};
        uint64_t at;
        struct mxq_safetensors st;
        struct mxq_io_error error;
        const struct bytes file = build_malformed(&moved, &at);
        const enum mxq_io_code code = parse(&file, &st, &error);
        if (code != row->code || error.at != at)
            fail_msg("%s: got %s at %llu, expected %s at %llu", row->name, mxq_io_code_name(code),
                     (unsigned long long)error.at, mxq_io_code_name(row->code),
                     (unsigned long long)at);
        free(file.data);
        mxq_text_free(&text);
    }
}

/* ---------------------------------------- The fixed part -------------------------------------- */

static void expect(const void *data, size_t count, enum mxq_io_code code, uint64_t at)
{
    const struct bytes file = {(unsigned char *)(uintptr_t)data, count};
    struct mxq_safetensors st;
    struct mxq_io_error error;
    const enum mxq_io_code got = parse(&file, &st, &error);
    if (got != code || error.at != at)
        fail_msg("got %s at %llu, expected %s at %llu: %s", mxq_io_code_name(got),
                 (unsigned long long)error.at, mxq_io_code_name(code), (unsigned long long)at,
                 error.message);
    if (!got)
        mxq_safetensors_free(&st);
}

static void short_and_foreign_files(void **state)
{
    (void)state;
    for (size_t n = 0; n < 8; n++)
        expect("\2\0\0\0\0\0\0", n, MXQ_IO_TRUNCATED_HEADER, 0);
    expect("\0\0\0\0\0\0\0\0", 8, MXQ_IO_HEADER_TOO_SMALL, 0);
    expect("\1\0\0\0\0\0\0\0{", 9, MXQ_IO_HEADER_TOO_SMALL, 0);
    expect("\2\0\0\0\0\0\0\0", 8, MXQ_IO_HEADER_PAST_EOF, 0);
    expect("\3\0\0\0\0\0\0\0{}", 10, MXQ_IO_HEADER_PAST_EOF, 0);
    expect("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF{}", 10, MXQ_IO_HEADER_TOO_LARGE, 0);
    expect("\x01\xE1\xF5\x05\0\0\0\0{}", 10, MXQ_IO_HEADER_TOO_LARGE, 0); /* 100,000,001 */
    expect("\x00\xE1\xF5\x05\0\0\0\0{}", 10, MXQ_IO_HEADER_PAST_EOF, 0);
    expect("PK\3\4\24\0\0\0\0\0", 10, MXQ_IO_UNSUPPORTED_PICKLE, 0);
    expect("\x80\x02}q\0(X\1\0", 9, MXQ_IO_UNSUPPORTED_PICKLE, 0);
    expect("\x89HDF\r\n\x1A\n\0", 9, MXQ_IO_UNSUPPORTED_FORMAT, 0);
    expect("\x93NUMPY\1\0v\0", 10, MXQ_IO_UNSUPPORTED_FORMAT, 0);
    expect("GGUF\3\0\0\0\1\0", 10, MXQ_IO_UNSUPPORTED_FORMAT, 0);
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:0\n";
    expect(pointer, sizeof pointer - 1, MXQ_IO_LFS_POINTER, 0);
}

static void bytes_behind_the_data(void **state)
{
    (void)state;
    const char header[] = "{\"a\":" U8(4, 0, 4) "}";
    for (size_t more = 1; more <= 9; more += 8) {
        const struct bytes file = build(header, sizeof header - 1, 4 + more);
        expect(file.data, file.count, MXQ_IO_TRAILING_BYTES, 8 + sizeof header - 1 + 4);
        free(file.data);
    }
    expect("\2\0\0\0\0\0\0\0{}x", 11, MXQ_IO_TRAILING_BYTES, 10);
}

static void names_have_a_limit(void **state)
{
    (void)state;
    for (size_t length = MXQ_MAX_NAME_BYTES; length <= MXQ_MAX_NAME_BYTES + 1; length++) {
        struct mxq_text text = {0};
        struct mxq_safetensors st;
        struct mxq_io_error error;
        mxq_text_string(&text, "{\"");
        for (size_t i = 0; i < length; i++)
            mxq_text_string(&text, "n");
        mxq_text_string(&text, "\":" U8(1, 0, 1) "}");
        const struct bytes file = build(text.data, text.bytes, 1);
        const enum mxq_io_code code = parse(&file, &st, &error);
        if (length == MXQ_MAX_NAME_BYTES) {
            assert_int_equal(code, MXQ_IO_OK);
            mxq_safetensors_free(&st);
        } else {
            assert_int_equal(code, MXQ_IO_BAD_NAME);
            assert_int_equal(error.at, 9);
        }
        free(file.data);
        mxq_text_free(&text);
    }
}

/* 1,000,000 tensors are read; one more is refused, and so is one metadata key too many. */
static void counts_have_limits(void **state)
{
    (void)state;
    struct mxq_text text = {0};
    struct mxq_safetensors st;
    struct mxq_io_error error;
    mxq_text_string(&text, "{");
    uint64_t at = 0;
    for (unsigned i = 0; i <= MXQ_MAX_TENSORS; i++) {
        at = 8 + text.bytes + (i > 0);
        mxq_text_format(&text, "%s\"%x\":%s", i ? "," : "", i, U8(0, 0, 0));
        if (i + 1 < MXQ_MAX_TENSORS)
            continue;
        struct mxq_text closed = {0};
        mxq_text_bytes(&closed, text.data, text.bytes);
        mxq_text_string(&closed, "}");
        const struct bytes file = build(closed.data, closed.bytes, 0);
        if (i < MXQ_MAX_TENSORS) {
            assert_int_equal(parse(&file, &st, &error), MXQ_IO_OK);
            assert_int_equal(st.count, MXQ_MAX_TENSORS);
            assert_non_null(mxq_safetensors_find(&st, "f423f"));
            mxq_safetensors_free(&st);
        } else {
            assert_int_equal(parse(&file, &st, &error), MXQ_IO_TOO_MANY_TENSORS);
            assert_int_equal(error.at, at);
        }
        free(file.data);
        mxq_text_free(&closed);
    }
    mxq_text_free(&text);
    mxq_text_string(&text, "{\"__metadata__\":{\"\":\"\"");
    for (unsigned i = 0; i < MXQ_MAX_METADATA; i++)
        mxq_text_format(&text, ",\"%u\":\"\"", i);
    mxq_text_string(&text, "}}");
    const struct bytes file = build(text.data, text.bytes, 0);
    assert_int_equal(parse(&file, &st, &error), MXQ_IO_BAD_METADATA);
    free(file.data);
    mxq_text_free(&text);
}

/* ----------------------------------------- Valid files ---------------------------------------- */

/* Several types, an escaped name, an empty tensor, a scalar, sub-byte types, out of order. */
static const char valid[] =
    "{\"__metadata__\":{\"format\":\"pt\",\"k\\n\":\"v\"},"
    "\"z.weight\":{\"dtype\":\"BF16\",\"shape\":[4,8],\"data_offsets\":[16,80]},"
    "\"s\":{\"shape\":[],\"data_offsets\":[80,88],\"dtype\":\"F64\"},"
    "\"q\\u00e9\\ud83d\\ude00\":{\"dtype\":\"F4\",\"shape\":[2,8],\"data_offsets\":[0,8]},"
    "\"six\":{\"dtype\":\"F6_E3M2\",\"shape\":[2,2],\"data_offsets\":[88,91]},"
    "\"empty\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[16,16]},"
    "\"e\":{\"dtype\":\"F8_E8M0\",\"shape\":[8],\"data_offsets\":[8,16]}}    ";
#define VALID_DATA 91

static void a_valid_file_is_read_as_it_is(void **state)
{
    (void)state;
    struct mxq_safetensors st;
    struct mxq_io_error error;
    const struct bytes file = build(valid, sizeof valid - 1, VALID_DATA);
    assert_int_equal(parse(&file, &st, &error), MXQ_IO_OK);
    free(file.data);
    static const char *const order[] = {
        "q\xC3\xA9\xF0\x9F\x98\x80", "e", "empty", "z.weight", "s", "six"};
    assert_int_equal(st.count, 6);
    for (size_t i = 0; i < 6; i++) {
        assert_string_equal(st.tensors[i].name, order[i]);
        assert_ptr_equal(mxq_safetensors_find(&st, order[i]), &st.tensors[i]);
    }
    assert_null(mxq_safetensors_find(&st, "none"));
    assert_string_equal(mxq_safetensors_metadata(&st, "k\n"), "v");
    assert_null(mxq_safetensors_metadata(&st, "v"));
    const struct mxq_tensor *z = mxq_safetensors_find(&st, "z.weight");
    assert_int_equal(z->dtype, MXQ_DTYPE_BF16);
    assert_int_equal(z->dims, 2);
    assert_int_equal(z->shape[1], 8);
    assert_int_equal(z->elements, 32);
    assert_int_equal(z->begin, 16);
    assert_int_equal(st.data_begin, 8 + sizeof valid - 1);
    assert_int_equal(mxq_safetensors_find(&st, "s")->elements, 1);
    mxq_safetensors_free(&st);
    expect("\2\0\0\0\0\0\0\0{}", 10, MXQ_IO_OK, 0); /* no tensor at all */
}

static void a_written_header_is_read_back(void **state)
{
    (void)state;
    struct mxq_safetensors st, again;
    struct mxq_io_error error;
    const struct bytes file = build(valid, sizeof valid - 1, VALID_DATA);
    assert_int_equal(parse(&file, &st, &error), MXQ_IO_OK);
    free(file.data);
    struct mxq_text header = {0};
    mxq_header_begin(&header, st.metadata, st.metadata_count);
    for (size_t i = 0; i < st.count; i++)
        mxq_header_entry(&header, &st.tensors[i]);
    mxq_header_end(&header);
    assert_false(header.failed);
    assert_int_equal(header.bytes % 4096, 0);
    const struct bytes copy = build(header.data + 8, header.bytes - 8, VALID_DATA);
    assert_memory_equal(copy.data, header.data, 8);
    assert_int_equal(parse(&copy, &again, &error), MXQ_IO_OK);
    assert_int_equal(again.count, st.count);
    for (size_t i = 0; i < st.count; i++) {
        const struct mxq_tensor *a = &st.tensors[i], *b = &again.tensors[i];
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->dtype, b->dtype);
        assert_int_equal(a->dims, b->dims);
        assert_memory_equal(a->shape, b->shape, a->dims * sizeof a->shape[0]);
        assert_int_equal(a->begin, b->begin);
        assert_int_equal(a->end, b->end);
    }
    assert_string_equal(mxq_safetensors_metadata(&again, "k\n"), "v");
    free(copy.data);
    mxq_text_free(&header);
    mxq_safetensors_free(&st);
    mxq_safetensors_free(&again);
}

static void a_file_cut_anywhere_is_rejected(void **state)
{
    (void)state;
    struct mxq_safetensors st;
    struct mxq_io_error error;
    struct bytes file = build(valid, sizeof valid - 1, VALID_DATA);
    const size_t whole = file.count;
    for (size_t n = 0; n < whole; n++) {
        file.count = n;
        const enum mxq_io_code code = parse(&file, &st, &error);
        assert_int_equal(code, n < 8                      ? MXQ_IO_TRUNCATED_HEADER
                               : n < 8 + sizeof valid - 1 ? MXQ_IO_HEADER_PAST_EOF
                                                          : MXQ_IO_DATA_PAST_EOF);
    }
    free(file.data);
}

/* Returns 1 when the byte at `i` of the header text is inside a string; `is_dtype` says of what. */
static int is_in_string(size_t i, int *is_dtype)
{
    static const char field[] = "\"dtype\":";
    int inside = 0;
    size_t begin = 0;
    for (size_t j = 0; j < i; j++) {
        if (valid[j] == '\\')
            j++;
        else if (valid[j] == '"') {
            inside = !inside;
            begin = j;
        }
    }
    *is_dtype = inside && begin >= sizeof field - 1 &&
                !memcmp(valid + begin - (sizeof field - 1), field, sizeof field - 1);
    return inside;
}

/* Any byte of the header becomes any other.  What is then still accepted may differ in a name or in
 * metadata, or in a type of the same size, but never in where the data is. */
static void no_changed_byte_moves_the_data(void **state)
{
    (void)state;
    struct mxq_safetensors st;
    struct mxq_io_error error;
    const struct bytes file = build(valid, sizeof valid - 1, VALID_DATA);
    size_t accepted = 0;
    for (size_t i = 0; i < 8 + sizeof valid - 1; i++)
        for (unsigned change = 1; change < 256; change++) {
            file.data[i] ^= (unsigned char)change;
            if (!parse(&file, &st, &error)) {
                int is_dtype = 0;
                const int is_string = i >= 8 && is_in_string(i - 8, &is_dtype);
                uint64_t end = 0;
                for (size_t t = 0; t < st.count; t++) {
                    assert_int_equal(st.tensors[t].begin, end);
                    end = st.tensors[t].end;
                }
                assert_int_equal(end, VALID_DATA);
                if (!is_string)
                    fail_msg("byte %zu changed by 0x%02x is accepted", i, change);
                mxq_safetensors_free(&st);
                accepted++;
            }
            file.data[i] ^= (unsigned char)change;
        }
    assert_true(accepted > 0);
    free(file.data);
}

/* ------------------------------------------ Real files ---------------------------------------- */

static enum mxq_io_code open_path(const char *path)
{
    struct mxq_file file;
    struct mxq_io_error error;
    const enum mxq_io_code code = mxq_file_open(&file, AT_FDCWD, path, 0, path, &error);
    if (!code)
        mxq_file_close(&file);
    return code;
}

static void only_regular_files_are_opened(void **state)
{
    (void)state;
    char folder[] = "/tmp/mxq-test-XXXXXX", pipe_path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(pipe_path, sizeof pipe_path, "%s/pipe", folder);
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    assert_int_equal(open_path(folder), MXQ_IO_NOT_REGULAR);
    assert_int_equal(open_path(pipe_path), MXQ_IO_NOT_REGULAR); /* and does not wait for a writer */
    assert_int_equal(open_path("/dev/null"), MXQ_IO_NOT_REGULAR);
    unlink(pipe_path);
    assert_int_equal(open_path(pipe_path), MXQ_IO_NOT_FOUND);
    rmdir(folder);
}

static void a_file_that_shrinks_is_noticed(void **state)
{
    (void)state;
    char path[] = "/tmp/mxq-test-XXXXXX";
    struct mxq_file file;
    struct mxq_io_error error;
    struct mxq_safetensors st;
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    const struct bytes content = build(valid, sizeof valid - 1, VALID_DATA);
    assert_int_equal(write(fd, content.data, content.count), (ssize_t)content.count);
    assert_int_equal(mxq_file_open(&file, AT_FDCWD, path, 0, path, &error), MXQ_IO_OK);
    assert_int_equal(mxq_file_check_identity(&file, &file.identity, &error), MXQ_IO_OK);
    assert_int_equal(ftruncate(fd, 20), 0);
    assert_int_equal(mxq_safetensors_read(&st, &file.reader, &error), MXQ_IO_INPUT_CHANGED);
    assert_int_equal(mxq_file_check_identity(&file, &file.identity, &error), MXQ_IO_INPUT_CHANGED);
    mxq_file_close(&file);
    close(fd);
    unlink(path);
    free(content.data);
}

static void names_are_escaped_in_messages(void **state)
{
    (void)state;
    char to[MXQ_IO_ESCAPED];
    assert_string_equal(mxq_io_escape(to, "a\x1B[31m\"\\\xC3\xA9", 128),
                        "a\\x1b[31m\"\\x5c\\xc3\\xa9");
    assert_string_equal(mxq_io_escape(to, "12345", 4), "1234...");
    assert_string_equal(mxq_io_escape(to, "1234", 4), "1234");
    const char header[] = "{\"evil\\u001b[2J\":" U8(4, 0, 5) "}";
    struct mxq_safetensors st;
    struct mxq_io_error error;
    const struct bytes file = build(header, sizeof header - 1, 5);
    assert_int_equal(parse(&file, &st, &error), MXQ_IO_SIZE_MISMATCH);
    assert_null(strchr(error.message, '\x1B'));
    assert_non_null(strstr(error.message, "tensor \"evil\\x1b[2J\""));
    free(file.data);
}

static void dtypes_have_their_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned bits;
    } known[] = {{"BOOL", 8},    {"F4", 4},          {"F6_E2M3", 6},     {"F6_E3M2", 6},
                 {"U8", 8},      {"I8", 8},          {"F8_E5M2", 8},     {"F8_E4M3", 8},
                 {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
                 {"U16", 16},    {"F16", 16},        {"BF16", 16},       {"I32", 32},
                 {"U32", 32},    {"F32", 32},        {"C64", 64},        {"F64", 64},
                 {"I64", 64},    {"U64", 64}};
    assert_int_equal(sizeof known / sizeof known[0], MXQ_DTYPES);
    for (size_t i = 0; i < MXQ_DTYPES; i++) {
        assert_int_equal(mxq_dtype_find(known[i].name), i);
        assert_int_equal(mxq_dtype_bits((enum mxq_dtype)i), known[i].bits);
    }
    assert_int_equal(mxq_dtype_find("F8"), MXQ_DTYPES);
}

/* ------------------------------------------- The corpus --------------------------------------- */

/* Writes every file of this test into a folder: the seeds of the fuzzer. */
static int write_corpus(const char *folder)
{
    char path[512];
    mkdir(folder, 0777);
    for (size_t i = 0; i <= MALFORMED; i++) {
        uint64_t at;
        const struct bytes file = i < MALFORMED ? build_malformed(&malformed[i], &at)
                                                : build(valid, sizeof valid - 1, VALID_DATA);
        snprintf(path, sizeof path, "%s/seed-%03zu", folder, i);
        FILE *to = fopen(path, "wb");
        if (!to || fwrite(file.data, 1, file.count, to) != file.count || fclose(to)) {
            fprintf(stderr, "%s: %s\n", path, strerror(errno));
            return 1;
        }
        free(file.data);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_malformed_header_has_its_code_and_byte),
        cmocka_unit_test(errors_are_found_anywhere),
        cmocka_unit_test(short_and_foreign_files),
        cmocka_unit_test(bytes_behind_the_data),
        cmocka_unit_test(names_have_a_limit),
        cmocka_unit_test(counts_have_limits),
        cmocka_unit_test(a_valid_file_is_read_as_it_is),
        cmocka_unit_test(a_written_header_is_read_back),
        cmocka_unit_test(a_file_cut_anywhere_is_rejected),
        cmocka_unit_test(no_changed_byte_moves_the_data),
        cmocka_unit_test(only_regular_files_are_opened),
        cmocka_unit_test(a_file_that_shrinks_is_noticed),
        cmocka_unit_test(names_are_escaped_in_messages),
        cmocka_unit_test(dtypes_have_their_sizes),
    };
    if (argc == 3 && !strcmp(argv[1], "--corpus"))
        return write_corpus(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
