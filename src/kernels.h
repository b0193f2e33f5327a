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

/* A kernel that works on a group in bursts leaves the memory idle in between, unless it asks ahead: far enough
 * for a page walk and a miss, near enough to stay in L1.  Measured on Zen 5 for data in DRAM, AVX-512 quantize,
 * ns for 64 values: F32 20 with 2 KiB, 14 with 4, 10 with 8 and 16, 8 with 32; BF16 6.2 with 2 KiB, 5 with 4,
 * 4.3 with 8 and 16, 4.5 with 32. */
MXQ_INLINE size_t mxq_ahead(enum mxq_type type)
{
    return type == MXQ_F32 ? 32768 : 16384;
}

/* amax[b] = the largest of the 32 magnitudes of block b, as F32 bits: 0x7F800000 when it is an
 * infinity, and 0x7FC00000 when any of the 32 is a NaN.  Narrower types widen first.  While x is read, what is
 * `ahead` bytes behind it is asked for, unless that is 0: it need not be there. */
typedef void mxq_amax_fn(uint32_t *amax, const void *x, size_t blocks, size_t ahead);

/* The same for each 8 values, amax[4 b + i] being that of values 8 i .. 8 i + 7 of block b, for each 16, and
 * for all, 0 if there are none. */
typedef mxq_amax_fn mxq_amax_8_fn, mxq_amax_16_fn, mxq_amax_all_fn;

/* scale[b] = 255 if amax[b] >= 0x7F800000, else clamp(E - emax + d, 0, 254) with E = amax[b] >> 23,
 * M = amax[b] & 0x7FFFFF, and d = 1 when M >= rule->threshold and amax[b] != rule->exception. */
typedef void mxq_scale_fn(uint8_t *scale, const uint32_t *amax, size_t blocks,
                          const struct mxq_scale_rule *rule);

/* A block's 32 element codes take 4 * bits bytes: code i is bits [i * bits, (i + 1) * bits) of them as one
 * little-endian number.
 *
 * element[32 b + i] = the element code nearest to x[32 b + i] * 2^(127 - scale[b]), exact before the one
 * rounding, ties to even, saturating (infinities too); the sign of zero is kept where the code has one.
 * A NaN, and every element of a block with scale 255, gives the element's nan_code. */
typedef void mxq_pack_fn(uint8_t *elements, const void *x, const uint8_t *scale, size_t blocks);

/* How mxq_encode_fn rounds.  `index` is that of x[0] in its tensor. */
struct mxq_encoding {
    enum mxq_rounding rounding;
    int special;       /* MXQ_OVERFLOW_SPECIAL */
    int unsigned_zero; /* what rounds to -0 becomes +0 */
    uint64_t seed;
    uint64_t index;
    size_t ahead; /* as for mxq_amax_fn */
};

/* pack with any rounding: element[32 b + i] = the element code of v = x[32 b + i] * 2^(127 - scale[b]), exact
 * before the one rounding, that `how` says, saturating or, if it says so, with code max_code + 1 for what
 * rounds to something beyond the largest element (infinities too).  A NaN, and every element of a block with
 * scale 255, gives nan_code.
 *
 * Stochastic: with |v| = n + f in units of the grid, 0 <= f < 1, the magnitude is n + 1 exactly when
 * floor(f * 2^32) + r >= 2^32, r being word j % 4 of Philox4x32-10 with the key (seed's lower half, its
 * upper half) and the counter (lower half of j / 4, its upper half, 0, 0), j = index + 32 b + i. */
typedef void mxq_encode_fn(uint8_t *elements, const void *x, const uint8_t *scale, size_t blocks,
                           const struct mxq_encoding *how);

/* y[32 b + i] = decode(element[32 b + i]) * 2^(scale[b] - 127), exact in F32, then rounded once to
 * nearest even for BF16 and F16.  NaN elements and scale 255 give the canonical NaN. */
typedef void mxq_unpack_fn(void *y, const uint8_t *elements, const uint8_t *scale, size_t blocks);

/* amax, scale, where the rule says by_error mse, and pack in one pass over memory: the same bytes as these
 * kernels in a row.  `ahead` as for mxq_amax_fn. */
typedef void mxq_quantize_fn(uint8_t *elements, uint8_t *scale, const void *x, size_t blocks,
                             const struct mxq_scale_rule *rule, size_t ahead);

/* Rows, `stride_bytes` apart, of `row_lines` lines of 64 bytes, that will be read soon: they need not be
 * there.  `lines` of them are asked for with every 16 columns that are worked on; of lines and row_lines, both
 * multiples of 4, one divides the other. */
