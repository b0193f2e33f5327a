/* SPDX-License-Identifier: Apache-2.0 */
/* format.c -- what follows from the table of element codes. */
#include "format.h"

#include <string.h>

#include "scalar/wide.h"

struct mxq_scale_rule mxq_scale_rule(enum mxq_element element, enum mxq_scale_mode mode)
{
    const struct mxq_element_info *e = &mxq_elements[element];
    struct mxq_scale_rule rule = {(uint32_t)e->emax, UINT32_C(1) << 23, UINT32_MAX, 0};
    switch (mode == MXQ_SCALE_DEFAULT ? e->mode : mode) {
    case MXQ_SCALE_DEFAULT:
    case MXQ_SCALE_FLOOR:
        break;
    case MXQ_SCALE_MSE:
        rule.by_error = 1;
        break;
    case MXQ_SCALE_CEIL:
        rule.threshold = 1;
        break;
    case MXQ_SCALE_EVEN:
        /* The mantissas that carry into the next binade when rounded to the element's, half up. */
        rule.threshold -= UINT32_C(1) << (22 - e->mantissa_bits);
        break;
    case MXQ_SCALE_RCEIL:
        /* amax > max * 2^k.  At nextafter(max * 2^-127) the F32 product amax * (1/max) rounds down
         * to exactly 2^-127, whose code is 0: the producers use the product, and so does mxq. */
        rule.threshold = (bits_of(e->max) & 0x7FFFFF) + 1;
        if (e->kind == MXQ_FLOAT) /* who scales integers so has no product to follow */
            rule.exception = bits_of(e->max) - (UINT32_C(127) << 23) + 1;
        break;
    case MXQ_SCALE_CT:
        rule.threshold = 0x600000;
        break;
    case MXQ_SCALE_UNIT:
        /* The power of two at or above amax, whatever the element. */
        rule.emax = 0;
        rule.threshold = 1;
        break;
    }
    return rule;
}

/* ------------------------------------- Supported combinations ---------------------------------- */

const char mxq_supported_scale_modes[] =
    "scale_mode must be default, or, for E8M0, one of rceil, floor, ceil, even, ct, unit, mse "
    "(mse: 1 x "
    "32 blocks), for F32, BF16 and F16 scales rceil (a power of two), for E4M3 scales nothing else";

enum mxq_scale_mode mxq_scale_mode_of(const struct mxq_format *format, enum mxq_scale_mode mode)
{
    if (mode != MXQ_SCALE_DEFAULT || format->scale != MXQ_E8M0)
        return mode;
    mode = mxq_elements[format->element].mode;
    return mxq_scale_mode_is_supported(format, mode) ? mode : MXQ_SCALE_RCEIL;
}

int mxq_scale_mode_is_supported(const struct mxq_format *format, enum mxq_scale_mode mode)
{
    if (mode == MXQ_SCALE_DEFAULT)
        return 1;
    if (format->scale == MXQ_E8M0)
        return mode != MXQ_SCALE_MSE ||
               (format->block_rows == 1 && format->block_cols == MXQ_BLOCK);
    return format->scale != MXQ_E4M3_SCALE && mode == MXQ_SCALE_RCEIL;
}

const char mxq_supported_formats[] =
    "format must be one of: any element but INT8 with E8M0 scales on 1x32, 1x128 or 128x128 "
    "blocks; any "
    "element but MXINT8 with F32, BF16 or F16 scales on 1x8, 1x16, 1x32, 1x64, 1x128, 128x128, 1x0 "
    "(a "
    "row) or 0x0 (the tensor); E2M1 with E4M3 scales on 1x16 blocks (NVFP4)";

static int is_block(const struct mxq_format *f, uint32_t rows, uint32_t cols)
{
    return f->block_rows == rows && f->block_cols == cols;
}

int mxq_format_is_supported(const struct mxq_format *f)
{
    if ((unsigned)f->element >= MXQ_ELEMENTS)
        return 0;
    const int is_large = is_block(f, 1, 128) || is_block(f, 128, 128);
    switch (f->scale) {
    case MXQ_E8M0:
        return f->element != MXQ_INT8 && (is_large || is_block(f, 1, 32));
    case MXQ_E4M3_SCALE:
        return f->element == MXQ_E2M1 && is_block(f, 1, 16);
    case MXQ_F32_SCALE:
    case MXQ_BF16_SCALE:
    case MXQ_F16_SCALE:
        return f->element != MXQ_MXINT8 &&
               (is_large || is_block(f, 1, 8) || is_block(f, 1, 16) || is_block(f, 1, 32) ||
                is_block(f, 1, 64) || is_block(f, 1, 0) || is_block(f, 0, 0));
    }
    return 0;
}

/* ------------------------------------------ Extents -------------------------------------------- */

size_t mxq_scale_bytes(enum mxq_scale scale)
{
    return scale == MXQ_F32_SCALE ? 4 : scale == MXQ_BF16_SCALE || scale == MXQ_F16_SCALE ? 2 : 1;
}

size_t mxq_block_length(uint32_t block, size_t extent)
{
    return block ? block : extent;
}

size_t mxq_block_count(uint32_t block, size_t extent)
{
    return block ? extent / block + (extent % block != 0) : extent != 0;
}

/* ----------------------------------------- Named formats --------------------------------------- */

static const struct mxq_format_info named[] = {
    {"mxfp8", {MXQ_E4M3, MXQ_E8M0, 1, 32}},
    {"mxfp8-e5m2", {MXQ_E5M2, MXQ_E8M0, 1, 32}},
    {"mxfp6-e2m3", {MXQ_E2M3, MXQ_E8M0, 1, 32}},
    {"mxfp6-e3m2", {MXQ_E3M2, MXQ_E8M0, 1, 32}},
    {"mxfp4", {MXQ_E2M1, MXQ_E8M0, 1, 32}},
    {"nvfp4", {MXQ_E2M1, MXQ_E4M3_SCALE, 1, 16}},
    {"mxint8", {MXQ_MXINT8, MXQ_E8M0, 1, 32}},
    {"fp8-tensor", {MXQ_E4M3, MXQ_F32_SCALE, 0, 0}},
    {"fp8-channel", {MXQ_E4M3, MXQ_F32_SCALE, 1, 0}},
    {"fp8-group", {MXQ_E4M3, MXQ_F32_SCALE, 1, 128}},
    {"fp8-block", {MXQ_E4M3, MXQ_F32_SCALE, 128, 128}},
    {"int8-tensor", {MXQ_INT8, MXQ_F32_SCALE, 0, 0}},
    {"int8-channel", {MXQ_INT8, MXQ_F32_SCALE, 1, 0}},
    {"q8-0", {MXQ_INT8, MXQ_F16_SCALE, 1, 32}},
};

int mxq_format_at(size_t index, struct mxq_format_info *info)
{
    if (index >= sizeof named / sizeof *named || !info)
        return 0;
    *info = named[index];
    return 1;
}
