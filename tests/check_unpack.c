/* SPDX-License-Identifier: Apache-2.0 */
/* check_unpack.c -- conformance of FP8 unpacking. */
#include "check.h"

static uint8_t code_of(struct check *c, enum fill fill, uint64_t n)
{
    const uint8_t sign = random_u32(&c->random) & 0x80;
    const uint8_t special = (uint8_t)(mxq_elements[c->element].max_code + 1);
    switch (fill) {
    case FILL_EVERY: /* 256 codes: 8 blocks; one step further in each round */
        return (uint8_t)(n + n / (2048 * MXQ_BLOCK));
    case FILL_ZERO:
        return 0;
    case FILL_SIGNED_ZERO:
        return sign;
    case FILL_ALL_NONFINITE:
        return (uint8_t)(sign | (special + random_below(&c->random, 0x80u - special)));
    case FILL_ELEMENT_SUBNORMAL:
        return sign |
               (uint8_t)random_below(&c->random, 1u << mxq_elements[c->element].mantissa_bits);
    default:
        return (uint8_t)random_u32(&c->random);
    }
}

static void fill(struct check *c, enum fill fill, const struct fill_target *t, size_t blocks,
                 void *const *data)
{
    uint8_t *elements = data[1], *scale = data[2];
    for (size_t b = 0; b < blocks; b++) {
        const uint64_t index = t->index + b;
        const enum fill kind =
            fill == FILL_MIXED ? (enum fill)random_below(&c->random, FILL_LONE) : fill;
        scale[b] = kind == FILL_EVERY ? (uint8_t)(index / 8) : fill_scale(&c->random);
        for (size_t i = 0; i < MXQ_BLOCK; i++)
            elements[b * MXQ_BLOCK + i] = code_of(c, kind, index * MXQ_BLOCK + i);
        if (kind == FILL_NONFINITE) /* the only special one */
            for (size_t i = 0; i < MXQ_BLOCK; i++)
                elements[b * MXQ_BLOCK + i] =
                    i == index % MXQ_BLOCK ? code_of(c, FILL_ALL_NONFINITE, 0) : (uint8_t)(i + 8);
    }
}

static void call(const struct check *c, const struct mxq_kernels *row, void *const *data,
                 size_t blocks)
{
    row->unpack[c->element][c->type](data[0], data[1], data[2], blocks);
}

void check_unpack(struct check *c)
{
    c->element = (enum mxq_element)(CHECK_INDEX(c, unpack) / MXQ_TYPES);
    c->type = (enum mxq_type)(CHECK_INDEX(c, unpack) % MXQ_TYPES);
    const size_t bytes = mxq_type_bytes(c->type);
    const struct check_family family = {
        .operands = {{"y", MXQ_BLOCK * bytes, bytes, 1},
                     {"elements", MXQ_BLOCK, 1, 0},
                     {"scale", 1, 1, 0}},
        .rules = 1,
        .every_rounds = 4,
        .fill = fill,
        .call = call,
    };
    check_run(c, &family);
}
