/* SPDX-License-Identifier: Apache-2.0 */
/* target.c -- temporary names, durable writes, and the renames of target.h. */
#include "target.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define FAIL(code, path, ...)                                                                      \
    mxq_io_fail(error, MXQ_IO_##code, (struct mxq_io_place){path, MXQ_IO_NOWHERE, NULL},           \
                __VA_ARGS__)

/* ----------------------------------------- The place ------------------------------------------ */

/* Returns 1 when `path` is `folder` or lies below it; both as realpath() gives them. */
static int is_within(const char *path, const char *folder)
{
    const size_t bytes = strlen(folder);
    return !strncmp(path, folder, bytes) &&
           (path[bytes] == '/' || path[bytes] == '\0' || !strcmp(folder, "/"));
}

static enum mxq_io_code check_apart(const struct mxq_target *target, const char *parent,
                                    const struct mxq_model *source, struct mxq_io_error *error)
{
    char *from = realpath(source->path, NULL);
    char *below = realpath(parent, NULL);
    char *to = below ? mxq_join_path(below, target->name) : NULL;
    enum mxq_io_code code = MXQ_IO_OK;
    if (below && !to)
        code = mxq_io_fail_memory(error, target->path);
    else if (!from || !below)
        code = mxq_io_fail_system(error, target->path, "cannot resolve the path", errno);
    else if (!strcmp(to, from))
        code = FAIL(SAME_PLACE, target->path, "the output is the source itself");
    else if (source->folder >= 0 && is_within(to, from))
        code = FAIL(SAME_PLACE, target->path, "the output lies in the source folder");
    else if (is_within(from, to))
        code = FAIL(SAME_PLACE, target->path, "the source lies in the output folder");
    free(from);
    free(below);
    free(to);
    return code;
}

