/* SPDX-License-Identifier: Apache-2.0 */
/* matmul.c -- mxq_matmul(): checks, cache blocking, groups, threads.
 *
 * First x is brought into scratch as the gemm kernels want it (operands.c), and its range is noted, from which
 * the range guard (guard.c) chooses the kernels.  Then tasks of some panels of w times some rows of x run over
 * the threads.  Few rows go to the fused kernel, which reads the packed weights at memory speed.  For more, a
 * panel is unpacked into L1, a piece of k at a time, and used for all rows of the task, with sums in F32 in
 * scratch.  Units for which unpacking is dear beside multiplying take many rows a task; then, as in Goto's
 * GEMM, all tasks work on one part of k after the other, whose x stays in L2.
 *
 * Where an operand has F32 scales, the sub-blocks of a group, on which they are constant, are summed from +0
 * on the stack and then folded into the sums, times the scales.  A group that is all of k is summed in the
 * place of the sums, and folded on the way out. */
#include <string.h>

#include "cpu.h"
#include "fpenv.h"
#include "guard.h"
#include "result.h"

#define TASK_PANELS 4 /* panels of w of a task, at most */
#define TASK_COLS   ((size_t)TASK_PANELS * MXQ_PANEL)
/* A task whose x has so many bytes a sub-block keeps its sums, which are small beside its x, for all of k. */
#define WHOLE_BYTES ((size_t)24 << 10)
#define FEW_ROWS    32
#define STACK_ROWS  32 /* rows of a task that keeps its sums on the stack, at most */
#define GROUP_ROWS  64 /* and whose groups are summed at a time */

/* Sums in scratch, in values.  A wide y is worked through in slabs of so much. */
#define SLAB_SUMS ((size_t)4 << 20)

struct matmul {
    const struct mxq_kernels *row;
    const struct mxq_matmul_options *options;
    const struct mxq_parallel *parallel;
    const struct mxq_matrix *y;
    struct mxq_matrix y_shape; /* of y where that is not given */
    struct mxq_x x;
    struct mxq_packed w;
    size_t m, n;
    size_t factor_blocks; /* sub-blocks that share a factor of w; 0: there are none */
    size_t group;         /* sub-blocks of a group; 0: no scales to fold in */
    mxq_panel_fn *panel;
    size_t task_rows, task_panels;
    size_t row_tasks, panel_tasks;  /* tasks that share their panels; their rows */
    size_t slab_panel, slab_panels; /* the part of w in work */
    size_t block, end;              /* the sub-blocks in work */
    size_t blocks_at_once;          /* sub-blocks that are unpacked together */
    size_t blocks_in_l2;            /* sub-blocks of a task's x that stay in L2 */
    float *sums;                    /* in scratch: for some panels of the slab, all rows */
    size_t sums_stride;             /* of a row of a task's sums */
};

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t round_up(size_t value, size_t step)
{
    return (value + step - 1) / step * step;
}

/* Columns of y whose sums are in scratch at a time. */
static size_t slab_cols(size_t m, size_t n)
{
    const size_t most = SLAB_SUMS / TASK_COLS / (m ? m : 1) * TASK_COLS;
    return smaller(round_up(n, TASK_COLS), most > TASK_COLS ? most : TASK_COLS);
}

static const struct mxq_tile *tile_of(const struct matmul *c)
{
    return &c->row->tile[c->x.compute];
}

/* --------------------------------------- The cut into tasks ------------------------------------- */

/* The part of y that a task computes. */
struct part {
    size_t row, rows;
    size_t panel, panels;
    size_t col, cols;
};

/* Whether the tasks run over all of k, or what is in L2 runs over all tasks. */
static int tasks_are_whole(const struct matmul *c)
{
    return (size_t)tile_of(c)->task_rows * tile_of(c)->x_bytes <= WHOLE_BYTES;
}

static size_t panel_task(const struct matmul *c, size_t index)
{
    return tasks_are_whole(c) ? index / c->row_tasks : index % c->panel_tasks;
}

