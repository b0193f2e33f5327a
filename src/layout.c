/* SPDX-License-Identifier: Apache-2.0 */
/* layout.c -- other places for the same codes and scales: moved, never changed. */
#include <string.h>

#include "matrix.h"

/* Scales swizzled in tiles. */
#define TILE_ROWS  128
#define TILE_COLS  4
#define TILE_BYTES (TILE_ROWS * TILE_COLS)

/* -------------------------------------------- Sizes --------------------------------------------- */

static const char bad_layout[] = "layout must be one of enum mxq_layout";
static const char bad_format[] =
    "interleaved needs 1 x 8 .. 1 x 128 blocks and no tensor scale, ggml MXFP4 (block_mxfp4) or "
    "INT8 "
    "with F16 scales on 1 x 32 (block_q8_0), scales 128x4 scales of one byte on 1 x 16 .. 1 x 128";
static const char bad_cols[] = "cols must be a multiple of the block for interleaved and ggml";

/* Bytes of a block and its scale. */
static size_t block_bytes(const struct mxq_format *f)
{
    return mxq_scale_bytes(f->scale) + mxq_code_bytes(&mxq_elements[f->element], f->block_cols);
}

static int is_mxfp4(const struct mxq_format *f)
{
    return f->element == MXQ_E2M1 && f->scale == MXQ_E8M0 && f->block_cols == MXQ_BLOCK;
}

static int has_layout(const struct mxq_format *f, enum mxq_layout layout)
{
    if (f->block_rows != 1 || f->block_cols == 0)
        return 0;
    if (layout == MXQ_LAYOUT_SCALES_128X4)
        return mxq_scale_bytes(f->scale) == 1;
    if (layout == MXQ_LAYOUT_INTERLEAVED)
        return f->scale != MXQ_E4M3_SCALE;
    return is_mxfp4(f) ||
           (f->element == MXQ_INT8 && f->scale == MXQ_F16_SCALE && f->block_cols == MXQ_BLOCK);
}

static enum mxq_status layout_bytes(enum mxq_layout layout, const struct mxq_format *f, size_t rows,
                                    size_t cols, size_t *bytes, struct mxq_error *error)
{
    if ((unsigned)layout > MXQ_LAYOUT_SCALES_128X4)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, bad_layout);
    if (!mxq_format_is_supported(f))
        return mxq_fail(error, MXQ_ERR_FORMAT, mxq_supported_formats);
    if (!has_layout(f, layout))
        return mxq_fail(error, MXQ_ERR_FORMAT, bad_format);
    const int is_swizzled = layout == MXQ_LAYOUT_SCALES_128X4;
    if (!is_swizzled && cols % f->block_cols)
        return mxq_fail(error, MXQ_ERR_SHAPE, bad_cols);
    const size_t blocks = mxq_block_count(f->block_cols, cols);
    const size_t down = is_swizzled ? mxq_block_count(TILE_ROWS, rows) : rows;
    const size_t across = is_swizzled ? mxq_block_count(TILE_COLS, blocks) : blocks;
    if (__builtin_mul_overflow(down, across, bytes) ||
        __builtin_mul_overflow(*bytes, is_swizzled ? TILE_BYTES : block_bytes(f), bytes))
        return mxq_fail(error, MXQ_ERR_SHAPE, "rows * cols must not overflow size_t");
    return MXQ_OK;
}

enum mxq_status mxq_layout_bytes(enum mxq_layout layout, const struct mxq_format *format,
                                 size_t rows, size_t cols, size_t *bytes)
{
    size_t found = 0;
    if (!format || !bytes)
        return MXQ_ERR_ARGUMENT;
    const enum mxq_status status = layout_bytes(layout, format, rows, cols, &found, NULL);
    if (!status)
        *bytes = found;
    return status;
}

/* -------------------------------------------- Blocks -------------------------------------------- */

/* ggml's order of 32 codes of 4 bits: byte j holds codes j and j + 16.  Ours: codes 2 j and 2 j + 1. */
static void nibbles_to_ggml(uint8_t to[16], const uint8_t from[16])
{
    for (int j = 0; j < 16; j++) {
        const int shift = 4 * (j & 1);
        to[j] = (uint8_t)((from[j / 2] >> shift & 0xF) | (from[j / 2 + 8] >> shift & 0xF) << 4);
    }
}

static void nibbles_of_ggml(uint8_t to[16], const uint8_t from[16])
{
    for (int j = 0; j < 8; j++) {
        to[j] = (uint8_t)((from[2 * j] & 0xF) | from[2 * j + 1] << 4);
        to[j + 8] = (uint8_t)(from[2 * j] >> 4 | (from[2 * j + 1] & 0xF0));
    }
}

