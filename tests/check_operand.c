/* SPDX-License-Identifier: Apache-2.0 */
/* check_operand.c -- conformance of what goes into and comes out of the GEMM: operand, round, fold,
 * output. */
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

/* -------------------------------------------- fold -------------------------------------------- */

/* Blocks are panels here. */
#define FOLD_ROWS   5
#define FOLD_PANELS 5
#define FOLD_GAP    20
#define FOLD_VALUES (FOLD_ROWS * (FOLD_PANELS * MXQ_PANEL + FOLD_GAP))

/* Of y and of group: their rows lie apart. */
static size_t fold_bytes(const struct check *c, size_t stride)
{
    const size_t values = c->current.blocks * MXQ_PANEL;
    return values ? ((c->shape.rows - 1) * stride + values) * sizeof(float) : 0;
}

static void shape_fold(struct check *c)
{
    struct check_shape *s = &c->shape;
    const size_t panels = c->current.blocks, values = panels * MXQ_PANEL;
    s->rows = 1 + random_below(&c->random, FOLD_ROWS);
    s->y_stride = values + random_below(&c->random, FOLD_GAP);
    s->w_stride = values + random_below(&c->random, FOLD_GAP);
    /* In bytes: one scale for all rows, or panels, or one for each. */
    s->x_stride = sizeof(float) * random_below(&c->random, FOLD_GAP);
    s->variant = (int)(random_below(&c->random, 2) * (64 + random_below(&c->random, FOLD_GAP)));
    c->family.operands[0].bytes = fold_bytes(c, s->y_stride);
    c->family.operands[1].bytes = fold_bytes(c, s->w_stride);
    c->family.operands[2].bytes = (s->rows - 1) * s->x_stride + sizeof(float);
    c->family.operands[3].bytes =
        panels ? (panels - 1) * (size_t)s->variant + MXQ_PANEL * sizeof(float) : 0;
}

static void fill_fold(struct check *c, enum fill fill, const struct fill_target *t, size_t blocks,
                      void *const *data)
{
    const struct fill_target target = {MXQ_F32, t->element, t->scale, t->index};
    (void)blocks;
    for (int i = 0; i < 4; i++) {
        const enum fill of_this = random_below(&c->random, 3) ? FILL_NORMAL : fill;
        uint32_t values[MXQ_BLOCK];
        const size_t bytes = c->family.operands[i].bytes;
        for (size_t done = 0; done < bytes; done += sizeof values) {
            fill_block(&c->random, of_this, &target, values);
            memcpy((unsigned char *)data[i] + done, values,
                   bytes - done < sizeof values ? bytes - done : sizeof values);
        }
    }
}

static void call_fold(const struct check *c, const struct mxq_kernels *row, void *const *data,
                      size_t blocks)
{
    const struct check_shape *s = &c->shape;
    row->fold[MXQ_F32](data[0], s->y_stride, data[1], s->w_stride, data[2], s->x_stride, data[3],
                       (size_t)s->variant, s->rows, blocks);
}

void check_fold(struct check *c)
{
    const struct check_family family = {
        .operands = {{"y", 0, 4, CHECK_UPDATED, 4, CHECK_NANS, .most_bytes = FOLD_VALUES * 4},
                     {"group", 0, 4, CHECK_UPDATED, 4, .most_bytes = FOLD_VALUES * 4},
                     {"x_scale", 0, 4, CHECK_INPUT, 4, .most_bytes = FOLD_ROWS * FOLD_GAP * 4},
                     {"w_scale", 0, 1, CHECK_INPUT, .most_bytes = FOLD_PANELS * 100}},
        .rules = 1,
        .blocks_in_tails = FOLD_PANELS,
        .blocks_per_fill = 150,
        .blocks_per_case = FOLD_PANELS,
        .shape = shape_fold,
        .fill = fill_fold,
        .call = call_fold,
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