static struct part part_of(const struct matmul *c, size_t index)
{
    struct part p;
    /* One after the other share what is larger: the packed panels, or x. */
    const size_t row_task = tasks_are_whole(c) ? index % c->row_tasks : index / c->panel_tasks;
    const size_t panel = panel_task(c, index) * c->task_panels;
    p.row = row_task * c->task_rows;
    p.rows = smaller(c->m - p.row, c->task_rows);
    p.panel = c->slab_panel + panel;
    p.panels = smaller(c->slab_panels - panel, c->task_panels);
    p.col = p.panel * MXQ_PANEL;
    p.cols = smaller(c->n - p.col, p.panels * MXQ_PANEL);
    return p;
}

/* ---------------------------------------- Groups of scales -------------------------------------- */

static int is_one_group(const struct matmul *c)
{
    return c->group && c->group == c->w.blocks;
}

static int is_grouped(const struct matmul *c)
{
    return c->group && c->group < c->w.blocks;
}

/* Folds the sums of the group that begins with sub-block `block` into y, and leaves +0 in them. */
static void fold(const struct matmul *c, float *y, size_t y_stride, float *group,
                 size_t group_stride, size_t row, size_t rows, size_t panel, size_t panels,
                 size_t block)
{
    static const float ones[MXQ_PANEL] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const struct mxq_x *x = &c->x;
    const void *x_scales = ones, *w_scales = ones;
    size_t x_stride_bytes = 0, w_stride_bytes = 0;
    if (x->factor_blocks) {
        x_stride_bytes = x->stride_bytes;
        x_scales =
            x->data + row * x->stride_bytes + x->factors + block / x->factor_blocks * sizeof(float);
    }
    if (c->factor_blocks) {
        w_stride_bytes = c->w.panel_bytes;
        w_scales = c->w.panels + panel * c->w.panel_bytes + c->w.factors +
                   block / c->factor_blocks * MXQ_PANEL * sizeof(float);
    }
    c->row->fold[MXQ_F32](y, y_stride, group, group_stride, x_scales, x_stride_bytes, w_scales,
                          w_stride_bytes, rows, panels);
}

/* ---------------------------------------- A task's sums ----------------------------------------- */

/* What some columns of a row of y are added to: y, or +0. */
static void load_y(const struct matmul *c, const struct part *p, size_t row, float *to)
{
    struct mxq_range unused = MXQ_RANGE_EMPTY;
    const struct mxq_matrix y = {c->y->data, c->y->type, c->m, p->col + p->cols, c->y->stride};
    if (c->options->accumulate)
        mxq_load_wide(c->row, to, &y, row, p->col, round_up(p->cols, MXQ_BLOCK) / MXQ_BLOCK,
                      &unused);
    else
        memset(to, 0, p->panels * MXQ_PANEL * sizeof *to);
}

static void begin_sums(const struct matmul *c, const struct part *p, float *sums)
{
    if (is_one_group(c))
        memset(sums, 0, p->rows * c->sums_stride * sizeof *sums);
    else
        for (size_t r = 0; r < p->rows; r++)
            load_y(c, p, p->row + r, sums + r * c->sums_stride);
}

/* Stores some sums of a row: to y, or quantized. */
static void store_row(const struct matmul *c, const struct part *p, size_t row, const float *sums,
                      const float *bias)
{
    const struct mxq_matrix *y = c->y;
    const size_t bytes = mxq_type_bytes(y->type), groups = p->cols / MXQ_PANEL;
    if (!y->data) {
        float values[TASK_COLS];
        c->row->output[MXQ_F32](values, sums, bias, p->panels);
        mxq_store_result(c->options, values, row, p->col, p->cols, c->n);
        return;
    }
    unsigned char *to = (unsigned char *)y->data + (row * y->stride + p->col) * bytes;
    c->row->output[y->type](to, sums, bias, groups);
    if (p->cols % MXQ_PANEL) {
        unsigned char tail[MXQ_PANEL * 4];
        const size_t done = groups * MXQ_PANEL;
        c->row->output[y->type](tail, sums + done, bias ? bias + done : NULL, 1);
        memcpy(to + done * bytes, tail, p->cols % MXQ_PANEL * bytes);
    }
}

