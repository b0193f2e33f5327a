/* SPDX-License-Identifier: Apache-2.0 */
/* percentile.c -- mxq_percentile(): a magnitude of a given rank, by exact selection.
 *
 * Magnitudes of F32 are in the order of their bits.  A pass counts them by their upper 11 bits, which tells the
 * bin of the one that is sought; the next counts those of that bin by 10 more bits, the last by the other 10.
 * BF16 and F16 have nothing there: two passes.  Counts are integers, so that no order of the threads shows. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "fpenv.h"
#include "matrix.h"
#include "scalar/wide.h"

#define NONFINITE   UINT32_C(0x7F800000) /* F32 bits of infinity */
#define BINS        2048
#define TASK_VALUES 65536

struct selection {
    const struct mxq_matrix *x;
    uint32_t prefix;  /* the bits above those that are counted, */
    int prefix_shift; /* and how far up they are */
    int shift;        /* of the bits that are counted */
    uint32_t mask;
    size_t task_rows, task_cols, tasks_across;
    _Atomic uint64_t counts[BINS];
};

static size_t at_most(size_t left, size_t most)
{
    return left < most ? left : most;
}

static void count_task(void *context, size_t index)
{
    struct selection *s = context;
    const size_t first_row = index / s->tasks_across * s->task_rows;
    const size_t first_col = index % s->tasks_across * s->task_cols;
    const size_t rows = at_most(s->x->rows - first_row, s->task_rows);
    const size_t cols = at_most(s->x->cols - first_col, s->task_cols);
    uint32_t counts[BINS] = {0};
    for (size_t row = first_row; row < first_row + rows; row++) {
        const size_t first = row * s->x->stride + first_col;
        for (size_t i = first; i < first + cols; i++) {
            const uint32_t bits = load_f32_bits(s->x->data, i, s->x->type) & 0x7FFFFFFF;
            if (bits < NONFINITE && bits >> s->prefix_shift == s->prefix)
                counts[bits >> s->shift & s->mask]++;
        }
    }
    for (size_t bin = 0; bin < BINS; bin++)
        if (counts[bin])
            atomic_fetch_add_explicit(&s->counts[bin], counts[bin], memory_order_relaxed);
}

/* Counts the finite magnitudes that begin with the prefix by their next `bits` bits. */
static void count(struct selection *s, int bits, const struct mxq_parallel *parallel)
{
    s->prefix_shift = s->shift;
    s->shift -= bits;
    s->mask = (1u << bits) - 1;
    for (size_t bin = 0; bin < BINS; bin++)
        atomic_store_explicit(&s->counts[bin], 0, memory_order_relaxed);
    mxq_for_each_task(parallel, ((s->x->rows - 1) / s->task_rows + 1) * s->tasks_across, count_task,
                      s);
}

/* Lengthens the prefix by the bin that holds number `rank` of those counted, and returns its rank there. */
static uint64_t choose(struct selection *s, int bits, uint64_t rank)
{
    uint32_t bin = 0;
    for (; rank > atomic_load(&s->counts[bin]); bin++)
        rank -= atomic_load(&s->counts[bin]);
    s->prefix = s->prefix << bits | bin;
    return rank;
}

/* The smallest integer that is at least percent / 100 * count: a rounded quotient, put right by the sign of
 * an exact difference. */
static uint64_t rank_of(double percent, uint64_t total)
{
    const double n = (double)total;
    double rank = ceil(percent * n / 100);
    while (fma(percent, n, -100 * rank) > 0)
        rank++;
    while (rank > 1 && fma(percent, n, -100 * (rank - 1)) <= 0)
        rank--;
    return (uint64_t)rank;
}

static uint64_t total_of(struct selection *s)
{
    uint64_t total = 0;
    for (size_t bin = 0; bin < BINS; bin++)
        total += atomic_load(&s->counts[bin]);
    return total;
}

enum mxq_status mxq_percentile(const struct mxq_matrix *x, double percent, float *magnitude,
                               const struct mxq_parallel *parallel, struct mxq_error *error)
{
    struct mxq_span span;
    const enum mxq_status status = mxq_matrix_span(&span, x, error);
    if (status)
        return status;
    if (!magnitude)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "magnitude must not be null");
    if (!(percent > 0 && percent <= 100))
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "percent must be above 0 and at most 100");
    if (parallel && !parallel->run)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "parallel->run must not be null");
    if (!x->rows || !x->cols)
        return mxq_fail(error, MXQ_ERR_SHAPE, "x must hold at least one value");
    struct selection s = {.x = x, .shift = 31};
    s.task_cols = TASK_VALUES;
    s.task_rows = x->cols < TASK_VALUES ? TASK_VALUES / x->cols : 1;
    s.tasks_across = (x->cols - 1) / s.task_cols + 1;
    count(&s, 11, parallel);
    const uint64_t total = total_of(&s);
    if (!total)
        return mxq_fail(error, MXQ_ERR_NONFINITE, "x must hold at least one finite value");
    const uint64_t fpenv = mxq_fpenv_enter();
    uint64_t rank = rank_of(percent, total);
    mxq_fpenv_leave(fpenv);
    rank = choose(&s, 11, rank);
    while (s.shift > (x->type == MXQ_F32 ? 0 : 10)) {
        count(&s, 10, parallel);
        rank = choose(&s, 10, rank);
    }
    const uint32_t bits = s.prefix << s.shift;
    memcpy(magnitude, &bits, sizeof bits);
    return MXQ_OK;
}
