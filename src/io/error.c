/* SPDX-License-Identifier: Apache-2.0 */
/* error.c -- names of codes, and the one place where messages are put together. */
#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int exit_status;
} codes[] = {
#define MXQ_IO_CODE(code, exit) {#code, exit},
    MXQ_IO_CODES
#undef MXQ_IO_CODE
};

const char *mxq_io_code_name(enum mxq_io_code code)
{
    return codes[code].name;
}

int mxq_io_exit_status(enum mxq_io_code code)
{
    return codes[code].exit_status;
}

const char *mxq_io_escape(char to[MXQ_IO_ESCAPED], const char *name, size_t limit)
{
    static const char hex[] = "0123456789abcdef";
    size_t out = 0;
    size_t i = 0;
    for (; name[i] && i < limit && i < MXQ_IO_PATH_LIMIT; i++) {
        const unsigned char c = (unsigned char)name[i];
        if (c >= 0x20 && c < 0x7F && c != '\\') {
            to[out++] = name[i];
        } else {
            to[out++] = '\\';
            to[out++] = 'x';
            to[out++] = hex[c >> 4];
            to[out++] = hex[c & 15];
        }
    }
    memcpy(to + out, name[i] ? "..." : "", name[i] ? 4 : 1);
    return to;
}

/* Appends to the message; what does not fit is cut. */
static void append(struct mxq_io_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void append_list(struct mxq_io_error *error, const char *format, va_list arguments)
{
    const size_t used = strlen(error->message);
    vsnprintf(error->message + used, sizeof error->message - used, format, arguments);
}

static void append(struct mxq_io_error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    append_list(error, format, arguments);
    va_end(arguments);
}

enum mxq_io_code mxq_io_fail(struct mxq_io_error *error, enum mxq_io_code code,
                             struct mxq_io_place place, const char *what, ...)
{
    char escaped[MXQ_IO_ESCAPED];
    error->code = code;
    error->at = place.at;
    error->message[0] = '\0';
    if (place.path)
        append(error, "%s: ", mxq_io_escape(escaped, place.path, MXQ_IO_PATH_LIMIT));
    va_list arguments;
    va_start(arguments, what);
    append_list(error, what, arguments);
    va_end(arguments);
    const char *tensor =
        place.tensor ? mxq_io_escape(escaped, place.tensor, MXQ_IO_NAME_LIMIT) : NULL;
    if (place.at != MXQ_IO_NOWHERE && tensor)
        append(error, " (at byte %llu, tensor \"%s\")", (unsigned long long)place.at, tensor);
    else if (place.at != MXQ_IO_NOWHERE)
        append(error, " (at byte %llu)", (unsigned long long)place.at);
    else if (tensor)
        append(error, " (tensor \"%s\")", tensor);
    return code;
}

static enum mxq_io_code code_of(int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: /* the process' or the filesystem's limit on the size of one file */
        return MXQ_IO_NO_SPACE;
    case ENOMEM:
        return MXQ_IO_NO_MEMORY;
    case ENOENT:
        return MXQ_IO_NOT_FOUND;
    default:
        return MXQ_IO_SYSTEM;
    }
}

enum mxq_io_code mxq_io_fail_system(struct mxq_io_error *error, const char *path, const char *doing,
                                    int number)
{
    return mxq_io_fail(error, code_of(number), (struct mxq_io_place){path, MXQ_IO_NOWHERE, NULL},
                       "%s: %s", doing, strerror(number));
}

enum mxq_io_code mxq_io_fail_memory(struct mxq_io_error *error, const char *path)
{
    return mxq_io_fail(error, MXQ_IO_NO_MEMORY, (struct mxq_io_place){path, MXQ_IO_NOWHERE, NULL},
                       "out of memory");
}