static void store_sums(const struct matmul *c, const struct part *p, float *sums)
{
    float bias[TASK_COLS], folded[TASK_COLS];
    if (c->options->bias) {
        struct mxq_range unused = MXQ_RANGE_EMPTY;
        mxq_load_wide(c->row, bias, c->options->bias, 0, p->col,
                      round_up(p->cols, MXQ_BLOCK) / MXQ_BLOCK, &unused);
    }
    for (size_t r = 0; r < p->rows; r++) {
        float *from = sums + r * c->sums_stride;
        if (is_one_group(c)) {
            load_y(c, p, p->row + r, folded);
            fold(c, folded, 0, from, 0, p->row + r, 1, p->panel, p->panels, 0);
            from = folded;
        }
        store_row(c, p, p->row + r, from, c->options->bias ? bias : NULL);
    }
}

/* -------------------------------------------- Tasks --------------------------------------------- */

/* Adds some sub-blocks of the packed weights of a task. */
static void add_packed(const struct matmul *c, const struct part *p, float *sums, size_t block,
                       size_t blocks)
{
    const uint8_t *panel = c->w.panels + p->panel * c->w.panel_bytes;
    c->row->gemm_fused[c->w.layout.element][c->x.compute](
        sums, c->sums_stride, c->x.data + p->row * c->x.stride_bytes + block * tile_of(c)->x_bytes,
        c->x.stride_bytes, panel + block * c->w.element_bytes,
        panel + c->w.scales + block * c->w.scale_bytes, c->w.panel_bytes, p->rows, p->panels,
        blocks);
}

/* Few rows, or none to multiply: the packed weights go through the registers once. */
static void stack_task(void *context, size_t index)
{
    const struct matmul *c = context;
    const struct part p = part_of(c, index);
    float sums[STACK_ROWS * TASK_COLS] __attribute__((aligned(64)));
    float group[STACK_ROWS * TASK_COLS] __attribute__((aligned(64)));
    const uint64_t fpenv = mxq_fpenv_enter();
    begin_sums(c, &p, sums);
    if (is_grouped(c)) {
        memset(group, 0, p.rows * c->sums_stride * sizeof *group);
        for (size_t b = 0; b < c->w.blocks; b += c->group) {
            add_packed(c, &p, group, b, smaller(c->w.blocks - b, c->group));
            fold(c, sums, c->sums_stride, group, c->sums_stride, p.row, p.rows, p.panel, p.panels,
                 b);
        }
    } else if (c->w.blocks) {
        add_packed(c, &p, sums, 0, c->w.blocks);
    }
    store_sums(c, &p, sums);
    mxq_fpenv_leave(fpenv);
}

/* Rows of a task times unpacked panels. */
struct unpacked {
    const unsigned char *w;
    size_t w_stride;
    size_t panel, panels; /* of the task */
    size_t block, blocks;
};

static void multiply_rows(const struct matmul *c, const struct unpacked *u, float *y,
                          size_t y_stride, size_t row, size_t rows, size_t block, size_t blocks)
{
    const struct mxq_tile *tile = tile_of(c);
    c->row->gemm[c->x.compute](
        y, y_stride, c->x.data + row * c->x.stride_bytes + block * tile->x_bytes, c->x.stride_bytes,
        u->w + (block - u->block) * tile->w_bytes, u->w_stride, rows, u->panels, blocks);
}

