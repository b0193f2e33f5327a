/* SPDX-License-Identifier: Apache-2.0 */
/* quantize.c -- mxq_quantize(): checks, the partial last block, the search for non-finite values. */
#include <stdatomic.h>
#include <string.h>

#include "matrix.h"

/* ---------------------------------------- Quantization ---------------------------------------- */

struct quantize {
    mxq_quantize_fn *kernel;
    struct mxq_scale_rule rule;
    size_t type_bytes;
};

/* A partial block is quantized as a whole one whose missing elements are +0. */
static void quantize_tail(const struct quantize *c, const struct mxq_run *run)
{
    unsigned char x[MXQ_BLOCK * 4] = {0};
    uint8_t elements[MXQ_BLOCK];
    memcpy(x, run->wide + run->blocks * MXQ_BLOCK * c->type_bytes, run->tail * c->type_bytes);
    c->kernel(elements, run->scales + run->blocks, x, 1, &c->rule);
    memcpy(run->elements + run->blocks * MXQ_BLOCK, elements, run->tail);
}

static void quantize_run(void *context, const struct mxq_run *run)
{
    const struct quantize *c = context;
    c->kernel(run->elements, run->scales, run->wide, run->blocks, &c->rule);
    if (run->tail)
        quantize_tail(c, run);
}

/* ------------------------------- The first NaN or infinity, if any ----------------------------- */

struct search {
    mxq_amax_fn *kernel;
    size_t type_bytes;
    const struct mxq_matrix *x;
    _Atomic uint64_t first; /* row-major index of the first one so far; UINT64_MAX: none */
};

#define NONFINITE UINT32_C(0x7F800000) /* F32 bits of infinity: NaNs are above, the rest below */

/* Keeps the smallest index that any thread has found. */
static void report(struct search *s, uint64_t index)
{
    uint64_t seen = atomic_load_explicit(&s->first, memory_order_relaxed);
    while (index < seen && !atomic_compare_exchange_weak(&s->first, &seen, index))
        ;
}

/* Finds the first non-finite value of a block: a block with that value alone has a large amax. */
static void search_block(struct search *s, const unsigned char *wide, size_t values, uint64_t index)
{
    for (size_t i = 0; i < values; i++) {
        unsigned char x[MXQ_BLOCK * 4] = {0};
        uint32_t amax;
        memcpy(x, wide + i * s->type_bytes, s->type_bytes);
        s->kernel(&amax, x, 1);
        if (amax >= NONFINITE) {
            report(s, index + i);
            return;
        }
    }
}

static void search_run(void *context, const struct mxq_run *run)
{
    struct search *s = context;
    uint32_t amax[64];
    const uint64_t index = (uint64_t)run->row * s->x->cols + run->block * MXQ_BLOCK;
    for (size_t done = 0; done < run->blocks; done += 64) {
        const size_t blocks = run->blocks - done < 64 ? run->blocks - done : 64;
        s->kernel(amax, run->wide + done * MXQ_BLOCK * s->type_bytes, blocks);
        for (size_t b = 0; b < blocks; b++)
            if (amax[b] >= NONFINITE) {
                const size_t value = (done + b) * MXQ_BLOCK;
                search_block(s, run->wide + value * s->type_bytes, MXQ_BLOCK, index + value);
                return;
            }
    }
    const size_t value = run->blocks * MXQ_BLOCK;
    search_block(s, run->wide + value * s->type_bytes, run->tail, index + value);
}

enum mxq_status mxq_check_finite(const struct mxq_kernels *row, const struct mxq_matrix *x,
                                 const struct mxq_parallel *parallel, struct mxq_error *error)
{
    struct search s = {row->amax[x->type], mxq_type_bytes(x->type), x, UINT64_MAX};
    mxq_for_each_run(NULL, x, parallel, search_run, &s);
    const uint64_t first = atomic_load(&s.first);
    if (first == UINT64_MAX)
        return MXQ_OK;
    const enum mxq_status status =
        mxq_fail(error, MXQ_ERR_NONFINITE, "the value at row, col is a NaN or an infinity");
    if (error) {
        error->row = first / x->cols;
        error->col = first % x->cols;
    }
    return status;
}

/* ------------------------------------------ Public -------------------------------------------- */

enum mxq_status mxq_check_quantize_options(const struct mxq_quantize_options *o,
                                           struct mxq_error *error)
{
    if (o->struct_bytes != sizeof *o)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "options.struct_bytes must be their sizeof");
    if ((unsigned)o->scale_mode >= MXQ_SCALE_MODES)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "options.scale_mode is unknown");
    if ((unsigned)o->nonfinite > MXQ_NONFINITE_ERROR)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "options.nonfinite is unknown");
    if (o->parallel && !o->parallel->run)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "options.parallel->run must not be null");
    return MXQ_OK;
}

enum mxq_status mxq_quantize(const struct mxq_quantized *q, const struct mxq_matrix *x,
                             const struct mxq_quantize_options *options, struct mxq_error *error)
{
    static const struct mxq_quantize_options defaults = MXQ_QUANTIZE_OPTIONS;
    const struct mxq_quantize_options *o = options ? options : &defaults;
    enum mxq_status status = mxq_check_quantize_options(o, error);
    if (!status)
        status = mxq_check_operands(q, x, MXQ_OUTPUT_QUANTIZED, error);
    if (status)
        return status;
    const struct mxq_kernels *row = mxq_active_kernels();
    if (o->nonfinite == MXQ_NONFINITE_ERROR) {
        status = mxq_check_finite(row, x, o->parallel, error);
        if (status)
            return status;
    }
    struct quantize c = {row->quantize[q->format.element][x->type],
                         mxq_scale_rule(q->format.element, o->scale_mode), mxq_type_bytes(x->type)};
    mxq_for_each_run(q, x, o->parallel, quantize_run, &c);
    return MXQ_OK;
}
