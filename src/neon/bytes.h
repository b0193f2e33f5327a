/* SPDX-License-Identifier: Apache-2.0 */
/* bytes.h -- small integers for units that multiply signed bytes: x without the 128 that it has added, so that
 * dots need no corrections. */
#ifndef MXQ_NEON_BYTES_H
#define MXQ_NEON_BYTES_H

#include "neon/vec.h"

#include "kernels.h"

#define QUADS      (MXQ_BLOCK / 4)
#define QUAD_BYTES (4 * MXQ_PANEL)

#define X_BYTES ((size_t)MXQ_INT8_X_BYTES)
#define W_BYTES MXQ_INT8_W_BYTES
#define take_x  make_signed

MXQ_INLINE void make_signed(unsigned char *to, const unsigned char *x)
{
    for (size_t k = 0; k < MXQ_BLOCK; k += 16)
        vst1q_u8(to + k, veorq_u8(vld1q_u8(x + k), vdupq_n_u8(0x80)));
    memcpy(to + MXQ_BLOCK, x + MXQ_BLOCK, sizeof(float));
}

MXQ_INLINE vec correction(const unsigned char *w, size_t vector)
{
    (void)w;
    (void)vector;
    return vec_set1(0);
}

/* Four k of a row of x, for each of four outputs. */
MXQ_INLINE int8x16_t broadcast_quad(const unsigned char *x)
{
    return vreinterpretq_s8_u32(vld1q_dup_u32((const uint32_t *)(const void *)x));
}

MXQ_INLINE int8x16_t load_weights(const unsigned char *w, size_t quad, size_t vector)
{
    return vreinterpretq_s8_u8(vld1q_u8(w + quad * QUAD_BYTES + vector * sizeof(vec)));
}

#endif