/* The same, a group after the other. */
static void multiply_groups(const struct matmul *c, const struct part *p, const struct unpacked *u,
                            float *sums)
{
    enum { STRIDE = MXQ_TILE_PANELS * MXQ_PANEL };
    float group[GROUP_ROWS * STRIDE] __attribute__((aligned(64))) = {0};
    for (size_t r = 0; r < p->rows; r += GROUP_ROWS) {
        const size_t rows = smaller(p->rows - r, GROUP_ROWS);
        for (size_t b = u->block; b < u->block + u->blocks; b += c->group) {
            multiply_rows(c, u, group, STRIDE, p->row + r, rows, b,
                          smaller(u->block + u->blocks - b, c->group));
            fold(c, sums + r * c->sums_stride, c->sums_stride, group, STRIDE, p->row + r, rows,
                 p->panel + u->panel, u->panels, b);
        }
    }
}

/* Unpacks sub-blocks of some panels, and multiplies all rows of the task with them.  Its stack must not add up
 * with that of quantizing y. */
static __attribute__((noinline)) void multiply(const struct matmul *c, const struct part *p,
                                               float *sums, size_t panel, size_t panels,
                                               size_t block, size_t blocks)
{
    unsigned char w[MXQ_TILE_BYTES] __attribute__((aligned(64)));
    const struct unpacked u = {w, blocks * tile_of(c)->w_bytes, panel, panels, block, blocks};
    for (size_t i = 0; i < panels; i++) {
        const uint8_t *packed = c->w.panels + (p->panel + panel + i) * c->w.panel_bytes;
        const uint8_t *elements = packed + block * c->w.element_bytes;
        const uint8_t *scales = packed + c->w.scales + block * c->w.scale_bytes;
        if (c->panel)
            c->panel(w + i * u.w_stride, elements, scales, blocks);
        else
            mxq_unpack_any(&c->w, (float *)(void *)(w + i * u.w_stride), elements, scales, blocks);
    }
    sums += panel * MXQ_PANEL;
    if (is_grouped(c))
        multiply_groups(c, p, &u, sums);
    else
        multiply_rows(c, &u, sums, c->sums_stride, p->row, p->rows, block, blocks);
}

static void gemm_task(void *context, size_t index)
{
    const struct matmul *c = context;
    const struct part p = part_of(c, index);
    float *sums = c->sums + (panel_task(c, index) * c->m + p.row) * c->sums_stride;
    const uint64_t fpenv = mxq_fpenv_enter();
    if (c->block == 0)
        begin_sums(c, &p, sums);
    for (size_t outer = c->block; outer < c->end; outer += c->blocks_in_l2) {
        const size_t end = smaller(c->end, outer + c->blocks_in_l2), panels = tile_of(c)->panels;
        for (size_t i = 0; i < p.panels; i += panels)
            for (size_t b = outer; b < end; b += c->blocks_at_once)
                multiply(c, &p, sums, i, smaller(p.panels - i, panels), b,
                         smaller(end - b, c->blocks_at_once));
    }
    if (c->end == c->w.blocks)
        store_sums(c, &p, sums);
    mxq_fpenv_leave(fpenv);
}

/* Cuts a slab into tasks of at most so many rows; returns how many. */
static size_t cut(struct matmul *c, size_t most_rows)
{
    const struct mxq_tile *tile = tile_of(c);
    const size_t most = most_rows / tile->rows * tile->rows;
    const size_t parts = (c->m + most - 1) / most;
    c->task_rows = round_up((c->m + parts - 1) / parts, tile->rows);
    c->row_tasks = (c->m + c->task_rows - 1) / c->task_rows;
    /* A small y still makes tasks for some threads. */
    c->task_panels =
        c->slab_panels * c->row_tasks >= 16 * TASK_PANELS ? TASK_PANELS : TASK_PANELS / 2;
    c->sums_stride = c->task_panels * MXQ_PANEL;
    c->panel_tasks = (c->slab_panels + c->task_panels - 1) / c->task_panels;
    return c->panel_tasks * c->row_tasks;
}

static void multiply_from_registers(struct matmul *c)
{
    c->slab_panels = c->w.panel_count;
    mxq_for_each_task(c->parallel, cut(c, STACK_ROWS), stack_task, c);
}

/* Sub-blocks to unpack at once: whole groups; short pieces for few rows, whose work would leave the memory
 * idle. */
