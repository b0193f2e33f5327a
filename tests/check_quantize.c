/* SPDX-License-Identifier: Apache-2.0 */
/* check_quantize.c -- conformance of the fused path, under every scale mode. */
#include "check.h"

static void fill(struct check *c, enum fill fill, const struct fill_target *t, size_t blocks,
                 void *const *data)
{
    struct fill_target block = *t;
    for (size_t b = 0; b < blocks; b++, block.index++) {
        block.scale = fill_scale_for(&c->random, fill, block.index);
        fill_block(&c->random, fill, &block,
                   (char *)data[2] + b * c->family.operands[2].block_bytes);
    }
}

static void call(const struct check *c, const struct mxq_kernels *row, void *const *data,
                 size_t blocks)
{
    row->quantize[c->element][c->type](data[0], data[1], data[2], blocks, &c->rule,
                                       blocks % 2 ? mxq_ahead(c->type) : 0);
}

void check_quantize(struct check *c)
{
    c->element = (enum mxq_element)(CHECK_INDEX(c, quantize) / MXQ_TYPES);
    c->type = (enum mxq_type)(CHECK_INDEX(c, quantize) % MXQ_TYPES);
    const size_t bytes = mxq_type_bytes(c->type);
    const struct check_family family = {
        .operands = {{"elements", mxq_code_bytes(&mxq_elements[c->element], MXQ_BLOCK), 1, 1},
                     {"scale", 1, 1, 1},
                     {"x", MXQ_BLOCK * bytes, bytes, 0}},
        .rules = MXQ_SCALE_MODES,
        .every_rounds = 1,
        .fill = fill,
        .call = call,
    };
    check_run(c, &family);
}
