/* SPDX-License-Identifier: Apache-2.0 */
/* faults.c -- preloaded into the tool by test_cli.py: logs its file calls, and lets one go wrong.
 *
 *     MXQ_FAULT_LOG   file that gets the name of each call, a line each
 *     MXQ_FAULT_AT    number of the call that goes wrong, from 1
 *     MXQ_FAULT_KIND  eio, enospc, eintr: it fails so; short: it does half of what was asked for
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_long calls;

enum fault { NONE, SHORT, FAIL };

/* Logs a call, and says what is to happen to it. */
static enum fault note(const char *name, int can_be_short)
{
    const char *log = getenv("MXQ_FAULT_LOG"), *at = getenv("MXQ_FAULT_AT");
    const char *kind = getenv("MXQ_FAULT_KIND");
    const long number = atomic_fetch_add(&calls, 1) + 1;
    const int fd = log ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd >= 0) {
        if (write(fd, name, strlen(name)) < 0 || write(fd, "\n", 1) < 0)
            abort();
        close(fd);
    }
    if (!at || !kind || number != atol(at))
        return NONE;
    if (!strcmp(kind, "short") || !strcmp(kind, "eintr"))
        if (!can_be_short)
            return NONE;
    errno = !strcmp(kind, "enospc") ? ENOSPC : !strcmp(kind, "eintr") ? EINTR : EIO;
    return strcmp(kind, "short") ? FAIL : SHORT;
}

/* Declares `real`, the function behind this one. */
#define REAL(type, name, parameters)                                                               \
    static type(*real) parameters;                                                                 \
    if (!real)                                                                                     \
    *(void **)&real = dlsym(RTLD_NEXT, #name)

#define INTERCEPT(type, name, parameters, arguments)                                               \
    type name parameters;                                                                          \
    type name parameters                                                                           \
    {                                                                                              \
        REAL(type, name, parameters);                                                              \
        return note(#name, 0) ? -1 : real arguments;                                               \
    }

INTERCEPT(int, fsync, (int fd), (fd))
INTERCEPT(int, fchmod, (int fd, mode_t mode), (fd, mode))
INTERCEPT(int, mkdirat, (int folder, const char *name, mode_t mode), (folder, name, mode))
INTERCEPT(int, renameat, (int from, const char *old, int to, const char *name),
          (from, old, to, name))
INTERCEPT(int, renameat2, (int from, const char *old, int to, const char *name, unsigned flags),
          (from, old, to, name, flags))

#define INTERCEPT_TRANSFER(name, constness)                                                        \
    ssize_t name(int fd, constness void *data, size_t bytes, off_t offset);                        \
    ssize_t name(int fd, constness void *data, size_t bytes, off_t offset)                         \
    {                                                                                              \
        REAL(ssize_t, name, (int, constness void *, size_t, off_t));                               \
        const enum fault fault = note(#name, 1);                                                   \
        if (fault == FAIL)                                                                         \
            return -1;                                                                             \
        return real(fd, data, fault == SHORT ? (bytes + 1) / 2 : bytes, offset);                   \
    }

/* With 64-bit offsets, which the tool is built with, these are pread64 and pwrite64. */
#define NOTHING
INTERCEPT_TRANSFER(pread, NOTHING)
INTERCEPT_TRANSFER(pwrite, const)