static size_t blocks_at_once(const struct matmul *c)
{
    const struct mxq_tile *tile = tile_of(c);
    const size_t few = (size_t)tile->few_blocks * MXQ_PANEL_ELEMENTS / c->w.element_bytes;
    const size_t blocks = c->m <= FEW_ROWS ? smaller(few, tile->blocks) : tile->blocks;
    return is_grouped(c) ? blocks / c->group * c->group : blocks;
}

/* For a slab of y: tasks over all of k, or, for a part of k after the other, tasks over that. */
static void multiply_from_l1(struct matmul *c)
{
    const struct mxq_tile *tile = tile_of(c);
    const size_t panels = slab_cols(c->m, c->n) / MXQ_PANEL;
    c->panel = mxq_w_is_ordinary(&c->w) ? c->row->panel[c->w.layout.element][c->x.compute] : NULL;
    c->blocks_at_once = blocks_at_once(c);
    for (c->slab_panel = 0; c->slab_panel < c->w.panel_count; c->slab_panel += panels) {
        c->slab_panels = smaller(panels, c->w.panel_count - c->slab_panel);
        const size_t tasks = cut(c, tile->task_rows);
        const size_t in_l2 = mxq_cpu_l2_bytes() / 2 / (c->task_rows * tile->x_bytes);
        c->blocks_in_l2 = round_up(in_l2 + 1, c->blocks_at_once);
        const size_t step = tasks_are_whole(c) ? c->w.blocks : c->blocks_in_l2;
        for (c->block = 0; c->block < c->w.blocks; c->block = c->end) {
            c->end = smaller(c->w.blocks, c->block + step);
            mxq_for_each_task(c->parallel, tasks, gemm_task, c);
        }
    }
}

/* In rows times panels times sub-blocks, each of 512 products: a few microseconds of one core. */
#define SMALL_PRODUCT ((size_t)512)

/* Whether the row has a unit for integers and both operands are such. */
static int has_integers(const struct matmul *c)
{
    const enum mxq_packed_element element = c->w.layout.element;
    return c->row->tile[MXQ_COMPUTE_INT8].x_bytes && mxq_x_is_integer(&c->x) && !c->w.has_least &&
           (element == MXQ_PACKED_INT8 || element == MXQ_PACKED_E2M1);
}

/* Brings x into the compute type of the fastest kernels that give the canonical bits; returns whether they
 * are the fused ones. */
static int choose(struct matmul *c)
{
    const int has_bf16 = mxq_x_is_bf16(&c->x) && c->row->tile[MXQ_BF16].x_bytes == MXQ_BLOCK * 2;
    const struct mxq_tile *tile = &c->row->tile[has_bf16 ? MXQ_BF16 : MXQ_F32];
    if (c->m > c->row->tile[MXQ_COMPUTE_INT8].fused_rows && has_integers(c)) {
        mxq_prepare_x(&c->x, MXQ_COMPUTE_INT8, c->parallel);
        if (mxq_allows_int8(&c->x, &c->w))
            return 0;
    }
    if (c->w.blocks && c->m <= tile->fused_rows) {
        mxq_prepare_x(&c->x, tile->fused, c->parallel);
        if (mxq_allows_fused(&c->x, &c->w))
            return 1;
    } else {
        mxq_prepare_x(&c->x, has_bf16 ? MXQ_BF16 : MXQ_F32, c->parallel);
        if (has_bf16 && mxq_allows_bf16(&c->x, &c->w) &&
            (c->group || !c->options->accumulate || mxq_allows_accumulation(c->row, c->y)))
            return 0;
    }
    if (c->x.compute != MXQ_F32)
        mxq_prepare_x(&c->x, MXQ_F32, c->parallel);
    return 0;
}

#define SCRATCH_ALIGNMENT 64

