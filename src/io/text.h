/* SPDX-License-Identifier: Apache-2.0 */
/* text.h -- text that grows: headers, configs and reports are written into it. */
#ifndef MXQ_IO_TEXT_H
#define MXQ_IO_TEXT_H

#include <stddef.h>

/* Starts as {0}.  `data` is NUL-terminated once anything was written, and the caller frees it.
 * `failed` is set, and stays set, when memory ran out: one check at the end is enough. */
struct mxq_text {
    char *data;
    size_t bytes;
    size_t capacity;
    int failed;
};

void mxq_text_bytes(struct mxq_text *text, const char *data, size_t bytes);
void mxq_text_string(struct mxq_text *text, const char *string);
void mxq_text_format(struct mxq_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Appends `string` as a JSON string, quotes included. */
void mxq_text_json(struct mxq_text *text, const char *string);

void mxq_text_free(struct mxq_text *text);

#endif
