/* SPDX-License-Identifier: Apache-2.0 */
/* oracle_gemm.c -- the order of additions of a matrix product a second time. */
#include "oracle_gemm.h"

#include <math.h>
#include <string.h>

float oracle_float(enum mxq_type type, uint32_t bits)
{
    const uint32_t wide = oracle_nearest(MXQ_F32, oracle_value(type, bits));
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

/* The sub-block first .. end - 1, in which the number of values is even or the last one missing: it counts as
 * zeros, in both operands. */
static float dot(const float *x, const float *w, size_t first, size_t end)
{
    float even = 0, odd = 0;
    for (size_t i = first; i < end; i += 2) {
        even = fmaf(x[i], w[i], even);
        odd = fmaf(i + 1 < end ? x[i + 1] : 0, i + 1 < end ? w[i + 1] : 0, odd);
    }
    return even + odd;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static float scale_at(const struct oracle_scales *s, size_t row, size_t k, size_t i)
{
    return s->length ? s->values[row * ((k + s->length - 1) / s->length) + i / s->length] : 1;
}

uint32_t oracle_output(const struct oracle_product *p, size_t row, size_t col, enum mxq_type type)
{
    const float *x = p->x + row * p->k, *w = p->w + col * p->k;
    const size_t of_x = p->x_scales.length, of_w = p->w_scales.length;
    const int is_grouped = of_x || of_w;
    const size_t group = smaller(of_x ? of_x : SIZE_MAX, of_w ? of_w : SIZE_MAX);
    float y = p->sums ? p->sums[row * p->n + col] : 0;
    for (size_t begin = 0; begin < p->k;) {
        const size_t end = is_grouped ? smaller(p->k, begin + group) : p->k;
        float sum = is_grouped ? 0 : y;
        for (size_t first = begin; first < end; first += p->run)
            sum += dot(x, w, first, smaller(end, first + p->run));
        y = is_grouped ? fmaf(sum,
                              scale_at(&p->x_scales, row, p->k, begin) *
                                  scale_at(&p->w_scales, col, p->k, begin),
                              y)
                       : sum;
        begin = end;
    }
    if (p->bias)
        y += p->bias[col];
    return oracle_nearest(type, (double)y);
}
