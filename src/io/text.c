/* SPDX-License-Identifier: Apache-2.0 */
/* text.c -- text that grows. */
#include "text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Makes room for `bytes` more and a NUL. */
static int reserve(struct mxq_text *text, size_t bytes)
{
    if (text->failed)
        return 0;
    if (text->capacity - text->bytes > bytes)
        return 1;
    size_t capacity = text->capacity ? text->capacity : 256;
    while (capacity - text->bytes <= bytes && capacity <= SIZE_MAX / 2)
        capacity *= 2;
    char *data = capacity - text->bytes > bytes ? realloc(text->data, capacity) : NULL;
    if (!data) {
        text->failed = 1;
        return 0;
    }
    text->data = data;
    text->capacity = capacity;
    return 1;
}

void mxq_text_bytes(struct mxq_text *text, const char *data, size_t bytes)
{
    if (!reserve(text, bytes))
        return;
    if (bytes)
        memcpy(text->data + text->bytes, data, bytes);
    text->bytes += bytes;
    text->data[text->bytes] = '\0';
}

void mxq_text_string(struct mxq_text *text, const char *string)
{
    mxq_text_bytes(text, string, strlen(string));
}

void mxq_text_format(struct mxq_text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int bytes = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (bytes < 0) {
        text->failed = 1;
        return;
    }
    if (!reserve(text, (size_t)bytes))
        return;
    va_start(arguments, format);
    vsnprintf(text->data + text->bytes, (size_t)bytes + 1, format, arguments);
    va_end(arguments);
    text->bytes += (size_t)bytes;
}

void mxq_text_json(struct mxq_text *text, const char *string)
{
    mxq_text_bytes(text, "\"", 1);
    for (const char *p = string; *p; p++) {
        const unsigned char c = (unsigned char)*p;
        if (c == '"' || c == '\\')
            mxq_text_bytes(text, "\\", 1);
        if (c < 0x20 || c == 0x7F)
            mxq_text_format(text, "\\u%04x", c);
        else
            mxq_text_bytes(text, p, 1);
    }
    mxq_text_bytes(text, "\"", 1);
}

void mxq_text_free(struct mxq_text *text)
{
    free(text->data);
    *text = (struct mxq_text){0};
}
