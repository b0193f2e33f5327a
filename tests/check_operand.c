/* SPDX-License-Identifier: Apache-2.0 */
/* check_operand.c -- conformance of what goes into and comes out of the GEMM: operand, round, output. */
#include <string.h>

#include "check.h"

/* Writes whole blocks of 32 values, and as much of a last one as fits into `values`. */
static void fill_values(struct check *c, enum fill fill, const struct fill_target *t, void *x,
                        size_t values)
{
    const size_t bytes = mxq_type_bytes(t->type);
    struct fill_target target = *t;
    for (size_t i = 0; i < values; i += MXQ_BLOCK, target.index++) {
        unsigned char block[MXQ_BLOCK * 4];
        fill_block(&c->random, fill, &target, block);
        memcpy((unsigned char *)x + i * bytes, block,
               (values - i < MXQ_BLOCK ? values - i : MXQ_BLOCK) * bytes);
    }
}

/* ------------------------------------------- operand ------------------------------------------ */

enum { IN_PLACE = 1 };

static void shape_operand(struct check *c)
{
    c->shape.variant = c->type == MXQ_F32 && random_below(&c->random, 4) == 0 ? IN_PLACE : 0;
}

static void fill_operand(struct check *c, enum fill fill, const struct fill_target *t,
                         size_t blocks, void *const *data)
{
    static const struct mxq_range empty = MXQ_RANGE_EMPTY;
    struct mxq_range range = {random_u32(&c->random) >> 1, random_u32(&c->random) >> 1};
    if (random_below(&c->random, 4))
        range = empty;
    fill_values(c, fill, t, data[1], blocks * MXQ_BLOCK);
    memcpy(data[2], &range, sizeof range);
}

static void call_operand(const struct check *c, const struct mxq_kernels *row, void *const *data,
                         size_t blocks)
{
    if (c->shape.variant == IN_PLACE)
        memcpy(data[0], data[1], blocks * MXQ_BLOCK * sizeof(float));
    row->operand[c->type](data[0], c->shape.variant == IN_PLACE ? data[0] : data[1], blocks,
                          data[2]);
}

void check_operand(struct check *c)
{
    c->type = (enum mxq_type)CHECK_INDEX(c, operand);
    const size_t bytes = mxq_type_bytes(c->type);
    const struct check_family family = {
        .operands = {{"out", MXQ_BLOCK * 4, 4, CHECK_OUTPUT, 4, CHECK_NANS},
                     {"x", MXQ_BLOCK * bytes, bytes, CHECK_INPUT},
                     {"range", 0, 4, CHECK_UPDATED, 4, CHECK_NONFINITE,
                      .bytes = sizeof(struct mxq_range)}},
        .rules = 1,
        .every_rounds = 1,
        .shape = shape_operand,
        .fill = fill_operand,
        .call = call_operand,
    };
    check_run(c, &family);
}

/* -------------------------------------------- round ------------------------------------------- */

/* The type of what a row's kernel writes: F32 also in the BF16 slot of a row without a BF16 unit. */
static enum mxq_type written_type(const struct check *c)
{
    return c->type == MXQ_BF16 && c->row->tile[MXQ_BF16].x_bytes == 2 * MXQ_BLOCK ? MXQ_BF16
                                                                                  : MXQ_F32;
}

static void shape_round(struct check *c)
{
    c->shape.variant =
        written_type(c) == MXQ_F32 && random_below(&c->random, 4) == 0 ? IN_PLACE : 0;
}

static void fill_round(struct check *c, enum fill fill, const struct fill_target *t, size_t blocks,
                       void *const *data)
{
    const struct fill_target target = {MXQ_F32, t->element, t->scale, t->index};
    fill_values(c, fill, &target, data[1], blocks * MXQ_BLOCK);
    if (fill != FILL_UNIFORM)
        return;
    /* Ties between BF16 values, and their neighbours. */
    uint32_t *x = data[1];
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++)
        x[i] = (x[i] & 0xFFFF0000) + 0x7FFF + random_below(&c->random, 3);
}

static void call_round(const struct check *c, const struct mxq_kernels *row, void *const *data,
                       size_t blocks)
{
    if (c->shape.variant == IN_PLACE)
        memcpy(data[0], data[1], blocks * MXQ_BLOCK * sizeof(float));
    const float *x = c->shape.variant == IN_PLACE ? data[0] : data[1];
    if (row != c->reference) {
        row->round[c->type](data[0], x, blocks);
        return;
    }
    row->round[written_type(c)](data[0], x, blocks);
    if (written_type(c) == MXQ_BF16)
        check_reorder(c, data[0], data[0], blocks);
}

void check_round(struct check *c)
{
    c->type = (enum mxq_type)CHECK_INDEX(c, round);
    const size_t bytes = mxq_type_bytes(written_type(c));
    const struct check_family family = {
        .operands = {{"out", MXQ_BLOCK * bytes, bytes, CHECK_OUTPUT},
                     {"x", MXQ_BLOCK * 4, 4, CHECK_INPUT, 4}},
        .rules = 1,
        .every_rounds = 1,
        .shape = shape_round,
        .fill = fill_round,
        .call = call_round,
    };
    check_run(c, &family);
}

/* ------------------------------------------- output ------------------------------------------- */

enum { NO_BIAS = 1 };

static void shape_output(struct check *c)
{
    c->shape.variant = random_below(&c->random, 3) == 0 ? NO_BIAS : 0;
}

/* Blocks are groups of 16 here. */
static void fill_output(struct check *c, enum fill fill, const struct fill_target *t, size_t blocks,
                        void *const *data)
{
    const struct fill_target target = {MXQ_F32, t->element, t->scale, t->index};
    fill_values(c, fill, &target, data[1], blocks * MXQ_PANEL);
    fill_values(c, random_below(&c->random, 2) ? fill : FILL_NORMAL, &target, data[2],
                blocks * MXQ_PANEL);
    if (fill != FILL_TIES)
        return;
    /* Ties of the narrow type, and their neighbours, with nothing added. */
    uint32_t *acc = data[1];
    const int bits = c->type == MXQ_F16 ? 13 : 16;
    memset(data[2], 0, blocks * MXQ_PANEL * sizeof(float));
    for (size_t i = 0; i < blocks * MXQ_PANEL; i++)
        acc[i] = (((random_u32(&c->random) & 0x8FFFFFFF) | 0x30000000) >> bits << bits) +
                 (1u << (bits - 1)) + random_below(&c->random, 3) - 1;
}

static void call_output(const struct check *c, const struct mxq_kernels *row, void *const *data,
                        size_t blocks)
{
    row->output[c->type](data[0], data[1], c->shape.variant == NO_BIAS ? NULL : data[2], blocks);
}

void check_output(struct check *c)
{
    c->type = (enum mxq_type)CHECK_INDEX(c, output);
    const size_t bytes = mxq_type_bytes(c->type);
    const struct check_family family = {
        .operands = {{"y", MXQ_PANEL * bytes, bytes, CHECK_OUTPUT},
                     {"acc", MXQ_PANEL * 4, 4, CHECK_INPUT, 4},
                     {"bias", MXQ_PANEL * 4, 4, CHECK_INPUT, 4}},
        .rules = 1,
        .every_rounds = 1,
        .shape = shape_output,
        .fill = fill_output,
        .call = call_output,
    };
    check_run(c, &family);
}
