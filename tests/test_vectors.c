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
#include "oracle_matrix.h"
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
        s->row->quantize[element][type](elements, scale, x, 1, &rule, 0);
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

/* ---------------------------------------- profiles.txt ---------------------------------------- */

#define MATRIX_MAX 2048 /* values of a matrix */

struct matrix {
    size_t rows, cols;
    float values[MATRIX_MAX];
};

static void read_matrix(struct matrix *m, char *text, const char *file)
{
    static uint32_t bits[MATRIX_MAX];
    char *rest;
    m->rows = strtoul(text, &rest, 10);
    m->cols = strtoul(rest, &text, 10);
    if (m->rows * m->cols > MATRIX_MAX)
        give_up(file, "a matrix that is too large");
    next_numbers(&text, bits, m->rows * m->cols, 8, file);
    memcpy(m->values, bits, m->rows * m->cols * sizeof *bits);
}

/* What a producer made of a matrix. */
struct produced {
    struct mxq_format format;
    struct mxq_quantize_options options;
    uint32_t tensor_scale;
    uint8_t elements[MATRIX_MAX], scales[MATRIX_MAX];
    size_t elements_stride, scales_stride, scales_bytes;
};

static void find_format(struct produced *p, char **text, const char *file)
{
    const char *word = strtok_r(NULL, " \n", text);
    struct mxq_format_info info;
    size_t i = 0;
    while (word && mxq_format_at(i, &info) && strcmp(info.name, word) != 0)
        i++;
    if (!word || !mxq_format_at(i, &info))
        give_up(file, "unknown format");
    p->format = info.format;
}

static void read_produced(struct produced *p, const struct matrix *m, char *text, const char *file)
{
    static uint32_t numbers[MATRIX_MAX];
    const char *profile = strtok_r(NULL, " \n", &text);
    struct mxq_sizes sizes;
    memset(p, 0, sizeof *p);
    p->options = (struct mxq_quantize_options)MXQ_QUANTIZE_OPTIONS;
    find_format(p, &text, file);
    if (!profile || mxq_quantized_sizes(&p->format, m->rows, m->cols, &sizes))
        give_up(file, "no profile");
    if (strcmp(profile, "-") != 0 && mxq_profile_options(profile, &p->format, &p->options, NULL))
        give_up(file, "unknown profile");
    const char *tensor = strtok_r(NULL, " \n", &text);
    p->tensor_scale = tensor && *tensor != '-' ? hexadecimal(tensor, 8, file) : 0;
    const size_t bytes = p->format.scale == MXQ_F32_SCALE ? 4
                         : p->format.scale == MXQ_BF16_SCALE || p->format.scale == MXQ_F16_SCALE
                             ? 2
                             : 1;
    p->scales_bytes = sizes.scales_bytes;
    p->scales_stride = sizes.scales_row_bytes;
    p->elements_stride = sizes.elements_row_bytes;
    next_numbers(&text, numbers, sizes.scales_bytes / bytes, 2 * (int)bytes, file);
    for (size_t i = 0; i < sizes.scales_bytes; i++)
        p->scales[i] = (uint8_t)(numbers[i / bytes] >> 8 * (i % bytes));
    next_numbers(&text, numbers, m->rows * m->cols, 2, file);
    for (size_t row = 0; row < m->rows; row++)
        for (size_t col = 0; col < m->cols; col++)
            oracle_put(p->format.element, p->elements + row * p->elements_stride, col,
                       (uint8_t)numbers[row * m->cols + col]);
}

/* The public API on one row, or the oracle. */
static void check_produced(struct tally *t, const struct subject *s, struct matrix *m,
                           const struct produced *p, int differs)
{
    static uint8_t elements[MATRIX_MAX], scales[MATRIX_MAX];
    const int is_nvfp4 = p->format.scale == MXQ_E4M3_SCALE;
    float tensor = 0;
    const struct mxq_quantized q = {
        p->format,          m->rows, m->cols,          elements,
        p->elements_stride, scales,  p->scales_stride, is_nvfp4 ? &tensor : NULL};
    const struct mxq_matrix x = {m->values, MXQ_F32, m->rows, m->cols, m->cols};
    uint32_t tensor_bits;
    memset(elements, 0, sizeof elements);
    memset(scales, 0, sizeof scales);
    if (!s->row)
        oracle_quantize_matrix(&q, &x, &p->options);
    else if (mxq_set_isa(s->name) || mxq_quantize(&q, &x, &p->options, NULL))
        tally_fail(t, "mxq_quantize fails");
    memcpy(&tensor_bits, &tensor, sizeof tensor);
    const size_t bytes = m->rows * p->elements_stride;
    const int is_same = !memcmp(elements, p->elements, bytes) &&
                        !memcmp(scales, p->scales, p->scales_bytes) &&
                        tensor_bits == p->tensor_scale;
    size_t at = 0;
    while (at + 1 < bytes && elements[at] == p->elements[at])
        at++;
    t->cases++;
    if (is_same == differs)
        tally_fail(t,
                   "element %d scale %d, mode %d, x[0] %a: scale[0] 0x%02X, theirs 0x%02X; element "
                   "byte %zu 0x%02X, theirs 0x%02X; tensor 0x%08" PRIX32 ", theirs 0x%08" PRIX32
                   "%s",
                   p->format.element, p->format.scale, p->options.scale_mode, (double)m->values[0],
                   scales[0], p->scales[0], at, elements[at], p->elements[at], tensor_bits,
                   p->tensor_scale, differs ? " (must differ)" : "");
}

static void check_profile(struct tally *t, const struct subject *s, struct matrix *m, int differs,
                          char *text, const char *file)
{
    static struct produced produced;
    read_produced(&produced, m, text, file);
    check_produced(t, s, m, &produced, differs);
}

static void check_file(const struct subject *s, const char *folder, const char *name)
{
    static char line[1 << 16];
    static struct matrix m;
    char path[4096], label[128];
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
        else if (!strcmp(keyword, "matrix"))
            read_matrix(&m, rest, path);
        else if (!strcmp(keyword, "profile") || !strcmp(keyword, "profile-differs"))
            check_profile(&t, s, &m, keyword[7] != 0, rest, path);
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
    check_file(s, folder, "profiles.txt");
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
