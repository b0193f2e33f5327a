/* SPDX-License-Identifier: Apache-2.0 */
/* check_amax.c -- conformance of block amax. */
#include "check.h"

static void fill(struct check *c, enum fill fill, const struct fill_target *t, size_t blocks,
                 void *const *data)
{
    struct fill_target block = *t;
    for (size_t b = 0; b < blocks; b++, block.index++)
        fill_block(&c->random, fill, &block,
                   (char *)data[1] + b * c->family.operands[1].block_bytes);
}

static void call(const struct check *c, const struct mxq_kernels *row, void *const *data,
                 size_t blocks)
{
    row->amax[c->type](data[0], data[1], blocks, blocks & 1 ? mxq_ahead(c->type) : 0);
}

void check_amax(struct check *c)
{
    c->type = (enum mxq_type)CHECK_INDEX(c, amax);
    const size_t bytes = mxq_type_bytes(c->type);
    const struct check_family family = {
        .operands = {{"amax", 4, 4, 1, 4}, {"x", MXQ_BLOCK * bytes, bytes, 0}},
        .rules = 1,
        .every_rounds = 1,
        .fill = fill,
        .call = call,
    };
    check_run(c, &family);
}
