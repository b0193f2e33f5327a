/* SPDX-License-Identifier: Apache-2.0 */
/* linear.c -- linear layers: this is where the program meets libmxq. */
#include "linear.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"

#define BLOCK 32 /* values that share a scale */

/* These calls cannot fail on arguments that are checked already; if one does, it says what. */
static void require(enum mxq_status status, const char *call, const struct mxq_error *error)
{
    if (status)
        fail(EXIT_INPUT, "%s: %s: %s", call, mxq_status_string(status), error->what);
}

static struct mxq_format mxfp8(enum mxq_element element)
{
    return element == MXQ_E4M3 ? mxq_mxfp8_e4m3 : mxq_mxfp8_e5m2;
}

/* ------------------------------------------- Loading ----------------------------------------- */

static void reserve_packed(struct linear *l, const struct mxq_format *format)
{
    struct mxq_error error = {.what = "the layer is too large"};
    require(mxq_packed_bytes(format, l->n, l->k, &l->packed_bytes), "mxq_packed_bytes", &error);
    l->packed = allocate(l->packed_bytes, 1);
}

/* Weights that `mxq convert` wrote. */
static void pack_quantized(struct linear *l, const struct tensor *elements,
                           const struct tensor *scales, const struct mxq_parallel *parallel)
{
    struct mxq_error error;
    const struct mxq_quantized w = {
        .format = mxfp8(elements->dtype == DTYPE_F8_E4M3 ? MXQ_E4M3 : MXQ_E5M2),
        .rows = l->n,
        .cols = l->k,
        .elements = (uint8_t *)(uintptr_t)elements->data, /* only read */
        .elements_stride = l->k,
        .scales = (uint8_t *)(uintptr_t)scales->data,
        .scales_stride = scales->shape[1]};
    reserve_packed(l, &w.format);
    require(mxq_pack_quantized(l->packed, l->packed_bytes, &w, parallel, &error),
            "mxq_pack_quantized", &error);
}

/* Weights of F32 or BF16. */
static void quantize_and_pack(struct linear *l, const struct tensor *t,
                              const struct mxq_parallel *parallel)
{
    struct mxq_error error;
    const struct mxq_format format = mxfp8(l->numbers.element);
    struct mxq_quantize_options options = MXQ_QUANTIZE_OPTIONS;
    options.scale_mode = l->numbers.scale_mode;
    options.nonfinite = MXQ_NONFINITE_ERROR;
    options.parallel = parallel;
    const struct mxq_matrix w = {.data = (void *)(uintptr_t)t->data, /* only read */
                                 .type = t->dtype == DTYPE_F32 ? MXQ_F32 : MXQ_BF16,
                                 .rows = l->n,
                                 .cols = l->k,
                                 .stride = l->k};
    reserve_packed(l, &format);
    const enum mxq_status status =
        mxq_pack_matrix(l->packed, l->packed_bytes, &format, &w, &options, &error);
    if (status == MXQ_ERR_NONFINITE)
        fail(EXIT_INPUT, "%s: a weight is no finite number: [%llu, %llu] (tensor \"%s\")", t->file,
             (unsigned long long)error.row, (unsigned long long)error.col, t->name);
    require(status, "mxq_pack_matrix", &error);
}

static void widen(struct linear *l, const struct tensor *t)
{
    l->panels = allocate(panels_of(l->n) * l->k, PANEL * sizeof *l->panels);
    for (size_t n = 0; n < l->n; n++) {
        float *to = l->panels + n / PANEL * l->k * PANEL + n % PANEL;
        for (size_t k = 0; k < l->k; k++) {
            const float value = tensor_value(t, n * l->k + k);
            to[k * PANEL] = l->numbers.weights == PRECISION_BF16 ? round_to_bf16(value) : value;
        }
    }
}

void linear_load(struct linear *l, const struct checkpoint *c, const char *name, size_t n, size_t k,
                 const struct numbers *numbers, const struct mxq_parallel *parallel)
{
    char weight[160], scale[160];
    snprintf(weight, sizeof weight, "%s.weight", name);
    snprintf(scale, sizeof scale, "%s.weight_scale", name);
    const struct tensor *t = checkpoint_tensor(c, weight, n, k);
    *l = (struct linear){.n = n, .k = k, .numbers = *numbers};
    const int is_wide = t->dtype == DTYPE_F32 || t->dtype == DTYPE_BF16;
    if (numbers->weights != PRECISION_MXFP8) {
        if (!is_wide)
            fail_dtype(t, "BF16 or F32");
        widen(l, t);
    } else if (t->dtype == DTYPE_F8_E4M3 || t->dtype == DTYPE_F8_E5M2) {
        const struct tensor *scales = checkpoint_tensor(c, scale, n, (k + BLOCK - 1) / BLOCK);
        if (scales->dtype != DTYPE_U8)
            fail_dtype(scales, "U8 (E8M0 scales)");
        pack_quantized(l, t, scales, parallel);
    } else if (!is_wide) {
        fail_dtype(t, "BF16, F32, F8_E4M3 or F8_E5M2");
    } else if (c->is_quantized) {
        widen(l, t); /* `mxq convert` was told to keep it */
    } else {
        quantize_and_pack(l, t, parallel);
    }
}

