/* SPDX-License-Identifier: Apache-2.0 */
/* fail.c -- the end of the program when something is wrong. */
#include "fail.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fail(int status, const char *format, ...)
{
    char message[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    fputs("mxq-llama: ", stderr);
    for (const char *c = message; *c; c++)
        if (*c >= ' ' && *c <= '~')
            fputc(*c, stderr);
        else
            fprintf(stderr, "\\x%02X", (unsigned)(unsigned char)*c);
    fputc('\n', stderr);
    exit(status);
}

void *allocate(size_t count, size_t bytes)
{
    size_t all;
    if (__builtin_mul_overflow(count, bytes, &all) || all > SIZE_MAX - 64)
        fail(EXIT_INPUT, "the model is too large for memory");
    all = (all + 64) / 64 * 64;
    void *memory = aligned_alloc(64, all);
    if (!memory)
        fail(EXIT_INPUT, "out of memory: %zu bytes", all);
    return memset(memory, 0, all);
}
