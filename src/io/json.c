/* SPDX-License-Identifier: Apache-2.0 */
/* json.c -- the scanner, and jansson behind it. */
#include "json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(struct mxq_json_fault *fault, enum mxq_io_code code, size_t at, const char *what,
                ...) __attribute__((format(printf, 4, 5)));

static int fail(struct mxq_json_fault *fault, enum mxq_io_code code, size_t at, const char *what,
                ...)
{
    fault->code = code;
    fault->at = at;
    va_list arguments;
    va_start(arguments, what);
    vsnprintf(fault->what, sizeof fault->what, what, arguments);
    va_end(arguments);
    return 0;
}

/* ------------------------------------------- Tokens ------------------------------------------- */

enum kind { TOKEN_END = 0, TOKEN_STRING = 's', TOKEN_ATOM = 'a' }; /* or the mark itself: {}[]:, */

struct token {
    int kind;
    struct mxq_json_span span;
};

/* Returns the bytes of the UTF-8 character at p, or 0: overlong forms, surrogates and what is
 * beyond U+10FFFF are no characters. */
static size_t utf8_bytes(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80)
        return 1;
    const size_t bytes = p[0] >= 0xC2 && p[0] <= 0xDF   ? 2
                         : p[0] >= 0xE0 && p[0] <= 0xEF ? 3
                         : p[0] >= 0xF0 && p[0] <= 0xF4 ? 4
                                                        : 0;
    if (!bytes || bytes > left)
        return 0;
    for (size_t i = 1; i < bytes; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) ||
        (p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F))
        return 0;
    return bytes;
}

/* Reads four hexadecimal digits; returns -1 when they are none. */
static long hex4(const char *p, size_t left)
{
    if (left < 4)
        return -1;
    long value = 0;
    for (int i = 0; i < 4; i++) {
        const char *digit = strchr("0123456789abcdef", p[i] | 0x20);
        if (!digit || !p[i])
            return -1;
        value = value << 4 | (digit - "0123456789abcdef");
    }
    return value;
}

/* Returns the bytes of the escape sequence at p, which points at its backslash, or 0. */
static size_t escape_bytes(const char *text, size_t at, size_t end, struct mxq_json_fault *fault)
{
    const char *p = text + at;
    const size_t left = end - at;
    if (left >= 2 && p[1] && strchr("\"\\/bfnrt", p[1]))
        return 2;
    const long unit = left >= 2 && p[1] == 'u' ? hex4(p + 2, left - 2) : -1;
    if (unit < 0) {
        fail(fault, MXQ_IO_BAD_JSON, at, "unknown escape sequence in a string");
        return 0;
    }
    if (unit == 0) {
        fail(fault, MXQ_IO_BAD_NAME, at, "a string holds a NUL: \\u0000");
        return 0;
    }
    if (unit < 0xD800 || unit > 0xDFFF)
        return 6;
    if (unit <= 0xDBFF && left >= 8 && p[6] == '\\' && p[7] == 'u') {
        const long low = hex4(p + 8, left - 8);
        if (low >= 0xDC00 && low <= 0xDFFF)
            return 12;
    }
    fail(fault, MXQ_IO_BAD_UTF8, at, "half of a surrogate pair: \\u%04lX", (unsigned long)unit);
    return 0;
}

/* Returns the end of the string whose opening quote is at `at`, or 0. */
static size_t string_end(const char *text, size_t at, size_t end, struct mxq_json_fault *fault)
{
    for (size_t i = at + 1; i < end;) {
        const unsigned char c = (unsigned char)text[i];
        if (c == '"')
            return i + 1;
        if (c < 0x20) {
            fail(fault, MXQ_IO_BAD_JSON, i, "control character in a string: byte = 0x%02x", c);
            return 0;
        }
        const size_t bytes = c == '\\' ? escape_bytes(text, i, end, fault)
                                       : utf8_bytes((const unsigned char *)text + i, end - i);
        if (!bytes) {
            if (c != '\\')
                fail(fault, MXQ_IO_BAD_UTF8, i, "invalid UTF-8: byte = 0x%02x", c);
            return 0;
        }
        i += bytes;
    }
    fail(fault, MXQ_IO_BAD_JSON, at, "a string does not end");
    return 0;
}

