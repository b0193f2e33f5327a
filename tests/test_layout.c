/* SPDX-License-Identifier: Apache-2.0 */
/* test_layout.c -- mxq_layout_pack() and _unpack(): bytes written out, round trips, errors. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "tally.h"

#include "mxq/mxq.h"

#define BLANK 0xAA
#define MOST  200000

static int failed;
static uint8_t elements[2][MOST], scales[2][MOST], packed[MOST];

static struct mxq_quantized quantized(int i, const struct mxq_format *f, size_t rows, size_t cols,
                                      size_t gap)
{
    static float tensor_scale = 1;
    struct mxq_sizes sizes;
    if (mxq_quantized_sizes(f, rows, cols, &sizes) ||
        rows * (sizes.elements_row_bytes + gap) > MOST ||
        sizes.scales_rows * (sizes.scales_row_bytes + gap) > MOST) {
        fprintf(stderr, "test_layout: no such matrix\n");
        exit(99);
    }
    const struct mxq_quantized q = {*f,
                                    rows,
                                    cols,
                                    elements[i],
                                    sizes.elements_row_bytes + gap,
                                    scales[i],
                                    sizes.scales_row_bytes + gap,
                                    f->scale == MXQ_E4M3_SCALE ? &tensor_scale : NULL};
    return q;
}

/* ------------------------------------- Bytes written out --------------------------------------- */

struct vector {
    const char *name;
    struct mxq_format format;
    enum mxq_layout layout;
    size_t cols, bytes;
    uint8_t scales[4];
    uint8_t elements[64];
    uint8_t packed[68];
};

