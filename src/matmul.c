/* SPDX-License-Identifier: Apache-2.0 */
/* matmul.c -- mxq_matmul(): checks, the range guard, cache blocking, threads.
 *
 * First x is brought into scratch as the gemm kernels want it, F32 or BF16, padded with zeros to whole
 * sub-blocks, and its range is noted.  Then tasks of some panels of w times some rows of x run over the
 * threads.  Few rows go to the fused kernel, which reads the packed weights at memory speed.  For more, a
 * panel is unpacked into L1, a piece of k at a time, and used for all rows of the task, with sums in F32 in
 * scratch.  Units for which unpacking is dear beside multiplying take many rows a task; then, as in Goto's
 * GEMM, all tasks work on one part of k after the other, whose x stays in L2.
 *
 * The range guard: fused kernels multiply bare elements and scale the dots, and BF16 units flush what is
 * below 2^-126.  Both give the canonical bits as long as every product is a multiple of 2^-149, or 2^-126 for
 * a unit that flushes, and no dot overflows, which the exponents of x and w prove or not; if not, the F32
 * kernels do the work on the scaled weights. */
#include <limits.h>
#include <stdatomic.h>
#include <string.h>

#include "cpu.h"
#include "fpenv.h"
#include "matrix.h"
#include "packed.h"

#define TASK_PANELS 4 /* panels of w of a task, at most */
#define TASK_COLS   ((size_t)TASK_PANELS * MXQ_PANEL)
#define WHOLE_ROWS                                                                                 \
    192 /* so many rows of sums are small beside a task's x: it keeps them for all of k */
#define STACK_ROWS 64 /* rows of a task that keeps its sums on the stack, at most */
#define CHUNK      64 /* sub-blocks of x that are converted at a time */

/* Sums in scratch, in values.  A wide y is worked through in slabs of so much. */
#define SLAB_SUMS ((size_t)4 << 20)

/* Rows of x whose stride is near a multiple of 4 KiB fall into the same sets of L1. */
#define ROW_STEP ((size_t)2048)

