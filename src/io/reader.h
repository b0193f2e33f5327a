/* SPDX-License-Identifier: Apache-2.0 */
/* reader.h -- random access to the bytes of an input: a file, or memory in tests and fuzzers.
 *
 * Files are read with pread, never mapped: a file that shrinks under a map kills the process. */
#ifndef MXQ_IO_READER_H
#define MXQ_IO_READER_H

#include <sys/stat.h>

#include "error.h"

struct mxq_reader {
    const char *path; /* for messages */
    uint64_t size;
    /* Reads exactly `bytes` bytes.  Returns 0, an errno, or -1 when the input ended early. */
    int (*read)(const void *context, void *to, size_t bytes, uint64_t offset);
    const void *context;
};

/* Reads a range that lies within reader->size; an input that ended early is INPUT_CHANGED. */
enum mxq_io_code mxq_read(const struct mxq_reader *reader, void *to, size_t bytes, uint64_t offset,
                          struct mxq_io_error *error);

/* An open regular file. */
struct mxq_file {
    struct mxq_reader reader; /* refers to the struct: do not move it while the file is open */
    int fd;
    struct stat identity; /* as it was when opened */
};

/* Opens `name` below the folder `dirfd` (AT_FDCWD: the working directory).  `path` is for messages
 * and must outlive the file.  `flags` are added to those of open(). */
enum mxq_io_code mxq_file_open(struct mxq_file *file, int dirfd, const char *name, int flags,
                               const char *path, struct mxq_io_error *error);

/* Fails with INPUT_CHANGED when the file is no longer what `identity` says. */
enum mxq_io_code mxq_file_check_identity(const struct mxq_file *file, const struct stat *identity,
                                         struct mxq_io_error *error);

void mxq_file_close(struct mxq_file *file);

/* Reads a whole file of at most `limit` bytes into memory that the caller frees; a NUL follows the
 * bytes.  A larger file fails with `too_large`. */
enum mxq_io_code mxq_file_load(const struct mxq_file *file, size_t limit,
                               enum mxq_io_code too_large, char **text, size_t *bytes,
                               struct mxq_io_error *error);

/* A reader of memory; `memory` must outlive it. */
struct mxq_memory {
    const void *data;
    size_t bytes;
};
struct mxq_reader mxq_memory_reader(const struct mxq_memory *memory, const char *path);

#endif
