/* SPDX-License-Identifier: Apache-2.0 */
/* error.h -- how the file layer fails: stable codes, and messages that say file, field and byte. */
#ifndef MXQ_IO_ERROR_H
#define MXQ_IO_ERROR_H

#include <stddef.h>
#include <stdint.h>

/* MXQ_IO_CODE(code, exit): every way to fail, once, with the exit status of the tools.  Names are
 * stable: they are printed behind every message, and scripts may match them. */
/* clang-format off */
#define MXQ_IO_CODES                                                                               \
    MXQ_IO_CODE(OK,                  0)                                                            \
    /* The bytes of a file, from the outside to the inside. */                                     \
    MXQ_IO_CODE(NOT_REGULAR,         3)                                                            \
    MXQ_IO_CODE(TRUNCATED_HEADER,    3)                                                            \
    MXQ_IO_CODE(UNSUPPORTED_PICKLE,  3)                                                            \
    MXQ_IO_CODE(UNSUPPORTED_FORMAT,  3)                                                            \
    MXQ_IO_CODE(LFS_POINTER,         3)                                                            \
    MXQ_IO_CODE(INPUT_CHANGED,       3)                                                            \
    MXQ_IO_CODE(HEADER_TOO_SMALL,    3)                                                            \
    MXQ_IO_CODE(HEADER_TOO_LARGE,    3)                                                            \
    MXQ_IO_CODE(HEADER_PAST_EOF,     3)                                                            \
    MXQ_IO_CODE(HEADER_NOT_OBJECT,   3)                                                            \
    MXQ_IO_CODE(BAD_UTF8,            3)                                                            \
    MXQ_IO_CODE(BAD_JSON,            3)                                                            \
    MXQ_IO_CODE(BAD_NUMBER,          3)                                                            \
    MXQ_IO_CODE(DUPLICATE_KEY,       3)                                                            \
    MXQ_IO_CODE(DUPLICATE_NAME,      3)                                                            \
    MXQ_IO_CODE(BAD_NAME,            3)                                                            \
    MXQ_IO_CODE(BAD_METADATA,        3)                                                            \
    MXQ_IO_CODE(BAD_FIELD,           3)                                                            \
    MXQ_IO_CODE(BAD_DTYPE,           3)                                                            \
    MXQ_IO_CODE(BAD_OFFSETS,         3)                                                            \
    MXQ_IO_CODE(TOO_MANY_TENSORS,    3)                                                            \
    MXQ_IO_CODE(TOO_MANY_DIMS,       3)                                                            \
    MXQ_IO_CODE(SHAPE_OVERFLOW,      3)                                                            \
    MXQ_IO_CODE(SIZE_OVERFLOW,       3)                                                            \
    MXQ_IO_CODE(SUBBYTE,             3)                                                            \
    MXQ_IO_CODE(SIZE_MISMATCH,       3)                                                            \
    MXQ_IO_CODE(DATA_PAST_EOF,       3)                                                            \
    MXQ_IO_CODE(OVERLAP,             3)                                                            \
    MXQ_IO_CODE(HOLE,                3)                                                            \
    MXQ_IO_CODE(TRAILING_BYTES,      3)                                                            \
    /* A model of several files. */                                                                \
    MXQ_IO_CODE(UNSAFE_PATH,         3)                                                            \
    MXQ_IO_CODE(BAD_INDEX,           3)                                                            \
    MXQ_IO_CODE(BAD_CONFIG,          3)                                                            \
    MXQ_IO_CODE(NO_WEIGHTS,          3)                                                            \
    /* What is asked of it. */                                                                     \
    MXQ_IO_CODE(ALREADY_QUANTIZED,   3)                                                            \
    MXQ_IO_CODE(NOT_CONVERTED,       3)                                                            \
    MXQ_IO_CODE(NONFINITE,           3)                                                            \
    MXQ_IO_CODE(MISMATCH,            1)                                                            \
    MXQ_IO_CODE(USAGE,               2)                                                            \
    MXQ_IO_CODE(EXISTS,              2)                                                            \
    MXQ_IO_CODE(SAME_PLACE,          2)                                                            \
    /* The world. */                                                                               \
    MXQ_IO_CODE(NOT_FOUND,           4)                                                            \
    MXQ_IO_CODE(SYSTEM,              4)                                                            \
    MXQ_IO_CODE(NO_SPACE,            5)                                                            \
    MXQ_IO_CODE(NO_MEMORY,           6)                                                            \
    MXQ_IO_CODE(INTERRUPTED,         7)
/* clang-format on */

enum mxq_io_code {
#define MXQ_IO_CODE(code, exit) MXQ_IO_##code,
    MXQ_IO_CODES
#undef MXQ_IO_CODE
};

/* Returns the name of a code, such as "DUPLICATE_NAME". */
const char *mxq_io_code_name(enum mxq_io_code code);

/* Returns the exit status of the tools for a code: 0 ok, 1 verification failed, 2 usage, 3 input
 * rejected, 4 I/O, 5 disk full, 6 memory, 7 interrupted. */
int mxq_io_exit_status(enum mxq_io_code code);

#define MXQ_IO_NOWHERE UINT64_MAX

/* A failure, in memory of the caller. */
struct mxq_io_error {
    enum mxq_io_code code;
    uint64_t at; /* byte offset in the file at fault, or MXQ_IO_NOWHERE */
    char message[1536];
};

/* Where a failure is: `at` is MXQ_IO_NOWHERE and `tensor` NULL where they mean nothing. */
struct mxq_io_place {
    const char *path;
    uint64_t at;
    const char *tensor;
};

/* Fills `error` with "<path>: <what> (at byte <at>, tensor "<name>")" and returns `code`.  `what`
 * reads "<what is wrong>: <field> = <value>, <limit or expected>". */
enum mxq_io_code mxq_io_fail(struct mxq_io_error *error, enum mxq_io_code code,
                             struct mxq_io_place place, const char *what, ...)
    __attribute__((format(printf, 4, 5)));

/* The same for a failed system call: `doing` says what, and `number` (errno) gives the code. */
enum mxq_io_code mxq_io_fail_system(struct mxq_io_error *error, const char *path, const char *doing,
                                    int number);

enum mxq_io_code mxq_io_fail_memory(struct mxq_io_error *error, const char *path);

/* Names come from files, so they may hold anything: what is not printable ASCII, or is a backslash,
 * becomes \xNN, and what is longer than `limit` bytes ends in "...". */
#define MXQ_IO_NAME_LIMIT 128
#define MXQ_IO_PATH_LIMIT 240
#define MXQ_IO_ESCAPED    (4 * MXQ_IO_PATH_LIMIT + 4)
const char *mxq_io_escape(char to[MXQ_IO_ESCAPED], const char *name, size_t limit);

#endif