/* Moves all blocks between `q` and `blocks`, which is written if `is_packing` and read else. */
static void move_blocks(const struct mxq_quantized *q, uint8_t *blocks, enum mxq_layout layout,
                        int is_packing)
{
    const size_t scale_bytes = mxq_scale_bytes(q->format.scale);
    const size_t code_bytes = block_bytes(&q->format) - scale_bytes;
    const int is_ggml_mxfp4 = layout == MXQ_LAYOUT_GGML && is_mxfp4(&q->format);
    for (size_t row = 0; row < q->rows; row++)
        for (size_t b = 0; b < q->cols / q->format.block_cols; b++) {
            uint8_t *codes = q->elements + row * q->elements_stride + b * code_bytes;
            uint8_t *scale = q->scales + row * q->scales_stride + b * scale_bytes;
            uint8_t *block_codes = blocks + scale_bytes;
            memcpy(is_packing ? blocks : scale, is_packing ? scale : blocks, scale_bytes);
            if (!is_ggml_mxfp4)
                memcpy(is_packing ? block_codes : codes, is_packing ? codes : block_codes,
                       code_bytes);
            else if (is_packing)
                nibbles_to_ggml(block_codes, codes);
            else
                nibbles_of_ggml(codes, block_codes);
            blocks += scale_bytes + code_bytes;
        }
}

/* -------------------------------------------- Scales -------------------------------------------- */

/* Where scale (row, col) is, `across` tiles making a row of them. */
static size_t swizzled(size_t row, size_t col, size_t across)
{
    const size_t tile = row / TILE_ROWS * across + col / TILE_COLS;
    return tile * TILE_BYTES + row % 32 * 16 + row % TILE_ROWS / 32 * TILE_COLS + col % TILE_COLS;
}

static void move_scales(const struct mxq_quantized *q, uint8_t *tiles, int is_packing)
{
    const size_t blocks = mxq_block_count(q->format.block_cols, q->cols);
    const size_t across = mxq_block_count(TILE_COLS, blocks);
    for (size_t row = 0; row < q->rows; row++)
        for (size_t b = 0; b < blocks; b++) {
            uint8_t *scale = q->scales + row * q->scales_stride + b;
            uint8_t *to = tiles + swizzled(row, b, across);
            if (is_packing)
                *to = *scale;
            else
                *scale = *to;
        }
}

/* ------------------------------------------ Public -------------------------------------------- */

/* Checks the operands; `needed` receives the bytes of the layout. */
static enum mxq_status check(const struct mxq_quantized *q, enum mxq_layout layout,
                             const void *memory, size_t bytes, size_t *needed,
                             struct mxq_error *error)
{
    struct mxq_span elements, scales;
    enum mxq_status status = mxq_quantized_spans(&elements, &scales, q, error);
    if (!status)
        status = layout_bytes(layout, &q->format, q->rows, q->cols, needed, error);
    if (status)
        return status;
    if (bytes < *needed)
        return mxq_fail(error, MXQ_ERR_SHAPE, "bytes must be at least mxq_layout_bytes()");
    if (*needed && !memory)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "in and out must not be null");
    const struct mxq_span packed = {memory, 1, *needed, *needed};
    if (mxq_spans_overlap(&packed, &elements) || mxq_spans_overlap(&packed, &scales) ||
        mxq_spans_overlap(&elements, &scales))
        return mxq_fail(error, MXQ_ERR_OVERLAP, "in or out, elements and scales must not overlap");
    return MXQ_OK;
}

enum mxq_status mxq_layout_pack(void *out, size_t bytes, enum mxq_layout layout,
                                const struct mxq_quantized *q, struct mxq_error *error)
{
    size_t needed;
    const enum mxq_status status = check(q, layout, out, bytes, &needed, error);
    if (status || !needed)
        return status;
    if (layout == MXQ_LAYOUT_SCALES_128X4) {
        memset(out, 0, needed);
        move_scales(q, out, 1);
    } else {
        move_blocks(q, out, layout, 1);
    }
    return MXQ_OK;
}

enum mxq_status mxq_layout_unpack(const struct mxq_quantized *q, enum mxq_layout layout,
                                  const void *in, size_t bytes, struct mxq_error *error)
{
    size_t needed;
    const enum mxq_status status = check(q, layout, in, bytes, &needed, error);
    if (status || !needed)
        return status;
    uint8_t *from = (uint8_t *)(uintptr_t)in; /* only read */
    if (layout == MXQ_LAYOUT_SCALES_128X4)
        move_scales(q, from, 0);
    else
        move_blocks(q, from, layout, 0);
    return MXQ_OK;
}
