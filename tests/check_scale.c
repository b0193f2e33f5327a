/* SPDX-License-Identifier: Apache-2.0 */
/* check_scale.c -- conformance of the E8M0 scale rule, under every mode of every element. */
#include <string.h>

#include "check.h"

/* The amax at which rceil follows the F32 product, 2^-127 times the largest element, and beyond. */
static uint32_t near_exception(const struct check *c)
{
    const float amax = mxq_elements[c->element].max * 0x1p-127f;
    uint32_t bits;
    memcpy(&bits, &amax, sizeof bits);
    return bits;
}

static uint32_t amax_of(struct check *c, enum fill fill, uint64_t index)
{
    switch (fill) {
    case FILL_ZERO:
        return 0;
    case FILL_THRESHOLD:
        return fill_threshold(index);
    case FILL_WIDE_SUBNORMAL:
        return random_u32(&c->random) >> 9;
    case FILL_EXTREMES:
        return near_exception(c) - 16 + (uint32_t)(index % 32);
    case FILL_NONFINITE:
        return 0x7F800000 - 256 + (uint32_t)(index % 512);
    case FILL_ALL_NONFINITE: /* not a magnitude, but the contract covers every 32-bit number */
        return 0x7F800000 + random_below(&c->random, 0x80800000);
    default:
        return random_u32(&c->random) >> 1;
    }
}

static void fill(struct check *c, enum fill fill, const struct fill_target *t, size_t blocks,
                 void *const *data)
{
    uint32_t *amax = data[1];
    for (size_t b = 0; b < blocks; b++) {
        const enum fill kind =
            fill == FILL_MIXED ? (enum fill)random_below(&c->random, FILL_LONE) : fill;
        amax[b] = amax_of(c, kind, t->index + b);
    }
}

static void call(const struct check *c, const struct mxq_kernels *row, void *const *data,
                 size_t blocks)
{
    row->scale[MXQ_E8M0](data[0], data[1], blocks, &c->rule);
}

void check_scale(struct check *c)
{
    static const struct check_family family = {
        .operands = {{"scale", 1, 1, 1}, {"amax", 4, 4, 0, 4}},
        .rules = MXQ_ELEMENTS * MXQ_SCALE_MODES,
        .every_rounds = 1,
        .fill = fill,
        .call = call,
    };
    check_run(c, &family);
}