struct mxq_ahead {
    const void *first;
    size_t stride_bytes, row_lines, lines;
};

/* The same down the columns of 32 rows of x, `x_stride` values apart, for 16 * groups columns: column c
 * is one block, whose codes go to elements + c * elements_stride and whose scale to
 * scale[c * scale_stride]; both strides in bytes.  `ahead` may be NULL. */
typedef void mxq_columns_fn(uint8_t *elements, size_t elements_stride, uint8_t *scale,
                            size_t scale_stride, const void *x, size_t x_stride, size_t groups,
                            const struct mxq_scale_rule *rule, const struct mxq_ahead *ahead);

/* Adds 1 to scale[b], which is below 254, if the sum of (x - decode(pack(x)))^2 over the block, in F64 and
 * index order, is smaller with scale[b] + 1; a tie keeps scale[b].  Differences are those of the exact
 * values rounded to F64, and squares are rounded to F64.  A block whose scale is 254 or 255, or that holds a
 * value that is not finite, is left alone. */
typedef void mxq_mse_fn(uint8_t *scale, const float *x, size_t blocks);

/* ---- Scales that are no powers of two ---- */

/* How amax becomes a scale and what goes with it. */
struct mxq_quotient_rule {
    enum mxq_scale scale; /* any but E8M0 */
    float max;            /* of the elements */
    float tensor;         /* the scale of the tensor, for E4M3 scales */
    int is_power;         /* the next power of two that is no smaller; not for E4M3 scales */
    int reciprocal;       /* by[b] is to be multiplied by; not for E4M3 scales */
    int is_positive;      /* E4M3 scales of at least 2^-9 */
};

/* The scale of each block, as its type holds it, and what values are divided by, by[b].
 *
 * F32, BF16 and F16: amax[b] / max, a power of two if asked for, NaN where amax[b] >= 0x7F800000; where amax[b]
 * is 0 it is 1, or, with `reciprocal`, 0.  It is rounded to the type, an F16 beyond 65504 being that.  by[b] is
 * the stored value, infinite for 0; with `reciprocal` it is 1 divided by the scale before that last
 * rounding, at most FLT_MAX, and 0 for 0.
 *
 * E4M3: amax[b] / 6 / tensor, or, with is_positive, amax[b] / (6 tensor), at least 2^-9, and 1 for 0; NaN
 * where amax[b] >= 0x7F800000 or the tensor's scale is NaN, 0 where amax[b] is 0 and not is_positive; rounded as
 * mxq_pack_fn does.  by[b] is the stored value times `tensor`, infinite for 0.
 *
 * All three have room up to the next multiple of MXQ_QUOTIENTS; what is written there is undefined. */
#define MXQ_QUOTIENTS 64
typedef void mxq_quotient_fn(void *scales, float *by, const uint32_t *amax, size_t blocks,
                             const struct mxq_quotient_rule *rule);

/* What values are divided or multiplied by: value i by value[i >> shift], shift >= 3.  Where it divides by a
 * factor whose F32 bits are in low .. high, x is finite and the quotient rounds to no more than the largest
 * element, which spares a clamp; high is 0 where nothing is known. */
struct mxq_factors {
    const float *value;
    unsigned shift;
    int divides;
    uint32_t low, high;
};

/* element[i] = the code of x[i] divided or multiplied by its factor and rounded to F32, as
 * mxq_pack_fn packs with scale 127.  `ahead` as for mxq_amax_fn. */
typedef void mxq_pack_by_fn(uint8_t *elements, const void *x, const struct mxq_factors *by,
                            size_t blocks, size_t ahead);

/* y[i] = (decode(element[i]) * its factor) * tensor, both products rounded to F32, NaNs made
 * canonical, then rounded once to nearest even for BF16 and F16. */
typedef void mxq_unpack_by_fn(void *y, const uint8_t *elements, const struct mxq_factors *by,
                              float tensor, size_t blocks);

/* v[i] = x[i] divided or multiplied by its factor, rounded once to F32. */
typedef void mxq_scale_by_fn(float *v, const void *x, const struct mxq_factors *by, size_t blocks);

/* What mxq_measure_fn adds to.  Lane i % 8 of value i of a block. */
struct mxq_sums {
    double xx[8], yy[8], ee[8];
    float max_error, amax;
    uint64_t values, saturated, flushed;
};

