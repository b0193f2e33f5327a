/* SPDX-License-Identifier: Apache-2.0 */
/* json.h -- JSON from untrusted files: a scanner that knows byte positions, in front of jansson.
 *
 * jansson decides what is valid and turns values into objects; but it does not say where in the
 * text a value was, and a header of 100 MB would become gigabytes of objects.  The scanner checks
 * strings, nesting and numbers of the whole text, without recursion and without memory, and steps
 * through the members of an object; jansson then sees one value at a time. */
#ifndef MXQ_IO_JSON_H
#define MXQ_IO_JSON_H

#include <jansson.h>

#include "error.h"

/* What is wrong, and at which byte of the text. */
struct mxq_json_fault {
    enum mxq_io_code code;
    size_t at;
    char what[192];
};

/* A piece of the text: begin inclusive, end exclusive. */
struct mxq_json_span {
    size_t begin;
    size_t end;
};

struct mxq_json_rules {
    size_t depth;      /* how deep objects and arrays may nest */
    int integers_only; /* every number must be an integer in 0 .. 2^53, in its shortest form */
    int spaces_only;   /* behind the value only 0x20 may follow, not any whitespace */
};

/* Checks the text as a sequence of tokens: UTF-8, strings and their escapes, brackets, numbers.
 * The first byte must be '{'.  Returns 1 when all is well. */
int mxq_json_check(const char *text, size_t bytes, const struct mxq_json_rules *rules,
                   struct mxq_json_fault *fault);

/* Steps through the members of an object, or the items of an array, of a text that was checked. */
struct mxq_json_steps {
    const char *text;
    size_t end;
    size_t position;
    char close; /* '}' or ']' */
    int started;
};
struct mxq_json_steps mxq_json_enter(const char *text, struct mxq_json_span container);

/* Returns 1 and the next value with its key (quotes included; empty in an array), 0 behind the last
 * one, -1 on bad syntax. */
int mxq_json_next(struct mxq_json_steps *steps, struct mxq_json_span *key,
                  struct mxq_json_span *value, struct mxq_json_fault *fault);

/* Parses one value.  Returns NULL on failure; duplicate keys are failures. */
json_t *mxq_json_parse(const char *text, struct mxq_json_span value, struct mxq_json_fault *fault);

/* Unescapes the string at `key`.  Returns its bytes in memory that the caller frees, or NULL. */
char *mxq_json_unescape(const char *text, struct mxq_json_span key, struct mxq_json_fault *fault);

/* Finds member `name` of an object; returns 1 when it is there.  `key` may be NULL. */
int mxq_json_find(const char *text, struct mxq_json_span object, const char *name,
                  struct mxq_json_span *key, struct mxq_json_span *value);

/* Loads a whole JSON document, such as a config.json, whose root must be an object. */
json_t *mxq_json_load(const char *text, size_t bytes, struct mxq_json_fault *fault);

#endif