/* clang-format off */
static const struct vector vectors[] = {
    {"interleaved MXFP8", {MXQ_E4M3, MXQ_E8M0, 1, 32}, MXQ_LAYOUT_INTERLEAVED, 64, 66, {0x7F, 0x81},
     {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
      17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,
      0xE1, 0xE2, 0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xEB, 0xEC, 0xED, 0xEE, 0xEF, 0xF0,
      0xC1, 0xC2, 0xC3, 0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xCB, 0xCC, 0xCD, 0xCE, 0xCF, 0xD0},
     {0x7F, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
      17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 0x81,
      0xE1, 0xE2, 0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xEB, 0xEC, 0xED, 0xEE, 0xEF, 0xF0,
      0xC1, 0xC2, 0xC3, 0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xCB, 0xCC, 0xCD, 0xCE, 0xCF, 0xD0}},
    {"interleaved MXFP6", {MXQ_E2M3, MXQ_E8M0, 1, 32}, MXQ_LAYOUT_INTERLEAVED, 32, 25, {0x7E},
     {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24},
     {0x7E, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24}},
    {"interleaved MXFP4", {MXQ_E2M1, MXQ_E8M0, 1, 32}, MXQ_LAYOUT_INTERLEAVED, 64, 34, {0x70, 0x71},
     {0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE, 0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF,
      1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
     {0x70,
      0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE, 0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF,
      0x71, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
    /* Codes 0 .. 15, then 1 0 3 2 5 4 ...: byte j has code j below code j + 16. */
    {"ggml block_mxfp4", {MXQ_E2M1, MXQ_E8M0, 1, 32}, MXQ_LAYOUT_GGML, 32, 17, {0x70},
     {0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE, 0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF},
     {0x70,
      0x10, 0x01, 0x32, 0x23, 0x54, 0x45, 0x76, 0x67, 0x98, 0x89, 0xBA, 0xAB, 0xDC, 0xCD, 0xFE, 0xEF}},
    {"ggml block_q8_0", {MXQ_INT8, MXQ_F16_SCALE, 1, 32}, MXQ_LAYOUT_GGML, 32, 34, {0x66, 0x2E},
     {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
      0xFF, 0xFE, 0xFD, 0xFC, 0xFB, 0xFA, 0xF9, 0xF8, 0xF7, 0xF6, 0xF5, 0xF4, 0xF3, 0x81, 0x7F, 0},
     {0x66, 0x2E, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
      0xFF, 0xFE, 0xFD, 0xFC, 0xFB, 0xFA, 0xF9, 0xF8, 0xF7, 0xF6, 0xF5, 0xF4, 0xF3, 0x81, 0x7F, 0}},
};
/* clang-format on */

static void test_vectors(void)
{
    struct tally t = {"bytes written out", 0, 0};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++, t.cases++) {
        const struct vector *v = &vectors[i];
        const struct mxq_quantized from = quantized(0, &v->format, 1, v->cols, 0);
        const struct mxq_quantized to = quantized(1, &v->format, 1, v->cols, 0);
        size_t bytes = 0;
        memcpy(elements[0], v->elements, sizeof v->elements);
        memcpy(scales[0], v->scales, sizeof v->scales);
        memset(elements[1], BLANK, sizeof elements[1]);
        memset(scales[1], BLANK, sizeof scales[1]);
        memset(packed, BLANK, sizeof packed);
        if (mxq_layout_bytes(v->layout, &v->format, 1, v->cols, &bytes) || bytes != v->bytes)
            tally_fail(&t, "%s: %zu bytes", v->name, bytes);
        if (mxq_layout_pack(packed, bytes, v->layout, &from, NULL) ||
            memcmp(packed, v->packed, bytes) || packed[bytes] != BLANK)
            tally_fail(&t, "%s: packed", v->name);
        if (mxq_layout_unpack(&to, v->layout, v->packed, bytes, NULL) ||
            memcmp(elements[1], v->elements, to.elements_stride) ||
            memcmp(scales[1], v->scales, to.scales_stride) ||
            elements[1][to.elements_stride] != BLANK || scales[1][to.scales_stride] != BLANK)
            tally_fail(&t, "%s: unpacked", v->name);
    }
    failed |= tally_end(&t);
}

/* Some scales of 130 rows x 5, and where they are in 2 x 2 tiles. */
static void test_swizzled(void)
{
    static const struct {
        size_t row, col, offset;
    } places[] = {{0, 0, 0},      {0, 3, 3},      {1, 0, 16},     {31, 0, 496},   {32, 0, 4},
                  {64, 1, 9},     {96, 0, 12},    {127, 3, 511},  {0, 4, 512},    {33, 4, 532},
                  {128, 0, 1024}, {129, 3, 1043}, {129, 4, 1552}, {127, 4, 1020}, {63, 2, 502}};
    struct tally t = {"scales in tiles of 128 x 4", 0, 0};
    const struct mxq_quantized q = quantized(0, &mxq_mxfp4, 130, 4 * 32 + 1, 3);
    size_t bytes = 0, zeros = 0;
    if (mxq_layout_bytes(MXQ_LAYOUT_SCALES_128X4, &q.format, q.rows, q.cols, &bytes) ||
        bytes != 2048)
        tally_fail(&t, "%zu bytes", bytes);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++, t.cases++) {
        memset(scales[0], 0, sizeof scales[0]);
        memset(packed, BLANK, sizeof packed);
        scales[0][places[i].row * q.scales_stride + places[i].col] = 0x7F;
        if (mxq_layout_pack(packed, 2048, MXQ_LAYOUT_SCALES_128X4, &q, NULL) ||
            packed[places[i].offset] != 0x7F || packed[2048] != BLANK)
            tally_fail(&t, "scale %zu, %zu", places[i].row, places[i].col);
    }
    memset(scales[0], 0x7F, sizeof scales[0]);
    if (mxq_layout_pack(packed, 2048, MXQ_LAYOUT_SCALES_128X4, &q, NULL))
        tally_fail(&t, "all scales");
    for (size_t i = 0; i < 2048; i++)
        zeros += packed[i] == 0;
    if (zeros != 2048 - 130 * 5)
        tally_fail(&t, "%zu bytes of padding", zeros);
    t.cases += 2;
    failed |= tally_end(&t);
}

/* ------------------------------------- Another producer's bytes -------------------------------- */

/* What the package gguf 0.19.0 makes of ((37 i) mod 101 - 50) / 16, i < 64:
 * gguf.quants.quantize(x, GGMLQuantizationType.MXFP4), and .Q8_0. */
/* clang-format off */
static const uint8_t gguf_mxfp4[34] = {
    0x7E, 0x6F, 0xDB, 0x25, 0x7E, 0xC9, 0x46, 0xFE, 0xA2, 0x67, 0xEC, 0x14, 0x6F, 0xDA, 0x35, 0x7E, 0xB0,
    0x7E, 0x25, 0x7F, 0xC9, 0x46, 0xFE, 0xA1, 0x67, 0xED, 0x04, 0x6F, 0xDB, 0x35, 0x7E, 0xC0, 0x56, 0xFD};
static const uint8_t gguf_q8_0[68] = {
    0x4D, 0x26, 0x81, 0xDF, 0x3D, 0x9A, 0xF8, 0x56, 0xB4, 0x12, 0x70, 0xCD, 0x2B, 0x89, 0xE7, 0x45, 0xA2,
    0x00, 0x5E, 0xBB, 0x19, 0x77, 0xD5, 0x33, 0x90, 0xEE, 0x4C, 0xAA, 0x08, 0x66, 0xC3, 0x21, 0x7F, 0xDC,
    0x2C, 0x26, 0x3C, 0x96, 0xF6, 0x56, 0xB0, 0x10, 0x6F, 0xCA, 0x29, 0x84, 0xE3, 0x43, 0x9E, 0xFD, 0x5D,
    0xB7, 0x17, 0x77, 0xD1, 0x31, 0x8B, 0xEB, 0x4B, 0xA5, 0x05, 0x65, 0xBF, 0x1F, 0x7F, 0xD9, 0x39, 0x93};
/* clang-format on */

static void test_gguf(void)
{
    static const struct mxq_format formats[] = {{MXQ_E2M1, MXQ_E8M0, 1, 32},
                                                {MXQ_INT8, MXQ_F16_SCALE, 1, 32}};
    struct tally t = {"the bytes of gguf", 0, 0};
    float x[64];
    for (int i = 0; i < 64; i++)
        x[i] = (float)(i * 37 % 101 - 50) / 16;
    for (int i = 0; i < 2; i++, t.cases++) {
        const struct mxq_matrix m = {x, MXQ_F32, 1, 64, 64};
        const struct mxq_quantized q = quantized(0, &formats[i], 1, 64, 0);
        struct mxq_quantize_options o = MXQ_QUANTIZE_OPTIONS;
        if (mxq_profile_options("ggml", &formats[i], &o, NULL) || mxq_quantize(&q, &m, &o, NULL) ||
            mxq_layout_pack(packed, sizeof packed, MXQ_LAYOUT_GGML, &q, NULL) ||
            memcmp(packed, i ? gguf_q8_0 : gguf_mxfp4, i ? sizeof gguf_q8_0 : sizeof gguf_mxfp4))
            tally_fail(&t, "%s", i ? "block_q8_0" : "block_mxfp4");
    }
    failed |= tally_end(&t);
}

/* ----------------------------------------- Round trips ----------------------------------------- */

static void fill(struct random *r, uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)random_u32(r);
}