/* Adds up, over 32 * blocks values: for value i in ascending order, with e = F32(x - y),
 *
 *     xx[i % 8] += x * x,  yy[i % 8] += y * y,  ee[i % 8] += e * e      in F64
 *
 * the largest |e| and |x|; values counts them, saturated those with |y| >= limit[4 b + i / 8] and |x| > |y|,
 * flushed those with y = 0 and x not.  A value is left out of all that when x or y is not finite.  No limit has
 * a sign.  `ahead` as for mxq_amax_fn. */
typedef void mxq_measure_fn(struct mxq_sums *sums, const void *x, const float *y,
                            const float *limit, size_t blocks, size_t ahead);

/* ---- The GEMM: y += x * w^T in the order of docs/numerics.md, "The order of additions" ----
 *
 * A sub-block is 32 values of k; a panel is 16 outputs n.  Weights come packed (packed.h): for each
 * sub-block of a panel 512 codes and their scales, as enum mxq_packed_element says.  Both operands are
 * brought into a compute type first: F32 (any unit), BF16 (units that multiply it) or, where both are
 * small integers times factors, INT8 (units that multiply these):
 *
 *   compute   x, for each sub-block of a row     w, for each sub-block of a panel
 *   F32       32 F32                             [32 k][16 n] F32
 *   BF16      32 BF16                            [16 pairs of k][16 n][2] BF16
 *   INT8      32 bytes: integer + 128, not 0     [8 quads of k][16 n][4] int8
 *             1 F32 factor                       16 int32: -128 * sum of the int8 over k, for each n
 *                                                16 F32 factors
 *                                                or, as mxq_tile.w_bytes tells,
 *                                                [16 pairs of k][16 n][2] int16
 *                                                16 F32 factors
 *
 * These, and y, are aligned to their values, 4 bytes for INT8; what is packed, and the wide x, need not be.
 *
 * In BF16 each four k are in the row's k_order, in x and in w: the unit decides which two are a pair.  A
 * row without a BF16 unit has its F32 kernels in the BF16 slots too; mxq_tile.x_bytes tells. */

#define MXQ_PANEL          16  /* outputs n of a panel */
#define MXQ_PANEL_ELEMENTS 512 /* codes of a sub-block of a panel */

/* What panels hold, and how a sub-block of one lies in memory.
 *
 *   E4M3 E5M2 INT8   elements [16 pairs of k][16 n][2], a code a byte;      scales E8M0 [16 n]
 *   E2M1             elements [16 pairs of k][16 n], k even in the lower
 *                    four bits of a byte, k odd in the upper ones;          scales E8M0 [16 n]
 *   NVFP4            elements as E2M1;      scales E4M3 [2 halves of k][16 n]: magnitudes, no NaN */
enum mxq_packed_element {
    MXQ_PACKED_E4M3,
    MXQ_PACKED_E5M2,
    MXQ_PACKED_E2M1,
    MXQ_PACKED_NVFP4,
    MXQ_PACKED_INT8
};
#define MXQ_PACKED_ELEMENTS 5

struct mxq_packed_element_info {
    enum mxq_element element;
    uint16_t element_bytes; /* of a sub-block of a panel */
    uint8_t scale_bytes;
};

static const struct mxq_packed_element_info mxq_packed_elements[MXQ_PACKED_ELEMENTS] = {
    [MXQ_PACKED_E4M3] = {MXQ_E4M3, 512, 16}, [MXQ_PACKED_E5M2] = {MXQ_E5M2, 512, 16},
    [MXQ_PACKED_E2M1] = {MXQ_E2M1, 256, 16}, [MXQ_PACKED_NVFP4] = {MXQ_E2M1, 256, 32},
    [MXQ_PACKED_INT8] = {MXQ_INT8, 512, 16},
};

/* Compute types are MXQ_F32, MXQ_BF16 and this one, whose slots exist for packed E2M1 and INT8. */
#define MXQ_COMPUTE_INT8   2
#define MXQ_COMPUTES       3
#define MXQ_FLOAT_COMPUTES 2 /* the first ones */

/* Bytes of a sub-block of x, and of w, in INT8: of w as int8, or as int16. */
#define MXQ_INT8_X_BYTES  36
#define MXQ_INT8_W_BYTES  640
#define MXQ_INT16_W_BYTES 1088

/* A packed scale within these needs no care: scaled elements are normal F32 and BF16, and 2^(scale - 127)
 * times 2^120, what a decoder's exponents may lack, is one F32 factor.  Real weights have scales around
 * 115. */
#define MXQ_SCALE_ORDINARY_LOW  24
#define MXQ_SCALE_ORDINARY_HIGH 134