static int is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int is_atom(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '+' || c == '.';
}

static int next_token(const char *text, size_t position, size_t end, struct token *token,
                      struct mxq_json_fault *fault)
{
    while (position < end && is_space(text[position]))
        position++;
    token->span.begin = position;
    token->span.end = position;
    token->kind = TOKEN_END;
    if (position == end)
        return 1;
    const char c = text[position];
    if (c && strchr("{}[]:,", c)) {
        token->kind = c;
        token->span.end++;
    } else if (c == '"') {
        token->kind = TOKEN_STRING;
        token->span.end = string_end(text, position, end, fault);
        return token->span.end != 0;
    } else if (is_atom(c)) {
        token->kind = TOKEN_ATOM;
        while (token->span.end < end && is_atom(text[token->span.end]))
            token->span.end++;
    } else if (!utf8_bytes((const unsigned char *)text + position, end - position)) {
        return fail(fault, MXQ_IO_BAD_UTF8, position, "invalid UTF-8: byte = 0x%02x",
                    (unsigned char)c);
    } else {
        return fail(fault, MXQ_IO_BAD_JSON, position, "no JSON starts with this: byte = 0x%02x",
                    (unsigned char)c);
    }
    return 1;
}

/* ------------------------------------------- Checks ------------------------------------------- */

#define LARGEST_INTEGER (UINT64_C(1) << 53) /* the last one that every JSON reader keeps exact */

static int check_integer(const char *text, struct mxq_json_span span, struct mxq_json_fault *fault)
{
    const int bytes = (int)(span.end - span.begin < 32 ? span.end - span.begin : 32);
    const char *p = text + span.begin;
    uint64_t value = 0;
    int plain = bytes == 1 || p[0] != '0';
    for (int i = 0; i < bytes; i++) {
        plain = plain && p[i] >= '0' && p[i] <= '9';
        if (plain && value <= LARGEST_INTEGER)
            value = value * 10 + (uint64_t)(p[i] - '0');
    }
    if (!plain || value > LARGEST_INTEGER)
        return fail(fault, MXQ_IO_BAD_NUMBER, span.begin,
                    "not a plain integer: number = %.*s, expected 0 .. 9007199254740992", bytes, p);
    return 1;
}

/* What may follow the root value. */
static int check_tail(const char *text, size_t position, size_t bytes,
                      const struct mxq_json_rules *rules, struct mxq_json_fault *fault)
{
    for (; position < bytes; position++)
        if (text[position] != ' ' && (rules->spaces_only || !is_space(text[position])))
            return fail(fault, MXQ_IO_BAD_JSON, position,
                        "bytes behind the JSON object: byte = 0x%02x, expected %s",
                        (unsigned char)text[position], rules->spaces_only ? "spaces" : "nothing");
    return 1;
}

int mxq_json_check(const char *text, size_t bytes, const struct mxq_json_rules *rules,
                   struct mxq_json_fault *fault)
{
    if (bytes >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3))
        return fail(fault, MXQ_IO_BAD_UTF8, 0, "the JSON text begins with a byte order mark");
    if (!bytes || text[0] != '{')
        return fail(fault, MXQ_IO_HEADER_NOT_OBJECT, 0,
                    "the JSON text must begin with '{': byte = 0x%02x",
                    bytes ? (unsigned char)text[0] : 0);
    size_t depth = 0;
    size_t position = 0;
    do {
        struct token token;
        if (!next_token(text, position, bytes, &token, fault))
            return 0;
        position = token.span.end;
        if (token.kind == '{' || token.kind == '[') {
            if (++depth > rules->depth)
                return fail(fault, MXQ_IO_BAD_JSON, token.span.begin,
                            "nested too deeply: depth = %zu, limit %zu", depth, rules->depth);
        } else if (token.kind == '}' || token.kind == ']') {
            depth--;
        } else if (token.kind == TOKEN_END) {
            return fail(fault, MXQ_IO_BAD_JSON, position, "the JSON text ends too early");
        } else if (token.kind == TOKEN_ATOM && rules->integers_only &&
                   strchr("+-.0123456789", text[token.span.begin]) &&
                   !check_integer(text, token.span, fault)) {
            return 0;
        }
    } while (depth);
    return check_tail(text, position, bytes, rules, fault);
}

