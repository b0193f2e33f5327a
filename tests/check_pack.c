/* SPDX-License-Identifier: Apache-2.0 */
/* check_pack.c -- conformance of element packing. */
#include "check.h"

/* The scales under which all values of a 16-bit type are packed. */
static const uint8_t every_scale[] = {0,   1,   60,  112, 119, 124, 127, 128,
                                      134, 142, 150, 190, 246, 253, 254, 255};
#define EVERY_SCALES (unsigned)(sizeof every_scale)

static void fill(struct check *c, enum fill fill, const struct fill_target *t, size_t blocks,
                 void *const *data)
{
    uint8_t *scale = data[2];
    struct fill_target block = *t;
    for (size_t b = 0; b < blocks; b++, block.index++) {
        block.scale = fill_scale_for(&c->random, fill, block.index);
        if (fill == FILL_EVERY && c->type != MXQ_F32)
            block.scale = every_scale[block.index / 2048 % sizeof every_scale];
        else if (c->type == MXQ_F16 && random_below(&c->random, 2)) /* where F16 has values */
            block.scale = (uint8_t)(104 + random_below(&c->random, 40));
        scale[b] = block.scale;
        fill_block(&c->random, fill, &block,
                   (char *)data[1] + b * c->family.operands[1].block_bytes);
    }
}

static void call(const struct check *c, const struct mxq_kernels *row, void *const *data,
                 size_t blocks)
{
    row->pack[c->element][c->type](data[0], data[1], data[2], blocks);
}

void check_pack(struct check *c)
{
    c->element = (enum mxq_element)(CHECK_INDEX(c, pack) / MXQ_TYPES);
    c->type = (enum mxq_type)(CHECK_INDEX(c, pack) % MXQ_TYPES);
    const size_t bytes = mxq_type_bytes(c->type);
    const struct check_family family = {
        .operands = {{"elements", mxq_code_bytes(&mxq_elements[c->element], MXQ_BLOCK), 1, 1},
                     {"x", MXQ_BLOCK * bytes, bytes, 0},
                     {"scale", 1, 1, 0}},
        .rules = 1,
        .every_rounds = EVERY_SCALES,
        .fill = fill,
        .call = call,
    };
    check_run(c, &family);
}