/* Bounds of the magnitudes of some values, as F32 bits.  Start with MXQ_RANGE_EMPTY. */
struct mxq_range {
    uint32_t low;  /* the smallest that is not zero */
    uint32_t high; /* the largest; at least 0x7F800000 when a value is not finite */
};
#define MXQ_RANGE_EMPTY                                                                            \
    {                                                                                              \
        0x7FFFFFFF, 0                                                                              \
    }

/* out[i] = x[i] widened to F32, for 32 * blocks values; *range is extended to hold them.  out and x may be
 * the same for F32. */
typedef void mxq_operand_fn(float *out, const void *x, size_t blocks, struct mxq_range *range);

/* Rounds 32 * blocks F32 values to BF16, to nearest even, NaNs to the canonical one, and writes them as
 * x of the compute type: round[MXQ_F32] as F32 values, round[MXQ_BF16] as the row's BF16 unit wants.
 * out and x may be the same for F32. */
typedef void mxq_round_fn(void *out, const float *x, size_t blocks);

/* Unpacks `blocks` sub-blocks of one panel: w = decode(element) * 2^(scale - 127), exact, or, for NVFP4,
 * times its E4M3 scale, exact too.  The elements must be finite and the E8M0 scales ordinary, but for the
 * scalar row's panel[][MXQ_F32], which takes any.
 *
 * In INT8, the integers are the codes of INT8, with factors 2^(scale - 127), or twice the values of E2M1,
 * with 2^(scale - 128). */
typedef void mxq_panel_fn(void *w, const uint8_t *elements, const uint8_t *scales, size_t blocks);

/* y[r * y_stride + 16 p + n] += x[r] . w[16 p + n] over `blocks` sub-blocks, in the canonical order, for
 * r < rows and p < panels <= mxq_tile.panels.  Row r of x begins at x + r * x_stride_bytes; panel p of w
 * at w + p * w_stride_bytes.
 *
 * In INT8 y = fma(d, x factor * w factor, y) for each sub-block, the product of the factors rounded to F32
 * and d the exact dot of the integers: below 2^24 it is the same in any order, and in F32.  Where factors are 1
 * and no sum is beyond 2^24, several dots may therefore be added up as integers. */
typedef void mxq_gemm_fn(float *y, size_t y_stride, const void *x, size_t x_stride_bytes,
                         const void *w, size_t w_stride_bytes, size_t rows, size_t panels,
                         size_t blocks);

/* The same from x of the compute type and packed weights, unpacked in registers, for any number of panels.
 * Panel p begins at elements + p * panel_bytes, its scales at scales + p * panel_bytes.  The dots are of
 * bare elements and the scale is applied to them: y = y + d * 2^(scale - 127).  That is the canonical
 * result where mxq_matmul()'s range guard allows it.  NVFP4's elements are multiplied by their scales first, or by
 * the scales' mantissas, and chains by quotients of their powers of two, which is the same there. */
#define MXQ_FUSED_X_LOW  (-120) /* F32 x must be a multiple of this power of two, */
#define MXQ_FUSED_X_HIGH 27     /* and below this one: kernels multiply it by up to 2^100 */
typedef void mxq_gemm_fused_fn(float *y, size_t y_stride, const void *x, size_t x_stride_bytes,
                               const uint8_t *elements, const uint8_t *scales, size_t panel_bytes,
                               size_t rows, size_t panels, size_t blocks);

/* y[r * y_stride + i] = fma(group[r * group_stride + i], x_scale of row r * w_scale of column i, the earlier y),
 * the product of the scales rounded to F32, for r < rows and i < 16 * panels; then group holds +0 there.  The
 * scale of row r is an F32 at x_scale + r * x_stride_bytes, aligned, those of panel p are 16 F32 at
 * w_scale + p * w_stride_bytes, which need not be. */
typedef void mxq_fold_fn(float *y, size_t y_stride, float *group, size_t group_stride,
                         const void *x_scale, size_t x_stride_bytes, const void *w_scale,
                         size_t w_stride_bytes, size_t rows, size_t panels);

/* y[i] = acc[i] + bias[i], rounded to F32, a NaN made canonical, then rounded to y's type, for
 * 16 * groups values.  bias may be NULL: then acc[i] itself. */
typedef void mxq_output_fn(void *y, const float *acc, const float *bias, size_t groups);