/* ------------------------------------- Members and items -------------------------------------- */

struct mxq_json_steps mxq_json_enter(const char *text, struct mxq_json_span container)
{
    return (struct mxq_json_steps){text, container.end, container.begin + 1,
                                   text[container.begin] == '{' ? '}' : ']', 0};
}

/* Takes the next token, which must be of that kind. */
static int expect(struct mxq_json_steps *steps, int kind, struct token *token,
                  struct mxq_json_fault *fault)
{
    if (!next_token(steps->text, steps->position, steps->end, token, fault))
        return 0;
    if (token->kind != kind)
        return fail(fault, MXQ_IO_BAD_JSON, token->span.begin, "bad JSON: expected %s",
                    kind == TOKEN_STRING ? "a string" : (char[]){'\'', (char)kind, '\'', 0});
    steps->position = token->span.end;
    return 1;
}

/* Takes one value: a single token, or everything up to the bracket that closes it. */
static int take_value(struct mxq_json_steps *steps, struct mxq_json_span *value,
                      struct mxq_json_fault *fault)
{
    size_t depth = 0;
    int first = 1;
    do {
        struct token token;
        if (!next_token(steps->text, steps->position, steps->end, &token, fault))
            return 0;
        const int opens = token.kind == '{' || token.kind == '[';
        const int closes = token.kind == '}' || token.kind == ']';
        if (token.kind == TOKEN_END ||
            (first && (closes || token.kind == ':' || token.kind == ',')))
            return fail(fault, MXQ_IO_BAD_JSON, token.span.begin, "bad JSON: expected a value");
        if (first)
            value->begin = token.span.begin;
        depth = depth + (opens ? 1 : 0) - (closes ? 1 : 0);
        value->end = steps->position = token.span.end;
        first = 0;
    } while (depth);
    return 1;
}

int mxq_json_next(struct mxq_json_steps *steps, struct mxq_json_span *key,
                  struct mxq_json_span *value, struct mxq_json_fault *fault)
{
    struct token token;
    if (!next_token(steps->text, steps->position, steps->end, &token, fault))
        return -1;
    if (token.kind == steps->close) {
        steps->position = token.span.end;
        return 0;
    }
    if (steps->started && !expect(steps, ',', &token, fault))
        return -1;
    steps->started = 1;
    *key = (struct mxq_json_span){0, 0};
    if (steps->close == '}') {
        if (!expect(steps, TOKEN_STRING, &token, fault))
            return -1;
        *key = token.span;
        if (!expect(steps, ':', &token, fault))
            return -1;
    }
    return take_value(steps, value, fault) ? 1 : -1;
}

/* Most keys have no escapes: they are compared where they are. */
static int key_is(const char *text, struct mxq_json_span key, const char *name)
{
    struct mxq_json_fault fault;
    const size_t bytes = key.end - key.begin - 2;
    if (!memchr(text + key.begin, '\\', key.end - key.begin))
        return bytes == strlen(name) && !memcmp(text + key.begin + 1, name, bytes);
    char *unescaped = mxq_json_unescape(text, key, &fault);
    const int same = unescaped && !strcmp(unescaped, name);
    free(unescaped);
    return same;
}