/* Sets up what follows from checked operands. */
static void begin(struct matmul *c)
{
    const struct mxq_matmul_options *o = c->options;
    struct mxq_x *x = &c->x;
    x->kernels = c->row = mxq_active_kernels();
    x->rows = c->m;
    x->is_rounded = o->x_compute == MXQ_X_BF16;
    if (x->format && !x->quantized) {
        const struct mxq_quantize_options defaults = MXQ_QUANTIZE_OPTIONS;
        x->pieces = (struct mxq_pieces){x->kernels, x->wide, o->x_format, defaults, 0};
        x->pieces.options.scale_mode = o->x_scale_mode;
    }
    c->parallel = c->options->parallel;
    c->x.data = c->options->scratch;
    if (c->w.blocks) {
        c->x.data += -(uintptr_t)c->x.data % SCRATCH_ALIGNMENT;
        c->sums = (float *)(void *)(c->x.data + c->m * mxq_x_row_bytes(c->w.blocks));
    }
}

static void multiply_all(struct matmul *c)
{
    begin(c);
    /* Waking threads takes longer than this. */
    if (c->m * c->w.panel_count * c->w.blocks < SMALL_PRODUCT)
        c->parallel = NULL;
    if (c->x.format && !c->x.quantized)
        mxq_begin_pieces(&c->x.pieces, c->parallel);
    if (choose(c) || !c->w.blocks)
        multiply_from_registers(c);
    else
        multiply_from_l1(c);
}

/* -------------------------------------------- Public -------------------------------------------- */

/* Values of sums for which there is scratch: enough for m x slab_cols(m, n), which are fewer for some larger
 * m, and never fewer for a larger m or n.  Returns 0 when one row of tasks overflows. */
static int sums_of(size_t m, size_t n, size_t *sums)
{
    size_t all, least;
    if (__builtin_mul_overflow(m, TASK_COLS, &least))
        return 0;
    if (__builtin_mul_overflow(m, round_up(n, TASK_COLS), &all))
        all = SIZE_MAX;
    *sums = smaller(all, least > SLAB_SUMS ? least : SLAB_SUMS);
    return 1;
}

enum mxq_status mxq_matmul_scratch_bytes(size_t m, size_t n, size_t k, size_t *bytes)
{
    const size_t blocks = k / MXQ_BLOCK + (k % MXQ_BLOCK != 0);
    size_t x_bytes, sums, sums_bytes, all;
    if (!bytes)
        return MXQ_ERR_ARGUMENT;
    if (n > SIZE_MAX - TASK_COLS || k > SIZE_MAX / 8 ||
        __builtin_mul_overflow(m, mxq_x_row_bytes(blocks), &x_bytes) || !sums_of(m, n, &sums) ||
        __builtin_mul_overflow(sums, sizeof(float), &sums_bytes) ||
        __builtin_add_overflow(x_bytes, sums_bytes, &all) ||
        __builtin_add_overflow(all, SCRATCH_ALIGNMENT, bytes))
        return MXQ_ERR_SHAPE;
    return MXQ_OK;
}

static enum mxq_status check_options(const struct mxq_matmul_options *o, struct mxq_error *error)
{
    if (o->struct_bytes != sizeof *o)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "options.struct_bytes must be their sizeof");
    if ((unsigned)o->x_compute >= MXQ_X_COMPUTES)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "options.x_compute is unknown");
    if ((unsigned)o->x_scale_mode >= MXQ_SCALE_MODES)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "options.x_scale_mode is unknown");
    if (o->x_compute == MXQ_X_QUANTIZED) {
        if (!mxq_format_is_supported(&o->x_format))
            return mxq_fail(error, MXQ_ERR_FORMAT, mxq_supported_formats);
        if (o->x_format.block_rows > 1)
            return mxq_fail(error, MXQ_ERR_FORMAT,
                            "options.x_format must have blocks of one row, or of the whole of x");
        if (!mxq_scale_mode_is_supported(&o->x_format, o->x_scale_mode))
            return mxq_fail(error, MXQ_ERR_FORMAT, mxq_supported_scale_modes);
    }
    if (o->accumulate != 0 && o->accumulate != 1)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "options.accumulate must be 0 or 1");
    if (o->parallel && !o->parallel->run)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "options.parallel->run must not be null");
    return MXQ_OK;
}