/* Whether rows are those of the source, and the gaps between them blank. */
static int is_copied(const uint8_t *copy, const uint8_t *source, size_t rows, size_t stride,
                     size_t row_bytes)
{
    for (size_t i = 0; i < rows * stride; i++)
        if (copy[i] != (i % stride < row_bytes ? source[i] : BLANK))
            return 0;
    return copy[rows * stride] == BLANK;
}

static void test_round_trips(void)
{
    static const uint32_t blocks[] = {8, 16, 32, 64, 128};
    struct tally t = {"round trips", 0, 0};
    struct random r = {random_hash("layouts")};
    while (t.cases < 3000) {
        struct mxq_format f = {(enum mxq_element)random_below(&r, MXQ_ELEMENTS),
                               (enum mxq_scale)random_below(&r, MXQ_SCALES), 1,
                               blocks[random_below(&r, 5)]};
        const enum mxq_layout layout = (enum mxq_layout)random_below(&r, MXQ_LAYOUTS);
        size_t rows = random_below(&r, 300), cols = random_below(&r, 400), bytes;
        if (layout != MXQ_LAYOUT_SCALES_128X4)
            cols -= cols % f.block_cols;
        if (mxq_layout_bytes(layout, &f, rows, cols, &bytes))
            continue; /* test_support knows which */
        const size_t gap = random_below(&r, 2) * random_below(&r, 5);
        const struct mxq_quantized from = quantized(0, &f, rows, cols, gap);
        const struct mxq_quantized to = quantized(1, &f, rows, cols, gap);
        const int moves_elements = layout != MXQ_LAYOUT_SCALES_128X4;
        fill(&r, elements[0], rows * from.elements_stride);
        fill(&r, scales[0], rows * from.scales_stride);
        memset(elements[1], BLANK, rows * to.elements_stride + 1);
        memset(scales[1], BLANK, rows * to.scales_stride + 1);
        memset(packed, BLANK, bytes + 1);
        t.cases++;
        if (mxq_layout_pack(packed, bytes, layout, &from, NULL) || packed[bytes] != BLANK ||
            mxq_layout_unpack(&to, layout, packed, bytes, NULL) ||
            !is_copied(scales[1], scales[0], rows, to.scales_stride, to.scales_stride - gap) ||
            !is_copied(elements[1], elements[0], rows, to.elements_stride,
                       moves_elements ? to.elements_stride - gap : 0))
            tally_fail(&t, "layout %d, element %d, scale %d, 1 x %d, %zu x %zu", (int)layout,
                       (int)f.element, (int)f.scale, (int)f.block_cols, rows, cols);
    }
    failed |= tally_end(&t);
}

/* -------------------------------------- What there is ------------------------------------------ */

