/* SPDX-License-Identifier: Apache-2.0 */
/* span.c -- the scales of a span's blocks, and dequantizing a span. */
#include "span.h"

#include <string.h>

#include "scalar/unpack.h"

/* clang-format off */
const uint8_t mxq_unit_codes[MXQ_SPAN_BLOCKS] = {
    127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127,
    127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127,
};
/* clang-format on */

/* The value of stored scale `index` of a row of scales, which is no E8M0. */
static float scale_value(enum mxq_scale scale, const uint8_t *scales, size_t index)
{
    static const enum mxq_type types[MXQ_SCALES] = {
        [MXQ_F32_SCALE] = MXQ_F32, [MXQ_BF16_SCALE] = MXQ_BF16, [MXQ_F16_SCALE] = MXQ_F16};
    const uint32_t bits = scale == MXQ_E4M3_SCALE ? unpack_value(scales[index], 127, MXQ_E4M3)
                                                  : load_f32_bits(scales, index, types[scale]);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static const uint8_t *scales_of(const struct mxq_quantized *q, size_t row)
{
    return q->scales + row / mxq_block_length(q->format.block_rows, q->rows) * q->scales_stride;
}

float mxq_block_scale(const struct mxq_quantized *q, size_t row, size_t block)
{
    return scale_value(q->format.scale, scales_of(q, row), block);
}

void mxq_span_codes(uint8_t *codes, const struct mxq_quantized *q, size_t row, size_t col,
                    size_t blocks)
{
    const size_t length = mxq_block_length(q->format.block_cols, q->cols);
    const uint8_t *scales = scales_of(q, row);
    if (length == MXQ_BLOCK)
        memcpy(codes, scales + col / MXQ_BLOCK, blocks);
    else
        for (size_t b = 0; b < blocks; b++)
            codes[b] = scales[(col + b * MXQ_BLOCK) / length];
}

unsigned mxq_block_shift(uint32_t block_cols)
{
    /* A block is a power of two long, or a row: a span has but one of these. */
    return block_cols ? (unsigned)__builtin_ctz(block_cols) : 8 * sizeof(size_t) - 1;
}

/* Widens `count` stored scales. */
static void load_scales(float values[MXQ_SPAN_FACTORS], const struct mxq_kernels *kernels,
                        enum mxq_scale scale, const uint8_t *scales, size_t count)
{
    const size_t blocks = (count + MXQ_BLOCK - 1) / MXQ_BLOCK;
    struct mxq_range unused = MXQ_RANGE_EMPTY;
    uint8_t padded[MXQ_SPAN_FACTORS * sizeof(uint16_t)] = {0};
    if (scale == MXQ_F32_SCALE) {
        memcpy(values, scales, count * sizeof *values);
        return;
    }
    memcpy(padded, scales, count * mxq_scale_bytes(scale));
    if (scale == MXQ_E4M3_SCALE)
        kernels->unpack[MXQ_E4M3][MXQ_F32](values, padded, mxq_unit_codes, blocks);
    else
        kernels->operand[scale == MXQ_BF16_SCALE ? MXQ_BF16 : MXQ_F16](values, padded, blocks,
                                                                       &unused);
}

struct mxq_factors mxq_span_factors(float room[MXQ_SPAN_FACTORS], const struct mxq_kernels *kernels,
                                    const struct mxq_quantized *q, size_t row, size_t col,
                                    size_t blocks)
{
    const struct mxq_factors factors = {room, mxq_block_shift(q->format.block_cols), 0, 0, 0};
    const size_t first = col >> factors.shift;
    const size_t left = mxq_block_count(q->format.block_cols, q->cols) - first;
    const size_t wanted = ((blocks * MXQ_BLOCK - 1) >> factors.shift) + 1;
    const size_t count = wanted < left ? wanted : left;
    load_scales(room, kernels, q->format.scale,
                scales_of(q, row) + first * mxq_scale_bytes(q->format.scale), count);
    for (size_t i = count; i < wanted; i++)
        room[i] = room[count - 1];
    return factors;
}

void mxq_dequantize_span(const struct mxq_kernels *kernels, void *y, enum mxq_type type,
                         const struct mxq_quantized *q, size_t row, size_t col, size_t count)
{
    const struct mxq_element_info *e = &mxq_elements[q->format.element];
    const size_t blocks = (count + MXQ_BLOCK - 1) / MXQ_BLOCK;
    const uint8_t *elements = q->elements + row * q->elements_stride + mxq_code_bytes(e, col);
    uint8_t padded[MXQ_SPAN];
    if (count % MXQ_BLOCK) {
        memset(padded, 0, mxq_code_bytes(e, blocks * MXQ_BLOCK));
        elements = memcpy(padded, elements, mxq_code_bytes(e, count));
    }
    if (q->format.scale == MXQ_E8M0) {
        uint8_t codes[MXQ_SPAN_BLOCKS];
        mxq_span_codes(codes, q, row, col, blocks);
        kernels->unpack[q->format.element][type](y, elements, codes, blocks);
    } else {
        float room[MXQ_SPAN_FACTORS];
        const struct mxq_factors by = mxq_span_factors(room, kernels, q, row, col, blocks);
        kernels->unpack_by[q->format.element][type](y, elements, &by,
                                                    q->tensor_scale ? *q->tensor_scale : 1, blocks);
    }
}