/* The memory of everything that takes part. */
struct operands {
    struct mxq_span y, quantized_y[MXQ_RESULT_SPANS], x[2], bias, packed, scratch;
};

static enum mxq_status check_overlaps(const struct operands *s, struct mxq_error *error)
{
    const struct mxq_span *read[] = {&s->x[0], &s->x[1], &s->bias, &s->packed};
    const struct mxq_span *written[] = {&s->y, &s->quantized_y[0], &s->quantized_y[1],
                                        &s->quantized_y[2]};
    for (size_t i = 0; i < sizeof read / sizeof *read; i++) {
        for (size_t j = 0; j < sizeof written / sizeof *written; j++)
            if (mxq_spans_overlap(written[j], read[i]))
                return mxq_fail(error, MXQ_ERR_OVERLAP, "y must not overlap x, bias or w");
        if (mxq_spans_overlap(&s->scratch, read[i]))
            return mxq_fail(error, MXQ_ERR_OVERLAP, "scratch must not overlap x, bias or w");
    }
    for (size_t j = 0; j < sizeof written / sizeof *written; j++) {
        if (mxq_spans_overlap(written[j], &s->scratch))
            return mxq_fail(error, MXQ_ERR_OVERLAP, "scratch must not overlap y");
        if (j > 0 && mxq_spans_overlap(written[j], &s->y))
            return mxq_fail(error, MXQ_ERR_OVERLAP, "options.quantized_y must not overlap y");
    }
    return MXQ_OK;
}

static enum mxq_status check_scratch(const struct matmul *c, size_t k, struct operands *s,
                                     struct mxq_error *error)
{
    size_t bytes;
    if (mxq_matmul_scratch_bytes(c->m, c->n, c->w.blocks * MXQ_BLOCK, &bytes))
        return mxq_fail(error, MXQ_ERR_SHAPE, "m * k must not overflow size_t");
    if (c->m && c->n && k && !c->options->scratch)
        return mxq_fail(error, MXQ_ERR_SCRATCH, "options.scratch must not be null");
    if (c->m && c->n && k && c->options->scratch_bytes < bytes)
        return mxq_fail(
            error, MXQ_ERR_SCRATCH,
            "options.scratch_bytes must be what mxq_matmul_scratch_bytes() says (for "
            "weights with F32, BF16 or F16 scales on blocks of 8 or 16, of 4 k or 2 k)");
    s->scratch = (struct mxq_span){c->options->scratch, 1,
                                   c->options->scratch ? c->options->scratch_bytes : 0, 0};
    return MXQ_OK;
}

/* Sub-blocks that share one of the factors of a format; 0: its scales are exact. */
static size_t factor_blocks_of(const struct mxq_format *f, size_t run, size_t blocks)
{
    if (f->scale == MXQ_E8M0)
        return 0;
    return f->scale == MXQ_E4M3_SCALE || !f->block_cols ? blocks : f->block_cols / run;
}

/* The groups of k on which the scales of both operands are constant. */
static enum mxq_status find_groups(struct matmul *c, struct mxq_error *error)
{
    const struct mxq_format *f = c->x.format;
    const size_t run = c->w.layout.run, blocks = c->w.blocks;
    if (f && f->scale != MXQ_E8M0 && f->scale != MXQ_E4M3_SCALE && f->block_cols &&
        f->block_cols < run)
        return mxq_fail(error, MXQ_ERR_FORMAT,
                        "x with F32, BF16 or F16 scales on blocks of 8 or 16 values needs weights "
                        "with such scales on blocks no longer than its own");
    c->x.run = run;
    c->x.blocks = blocks;
    c->factor_blocks = factor_blocks_of(&c->w.info.format, run, blocks);
    c->x.factor_blocks = f ? factor_blocks_of(f, run, blocks) : 0;
    const size_t of_w = c->factor_blocks ? c->factor_blocks : SIZE_MAX;
    const size_t of_x = c->x.factor_blocks ? c->x.factor_blocks : SIZE_MAX;
    const size_t group = smaller(of_w, of_x);
    c->group = group == SIZE_MAX ? 0 : smaller(group, blocks);
    return MXQ_OK;
}

