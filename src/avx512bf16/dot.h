/* SPDX-License-Identifier: Apache-2.0 */
/* dot.h -- VDPBF16PS, AVX512-BF16 column.
 *
 * It adds the product of the upper halves, then that of the lower ones, as two FMAs.  So a lane that holds k and
 * k + 2, in this order from above, takes two steps of a chain: tile.k_order. */
#ifndef MXQ_AVX512BF16_DOT_H
#define MXQ_AVX512BF16_DOT_H

#include <string.h>

#include "avx512/vec.h"

#define X_BLOCK (2 * MXQ_BLOCK) /* bytes of a sub-block of x */

/* The same two FMAs, flushing as the instruction does. */
#if defined(MXQ_EMULATED)
#include <math.h>

static float flush(float f)
{
    return fabsf(f) < 0x1p-126F ? copysignf(0, f) : f;
}

static float half(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return flush(f);
}

static vec_ps dot_pairs(vec_ps sum, vec x, vec w)
{
    float s[16];
    uint32_t a[16], b[16];
    vec_store_ps(s, sum);
    vec_store(a, x);
    vec_store(b, w);
    for (int i = 0; i < 16; i++) {
        s[i] = flush(fmaf(half(a[i] & 0xFFFF0000), half(b[i] & 0xFFFF0000), flush(s[i])));
        s[i] = flush(fmaf(half(a[i] << 16), half(b[i] << 16), s[i]));
    }
    return vec_load_ps(s);
}
#else
MXQ_INLINE vec_ps dot_pairs(vec_ps sum, vec x, vec w)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)w);
}
#endif

MXQ_INLINE vec broadcast_pair(const unsigned char *p)
{
    int pair;
    memcpy(&pair, p, sizeof pair);
    return _mm512_set1_epi32(pair);
}

#endif
