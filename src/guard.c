/* SPDX-License-Identifier: Apache-2.0 */
/* guard.c -- the range guard: exponents that all values of an operand are multiples of, and below, and what
 * follows from them for products and sums. */
#include "guard.h"

#include <limits.h>

#include "fpenv.h"

/* Exponents e: every magnitude is a multiple of 2^low, and below 2^high. */
struct exponents {
    int low, high;
};

#define NORMAL_LOW (-126)
#define F32_LOW    (-149) /* a sum of multiples of this is exact however small it is */
#define F32_HIGH   128

/* Of F32 bits, of values with so many mantissa bits. */
static struct exponents exponents_of(uint32_t low, uint32_t high, int mantissa_bits)
{
    const int field = (int)(low >> 23);
    return (struct exponents){field > 0 ? field - 127 - mantissa_bits : F32_LOW,
                              high < 0x7F800000 ? (int)(high >> 23) - 126 : INT_MAX / 2};
}

/* Of what panels hold, without E8M0 scales. */
static struct exponents exponents_of_elements(enum mxq_packed_element packed)
{
    const struct mxq_element_info *e = &mxq_elements[mxq_packed_elements[packed].element];
    if (e->kind == MXQ_INTEGER) /* -128 too */
        return (struct exponents){e->emax - e->mantissa_bits, e->emax + 2};
    struct exponents bare = {1 - e->bias - e->mantissa_bits, e->emax + 1};
    if (packed == MXQ_PACKED_NVFP4) {
        const struct exponents scales = exponents_of_elements(MXQ_PACKED_E4M3);
        bare.low += scales.low;
        bare.high += scales.high;
    }
    return bare;
}

static struct exponents exponents_of_w(const struct mxq_packed *w)
{
    const struct exponents bare = exponents_of_elements(w->layout.element);
    return (struct exponents){bare.low + w->scale_low - 127, bare.high + w->scale_high - 127};
}

static struct exponents exponents_of_x(struct mxq_x *x)
{
    const uint32_t low = atomic_load(&x->low), high = atomic_load(&x->high);
    if (x->compute == MXQ_COMPUTE_INT8)
        return exponents_of(low, high, 0);
    if (x->is_rounded) /* the range was taken before the rounding */
        return exponents_of(low, high + 0x8000, 7);
    return exponents_of(low, high, mxq_x_is_bf16(x) ? 7 : x->wide->type == MXQ_F16 ? 10 : 23);
}

/* Whether a dot of 32 products stays within bounds. */
static int dot_within(struct exponents x, struct exponents w, int low)
{
    return x.low + w.low >= low && x.high + w.high + 5 < F32_HIGH;
}

int mxq_w_is_ordinary(const struct mxq_packed *w)
{
    return w->is_finite && w->scale_low >= MXQ_SCALE_ORDINARY_LOW &&
           w->scale_high <= MXQ_SCALE_ORDINARY_HIGH;
}

/* Whether x, times w with these exponents, suits the BF16 unit. */
static int suits_bf16(struct mxq_x *x, struct exponents w)
{
    /* A subnormal may be a quantized one that BF16 does not have. */
    return atomic_load(&x->low) >> 23 > 0 &&
           (!x->kernels->tile[MXQ_BF16].flushes || dot_within(exponents_of_x(x), w, NORMAL_LOW));
}

/* Of what fused kernels may multiply: elements of NVFP4 times the mantissas of their scales, whose sums take part
 * with the powers of two of some scales over those of others. */
static struct exponents exponents_in_fused(enum mxq_packed_element packed)
{
    struct exponents bare = exponents_of_elements(packed);
    if (packed == MXQ_PACKED_NVFP4) {
        const int quotient = 8 + 9; /* E4M3 has 2^-9 to 2^8 */
        bare = exponents_of_elements(MXQ_PACKED_E2M1);
        bare.low -= 3 + quotient;
        bare.high += 1 + quotient;
    }
    return bare;
}

/* Fused kernels take the dots of bare elements in the unit's own way, and scale them in F32. */
int mxq_allows_fused(struct mxq_x *x, const struct mxq_packed *w)
{
    const struct exponents values = exponents_of_x(x);
    if (!mxq_w_is_ordinary(w) || !dot_within(values, exponents_of_w(w), F32_LOW))
        return 0;
    const struct exponents bare = exponents_in_fused(w->layout.element);
    return x->compute == MXQ_F32 ? values.low >= MXQ_FUSED_X_LOW && values.high <= MXQ_FUSED_X_HIGH
                                 : suits_bf16(x, bare) && dot_within(values, bare, F32_LOW);
}

int mxq_allows_bf16(struct mxq_x *x, const struct mxq_packed *w)
{
    return mxq_w_is_ordinary(w) && suits_bf16(x, exponents_of_w(w));
}

int mxq_allows_int8(struct mxq_x *x, const struct mxq_packed *w)
{
    return mxq_w_is_ordinary(w) && dot_within(exponents_of_x(x), exponents_of_w(w), F32_LOW);
}

int mxq_allows_accumulation(const struct mxq_kernels *kernels, const struct mxq_matrix *y)
{
    enum { CHUNK = 256 };
    struct mxq_range range = MXQ_RANGE_EMPTY;
    if (kernels->tile[MXQ_BF16].flushes < 2)
        return 1;
    const uint64_t fpenv = mxq_fpenv_enter();
    for (size_t r = 0; r < y->rows; r++)
        for (size_t first = 0; first < y->cols; first += CHUNK) {
            float values[CHUNK];
            const size_t left = y->cols - first < CHUNK ? y->cols - first : CHUNK;
            mxq_load_wide(kernels, values, y, r, first, (left + MXQ_BLOCK - 1) / MXQ_BLOCK, &range);
        }
    mxq_fpenv_leave(fpenv);
    return exponents_of(range.low, range.high, 23).low >= NORMAL_LOW && range.high < 0x7F800000;
}
