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

/* Sub-block `first` .. first + 31; what is beyond k counts as zeros, in both operands. */
static float dot(const float *x, const float *w, size_t first, size_t k)
{
    float even = 0, odd = 0;
    for (size_t j = 0; j < 16; j++) {
        const size_t i = first + 2 * j;
        even = fmaf(i < k ? x[i] : 0, i < k ? w[i] : 0, even);
        odd = fmaf(i + 1 < k ? x[i + 1] : 0, i + 1 < k ? w[i + 1] : 0, odd);
    }
    return even + odd;
}

uint32_t oracle_output(const struct oracle_product *p, size_t row, size_t col, enum mxq_type type)
{
    float y = p->sums ? p->sums[row * p->n + col] : 0;
    for (size_t first = 0; first < p->k; first += 32)
        y += dot(p->x + row * p->k, p->w + col * p->k, first, p->k);
    if (p->bias)
        y += p->bias[col];
    return oracle_nearest(type, (double)y);
}
