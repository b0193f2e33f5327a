/* SPDX-License-Identifier: Apache-2.0 */
/* kernels.h -- the kernel matrix: contracts of the kernel families, a row, and the rows.
 *
 * A kernel sees whole blocks of 32 values, one after the other; partial blocks and strides are
 * handled above it.  Pointers need no alignment: the wide side is `void` because a `float *` that
 * is not aligned would already be undefined.  A kernel runs in the default floating-point
 * environment (nearest even, no flushing); the public entry points see to that. */
#ifndef MXQ_KERNELS_H
#define MXQ_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "format.h"
#include "mxq/mxq.h"

/* amax[b] = the largest of the 32 magnitudes of block b, as F32 bits: 0x7F800000 when it is an
 * infinity, and 0x7FC00000 when any of the 32 is a NaN.  Narrower types widen first. */
typedef void mxq_amax_fn(uint32_t *amax, const void *x, size_t blocks);

/* scale[b] = 255 if amax[b] >= 0x7F800000, else clamp(E - emax + d, 0, 254) with E = amax[b] >> 23,
 * M = amax[b] & 0x7FFFFF, and d = 1 when M >= rule->threshold and amax[b] != rule->exception. */
typedef void mxq_scale_fn(uint8_t *scale, const uint32_t *amax, size_t blocks,
                          const struct mxq_scale_rule *rule);

/* elements[32 b + i] = the element code nearest to x[32 b + i] * 2^(127 - scale[b]), exact before
 * the one rounding, ties to even, saturating (infinities too); the sign of zero is kept.  A NaN, and
 * every element of a block with scale 255, gives 0x7F. */
typedef void mxq_pack_fn(uint8_t *elements, const void *x, const uint8_t *scale, size_t blocks);

/* y[32 b + i] = decode(elements[32 b + i]) * 2^(scale[b] - 127), exact in F32, then rounded once to
 * nearest even for BF16 and F16.  NaN elements and scale 255 give the canonical NaN. */
typedef void mxq_unpack_fn(void *y, const uint8_t *elements, const uint8_t *scale, size_t blocks);

/* amax, scale and pack in one pass over memory: the same bytes as the three kernels in a row. */
typedef void mxq_quantize_fn(uint8_t *elements, uint8_t *scale, const void *x, size_t blocks,
                             const struct mxq_scale_rule *rule);

/* One row of the matrix: every kernel for one instruction set.  No slot is ever NULL; a row without
 * a kernel of its own names the one it inherits, and why, in its table.c. */
struct mxq_kernels {
    const char *isa;   /* the name in MXQ_ISA, in reports and in file names */
    uint32_t requires; /* all of these MXQ_CPU_* bits, or the row is not available */
    mxq_amax_fn *amax[MXQ_TYPES];
    mxq_scale_fn *scale[1];
    mxq_pack_fn *pack[MXQ_ELEMENTS][MXQ_TYPES];
    mxq_unpack_fn *unpack[MXQ_ELEMENTS][MXQ_TYPES];
    mxq_quantize_fn *quantize[MXQ_ELEMENTS][MXQ_TYPES];
};

/* clang-format off */
#define MXQ_KERNEL(name, family, index)                                                            \
    mxq_##family##_fn mxq_##name##_scalar, mxq_##name##_avx2, mxq_##name##_avx512, mxq_##name##_neon;
/* clang-format on */
#include "kernels.def"
#undef MXQ_KERNEL

extern const struct mxq_kernels mxq_kernels_scalar;
extern const struct mxq_kernels mxq_kernels_avx2;
extern const struct mxq_kernels mxq_kernels_avx512;
extern const struct mxq_kernels mxq_kernels_neon;

/* The rows of this build, best first, scalar last; NULL ends the list. */
extern const struct mxq_kernels *const mxq_rows[];

/* One kernel of the list: its name and where its slot is in a row. */
struct mxq_kernel {
    const char *name;
    size_t slot; /* offset in struct mxq_kernels */
};

/* Every kernel, in the order of kernels.def; a NULL name ends the list. */
extern const struct mxq_kernel mxq_kernel_list[];

/* Returns the active row: resolved on first use, never NULL. */
const struct mxq_kernels *mxq_active_kernels(void);

#endif