struct matmul {
    const struct mxq_kernels *row;
    const struct mxq_matmul_options *options;
    const struct mxq_parallel *parallel;
    const struct mxq_matrix *y;
    const struct mxq_matrix *wide;         /* x is this one, */
    const struct mxq_quantized *quantized; /* or this one */
    struct mxq_packed w;
    size_t m, n;
    unsigned char *x; /* in scratch */
    size_t x_stride_bytes;
    enum mxq_type compute; /* what x is in scratch: MXQ_F32 or MXQ_BF16 */
    _Atomic uint32_t low, high;
    mxq_panel_fn *panel;
    size_t task_rows, task_panels;
    size_t row_tasks, panel_tasks;  /* tasks that share their panels; their rows */
    size_t slab_panel, slab_panels; /* the part of w in work */
    size_t block, end;              /* the sub-blocks in work */
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

static size_t stride_of(size_t row_bytes)
{
    return round_up(row_bytes, ROW_STEP) + ROW_STEP / 2;
}

/* Columns of y whose sums are in scratch at a time. */
static size_t slab_cols(size_t m, size_t n)
{
    const size_t most = SLAB_SUMS / TASK_COLS / (m ? m : 1) * TASK_COLS;
    return smaller(round_up(n, TASK_COLS), most > TASK_COLS ? most : TASK_COLS);
}

/* ------------------------------------- The operands' values ------------------------------------ */

/* Widens values first .. first + 32 * blocks - 1 of a row of a matrix; those beyond cols are zeros. */
static void load_wide(const struct mxq_kernels *row, float *out, const struct mxq_matrix *x,
                      size_t r, size_t first, size_t blocks, struct mxq_range *range)
{
    const size_t bytes = mxq_type_bytes(x->type), left = x->cols - first;
    const unsigned char *data = (const unsigned char *)x->data + (r * x->stride + first) * bytes;
    const size_t whole = smaller(blocks, left / MXQ_BLOCK);
    row->operand[x->type](out, data, whole, range);
    if (whole < blocks) {
        unsigned char padded[MXQ_BLOCK * 4] = {0};
        memcpy(padded, data + whole * MXQ_BLOCK * bytes, (left - whole * MXQ_BLOCK) * bytes);
        row->operand[x->type](out + whole * MXQ_BLOCK, padded, 1, range);
    }
}

/* The same for a quantized matrix. */
static void load_quantized(const struct mxq_kernels *row, float *out, const struct mxq_quantized *x,
                           size_t r, size_t first, size_t blocks, struct mxq_range *range)
{
    const size_t left = x->cols - first, whole = smaller(blocks, left / MXQ_BLOCK);
    const uint8_t *elements = x->elements + r * x->elements_stride + first;
    const uint8_t *scales = x->scales + r * x->scales_stride + first / MXQ_BLOCK;
    mxq_unpack_fn *unpack = row->unpack[x->format.element][MXQ_F32];
    unpack(out, elements, scales, whole);
    if (whole < blocks) {
        uint8_t padded[MXQ_BLOCK] = {0};
        const size_t tail = left - whole * MXQ_BLOCK;
        memcpy(padded, elements + whole * MXQ_BLOCK, tail);
        unpack(out + whole * MXQ_BLOCK, padded, scales + whole, 1);
        for (size_t i = tail; i < MXQ_BLOCK; i++) /* a NaN block's padding is no NaN */
            out[whole * MXQ_BLOCK + i] = 0;
    }
    row->operand[MXQ_F32](out, out, blocks, range);
}

/* Quantizes values of x, and takes them back. */
static void load_through(const struct matmul *c, float *out, size_t r, size_t first, size_t blocks,
                         struct mxq_range *range)
{
    const struct mxq_matmul_options *o = c->options;
    const struct mxq_scale_rule rule =
        mxq_scale_rule(o->x_format.element, mxq_scale_mode_of(&o->x_format, o->x_scale_mode));
    uint8_t elements[CHUNK * MXQ_BLOCK], scales[CHUNK];
    struct mxq_range unused = MXQ_RANGE_EMPTY;
    load_wide(c->row, out, c->wide, r, first, blocks, &unused);
    c->row->quantize[o->x_format.element][MXQ_F32](elements, scales, out, blocks, &rule);
    const size_t cols = smaller(c->wide->cols - first, blocks * MXQ_BLOCK);
    const struct mxq_quantized q = {o->x_format, 1, cols, elements, 0, scales, 0, NULL};
    load_quantized(c->row, out, &q, 0, 0, blocks, range);
}

/* Whether every value of x that is multiplied is a BF16 value. */
static int x_is_bf16(const struct matmul *c)
{
    return c->quantized || c->wide->type == MXQ_BF16 || c->options->x_compute != MXQ_X_AS_IS;
}

static void prepare_row(const struct matmul *c, size_t r, struct mxq_range *range)
{
    const int to_bf16 = c->compute == MXQ_BF16 || c->options->x_compute == MXQ_X_BF16;
    const size_t bytes = c->row->tile[c->compute].x_bytes / MXQ_BLOCK;
    for (size_t b = 0; b < c->w.blocks; b += CHUNK) {
        float values[CHUNK * MXQ_BLOCK];
        const size_t first = b * MXQ_BLOCK, blocks = smaller(c->w.blocks - b, CHUNK);
        void *to = c->x + r * c->x_stride_bytes + first * bytes;
        float *out = to_bf16 ? values : to;
        if (c->quantized)
            load_quantized(c->row, out, c->quantized, r, first, blocks, range);
        else if (c->options->x_compute == MXQ_X_QUANTIZED)
            load_through(c, out, r, first, blocks, range);
        else
            load_wide(c->row, out, c->wide, r, first, blocks, range);
        if (to_bf16)
            c->row->round[c->compute](to, out, blocks);
    }
}

static void extend(struct matmul *c, const struct mxq_range *range)
{
    uint32_t seen = atomic_load(&c->low);
    while (range->low < seen && !atomic_compare_exchange_weak(&c->low, &seen, range->low))
        ;
    seen = atomic_load(&c->high);
    while (range->high > seen && !atomic_compare_exchange_weak(&c->high, &seen, range->high))
        ;
}

#define PREPARE_ROWS 4

static void prepare_task(void *context, size_t index)
{
    struct matmul *c = context;
    struct mxq_range range = MXQ_RANGE_EMPTY;
    const uint64_t fpenv = mxq_fpenv_enter();
    for (size_t r = index * PREPARE_ROWS; r < smaller(c->m, (index + 1) * PREPARE_ROWS); r++)
        prepare_row(c, r, &range);
    mxq_fpenv_leave(fpenv);
    extend(c, &range);
}

static void prepare(struct matmul *c, enum mxq_type compute)
{
    struct mxq_range none = MXQ_RANGE_EMPTY;
    c->compute = compute;
    c->x_stride_bytes = stride_of(c->w.blocks * c->row->tile[compute].x_bytes);
    atomic_store(&c->low, none.low);
    atomic_store(&c->high, none.high);
    mxq_for_each_task(c->parallel, (c->m + PREPARE_ROWS - 1) / PREPARE_ROWS, prepare_task, c);
}

/* ---------------------------------------- The range guard --------------------------------------- */

/* Exponents e: every magnitude is a multiple of 2^low, and below 2^high. */
struct exponents {
    int low, high;
};

#define F32_LOW  (-149) /* a sum of multiples of this is exact however small it is */
#define F32_HIGH 128

/* Of F32 bits, of values with so many mantissa bits. */
static struct exponents exponents_of(uint32_t low, uint32_t high, int mantissa_bits)
{
    const int field = (int)(low >> 23);
    return (struct exponents){field > 0 ? field - 127 - mantissa_bits : F32_LOW,
                              high < 0x7F800000 ? (int)(high >> 23) - 126 : INT_MAX / 2};
}

/* Of elements times their scales. */
static struct exponents exponents_of_elements(enum mxq_element element, int scale_low,
                                              int scale_high)
{
    const struct mxq_element_info *e = &mxq_elements[element];
    return (struct exponents){1 - e->bias - e->mantissa_bits + scale_low - 127,
                              e->emax + 1 + scale_high - 127};
}

/* Whether a dot of 32 products stays within bounds. */
static int dot_within(struct exponents x, struct exponents w, int low)
{
    return x.low + w.low >= low && x.high + w.high + 5 < F32_HIGH;
}

static struct exponents exponents_of_x(struct matmul *c)
{
    const uint32_t low = atomic_load(&c->low), high = atomic_load(&c->high);
    if (c->options->x_compute == MXQ_X_BF16) /* the range was taken before the rounding */
        return exponents_of(low, high + 0x8000, 7);
    return exponents_of(low, high, x_is_bf16(c) ? 7 : c->wide->type == MXQ_F16 ? 10 : 23);
}

static int w_is_ordinary(const struct matmul *c)
{
    return c->w.is_finite && c->w.scale_low >= MXQ_SCALE_ORDINARY_LOW &&
           c->w.scale_high <= MXQ_SCALE_ORDINARY_HIGH;
}

#define NORMAL_LOW (-126)

static struct exponents exponents_of_w(const struct matmul *c)
{
    return exponents_of_elements(c->w.info.format.element, c->w.scale_low, c->w.scale_high);
}

/* Whether x, times w with these exponents, suits the BF16 unit. */
static int suits_bf16(struct matmul *c, struct exponents w)
{
    /* A subnormal may be a quantized one that BF16 does not have. */
    return atomic_load(&c->low) >> 23 > 0 &&
           (!c->row->tile[MXQ_BF16].flushes || dot_within(exponents_of_x(c), w, NORMAL_LOW));
}

/* Fused kernels take the dots of bare elements in the unit's own way, and scale them in F32. */
static int allows_fused(struct matmul *c)
{
    const struct exponents x = exponents_of_x(c);
    if (!w_is_ordinary(c) || !dot_within(x, exponents_of_w(c), F32_LOW))
        return 0;
    const struct exponents bare = exponents_of_elements(c->w.info.format.element, 127, 127);
    return c->compute == MXQ_F32 ? x.low >= MXQ_FUSED_X_LOW && x.high <= MXQ_FUSED_X_HIGH
                                 : suits_bf16(c, bare) && dot_within(x, bare, F32_LOW);
}

static int allows_bf16(struct matmul *c)
{
    return w_is_ordinary(c) && suits_bf16(c, exponents_of_w(c));
}

/* Whether what y holds may be added to by a unit that flushes it. */
static int allows_accumulation(const struct matmul *c)
{
    struct mxq_range range = MXQ_RANGE_EMPTY;
    if (!c->options->accumulate || c->row->tile[MXQ_BF16].flushes < 2)
        return 1;
    const uint64_t fpenv = mxq_fpenv_enter();
    for (size_t r = 0; r < c->m; r++)
        for (size_t first = 0; first < c->n; first += TASK_COLS) {
            float values[TASK_COLS];
            const size_t cols = smaller(TASK_COLS, round_up(c->n - first, MXQ_BLOCK));
            load_wide(c->row, values, c->y, r, first, cols / MXQ_BLOCK, &range);
        }
    mxq_fpenv_leave(fpenv);
    return exponents_of(range.low, range.high, 23).low >= NORMAL_LOW && range.high < 0x7F800000;
}

/* --------------------------------------------- Tasks -------------------------------------------- */

/* The part of y that a task computes. */
struct part {
    size_t row, rows;
    size_t panel, panels;
    size_t col, cols;
};

/* Whether the tasks run over all of k, or what is in L2 runs over all tasks. */
static int tasks_are_whole(const struct matmul *c)
{
    return c->row->tile[c->compute].task_rows <= WHOLE_ROWS;
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

static void begin_sums(const struct matmul *c, const struct part *p, float *sums)
{
    struct mxq_range unused = MXQ_RANGE_EMPTY;
    memset(sums, 0, p->rows * c->sums_stride * sizeof *sums);
    if (c->options->accumulate)
        for (size_t r = 0; r < p->rows; r++) {
            const struct mxq_matrix y = {c->y->data, c->y->type, c->m, p->col + p->cols,
                                         c->y->stride};
            load_wide(c->row, sums + r * c->sums_stride, &y, p->row + r, p->col,
                      round_up(p->cols, MXQ_BLOCK) / MXQ_BLOCK, &unused);
        }
}

static void store_sums(const struct matmul *c, const struct part *p, const float *sums)
{
    float bias[TASK_COLS];
    const struct mxq_matrix *y = c->y;
    const size_t bytes = mxq_type_bytes(y->type), groups = p->cols / MXQ_PANEL;
    if (c->options->bias) {
        struct mxq_range unused = MXQ_RANGE_EMPTY;
        load_wide(c->row, bias, c->options->bias, 0, p->col,
                  round_up(p->cols, MXQ_BLOCK) / MXQ_BLOCK, &unused);
    }
    for (size_t r = 0; r < p->rows; r++) {
        const float *from = sums + r * c->sums_stride;
        unsigned char *to = (unsigned char *)y->data + ((p->row + r) * y->stride + p->col) * bytes;
        c->row->output[y->type](to, from, c->options->bias ? bias : NULL, groups);
        if (p->cols % MXQ_PANEL) {
            unsigned char tail[MXQ_PANEL * 4];
            const size_t done = groups * MXQ_PANEL;
            c->row->output[y->type](tail, from + done, c->options->bias ? bias + done : NULL, 1);
            memcpy(to + done * bytes, tail, p->cols % MXQ_PANEL * bytes);
        }
    }
}

/* Few rows, or none to multiply: the packed weights go through the registers once. */
static void stack_task(void *context, size_t index)
{
    const struct matmul *c = context;
    const struct part p = part_of(c, index);
    float sums[STACK_ROWS * TASK_COLS] __attribute__((aligned(64)));
    const uint8_t *panel = c->w.panels + p.panel * c->w.panel_bytes;
    const uint64_t fpenv = mxq_fpenv_enter();
    begin_sums(c, &p, sums);
    if (c->w.blocks)
        c->row->gemm_fused[c->w.info.format.element][c->compute](
            sums, c->sums_stride, c->x + p.row * c->x_stride_bytes, c->x_stride_bytes, panel,
            panel + c->w.scales, c->w.panel_bytes, p.rows, p.panels, c->w.blocks);
    store_sums(c, &p, sums);
    mxq_fpenv_leave(fpenv);
}

/* Unpacks sub-blocks of some panels, and multiplies all rows of the task with them. */
static void multiply(const struct matmul *c, const struct part *p, float *sums, size_t panel,
                     size_t panels, size_t block, size_t blocks)
{
    unsigned char w[MXQ_TILE_BYTES] __attribute__((aligned(64)));
    const struct mxq_tile *tile = &c->row->tile[c->compute];
    const size_t w_stride = blocks * tile->w_bytes;
    for (size_t i = 0; i < panels; i++) {
        const uint8_t *packed = c->w.panels + (p->panel + panel + i) * c->w.panel_bytes;
        c->panel(w + i * w_stride, packed + block * MXQ_PANEL_ELEMENTS,
                 packed + c->w.scales + block * MXQ_PANEL, blocks);
    }
    c->row->gemm[c->compute](sums + panel * MXQ_PANEL, c->sums_stride,
                             c->x + p->row * c->x_stride_bytes + block * tile->x_bytes,
                             c->x_stride_bytes, w, w_stride, p->rows, panels, blocks);
}

static void gemm_task(void *context, size_t index)
{
    const struct matmul *c = context;
    const struct part p = part_of(c, index);
    const struct mxq_tile *tile = &c->row->tile[c->compute];
    float *sums = c->sums + (panel_task(c, index) * c->m + p.row) * c->sums_stride;
    const uint64_t fpenv = mxq_fpenv_enter();
    if (c->block == 0)
        begin_sums(c, &p, sums);
    for (size_t outer = c->block; outer < c->end; outer += c->blocks_in_l2) {
        const size_t end = smaller(c->end, outer + c->blocks_in_l2);
        for (size_t i = 0; i < p.panels; i += tile->panels)
            for (size_t b = outer; b < end; b += tile->blocks)
                multiply(c, &p, sums, i, smaller(p.panels - i, tile->panels), b,
                         smaller(end - b, tile->blocks));
    }
    if (c->end == c->w.blocks)
        store_sums(c, &p, sums);
    mxq_fpenv_leave(fpenv);
}

/* Cuts a slab into tasks of at most so many rows; returns how many. */
static size_t cut(struct matmul *c, size_t most_rows)
{
    const struct mxq_tile *tile = &c->row->tile[c->compute];
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

/* For a slab of y: tasks over all of k, or, for a part of k after the other, tasks over that. */
static void multiply_from_l1(struct matmul *c)
{
    const struct mxq_tile *tile = &c->row->tile[c->compute];
    const size_t panels = slab_cols(c->m, c->n) / MXQ_PANEL;
    c->panel = (w_is_ordinary(c) ? c->row : &mxq_kernels_scalar)
                   ->panel[c->w.info.format.element][c->compute];
    for (c->slab_panel = 0; c->slab_panel < c->w.panel_count; c->slab_panel += panels) {
        c->slab_panels = smaller(panels, c->w.panel_count - c->slab_panel);
        const size_t tasks = cut(c, tile->task_rows);
        const size_t in_l2 = mxq_cpu_l2_bytes() / 2 / (c->task_rows * tile->x_bytes);
        c->blocks_in_l2 = round_up(in_l2 + 1, tile->blocks);
        const size_t step = tasks_are_whole(c) ? c->w.blocks : c->blocks_in_l2;
        for (c->block = 0; c->block < c->w.blocks; c->block = c->end) {
            c->end = smaller(c->w.blocks, c->block + step);
            mxq_for_each_task(c->parallel, tasks, gemm_task, c);
        }
    }
}

/* In rows times panels times sub-blocks, each of 512 products: a few microseconds of one core. */
#define SMALL_PRODUCT ((size_t)512)

static void multiply_all(struct matmul *c)
{
    const int has_unit = x_is_bf16(c) && c->row->tile[MXQ_BF16].x_bytes == 2 * MXQ_BLOCK;
    const enum mxq_type unit = has_unit ? MXQ_BF16 : MXQ_F32;
    const struct mxq_tile *tile = &c->row->tile[unit];
    /* Waking threads takes longer than this. */
    if (c->m * c->w.panel_count * c->w.blocks < SMALL_PRODUCT)
        c->parallel = NULL;
    int is_fused = c->w.blocks && c->m <= tile->fused_rows;
    prepare(c, is_fused ? (enum mxq_type)tile->fused : unit);
    if (is_fused ? !allows_fused(c) : has_unit && !(allows_bf16(c) && allows_accumulation(c))) {
        is_fused = 0;
        if (c->compute != MXQ_F32)
            prepare(c, MXQ_F32);
    }
    if (is_fused || !c->w.blocks)
        multiply_from_registers(c);
    else
        multiply_from_l1(c);
}

/* -------------------------------------------- Public -------------------------------------------- */

#define SCRATCH_ALIGNMENT 64

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
    size_t x_bytes, sums, sums_bytes, all;
    if (!bytes)
        return MXQ_ERR_ARGUMENT;
    if (n > SIZE_MAX - TASK_COLS || k > SIZE_MAX / sizeof(float) - 2 * ROW_STEP ||
        __builtin_mul_overflow(m, stride_of(round_up(k, MXQ_BLOCK) * sizeof(float)), &x_bytes) ||
        !sums_of(m, n, &sums) || __builtin_mul_overflow(sums, sizeof(float), &sums_bytes) ||
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
    if (o->accumulate != 0 && o->accumulate != 1)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "options.accumulate must be 0 or 1");
    if (o->x_compute == MXQ_X_QUANTIZED && !mxq_format_is_packable(&o->x_format))
        return mxq_fail(error, MXQ_ERR_FORMAT, mxq_packable_formats);
    if (o->parallel && !o->parallel->run)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "options.parallel->run must not be null");
    return MXQ_OK;
}

/* The memory of everything that takes part. */
struct operands {
    struct mxq_span y, x[2], bias, packed, scratch;
};

static enum mxq_status check_overlaps(const struct operands *s, struct mxq_error *error)
{
    const struct mxq_span *read[] = {&s->x[0], &s->x[1], &s->bias, &s->packed};
    for (size_t i = 0; i < sizeof read / sizeof *read; i++) {
        if (mxq_spans_overlap(&s->y, read[i]))
            return mxq_fail(error, MXQ_ERR_OVERLAP, "y must not overlap x, bias or w");
        if (mxq_spans_overlap(&s->scratch, read[i]))
            return mxq_fail(error, MXQ_ERR_OVERLAP, "scratch must not overlap x, bias or w");
    }
    if (mxq_spans_overlap(&s->y, &s->scratch))
        return mxq_fail(error, MXQ_ERR_OVERLAP, "scratch must not overlap y");
    return MXQ_OK;
}

static enum mxq_status check_scratch(const struct matmul *c, size_t k, struct operands *s,
                                     struct mxq_error *error)
{
    size_t bytes;
    if (mxq_matmul_scratch_bytes(c->m, c->n, k, &bytes))
        return mxq_fail(error, MXQ_ERR_SHAPE, "m * k must not overflow size_t");
    if (c->m && c->n && k && !c->options->scratch)
        return mxq_fail(error, MXQ_ERR_SCRATCH, "options.scratch must not be null");
    if (c->m && c->n && k && c->options->scratch_bytes < bytes)
        return mxq_fail(error, MXQ_ERR_SCRATCH,
                        "options.scratch_bytes must be what mxq_matmul_scratch_bytes() says");
    s->scratch = (struct mxq_span){c->options->scratch, 1,
                                   c->options->scratch ? c->options->scratch_bytes : 0, 0};
    return MXQ_OK;
}

/* Checks everything but x, then multiplies.  x has been checked and has the shape m x k. */
static enum mxq_status check_and_multiply(struct matmul *c, const void *w, size_t packed_bytes,
                                          size_t k, struct operands *s, struct mxq_error *error)
{
    enum mxq_status status = check_options(c->options, error);
    if (!status)
        status = mxq_packed_open(&c->w, w, packed_bytes, error);
    if (!status)
        status = mxq_matrix_span(&s->y, c->y, error);
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
    status = check_scratch(c, k, s, error);
    if (!status)
        status = check_overlaps(s, error);
    if (status || !c->m || !c->n)
        return status;
    c->row = mxq_active_kernels();
    c->parallel = c->options->parallel;
    c->x = c->options->scratch;
    if (k) {
        c->x += -(uintptr_t)c->x % SCRATCH_ALIGNMENT;
        c->sums =
            (float *)(void *)(c->x + c->m * stride_of(round_up(k, MXQ_BLOCK) * sizeof(float)));
    }
    multiply_all(c);
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
        .options = options ? options : &default_options, .y = y, .wide = x, .m = x->rows};
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
        .options = options ? options : &default_options, .y = y, .quantized = x, .m = x->rows};
    if (c.options->struct_bytes == sizeof *options && c.options->x_compute != MXQ_X_AS_IS)
        return mxq_fail(error, MXQ_ERR_ARGUMENT,
                        "options.x_compute must be MXQ_X_AS_IS for quantized x");
    return check_and_multiply(&c, w, packed_bytes, x->cols, &s, error);
}
