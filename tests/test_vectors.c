/* SPDX-License-Identifier: Apache-2.0 */
/* test_vectors.c -- the oracle and every row against numbers made by other projects' code.
 *
 * vectors/README.md describes the files; the folder is the only argument. */
#define _POSIX_C_SOURCE 200809L /* strtok_r */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "kernels.h"
#include "oracle.h"
#include "tally.h"

static int failed;

/* What is under test: one row, or the oracle. */
struct subject {
    const char *name;
    const struct mxq_kernels *row; /* NULL: the oracle */
};

/* ------------------------------- One value, one block, by a subject --------------------------- */

static uint8_t encode(const struct subject *s, enum mxq_element element, uint32_t bits)
{
    uint32_t x[MXQ_BLOCK];
    uint8_t elements[MXQ_BLOCK];
    const uint8_t scale = 127;
    if (!s->row)
        return oracle_pack(element, MXQ_F32, bits, scale);
    for (size_t i = 0; i < MXQ_BLOCK; i++)
        x[i] = bits;
    s->row->pack[element][MXQ_F32](elements, x, &scale, 1);
    const uint8_t code = oracle_get(element, elements, 0);
    for (size_t i = 1; i < MXQ_BLOCK; i++)
        if (oracle_get(element, elements, i) != code)
            return 0xFF; /* a lane differs: never a right answer here */
    return code;
}

static uint32_t decode(const struct subject *s, enum mxq_element element, uint8_t code,
                       uint8_t scale)
{
    uint8_t elements[MXQ_BLOCK];
    uint32_t y[MXQ_BLOCK];
    if (!s->row)
        return oracle_unpack(element, MXQ_F32, code, scale);
    for (size_t i = 0; i < MXQ_BLOCK; i++)
        oracle_put(element, elements, i, code);
    s->row->unpack[element][MXQ_F32](y, elements, &scale, 1);
    for (size_t i = 1; i < MXQ_BLOCK; i++)
        if (y[i] != y[0])
            return 0xFFFFFFFF;
    return y[0];
}

static void quantize(const struct subject *s, enum mxq_element element, enum mxq_scale_mode mode,
                     enum mxq_type type, const void *x, uint8_t *elements, uint8_t *scale)
{
    const struct mxq_scale_rule rule = mxq_scale_rule(element, mode);
    if (!s->row)
        oracle_quantize(element, mode, type, x, MXQ_BLOCK, elements, scale);
    else
        s->row->quantize[element][type](elements, scale, x, 1, &rule);
}

/* ------------------------------------- Reading the files -------------------------------------- */

static const char *const element_names[MXQ_ELEMENTS] = {"e4m3", "e5m2",   "e3m2", "e2m3",
                                                        "e2m1", "mxint8", "int8"};
static const char *const mode_names[MXQ_SCALE_MODES] = {"default", "rceil", "floor", "ceil",
                                                        "even",    "ct",    "mse",   "unit"};

static void give_up(const char *file, const char *why)
{
    fprintf(stderr, "%s: %s\n", file, why);
    exit(99);
}

/* Returns the index of the next word in a list; ends the test when it is not there. */
static int next_word(char **text, const char *const *list, int count, const char *file)
{
    const char *word = strtok_r(NULL, " \n", text);
    for (int i = 0; word && i < count; i++)
        if (!strcmp(word, list[i]))
            return i;
    give_up(file, "unknown word");
    return 0;
}

static uint32_t hexadecimal(const char *text, int digits, const char *file)
{
    char copy[9] = {0};
    char *end;
    memcpy(copy, text, (size_t)digits);
    const unsigned long value = strtoul(copy, &end, 16);
    if (*end || end != copy + digits)
        give_up(file, "not a hexadecimal number");
    return (uint32_t)value;
}

/* Reads `count` numbers of `digits` digits each, without gaps. */
static void next_numbers(char **text, uint32_t *numbers, size_t count, int digits, const char *file)
{
    const char *word = strtok_r(NULL, " \n", text);
    if (!word || strlen(word) != count * (size_t)digits)
        give_up(file, "a list of the wrong length");
    for (size_t i = 0; i < count; i++)
        numbers[i] = hexadecimal(word + i * (size_t)digits, digits, file);
}

/* ---------------------------------------- elements.txt ---------------------------------------- */

/* Checks the pairs of one line, "input:output". */
static void check_pairs(struct tally *t, const struct subject *s, const char *keyword, char *text,
                        const char *file)
{
    static const char *const scales[] = {"e8m0"};
    const int is_scale = !strcmp(keyword, "scale"), is_encode = !strcmp(keyword, "encode");
    const enum mxq_element element =
        (enum mxq_element)(is_scale ? next_word(&text, scales, 1, file)
                                    : next_word(&text, element_names, MXQ_ELEMENTS, file));
    for (char *word; (word = strtok_r(NULL, " \n", &text)); t->cases++) {
        const char *colon = strchr(word, ':');
        if (!colon)
            give_up(file, "a pair without a colon");
        const uint32_t input = hexadecimal(word, (int)(colon - word), file);
        const uint32_t expected = !strcmp(colon + 1, "nan")
                                      ? 0x7FC00000
                                      : hexadecimal(colon + 1, is_encode ? 2 : 8, file);
        const uint32_t got = is_encode  ? encode(s, element, input)
                             : is_scale ? decode(s, MXQ_E4M3, 0x38, (uint8_t)input) /* 1.0 */
                                        : decode(s, element, (uint8_t)input, 127);
        if (got != expected)
            tally_fail(t, "%s %s: 0x%" PRIX32 ", must be 0x%" PRIX32, keyword, word, got, expected);
    }
}