/* Checks everything but x, then multiplies.  x has been checked and has the shape m x k. */
static enum mxq_status check_and_multiply(struct matmul *c, const void *w, size_t packed_bytes,
                                          size_t k, struct operands *s, struct mxq_error *error)
{
    const struct mxq_matrix *y = c->y;
    enum mxq_status status = check_options(c->options, error);
    if (!status)
        status = mxq_packed_open(&c->w, w, packed_bytes, error);
    if (!status && !y && c->options->quantized_y) {
        c->y_shape = (struct mxq_matrix){NULL, MXQ_F32, c->m, c->w.info.n, c->w.info.n};
        c->y = &c->y_shape;
    } else if (!status) {
        status = mxq_matrix_span(&s->y, y, error);
    }
    if (!status && c->options->bias)
        status = mxq_matrix_span(&s->bias, c->options->bias, error);
    if (status)
        return status;
    c->n = c->w.info.n;
    if (k != c->w.info.k)
        return mxq_fail(error, MXQ_ERR_SHAPE, "x must have as many cols as w has inputs k");
    if (c->y->rows != c->m || c->y->cols != c->n)
        return mxq_fail(error, MXQ_ERR_SHAPE,
                        "y must have the rows of x and a column for each output");
    if (c->options->bias && (c->options->bias->rows != 1 || c->options->bias->cols != c->n))
        return mxq_fail(error, MXQ_ERR_SHAPE, "bias must be 1 x n");
    s->packed = (struct mxq_span){w, 1, c->w.info.bytes, 0};
    c->x.cols = k;
    c->x.format = c->x.quantized                             ? &c->x.quantized->format
                  : c->options->x_compute == MXQ_X_QUANTIZED ? &c->options->x_format
                                                             : NULL;
    status = mxq_check_result(s->quantized_y, c->options, c->m, c->n, y, error);
    if (!status)
        status = find_groups(c, error);
    if (!status)
        status = check_scratch(c, k, s, error);
    if (!status)
        status = check_overlaps(s, error);
    if (status)
        return status;
    if (c->m && c->n)
        multiply_all(c);
    if (y && c->options->quantized_y)
        mxq_quantize_result(c->options, y);
    return MXQ_OK;
}

static const struct mxq_matmul_options default_options = MXQ_MATMUL_OPTIONS;

enum mxq_status mxq_matmul(const struct mxq_matrix *y, const struct mxq_matrix *x, const void *w,
                           size_t packed_bytes, const struct mxq_matmul_options *options,
                           struct mxq_error *error)
{
    struct operands s = {.y.rows = 0};
    const enum mxq_status status = mxq_matrix_span(&s.x[0], x, error);
    if (status)
        return status;
    struct matmul c = {
        .options = options ? options : &default_options, .y = y, .x.wide = x, .m = x->rows};
    return check_and_multiply(&c, w, packed_bytes, x->cols, &s, error);
}

enum mxq_status mxq_matmul_quantized(const struct mxq_matrix *y, const struct mxq_quantized *x,
                                     const void *w, size_t packed_bytes,
                                     const struct mxq_matmul_options *options,
                                     struct mxq_error *error)
{
    struct operands s = {.y.rows = 0};
    const enum mxq_status status = mxq_quantized_spans(&s.x[0], &s.x[1], x, error);
    if (status)
        return status;
    struct matmul c = {
        .options = options ? options : &default_options, .y = y, .x.quantized = x, .m = x->rows};
    if (c.options->struct_bytes == sizeof *options && c.options->x_compute != MXQ_X_AS_IS)
        return mxq_fail(error, MXQ_ERR_ARGUMENT,
                        "options.x_compute must be MXQ_X_AS_IS for quantized x");
    return check_and_multiply(&c, w, packed_bytes, x->cols, &s, error);
}
