/* SPDX-License-Identifier: Apache-2.0 */
/* mse.c -- the better of two E8M0 scales, the reference. */
#include <math.h>

#include "scalar/pack.h"
#include "scalar/unpack.h"

/* Returns the sum of squared errors of a block under a scale. */
MXQ_INLINE double squared_error(const float *x, uint8_t scale, enum mxq_element element)
{
    double sum = 0;
    for (size_t i = 0; i < MXQ_BLOCK; i++) {
        const uint8_t code =
            pack_value(load_f32_bits(x, i, MXQ_F32), scale, &mxq_elements[element]);
        /* Unscaled, for element times scale may be beyond F32; 2^(scale - 127) is exact in F64. */
        const uint32_t bits = unpack_value(code, 127, element);
        float value;
        memcpy(&value, &bits, sizeof value);
        const double error = (double)x[i] - ldexp((double)value, (int)scale - 127);
        sum += error * error;
    }
    return sum;
}

MXQ_INLINE int is_finite_block(const float *x)
{
    uint32_t amax;
    mxq_amax_f32_scalar(&amax, x, 1, 0);
    return amax < 0x7F800000;
}

MXQ_INLINE void mse_blocks(uint8_t *scale, const float *x, size_t blocks, enum mxq_element element)
{
    for (size_t b = 0; b < blocks; b++, x += MXQ_BLOCK)
        if (scale[b] < 254 && is_finite_block(x) &&
            squared_error(x, (uint8_t)(scale[b] + 1), element) <
                squared_error(x, scale[b], element))
            scale[b]++;
}

#define MXQ_ELEMENT(E, e, ...)                                                                     \
    void mxq_mse_##e##_f32_scalar(uint8_t *scale, const float *x, size_t blocks)                   \
    {                                                                                              \
        mse_blocks(scale, x, blocks, MXQ_##E);                                                     \
    }
#include "elements.def"