/* ------------------------------------- Files with blocks -------------------------------------- */

struct block {
    uint32_t x[MXQ_BLOCK]; /* F32 bits */
    uint8_t scale;
    uint8_t elements[MXQ_BLOCK];
};

/* NaN blocks need only be NaN: producers keep the sign of a NaN, mxq does not. */
static int is_equal(const struct block *b, enum mxq_element element, const uint8_t *elements,
                    uint8_t scale)
{
    if (b->scale != scale || scale != 0xFF)
        return b->scale == scale && !memcmp(b->elements, elements, MXQ_BLOCK);
    for (size_t i = 0; i < MXQ_BLOCK; i++)
        if ((elements[i] & 0x7F) <= (element == MXQ_E4M3 ? 0x7E : 0x7C))
            return 0;
    return 1;
}

/* Writes x as values of a type; returns 0 when the type cannot hold all of them exactly. */
static int narrow(const struct block *b, enum mxq_type type, void *x)
{
    for (size_t i = 0; i < MXQ_BLOCK; i++) {
        const double v = oracle_value(MXQ_F32, b->x[i]);
        const uint32_t bits = oracle_nearest(type, v);
        if (oracle_nearest(MXQ_F32, oracle_value(type, bits)) != b->x[i])
            return 0;
        oracle_store(type, x, i, bits);
    }
    return 1;
}

/* Quantizes the block in every type that holds its values.  A line that says `differs` documents
 * that the producer leaves the contract there: then the results must differ. */
static void check_block(struct tally *t, const struct subject *s, const struct block *b,
                        enum mxq_element element, enum mxq_scale_mode mode, int differs)
{
    for (int type = 0; type < MXQ_TYPES; type++) {
        uint32_t x[MXQ_BLOCK];
        uint8_t elements[MXQ_BLOCK], scale;
        memcpy(x, b->x, sizeof x);
        if (type != MXQ_F32 && !narrow(b, (enum mxq_type)type, x))
            continue;
        quantize(s, element, mode, (enum mxq_type)type, x, elements, &scale);
        t->cases++;
        if (is_equal(b, element, elements, scale) == differs)
            tally_fail(t, "%s %s, type %d, x[0] 0x%08" PRIX32 ": scale 0x%02X, theirs 0x%02X%s",
                       element_names[element], mode_names[mode], type, b->x[0], scale, b->scale,
                       differs ? " (must differ)" : "");
    }
}

static void check_result(struct tally *t, const struct subject *s, struct block *b, int differs,
                         char *text, const char *file)
{
    uint32_t numbers[MXQ_BLOCK];
    const int element = next_word(&text, element_names, MXQ_ELEMENTS, file);
    const int mode = next_word(&text, mode_names, MXQ_SCALE_MODES, file);
    next_numbers(&text, numbers, 1, 2, file);
    b->scale = (uint8_t)numbers[0];
    next_numbers(&text, numbers, MXQ_BLOCK, 2, file);
    for (size_t i = 0; i < MXQ_BLOCK; i++)
        b->elements[i] = (uint8_t)numbers[i];
    check_block(t, s, b, (enum mxq_element)element, (enum mxq_scale_mode)mode, differs);
}

static void check_file(const struct subject *s, const char *folder, const char *name)
{
    char path[4096], line[1024], label[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(label, sizeof label, "%s: %s", s->name, name);
    FILE *file = fopen(path, "r");
    if (!file)
        give_up(path, strerror(errno));
    struct tally t = {label, 0, 0};
    struct block b = {0};
    while (fgets(line, sizeof line, file)) {
        char *rest;
        const char *keyword = strtok_r(line, " \n", &rest);
        if (!keyword || *keyword == '#')
            continue;
        if (!strcmp(keyword, "x"))
            next_numbers(&rest, b.x, MXQ_BLOCK, 8, path);
        else if (!strcmp(keyword, "r") || !strcmp(keyword, "differs"))
            check_result(&t, s, &b, *keyword == 'd', rest, path);
        else if (!strcmp(keyword, "decode") || !strcmp(keyword, "encode") ||
                 !strcmp(keyword, "scale"))
            check_pairs(&t, s, keyword, rest, path);
        else
            give_up(path, "unknown keyword");
    }
    fclose(file);
    if (!t.cases)
        tally_fail(&t, "the file has no cases");
    failed += tally_end(&t);
}

static void check_subject(const struct subject *s, const char *folder)
{
    check_file(s, folder, "elements.txt");
    check_file(s, folder, "torchao.txt");
    check_file(s, folder, "microxcaling.txt");
}

int main(int argc, char **argv)
{
    const struct subject oracle = {"oracle", NULL};
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    check_subject(&oracle, argv[1]);
    for (size_t i = 0; mxq_rows[i]; i++) {
        const struct subject row = {mxq_rows[i]->isa, mxq_rows[i]};
#if !defined(MXQ_EMULATED)
        const char *missing = mxq_cpu_missing(mxq_rows[i]->requires);
        if (*missing) {
            printf("%s: skipped: no %s here\n", row.name, missing);
            continue;
        }
#endif
        check_subject(&row, argv[1]);
    }
    return failed != 0;
}
