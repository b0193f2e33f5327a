/* SPDX-License-Identifier: Apache-2.0 */
/* check_unpack.c -- conformance of element unpacking. */
#include "check.h"
#include "oracle.h"

static uint8_t code_of(struct check *c, enum fill fill, uint64_t n)
{
    const struct mxq_element_info *e = &mxq_elements[c->element];
    const uint32_t half = 1u << (e->bits - 1); /* the codes of one sign */
    const uint8_t sign = (uint8_t)(random_u32(&c->random) & half);
    const uint8_t special = (uint8_t)(e->max_code + 1);
    switch (fill) {
    case FILL_EVERY: /* 256 codes: 8 blocks; one step further in each round */
        return (uint8_t)(n + n / (2048 * MXQ_BLOCK));
    case FILL_ZERO:
        return 0;
    case FILL_SIGNED_ZERO:
        return sign;
    case FILL_ALL_NONFINITE:
        if (special >= half) /* there are none, but the one below the smallest */
            return (uint8_t)half;
        return (uint8_t)(sign | (special + random_below(&c->random, half - special)));
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
        uint8_t codes[MXQ_BLOCK];
        for (size_t i = 0; i < MXQ_BLOCK; i++)
            codes[i] = code_of(c, kind, index * MXQ_BLOCK + i);
        if (kind == FILL_NONFINITE) /* the only special one */
            for (size_t i = 0; i < MXQ_BLOCK; i++)
                codes[i] =
                    i == index % MXQ_BLOCK ? code_of(c, FILL_ALL_NONFINITE, 0) : (uint8_t)(i + 8);
        for (size_t i = 0; i < MXQ_BLOCK; i++)
            oracle_put(c->element, elements, b * MXQ_BLOCK + i, codes[i]);
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
                     {"elements", mxq_code_bytes(&mxq_elements[c->element], MXQ_BLOCK), 1, 0},
                     {"scale", 1, 1, 0}},
        .rules = 1,
        .every_rounds = 4,
        .fill = fill,
        .call = call,
    };
    check_run(c, &family);
}