static void test_support(void)
{
    static const struct mxq_format q8_0 = {MXQ_INT8, MXQ_F16_SCALE, 1, 32};
    const struct {
        const struct mxq_format *format;
        enum mxq_status status[MXQ_LAYOUTS]; /* interleaved, ggml, scales */
    } cases[] = {
        {&mxq_mxfp8_e4m3, {MXQ_OK, MXQ_ERR_FORMAT, MXQ_OK}},
        {&mxq_mxfp6_e3m2, {MXQ_OK, MXQ_ERR_FORMAT, MXQ_OK}},
        {&mxq_mxfp4, {MXQ_OK, MXQ_OK, MXQ_OK}},
        {&mxq_nvfp4, {MXQ_ERR_FORMAT, MXQ_ERR_FORMAT, MXQ_OK}},
        {&mxq_mxint8, {MXQ_OK, MXQ_ERR_FORMAT, MXQ_OK}},
        {&q8_0, {MXQ_OK, MXQ_OK, MXQ_ERR_FORMAT}},
        {&mxq_fp8_tensor, {MXQ_ERR_FORMAT, MXQ_ERR_FORMAT, MXQ_ERR_FORMAT}},
        {&mxq_fp8_channel, {MXQ_ERR_FORMAT, MXQ_ERR_FORMAT, MXQ_ERR_FORMAT}},
        {&mxq_fp8_block, {MXQ_ERR_FORMAT, MXQ_ERR_FORMAT, MXQ_ERR_FORMAT}},
    };
    struct tally t = {"layouts of formats", 0, 0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int layout = 0; layout < MXQ_LAYOUTS; layout++, t.cases++) {
            size_t bytes;
            const enum mxq_status status =
                mxq_layout_bytes((enum mxq_layout)layout, cases[i].format, 128, 128, &bytes);
            if (status != cases[i].status[layout])
                tally_fail(&t, "format %zu, layout %d: status %d", i, layout, (int)status);
        }
    failed |= tally_end(&t);
}

static struct tally errors = {"errors", 0, 0};

static void expect(int is_right, const char *what)
{
    errors.cases++;
    if (!is_right)
        tally_fail(&errors, "%s", what);
}

static void test_errors(void)
{
    const struct mxq_format *f = &mxq_mxfp4;
    struct mxq_quantized q = quantized(0, f, 4, 64, 0);
    struct mxq_error error = {0};
    size_t bytes = 0;
    expect(mxq_layout_bytes((enum mxq_layout)3, f, 4, 64, &bytes) == MXQ_ERR_ARGUMENT, "layout 3");
    expect(mxq_layout_bytes(MXQ_LAYOUT_GGML, NULL, 4, 64, &bytes) == MXQ_ERR_ARGUMENT, "no format");
    expect(mxq_layout_bytes(MXQ_LAYOUT_GGML, f, 4, 64, NULL) == MXQ_ERR_ARGUMENT, "no bytes");
    expect(mxq_layout_bytes(MXQ_LAYOUT_GGML, f, 4, 65, &bytes) == MXQ_ERR_SHAPE, "65 columns");
    expect(mxq_layout_bytes(MXQ_LAYOUT_INTERLEAVED, f, SIZE_MAX / 2, 128, &bytes) == MXQ_ERR_SHAPE,
           "a size beyond size_t");
    expect(mxq_layout_bytes(MXQ_LAYOUT_GGML, f, 4, 64, &bytes) == MXQ_OK && bytes == 136, "bytes");
    expect(mxq_layout_pack(packed, 135, MXQ_LAYOUT_GGML, &q, &error) == MXQ_ERR_SHAPE && error.what,
           "a byte too few to write");
    expect(mxq_layout_unpack(&q, MXQ_LAYOUT_GGML, packed, 135, &error) == MXQ_ERR_SHAPE,
           "a byte too few to read");
    expect(mxq_layout_pack(NULL, 136, MXQ_LAYOUT_GGML, &q, NULL) == MXQ_ERR_ARGUMENT, "no output");
    expect(mxq_layout_unpack(NULL, MXQ_LAYOUT_GGML, packed, 136, NULL) == MXQ_ERR_ARGUMENT, "no q");
    expect(mxq_layout_pack(elements[0] + 4, 136, MXQ_LAYOUT_GGML, &q, NULL) == MXQ_ERR_OVERLAP,
           "output over elements");
    expect(mxq_layout_unpack(&q, MXQ_LAYOUT_GGML, scales[0], 136, NULL) == MXQ_ERR_OVERLAP,
           "input over scales");
    q.scales_stride = 1;
    expect(mxq_layout_pack(packed, 136, MXQ_LAYOUT_GGML, &q, NULL) == MXQ_ERR_SHAPE, "a stride");
    q = quantized(0, &mxq_mxfp8_e4m3, 4, 64, 0);
    expect(mxq_layout_pack(packed, MOST, MXQ_LAYOUT_GGML, &q, &error) == MXQ_ERR_FORMAT &&
               strstr(error.what, "block_q8_0"),
           "MXFP8 for ggml");
    failed |= tally_end(&errors);
}

int main(void)
{
    test_vectors();
    test_swizzled();
    test_gguf();
    test_round_trips();
    test_support();
    test_errors();
    return failed;
}
