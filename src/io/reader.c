/* SPDX-License-Identifier: Apache-2.0 */
/* reader.c -- reading files and memory through one interface. */
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum mxq_io_code mxq_read(const struct mxq_reader *reader, void *to, size_t bytes, uint64_t offset,
                          struct mxq_io_error *error)
{
    const int status = reader->read(reader->context, to, bytes, offset);
    if (status > 0)
        return mxq_io_fail_system(error, reader->path, "cannot read", status);
    if (status < 0)
        return mxq_io_fail(error, MXQ_IO_INPUT_CHANGED,
                           (struct mxq_io_place){reader->path, offset, NULL},
                           "the file changed while it was read: it ended early, its size was %llu",
                           (unsigned long long)reader->size);
    return MXQ_IO_OK;
}

static int read_file(const void *context, void *to, size_t bytes, uint64_t offset)
{
    const struct mxq_file *file = context;
    char *p = to;
    while (bytes) {
        const ssize_t got = pread(file->fd, p, bytes, (off_t)offset);
        if (got == 0)
            return -1;
        if (got < 0) {
            if (errno == EINTR)
                continue;
            return errno;
        }
        p += got;
        offset += (uint64_t)got;
        bytes -= (size_t)got;
    }
    return 0;
}

static const char *kind_of(mode_t mode)
{
    return S_ISDIR(mode)    ? "a directory"
           : S_ISFIFO(mode) ? "a pipe"
           : S_ISSOCK(mode) ? "a socket"
                            : "a device";
}

enum mxq_io_code mxq_file_open(struct mxq_file *file, int dirfd, const char *name, int flags,
                               const char *path, struct mxq_io_error *error)
{
    /* O_NONBLOCK: opening a pipe must not wait for its writer. */
    file->fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags);
    if (file->fd < 0)
        return mxq_io_fail_system(error, path, "cannot open", errno);
    if (fstat(file->fd, &file->identity)) {
        const int number = errno;
        close(file->fd);
        return mxq_io_fail_system(error, path, "cannot stat", number);
    }
    if (!S_ISREG(file->identity.st_mode)) {
        close(file->fd);
        return mxq_io_fail(error, MXQ_IO_NOT_REGULAR,
                           (struct mxq_io_place){path, MXQ_IO_NOWHERE, NULL},
                           "is %s, not a regular file", kind_of(file->identity.st_mode));
    }
    posix_fadvise(file->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    file->reader = (struct mxq_reader){path, (uint64_t)file->identity.st_size, read_file, file};
    return MXQ_IO_OK;
}

enum mxq_io_code mxq_file_check_identity(const struct mxq_file *file, const struct stat *identity,
                                         struct mxq_io_error *error)
{
    struct stat now;
    if (fstat(file->fd, &now))
        return mxq_io_fail_system(error, file->reader.path, "cannot stat", errno);
    if (now.st_size != identity->st_size || now.st_ino != identity->st_ino ||
        now.st_dev != identity->st_dev || now.st_mtim.tv_sec != identity->st_mtim.tv_sec ||
        now.st_mtim.tv_nsec != identity->st_mtim.tv_nsec)
        return mxq_io_fail(error, MXQ_IO_INPUT_CHANGED,
                           (struct mxq_io_place){file->reader.path, MXQ_IO_NOWHERE, NULL},
                           "the file changed while it was read: size = %lld, was %lld",
                           (long long)now.st_size, (long long)identity->st_size);
    return MXQ_IO_OK;
}

void mxq_file_close(struct mxq_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

enum mxq_io_code mxq_file_load(const struct mxq_file *file, size_t limit,
                               enum mxq_io_code too_large, char **text, size_t *bytes,
                               struct mxq_io_error *error)
{
    const struct mxq_reader *reader = &file->reader;
    if (reader->size > limit)
        return mxq_io_fail(error, too_large,
                           (struct mxq_io_place){reader->path, MXQ_IO_NOWHERE, NULL},
                           "the file is too large: size = %llu, limit %zu",
                           (unsigned long long)reader->size, limit);
    const size_t size = (size_t)reader->size;
    char *buffer = malloc(size + 1);
    if (!buffer)
        return mxq_io_fail_memory(error, reader->path);
    const enum mxq_io_code code = mxq_read(reader, buffer, size, 0, error);
    if (code) {
        free(buffer);
        return code;
    }
    buffer[size] = '\0';
    *text = buffer;
    *bytes = size;
    return MXQ_IO_OK;
}

static int read_memory(const void *context, void *to, size_t bytes, uint64_t offset)
{
    const struct mxq_memory *memory = context;
    if (offset > memory->bytes || bytes > memory->bytes - offset)
        return -1;
    if (bytes)
        memcpy(to, (const char *)memory->data + offset, bytes);
    return 0;
}

struct mxq_reader mxq_memory_reader(const struct mxq_memory *memory, const char *path)
{
    return (struct mxq_reader){path, memory->bytes, read_memory, memory};
}
