/* SPDX-License-Identifier: Apache-2.0 */
/* measure.c -- what quantizing did to the values, the reference. */
#include <math.h>

#include "scalar/wide.h"

MXQ_INLINE void measure(struct mxq_sums *sums, const void *x, const float *y, const float *limit,
                        size_t blocks, enum mxq_type type)
{
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++) {
        const uint32_t bits = load_f32_bits(x, i, type);
        float a;
        memcpy(&a, &bits, sizeof a);
        const float b = y[i], error = a - b;
        if (!isfinite(a) || !isfinite(b))
            continue;
        sums->xx[i % 8] += (double)a * (double)a;
        sums->yy[i % 8] += (double)b * (double)b;
        sums->ee[i % 8] += (double)error * (double)error;
        sums->max_error = fmaxf(sums->max_error, fabsf(error));
        sums->amax = fmaxf(sums->amax, fabsf(a));
        sums->values++;
        sums->saturated += fabsf(b) >= limit[i / 8] && fabsf(a) > fabsf(b);
        sums->flushed += b == 0 && a != 0;
    }
}

#define MEASURE_KERNEL(name, type)                                                                 \
    void mxq_measure_##name##_scalar(struct mxq_sums *sums, const void *x, const float *y,         \
                                     const float *limit, size_t blocks, size_t ahead)              \
    {                                                                                              \
        (void)ahead;                                                                               \
        measure(sums, x, y, limit, blocks, type);                                                  \
    }

MEASURE_KERNEL(f32, MXQ_F32)
MEASURE_KERNEL(bf16, MXQ_BF16)
MEASURE_KERNEL(f16, MXQ_F16)