static int is_empty_folder(const struct mxq_target *target)
{
    const int fd =
        openat(target->parent, target->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    int entries = 0;
    while (entries <= 2 && readdir(directory))
        entries++;
    closedir(directory);
    return entries <= 2; /* "." and ".." */
}

/* A folder may be replaced when nothing but a conversion can be lost. */
static enum mxq_io_code check_replaceable(const struct mxq_target *target,
                                          struct mxq_io_error *error)
{
    if (is_empty_folder(target))
        return MXQ_IO_OK;
    struct mxq_model old;
    int is_ours = 0;
    const enum mxq_io_code code = mxq_model_open(&old, target->path, error);
    if (code && mxq_io_exit_status(code) != mxq_io_exit_status(MXQ_IO_NO_WEIGHTS))
        return code; /* it could not be read: not even what is in it is known */
    if (!code) {
        for (size_t i = 0; i < old.count; i++)
            is_ours |= mxq_safetensors_metadata(&old.shards[i].header, "mxq.version") != NULL;
        mxq_model_close(&old);
    }
    if (is_ours)
        return MXQ_IO_OK;
    return FAIL(EXISTS, target->path,
                "it exists and mxq did not write it: --force replaces only an empty folder or one "
                "that mxq wrote");
}

static enum mxq_io_code check_place(const struct mxq_target *target, const struct mxq_model *source,
                                    struct mxq_io_error *error)
{
    struct stat s;
    if (fstatat(target->parent, target->name, &s, AT_SYMLINK_NOFOLLOW)) {
        if (errno == ENOENT)
            return MXQ_IO_OK;
        return mxq_io_fail_system(error, target->path, "cannot look at the output's place", errno);
    }
    for (size_t i = 0; i < source->count; i++)
        if (s.st_dev == source->shards[i].identity.st_dev &&
            s.st_ino == source->shards[i].identity.st_ino)
            return FAIL(SAME_PLACE, target->path, "the output is the source itself");
    if (!target->replace)
        return FAIL(EXISTS, target->path, "it exists already; --force would replace it");
    if (target->is_folder && !S_ISDIR(s.st_mode))
        return FAIL(EXISTS, target->path, "it exists and is no folder, but the source is one");
    if (!target->is_folder && !S_ISREG(s.st_mode) && !S_ISLNK(s.st_mode))
        return FAIL(EXISTS, target->path, "it exists and is no regular file");
    if (target->is_folder)
        return check_replaceable(target, error);
    return MXQ_IO_OK;
}

/* Cuts a path into the folder and the name in it. */
static enum mxq_io_code split_path(struct mxq_target *target, char **parent,
                                   struct mxq_io_error *error)
{
    char *path = strdup(target->path);
    if (!path)
        return mxq_io_fail_memory(error, target->path);
    size_t bytes = strlen(path);
    while (bytes > 1 && path[bytes - 1] == '/')
        path[--bytes] = '\0';
    char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (!*name || !strcmp(name, ".") || !strcmp(name, "..") || strlen(name) > NAME_MAX) {
        free(path);
        return FAIL(USAGE, target->path, "the output needs a name of its own");
    }
    memcpy(target->name, name, strlen(name) + 1);
    if (slash)
        slash[slash == path] = '\0'; /* "/x" lies in "/" */
    *parent = slash ? path : strdup(".");
    if (!slash)
        free(path);
    return *parent ? MXQ_IO_OK : mxq_io_fail_memory(error, target->path);
}

static void choose_temporary(struct mxq_target *target)
{
    unsigned long long number = 0;
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
        number = (unsigned long long)(uintptr_t)target; /* O_EXCL still guards against a clash */
    snprintf(target->temporary, sizeof target->temporary, ".%.180s.mxq-%ld-%016llx.part",
             target->name, (long)getpid(), number);
}

static enum mxq_io_code make_folder(struct mxq_target *target, struct mxq_io_error *error)
{
    if (mkdirat(target->parent, target->temporary, 0700))
        return mxq_io_fail_system(error, target->path, "cannot make a temporary folder beside it",
                                  errno);
    target->folder =
        openat(target->parent, target->temporary, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (target->folder < 0)
        return mxq_io_fail_system(error, target->path, "cannot open the temporary folder", errno);
    return MXQ_IO_OK;
}

enum mxq_io_code mxq_target_open(struct mxq_target *target, const char *path,
                                 const struct mxq_model *source, int replace,
                                 struct mxq_io_error *error)
{
    const mode_t mask = umask(0);
    umask(mask);
    *target = (struct mxq_target){.path = strdup(path),
                                  .parent = -1,
                                  .folder = -1,
                                  .is_folder = source->folder >= 0,
                                  .replace = replace,
                                  .mode = 0666 & ~mask};
    char *parent = NULL;
    enum mxq_io_code code =
        target->path ? split_path(target, &parent, error) : mxq_io_fail_memory(error, path);
    if (!code) {
        target->parent = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (target->parent < 0)
            code = mxq_io_fail_system(error, parent, "cannot open the output's folder", errno);
    }
    if (!code)
        code = check_apart(target, parent, source, error);
    if (!code)
        code = check_place(target, source, error);
    free(parent);
    if (!code) {
        choose_temporary(target);
        if (target->is_folder)
            code = make_folder(target, error);
    }
    if (code)
        mxq_target_close(target);
    return code;
}

/* ----------------------------------- Files that are written ----------------------------------- */

/* Makes the folders on the way to a file. */
static int make_parents(int folder, const char *name)
{
    char path[PATH_MAX];
    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        const size_t bytes = (size_t)(slash - name);
        if (bytes >= sizeof path) {
            errno = ENAMETOOLONG;
            return 0;
        }
        memcpy(path, name, bytes);
        path[bytes] = '\0';
        if (mkdirat(folder, path, 0777) && errno != EEXIST)
            return 0;
    }
    return 1;
}

enum mxq_io_code mxq_output_create(struct mxq_output *output, const struct mxq_target *target,
                                   const char *name, uint64_t bytes, struct mxq_io_error *error)
{
    const int folder = target->is_folder ? target->folder : target->parent;
    *output = (struct mxq_output){-1, target->path, target->mode};
    if (target->is_folder && !make_parents(folder, name))
        return mxq_io_fail_system(error, target->path, "cannot make a folder in it", errno);
    output->fd = openat(folder, target->is_folder ? name : target->temporary,
                        O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (output->fd < 0)
        return mxq_io_fail_system(error, target->path, "cannot create a temporary file", errno);
    if (bytes && fallocate(output->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes) &&
        (errno == ENOSPC || errno == EFBIG || errno == EDQUOT)) {
        const int number = errno;
        mxq_output_close(output);
        return mxq_io_fail_system(error, target->path, "no room for the output", number);
    }
    return MXQ_IO_OK;
}

enum mxq_io_code mxq_output_write(const struct mxq_output *output, const void *data, size_t bytes,
                                  uint64_t offset, struct mxq_io_error *error)
{
    const char *p = data;
    while (bytes) {
        const ssize_t written = pwrite(output->fd, p, bytes, (off_t)offset);
        if (written < 0) {
            if (errno == EINTR)
                continue;
            return mxq_io_fail_system(error, output->path, "cannot write", errno);
        }
        p += written;
        offset += (uint64_t)written;
        bytes -= (size_t)written;
    }
    return MXQ_IO_OK;
}

void mxq_output_start_writeback(const struct mxq_output *output)
{
    sync_file_range(output->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

enum mxq_io_code mxq_output_finish(struct mxq_output *output, struct mxq_io_error *error)
{
    const char *failed = fchmod(output->fd, output->mode) ? "cannot set the mode"
                         : fsync(output->fd)              ? "cannot write to disk"
                                                          : NULL;
    int number = errno;
    if (close(output->fd) && !failed) {
        failed = "cannot close";
        number = errno;
    }
    output->fd = -1;
    return failed ? mxq_io_fail_system(error, output->path, failed, number) : MXQ_IO_OK;
}

void mxq_output_close(struct mxq_output *output)
{
    if (output->fd >= 0)
        close(output->fd);
    output->fd = -1;
}

/* --------------------------------- Folders, all the way down ---------------------------------- */

/* Calls visit(folder, name, is_folder) for every entry below a folder, children first.  Returns 0
 * when something failed; errno says what. */
static int visit_tree(int parent, const char *name,
                      int (*visit)(int folder, const char *name, int is_folder))
{
    const int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    int ok = 1;
    struct dirent *entry;
    while (ok && (entry = readdir(directory))) {
        struct stat s;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        ok = !fstatat(fd, entry->d_name, &s, AT_SYMLINK_NOFOLLOW) &&
             (S_ISDIR(s.st_mode) ? visit_tree(fd, entry->d_name, visit)
                                 : visit(fd, entry->d_name, 0));
    }
    const int number = errno;
    closedir(directory);
    errno = number;
    return ok && visit(parent, name, 1);
}

static int remove_entry(int folder, const char *name, int is_folder)
{
    return !unlinkat(folder, name, is_folder ? AT_REMOVEDIR : 0);
}

/* Some filesystems cannot sync a folder: there is nothing more to do then. */
static int sync_folder(int fd)
{
    return !fsync(fd) || errno == EINVAL || errno == ENOTSUP;
}

static int sync_entry(int folder, const char *name, int is_folder)
{
    if (!is_folder)
        return 1; /* synced when it was finished */
    const int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    const int ok = fd >= 0 && sync_folder(fd);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* ----------------------------------------- Publishing ----------------------------------------- */

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE  2
#endif

static int is_unsupported(int number)
{
    return number == EINVAL || number == ENOSYS || number == ENOTSUP;
}

/* Renames the temporary to the final name unless that exists. */
static int rename_new(const struct mxq_target *t)
{
    if (!renameat2(t->parent, t->temporary, t->parent, t->name, RENAME_NOREPLACE))
        return 1;
    if (!is_unsupported(errno))
        return 0;
    if (!t->is_folder) /* a link, too, refuses to replace */
        return !linkat(t->parent, t->temporary, t->parent, t->name, 0) &&
               !unlinkat(t->parent, t->temporary, 0);
    struct stat s;
    if (!fstatat(t->parent, t->name, &s, AT_SYMLINK_NOFOLLOW)) {
        errno = EEXIST;
        return 0;
    }
    return !renameat(t->parent, t->temporary, t->parent, t->name);
}

/* Puts the new folder in place of the old one, which then has the temporary name. */
static int exchange_folders(const struct mxq_target *t)
{
    if (!renameat2(t->parent, t->temporary, t->parent, t->name, RENAME_EXCHANGE))
        return 1;
    if (!is_unsupported(errno))
        return 0;
    char aside[NAME_MAX + 1];
    snprintf(aside, sizeof aside, "%.240s.old", t->temporary);
    if (renameat(t->parent, t->name, t->parent, aside))
        return 0;
    if (renameat(t->parent, t->temporary, t->parent, t->name)) {
        const int number = errno;
        renameat(t->parent, aside, t->parent, t->name);
        errno = number;
        return 0;
    }
    return !renameat(t->parent, aside, t->parent, t->temporary);
}

static enum mxq_io_code replace_folder(struct mxq_target *target, struct mxq_io_error *error)
{
    if (!exchange_folders(target))
        return mxq_io_fail_system(error, target->path, "cannot rename the output into place",
                                  errno);
    char old[NAME_MAX + 1]; /* no longer temporary: what fails from here on must not remove it */
    memcpy(old, target->temporary, sizeof old);
    target->temporary[0] = '\0';
    if (!sync_folder(target->parent))
        return mxq_io_fail_system(error, old,
                                  "the old folder is left here, as the new one cannot "
                                  "be written to disk",
                                  errno);
    if (!visit_tree(target->parent, old, remove_entry))
        return mxq_io_fail_system(error, old, "the old folder cannot be removed", errno);
    return MXQ_IO_OK;
}

static enum mxq_io_code sync_new_folder(const struct mxq_target *target, struct mxq_io_error *error)
{
    const mode_t readable = (target->mode & 0444) >> 2; /* who may read may also enter */
    if (fchmod(target->folder, (target->mode | 0700) | readable) ||
        !visit_tree(target->parent, target->temporary, sync_entry))
        return mxq_io_fail_system(error, target->path, "cannot write the folder to disk", errno);
    return MXQ_IO_OK;
}

enum mxq_io_code mxq_target_publish(struct mxq_target *target, struct mxq_io_error *error)
{
    enum mxq_io_code code = MXQ_IO_OK;
    struct stat s;
    const int exists = !fstatat(target->parent, target->name, &s, AT_SYMLINK_NOFOLLOW);
    if (target->is_folder)
        code = sync_new_folder(target, error);
    if (code)
        return code;
    if (target->replace && exists && target->is_folder)
        code = replace_folder(target, error);
    else if (target->replace && exists
                 ? renameat(target->parent, target->temporary, target->parent, target->name)
                 : !rename_new(target))
        code = errno == EEXIST
                   ? FAIL(EXISTS, target->path, "it appeared meanwhile; nothing was replaced")
                   : mxq_io_fail_system(error, target->path, "cannot rename the output into place",
                                        errno);
    if (code)
        return code;
    target->temporary[0] = '\0';
    if (!sync_folder(target->parent))
        return mxq_io_fail_system(error, target->path, "cannot write its folder to disk", errno);
    return MXQ_IO_OK;
}

void mxq_target_close(struct mxq_target *target)
{
    if (target->temporary[0] && target->is_folder)
        visit_tree(target->parent, target->temporary, remove_entry);
    else if (target->temporary[0])
        unlinkat(target->parent, target->temporary, 0);
    target->temporary[0] = '\0';
    if (target->folder >= 0)
        close(target->folder);
    if (target->parent >= 0)
        close(target->parent);
    target->folder = target->parent = -1;
    free(target->path);
    target->path = NULL;
}