void linear_free(struct linear *l)
{
    free(l->packed);
    free(l->panels);
}

/* ------------------------------------------ Multiplying -------------------------------------- */

void workspace_reserve(struct workspace *w, size_t m, size_t n, size_t k)
{
    struct mxq_error error = {.what = "the layers are too large"};
    require(mxq_matmul_scratch_bytes(m, n, k, &w->scratch_bytes), "mxq_matmul_scratch_bytes",
            &error);
    w->scratch = allocate(w->scratch_bytes, 1);
    w->rounded = allocate(m * k, sizeof *w->rounded);
    w->elements = allocate(m * k, 1);
    w->scales = allocate(m * ((k + BLOCK - 1) / BLOCK), 1);
}

void workspace_free(struct workspace *w)
{
    free(w->scratch);
    free(w->rounded);
    free(w->elements);
    free(w->scales);
}

static struct mxq_matrix matrix_of(struct rows rows, size_t cols)
{
    return (struct mxq_matrix){rows.data, MXQ_F32, rows.count, cols, rows.stride};
}

static void multiply_packed(const struct linear *l, struct rows y, struct rows x, int accumulate,
                            const struct workspace *w)
{
    static const enum mxq_x_compute x_compute[] = {[PRECISION_F32] = MXQ_X_AS_IS,
                                                   [PRECISION_BF16] = MXQ_X_BF16,
                                                   [PRECISION_MXFP8] = MXQ_X_QUANTIZED};
    struct mxq_error error;
    const struct mxq_matrix to = matrix_of(y, l->n), from = matrix_of(x, l->k);
    struct mxq_matmul_options options = MXQ_MATMUL_OPTIONS;
    options.x_compute = x_compute[l->numbers.activations];
    options.x_format = mxfp8(l->numbers.element);
    options.x_scale_mode = l->numbers.scale_mode;
    options.accumulate = accumulate;
    options.scratch = w->scratch;
    options.scratch_bytes = w->scratch_bytes;
    options.parallel = w->parallel;
    require(mxq_matmul(&to, &from, l->packed, l->packed_bytes, &options, &error), "mxq_matmul",
            &error);
}

/* Rounds activations to BF16, or to MXFP8 and back. */
static struct rows round_activations(const struct linear *l, struct rows x,
                                     const struct workspace *w)
{
    const struct rows rounded = {w->rounded, x.count, l->k};
    if (l->numbers.activations == PRECISION_BF16) {
        for (size_t r = 0; r < x.count; r++)
            for (size_t k = 0; k < l->k; k++)
                w->rounded[r * l->k + k] = round_to_bf16(x.data[r * x.stride + k]);
        return rounded;
    }
    struct mxq_error error;
    const struct mxq_matrix from = matrix_of(x, l->k), to = matrix_of(rounded, l->k);
    const struct mxq_quantized q = {.format = mxfp8(l->numbers.element),
                                    .rows = x.count,
                                    .cols = l->k,
                                    .elements = w->elements,
                                    .elements_stride = l->k,
                                    .scales = w->scales,
                                    .scales_stride = (l->k + BLOCK - 1) / BLOCK};
    struct mxq_quantize_options options = MXQ_QUANTIZE_OPTIONS;
    options.scale_mode = l->numbers.scale_mode;
    options.parallel = w->parallel;
    require(mxq_quantize(&q, &from, &options, &error), "mxq_quantize", &error);
    require(mxq_dequantize(&to, &q, w->parallel, &error), "mxq_dequantize", &error);
    return rounded;
}

struct plain_product {
    const struct linear *l;
    struct rows y, x;
    int accumulate;
};

static void plain_task(void *context, size_t panel)
{
    const struct plain_product *p = context;
    const struct linear *l = p->l;
    const size_t first = panel * PANEL, left = l->n - first;
    const struct rows y = {p->y.data + first, p->y.count, p->y.stride};
    multiply_panel(y, left < PANEL ? left : PANEL, p->x, l->k, l->panels + first * l->k,
                   p->accumulate);
}

void linear_apply(const struct linear *l, struct rows y, struct rows x, int accumulate,
                  const struct workspace *w)
{
    if (l->packed) {
        multiply_packed(l, y, x, accumulate, w);
        return;
    }
    if (l->numbers.activations != PRECISION_F32)
        x = round_activations(l, x, w);
    struct plain_product product = {l, y, x, accumulate};
    w->parallel->run(w->parallel->pool, panels_of(l->n), plain_task, &product);
}