/* What mxq_matmul() needs to know of a row's panel and gemm kernels of one compute type. */
struct mxq_tile {
    uint16_t x_bytes; /* of a sub-block of a row of x: 128 F32, 64 BF16, 36 INT8; 0: no such unit */
    uint16_t w_bytes; /* of a sub-block of a panel: 2048, 1024, 640 or 1088 */
    uint8_t rows;     /* a multiple of so many keeps gemm at its best */
    uint8_t panels;   /* what one call of gemm may take, 1 .. MXQ_TILE_PANELS */
    uint8_t blocks;   /* sub-blocks to unpack at once, so that they stay in L1, */
    uint8_t few_blocks; /* and for few rows, of codes of a byte; of half a byte twice as many */
    uint8_t flushes;    /* 1: what is below 2^-126 counts as zero; 2: in y too */
    uint8_t k_order[4]; /* position i of four BF16 values holds k = k_order[i] */
    uint8_t fused_rows; /* up to so many rows gemm_fused is the faster one, */
    uint8_t fused;      /* of this compute type: the slots of MXQ_BF16 hold it; INT8 has none */
    uint16_t task_rows; /* rows of x for which a panel is unpacked once */
};
#define MXQ_TILE_PANELS 2
#define MXQ_TILE_BYTES  32768 /* panels * blocks * w_bytes is at most this */

/* A table names the column whose code its row runs, of all families or of some: column.h. */
#define MXQ_SLOT(name, family, index) .family index = MXQ_KERNEL_OF(name, COLUMN_##family),
#define MXQ_KERNEL_OF(name, column)   MXQ_KERNEL_OF_(name, column)
#define MXQ_KERNEL_OF_(name, column)  mxq_##name##_##column

/* One row of the matrix: every kernel for one instruction set.  No slot of kernels.def is NULL; a row without
 * a kernel of its own names the one it inherits, and why, in its table.c. */
struct mxq_kernels {
    const char *isa;   /* the name in MXQ_ISA, in reports and in file names */
    uint32_t requires; /* all of these MXQ_CPU_* bits, or the row is not available */
    mxq_amax_fn *amax[MXQ_TYPES];
    mxq_amax_8_fn *amax_8[MXQ_TYPES];
    mxq_amax_16_fn *amax_16[MXQ_TYPES];
    mxq_amax_all_fn *amax_all[MXQ_TYPES];
    mxq_scale_fn *scale[1];
    mxq_pack_fn *pack[MXQ_ELEMENTS][MXQ_TYPES];
    mxq_unpack_fn *unpack[MXQ_ELEMENTS][MXQ_TYPES];
    mxq_quantize_fn *quantize[MXQ_ELEMENTS][MXQ_TYPES];
    mxq_columns_fn *columns[MXQ_ELEMENTS][MXQ_TYPES];
    mxq_mse_fn *mse[MXQ_ELEMENTS];
    mxq_encode_fn *encode[MXQ_ELEMENTS][MXQ_TYPES];
    mxq_quotient_fn *quotient[1];
    mxq_pack_by_fn *pack_by[MXQ_ELEMENTS][MXQ_TYPES];
    mxq_unpack_by_fn *unpack_by[MXQ_ELEMENTS][MXQ_TYPES];
    mxq_scale_by_fn *scale_by[MXQ_TYPES];
    mxq_measure_fn *measure[MXQ_TYPES];
    mxq_operand_fn *operand[MXQ_TYPES];
    mxq_round_fn *round[MXQ_FLOAT_COMPUTES];
    mxq_panel_fn *panel[MXQ_PACKED_ELEMENTS][MXQ_COMPUTES];
    mxq_gemm_fn *gemm[MXQ_COMPUTES];
    mxq_gemm_fused_fn *gemm_fused[MXQ_PACKED_ELEMENTS][MXQ_FLOAT_COMPUTES];
    mxq_fold_fn *fold[1];
    mxq_output_fn *output[MXQ_TYPES];
    struct mxq_tile tile[MXQ_COMPUTES];
};

/* clang-format off */
#define MXQ_KERNEL(name, family, index)                                                            \
    mxq_##family##_fn mxq_##name##_scalar, mxq_##name##_avx2, mxq_##name##_avx512,                 \
        mxq_##name##_avx512bf16, mxq_##name##_amx, mxq_##name##_neon, mxq_##name##_neonbf16;
/* clang-format on */
#include "kernels.def"
#undef MXQ_KERNEL

extern const struct mxq_kernels mxq_kernels_scalar;
extern const struct mxq_kernels mxq_kernels_avx2;
extern const struct mxq_kernels mxq_kernels_avx512;
extern const struct mxq_kernels mxq_kernels_avx512bf16;
extern const struct mxq_kernels mxq_kernels_amx;
extern const struct mxq_kernels mxq_kernels_neon;
extern const struct mxq_kernels mxq_kernels_neonbf16;

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