int mxq_json_find(const char *text, struct mxq_json_span object, const char *name,
                  struct mxq_json_span *key, struct mxq_json_span *value)
{
    struct mxq_json_fault fault;
    struct mxq_json_steps steps = mxq_json_enter(text, object);
    struct mxq_json_span k;
    while (mxq_json_next(&steps, &k, value, &fault) == 1)
        if (key_is(text, k, name)) {
            if (key)
                *key = k;
            return 1;
        }
    return 0;
}

/* ------------------------------------------ jansson ------------------------------------------- */

/* Where jansson stopped is just behind a duplicate key: finds where that key begins. */
static size_t key_before(const char *text, struct mxq_json_span object, size_t end)
{
    struct mxq_json_fault fault;
    struct mxq_json_steps steps = mxq_json_enter(text, object);
    struct mxq_json_span key, value;
    while (mxq_json_next(&steps, &key, &value, &fault) == 1)
        if (key.end == end)
            return key.begin;
    return end;
}

/* jansson reports some allocations that failed as bad syntax: this remembers them. */
static _Thread_local int ran_out;

static void *allocate(size_t bytes)
{
    void *memory = malloc(bytes);
    ran_out |= !memory;
    return memory;
}

static json_t *parse(const char *text, struct mxq_json_span value, struct mxq_json_fault *fault)
{
    json_error_t e;
    json_set_alloc_funcs(allocate, free);
    ran_out = 0;
    json_t *json = json_loadb(text + value.begin, value.end - value.begin,
                              JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    if (json)
        return json;
    const size_t at = value.begin + (e.position > 0 ? (size_t)e.position : 0);
    switch (ran_out ? json_error_out_of_memory : json_error_code(&e)) {
    case json_error_out_of_memory:
        fail(fault, MXQ_IO_NO_MEMORY, at, "out of memory");
        break;
    case json_error_duplicate_key:
        fail(fault, MXQ_IO_DUPLICATE_KEY,
             text[value.begin] == '{' ? key_before(text, value, at) : at, "duplicate key");
        break;
    case json_error_invalid_utf8:
        fail(fault, MXQ_IO_BAD_UTF8, at, "invalid UTF-8");
        break;
    case json_error_null_character:
    case json_error_null_byte_in_key:
        fail(fault, MXQ_IO_BAD_NAME, at, "a string holds a NUL");
        break;
    case json_error_numeric_overflow:
        fail(fault, MXQ_IO_BAD_NUMBER, at, "a number is out of range");
        break;
    default:
        fail(fault, MXQ_IO_BAD_JSON, at, "bad JSON: %.120s", e.text);
    }
    return NULL;
}

json_t *mxq_json_parse(const char *text, struct mxq_json_span value, struct mxq_json_fault *fault)
{
    return parse(text, value, fault);
}

char *mxq_json_unescape(const char *text, struct mxq_json_span key, struct mxq_json_fault *fault)
{
    const size_t bytes = key.end - key.begin - 2;
    if (!memchr(text + key.begin, '\\', key.end - key.begin)) {
        char *copy = malloc(bytes + 1);
        if (!copy) {
            fail(fault, MXQ_IO_NO_MEMORY, key.begin, "out of memory");
            return NULL;
        }
        memcpy(copy, text + key.begin + 1, bytes);
        copy[bytes] = '\0';
        return copy;
    }
    json_t *json = parse(text, key, fault);
    if (!json)
        return NULL;
    char *copy = strdup(json_string_value(json));
    if (!copy)
        fail(fault, MXQ_IO_NO_MEMORY, key.begin, "out of memory");
    json_decref(json);
    return copy;
}

json_t *mxq_json_load(const char *text, size_t bytes, struct mxq_json_fault *fault)
{
    static const struct mxq_json_rules rules = {64, 0, 0};
    size_t begin = 0;
    while (begin < bytes && is_space(text[begin]))
        begin++;
    if (!mxq_json_check(text + begin, bytes - begin, &rules, fault)) {
        fault->at += begin;
        return NULL;
    }
    return parse(text, (struct mxq_json_span){begin, bytes}, fault);
}
