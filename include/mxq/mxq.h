/* SPDX-License-Identifier: Apache-2.0 */
/* mxq.h -- the public API of libmxq: block-scaled FP8, FP6, FP4 and INT8 numbers on CPUs.
 *
 * Read it top to bottom: it is meant as the manual.
 *
 * What the library does.  It converts matrices of F32, BF16 or F16 values to block-scaled formats and
 * back, and multiplies activations with weights in such formats.  The values of a block, such as 32
 * consecutive ones of a row, are stored as small elements (FP8, FP6, FP4 or INT8) and one shared scale:
 *
 *     value = element * scale
 *
 * What it promises.
 *   - Every element is correctly rounded, once, from the exact scaled value.
 *   - A matrix product adds in one fixed order, so that a row of it does not depend on the other rows.
 *   - The bytes depend on the arguments alone: not on the instruction set, the number of threads,
 *     how the caller cuts a matrix into calls along rows or blocks, or the caller's MXCSR/FPCR.
 *   - No function prints, aborts, allocates, locks, starts a thread, installs a handler or changes
 *     floating-point state that the caller can see.  The only global is one atomic pointer, to the
 *     kernels of the active instruction set.
 *   - Every function may be called from any number of threads at once, as long as no two of them
 *     write the same memory.
 *
 * Words.  A block is the set of elements that share a scale.  amax is the largest magnitude of a
 * block.  emax is the exponent of the largest power of two an element code can hold.  A stride is
 * the distance from one row to the next, in values for a struct mxq_matrix, in bytes for a struct
 * mxq_quantized.
 */
#ifndef MXQ_H
#define MXQ_H

#include <stddef.h>
#include <stdint.h>

#include "mxq/version.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define MXQ_API       __attribute__((visibility("default")))
#define MXQ_NODISCARD __attribute__((warn_unused_result))
#else
#define MXQ_API
#define MXQ_NODISCARD
#endif

/* ============================================================================================== */
/*                                        Status and errors                                       */
/* ============================================================================================== */

/* What a function returns.  Whenever the status is not MXQ_OK, no output has been written. */
enum mxq_status {
    MXQ_OK = 0,
    MXQ_ERR_ARGUMENT,  /* a pointer is null, an enumerator unknown, a reserved field not zero */
    MXQ_ERR_FORMAT,    /* this combination of element, scale and block shape is not supported */
    MXQ_ERR_SHAPE,     /* shapes differ, a stride is shorter than a row, or a size overflows */
    MXQ_ERR_OVERLAP,   /* an output overlaps another operand */
    MXQ_ERR_NONFINITE, /* the input holds a NaN or an infinity, and the caller asked for an error */
    MXQ_ERR_ISA,       /* this instruction set is unknown, or not available on this machine */
    MXQ_ERR_PACKED,    /* a packed buffer is too short, not one of this library's, or damaged */
    MXQ_ERR_SCRATCH    /* scratch memory is missing or smaller than the size query says */
};

/* Detail about a failure, in memory of the caller.  Functions that take a `struct mxq_error *`
 * accept NULL; they fill it only when they fail. */
struct mxq_error {
    enum mxq_status status;
    const char *what; /* a static sentence: the argument at fault and what it must be */
    uint64_t row;     /* MXQ_ERR_NONFINITE: where the first NaN or infinity is, in row-major */
    uint64_t col;     /* order; otherwise 0 */
};

/* Returns one static sentence, such as "an output overlaps another operand"; never NULL. */
MXQ_API const char *mxq_status_string(enum mxq_status status);

/* Returns MXQ_VERSION_STRING of the library that is really loaded. */
MXQ_API const char *mxq_version(void);

/* ============================================================================================== */
/*                                             Formats                                            */
/* ============================================================================================== */

/* Types of the wide side: what is quantized, and what dequantization returns. */
enum mxq_type {
    MXQ_F32 = 0, /* IEEE 754 binary32 */
    MXQ_BF16,    /* the upper half of an F32: s1 e8 m7 */
    MXQ_F16      /* IEEE 754 binary16: s1 e5 m10 */
};
#define MXQ_TYPES 3

/* Element codes.
 *
 *   code    bits        bias  largest finite    smallest subnormal  infinities  NaN codes
 *   E4M3    s1 e4 m3       7  448     (0x7E)    2^-9                none        0x7F 0xFF
 *   E5M2    s1 e5 m2      15  57344   (0x7B)    2^-16               0x7C 0xFC   0x7D-0x7F, 0xFD-0xFF
 *   E3M2    s1 e3 m2       3  28      (0x1F)    2^-4                none        none
 *   E2M3    s1 e2 m3       1  7.5     (0x1F)    2^-3                none        none
 *   E2M1    s1 e2 m1       1  6       (0x7)     2^-1                none        none
 *   MXINT8  two's compl.   -  127/64  (0x7F)    1/64                none        none
 *   INT8    two's compl.   -  127     (0x7F)    1                   none        none
 *
 * MXINT8 is the code times 2^-6; -128 is read, as -2 or -128, and never written.  Codes of 8 bits take a
 * byte each; of 6 bits, four take three bytes, as a little-endian number of 24 bits with the first code
 * lowest; of 4 bits, two take a byte, the even one in the lower half.  A row begins with a byte; what its
 * last byte has left is zero.
 *
 * Source: OCP Microscaling Formats (MX) v1.0; OCP 8-bit Floating Point (OFP8) v1.0. */
enum mxq_element { MXQ_E4M3 = 0, MXQ_E5M2, MXQ_E3M2, MXQ_E2M3, MXQ_E2M1, MXQ_MXINT8, MXQ_INT8 };
#define MXQ_ELEMENTS 7

/* Shared scales: what a block's elements are multiplied by.  They are stored in this machine's byte
 * order (little-endian where the library runs) and need no alignment.
 *
 *   scale       bytes  value
 *   E8M0        1      2^(code - 127); code 0xFF is NaN; there is no zero, no sign
 *   F32         4      an F32
 *   BF16, F16   2      a BF16 or F16
 *   E4M3        1      an E4M3 code, times one F32 for the whole tensor (NVFP4) */
enum mxq_scale { MXQ_E8M0 = 0, MXQ_F32_SCALE, MXQ_BF16_SCALE, MXQ_F16_SCALE, MXQ_E4M3_SCALE };
#define MXQ_SCALES 5

/* A block-scaled format: element code x scale code x block shape.  A block spans block_rows x
 * block_cols values that share one scale; 0 means the whole extent of the matrix.  Columns run along
 * K, the axis that a GEMM sums over.  What is supported:
 *
 *   element         scale            block
 *   all but INT8    E8M0             1 x 32 (OCP MX), 1 x 128, 128 x 128
 *   all but MXINT8  F32, BF16, F16   1 x 8, 1 x 16, 1 x 32, 1 x 64, 1 x 128, 128 x 128,
 *                                    1 x 0 (a row: channel or token), 0 x 0 (the tensor)
 *   E2M1            E4M3             1 x 16 (NVFP4) */
struct mxq_format {
    enum mxq_element element;
    enum mxq_scale scale;
    uint32_t block_rows;
    uint32_t block_cols;
};

/* Formats that have a name. */
static const struct mxq_format mxq_mxfp8_e4m3 = {MXQ_E4M3, MXQ_E8M0, 1, 32};
static const struct mxq_format mxq_mxfp8_e5m2 = {MXQ_E5M2, MXQ_E8M0, 1, 32};
static const struct mxq_format mxq_mxfp6_e3m2 = {MXQ_E3M2, MXQ_E8M0, 1, 32};
static const struct mxq_format mxq_mxfp6_e2m3 = {MXQ_E2M3, MXQ_E8M0, 1, 32};
static const struct mxq_format mxq_mxfp4 = {MXQ_E2M1, MXQ_E8M0, 1, 32};
static const struct mxq_format mxq_mxint8 = {MXQ_MXINT8, MXQ_E8M0, 1, 32};
static const struct mxq_format mxq_nvfp4 = {MXQ_E2M1, MXQ_E4M3_SCALE, 1, 16};
static const struct mxq_format mxq_fp8_tensor = {MXQ_E4M3, MXQ_F32_SCALE, 0, 0};
static const struct mxq_format mxq_fp8_channel = {MXQ_E4M3, MXQ_F32_SCALE, 1, 0};
static const struct mxq_format mxq_fp8_block = {MXQ_E4M3, MXQ_F32_SCALE, 128, 128};
static const struct mxq_format mxq_int8_channel = {MXQ_INT8, MXQ_F32_SCALE, 1, 0};

struct mxq_format_info {
    const char *name; /* such as "mxfp8" or "fp8-channel" */
    struct mxq_format format;
};

/* Fills info for named format `index`; returns 0 when there is no such index. */
MXQ_API int mxq_format_at(size_t index, struct mxq_format_info *info);

/* How a block's scale follows from its amax.
 *
 * E8M0.  With E the 8-bit exponent field and M the 23-bit mantissa field of amax as an F32:
 *
 *     code = clamp(E - emax + d, 0, 254)          emax: 8 for E4M3, 15 for E5M2, 4 for E3M2,
 *                                                 2 for E2M3 and E2M1, 0 for MXINT8
 *
 *   mode    d = 1 exactly when                  largest scaled magnitude, and who scales so
 *   floor   never                               may saturate; the OCP v1.0 text, ggml
 *   ceil    M > 0                               never saturates; torchao (option)
 *   even    amax rounded to the element's       saturates only what rounds down to the largest;
 *           mantissa, half up, would carry      AMD Quark, torchao (option)
 *   rceil   amax > max * 2^(E - emax):          never saturates and never wastes a binade:
 *           amax * (1/max) rounded up to a      NVIDIA, torchao (inference)
 *           power of two
 *   ct      M >= 0x600000                       compressed-tensors, llm-compressor
 *   mse     the sum of squared errors of the    1 x 32 blocks only
 *           block (F64, in index order) is
 *           smaller than with d = 0
 *   unit    M > 0, and emax counts as 0: the    scaled values lie in [-1, 1]
 *           power of two at or above amax
 *
 * rceil follows the rounded F32 product for the one amax per element where the two readings differ
 * (docs/numerics.md).  A block of zeros has code 0; a block that holds a NaN or an infinity has code
 * 0xFF, and no other block ever has.
 *
 * F32, BF16, F16.  scale = amax / max, rounded to F32 and then to the scale's type; 1 for a block of
 * zeros; NaN for a block that holds a NaN or an infinity.  With rceil, the F32 quotient is rounded up to
 * a power of two.
 *
 * E4M3.  With the tensor's scale S = amax of the tensor / (6 * 448), the block's is the E4M3 code nearest
 * to amax / 6 / S.
 *
 * default: for E8M0 on 1 x 32 blocks rceil (E4M3, E5M2, MXINT8) or mse (E3M2, E2M3, E2M1), on larger
 * ones rceil; for all others what is said above. */
enum mxq_scale_mode {
    MXQ_SCALE_DEFAULT = 0,
    MXQ_SCALE_RCEIL,
    MXQ_SCALE_FLOOR,
    MXQ_SCALE_CEIL,
    MXQ_SCALE_EVEN,
    MXQ_SCALE_CT,
    MXQ_SCALE_MSE,
    MXQ_SCALE_UNIT
};
#define MXQ_SCALE_MODES 8

/* How a scaled value becomes an element. */
enum mxq_rounding {
    MXQ_NEAREST_EVEN = 0, /* ties to the even code */
    MXQ_NEAREST_AWAY,     /* ties away from zero */
    MXQ_NEAREST_ZERO,     /* ties toward zero: ggml's and ModelOpt's E2M1 */
    MXQ_TOWARD_ZERO,      /* truncated */
    MXQ_STOCHASTIC        /* up with the probability of the distance: docs/numerics.md */
};
#define MXQ_ROUNDINGS 5

/* What becomes of a finite value that rounds to something beyond the largest element. */
enum mxq_overflow {
    MXQ_OVERFLOW_SATURATE = 0, /* the largest element */
    MXQ_OVERFLOW_SPECIAL       /* NaN in E4M3, an infinity in E5M2; not for the others */
};

/* What to do with a NaN or an infinity in the input. */
enum mxq_nonfinite {
    MXQ_NONFINITE_NAN =
        0, /* its whole block reads as NaN: E8M0 scale 0xFF, other scales NaN; elements
                              0x7F in E4M3 and E5M2, 0 in the others */
    MXQ_NONFINITE_ERROR, /* write nothing, return MXQ_ERR_NONFINITE and the first position */
    MXQ_NONFINITE_CLAMP /* amax is that of the finite values; an infinity becomes the largest element,
                              a NaN 0x7F in E4M3 and E5M2, 0 in the others */
};

/* ============================================================================================== */
/*                                            Matrices                                            */
/* ============================================================================================== */

/* A row-major matrix of wide values in memory of the caller.  data need not be aligned. */
struct mxq_matrix {
    void *data; /* only read where the matrix is an input */
    enum mxq_type type;
    size_t rows;
    size_t cols;
    size_t stride; /* values from one row to the next, at least cols */
};

/* A quantized row-major matrix in memory of the caller.
 *
 *   elements      row r starts at elements + r * elements_stride: ceil(cols * bits / 8) bytes
 *   scales        row i of blocks starts at scales + i * scales_stride; block j of it is scale j.  There
 *                 are ceil(rows / block_rows) x ceil(cols / block_cols) blocks: those at an edge may be
 *                 partial
 *   tensor_scale  only for E4M3 scales: the F32 that multiplies all of them; NULL for all others
 */
struct mxq_quantized {
    struct mxq_format format;
    size_t rows;
    size_t cols;
    uint8_t *elements;
    size_t elements_stride; /* in bytes */
    uint8_t *scales;
    size_t scales_stride; /* in bytes */
    float *tensor_scale;
};

/* The dense sizes of a quantized matrix. */
struct mxq_sizes {
    size_t elements_row_bytes; /* one row of elements: the smallest elements_stride */
    size_t scales_row_bytes;   /* one row of scales: the smallest scales_stride */
    size_t scales_rows;        /* rows of scales */
    size_t elements_bytes;     /* rows * elements_row_bytes */
    size_t scales_bytes;       /* scales_rows * scales_row_bytes */
};

/* Computes the dense sizes of rows x cols values in a format.  Returns MXQ_OK, MXQ_ERR_FORMAT, or
 * MXQ_ERR_SHAPE when a size overflows size_t. */
MXQ_API MXQ_NODISCARD enum mxq_status mxq_quantized_sizes(const struct mxq_format *format,
                                                          size_t rows, size_t cols,
                                                          struct mxq_sizes *sizes);

/* Returns the bytes of one value of a type (4 or 2), or 0 when the type is unknown. */
MXQ_API size_t mxq_type_bytes(enum mxq_type type);

/* ============================================================================================== */
/*                                             Threads                                            */
/* ============================================================================================== */

/* The caller's threads.  run() calls task(context, i) exactly once for each i in 0 .. tasks - 1, in
 * any order, on any threads, and returns when all calls have returned.  How tasks are laid over
 * threads never changes a result.  Work too small to share is done without run(), on this thread.  A
 * task needs less than 64 KiB of stack.  Adapters: mxq/pthreadpool.h, mxq/openmp.h. */
struct mxq_parallel {
    void (*run)(void *pool, size_t tasks, void (*task)(void *context, size_t index), void *context);
    void *pool; /* handed to run() */
};

/* ============================================================================================== */
/*                                           Quantization                                         */
/* ============================================================================================== */

/* What quantizing did to the values.  Sums are in F64, in an order that depends on the shape alone, so
 * that every digit is the same on every instruction set and for any number of threads
 * (docs/numerics.md, "Statistics").  Values that are not finite, or became so, are counted and left out
 * of the rest. */
struct mxq_statistics {
    uint64_t values;    /* that the sums are over */
    uint64_t saturated; /* magnitudes beyond the largest element of their block */
    uint64_t flushed;   /* values other than zero that became zero */
    uint64_t nonfinite; /* values left out */
    double sum_xx;      /* of x^2: the squared norm */
    double sum_yy;      /* of y^2, y being the dequantized x */
    double sum_ee;      /* of (x - y)^2: the squared error */
    double max_error;   /* the largest |x - y| */
    double amax;        /* the largest |x| */
};

/* Returns 10 log10(sum_xx / sum_ee) in dB, infinite where there is no error. */
MXQ_API double mxq_sqnr(const struct mxq_statistics *statistics);

/* Returns the cosine of the angle between x and y; 1 where both are zero. */
MXQ_API double mxq_cosine(const struct mxq_statistics *statistics);

/* Adds what two parts of a tensor show. */
MXQ_API void mxq_statistics_add(struct mxq_statistics *sum, const struct mxq_statistics *more);

/* Options of mxq_quantize().  Initialise with MXQ_QUANTIZE_OPTIONS, then change fields. */
struct mxq_quantize_options {
    size_t struct_bytes; /* sizeof(struct mxq_quantize_options) */
    enum mxq_scale_mode scale_mode;
    enum mxq_rounding rounding;
    enum mxq_overflow overflow;
    enum mxq_nonfinite nonfinite;
    uint64_t seed; /* for MXQ_STOCHASTIC */
    uint64_t
        first_index; /* for MXQ_STOCHASTIC: of x[0][0] in its tensor; x[r][c] has this + r * cols + c */
    const float
        *amax; /* use these and not the data's: one, or one for each block, row-major; for E4M3
                             scales the tensor's.  At least 0 and finite. */
    size_t amax_count; /* 0, 1, or as many as there are blocks */
    float amax_floor;  /* a smaller amax counts as this; 0: none */
    int reciprocal; /* 1, for F32, BF16 and F16 scales: elements are x times the F32 reciprocal of
                             the scale before it was rounded to its type, as in ggml */
    int unsigned_zero; /* 1: what rounds to -0 becomes +0 */
    int positive_scale; /* 1, for E4M3 scales: the code nearest to amax / (6 * S), at least 2^-9; 1 for a
                             block of zeros: as in ModelOpt */
    struct mxq_statistics *statistics;   /* out; NULL: none */
    const struct mxq_parallel *parallel; /* NULL: this thread */
};
#define MXQ_QUANTIZE_OPTIONS                                                                       \
    {                                                                                              \
        sizeof(struct mxq_quantize_options), MXQ_SCALE_DEFAULT, MXQ_NEAREST_EVEN,                  \
            MXQ_OVERFLOW_SATURATE, MXQ_NONFINITE_NAN, 0, 0, NULL, 0, 0, 0, 0, 0, NULL, NULL        \
    }

/* Returns the name of profile `index`, or NULL past the last one.  A profile is what another producer
 * does, byte for byte:
 *
 *   profile             formats                     scales, rounding
 *   ocp                 MX                          floor
 *   nvidia              MX but INT8                 rceil; MXFP4: ties toward zero (ModelOpt)
 *                       NVFP4                       positive_scale (ModelOpt)
 *   torchao-floor       MX but INT8                 floor
 *   compressed-tensors  MXFP8 (E4M3), MXFP4         ct
 *                       MXFP6 (E2M3)                even
 *   ggml                MXFP4                       floor; ties toward zero, no -0
 *                       INT8, F16 scales, 1 x 32    reciprocal; ties away from zero (Q8_0)
 *   deepseek            E4M3, F32 scales, 128 x 128 amax at least 1e-4
 *                       or 1 x 128 */
MXQ_API const char *mxq_profile_at(size_t index);

/* Sets scale_mode, rounding, overflow, amax_floor, reciprocal, unsigned_zero and positive_scale of options as
 * a profile asks for a format.  Returns MXQ_OK, MXQ_ERR_ARGUMENT, or MXQ_ERR_FORMAT when the name is unknown or the
 * profile has no such format; `error`, which may be NULL, then lists what there is. */
MXQ_API MXQ_NODISCARD enum mxq_status mxq_profile_options(const char *name,
                                                          const struct mxq_format *format,
                                                          struct mxq_quantize_options *options,
                                                          struct mxq_error *error);

/* mxq_quantize() converts a matrix to a block-scaled format.  For each block:
 *
 *     scale   = by the rule of options->scale_mode from the block's amax
 *     element = round(x * 2^(127 - scale))    E8M0 scales: the product is exact
 *               round(F32(x / scale))         F32, BF16 and F16 scales
 *               round(F32(x / F32(S * scale)))  E4M3 scales
 *
 * rounded by options->rounding; magnitudes beyond the largest finite element saturate to it; subnormal
 * element codes are used; the sign of zero is kept where the code has one.  Where a divisor is 0 (the
 * quotient amax / max underflowed) the elements are zeros.
 *
 *   q         out  format, shape and strides set by the caller; elements, scales and *tensor_scale are
 *                  written
 *   x         in   same rows and cols as q
 *   options   in   NULL for the defaults: default scales, to nearest even, saturating, NaN blocks, this
 *                  thread
 *   error     out  may be NULL
 *
 * rows and cols need not be multiples of the block: an edge block has the values that are there.  rows or
 * cols may be 0.  Bytes between rows are not touched.
 *
 * MXQ_NONFINITE_ERROR costs a second read of x; so do blocks over the whole tensor, and E4M3 scales,
 * unless amax is given.
 *
 * Returns MXQ_OK, MXQ_ERR_ARGUMENT, MXQ_ERR_FORMAT, MXQ_ERR_SHAPE, MXQ_ERR_OVERLAP or
 * MXQ_ERR_NONFINITE.
 *
 * Source: OCP Microscaling Formats (MX) v1.0, section 6.3; docs/numerics.md. */
MXQ_API MXQ_NODISCARD enum mxq_status mxq_quantize(const struct mxq_quantized *q,
                                                   const struct mxq_matrix *x,
                                                   const struct mxq_quantize_options *options,
                                                   struct mxq_error *error);

/* mxq_quantize_both() quantizes a matrix and its transpose: what a product along its columns, such as a
 * gradient or a cache of values, needs beside the one along its rows.  Each is rounded from x itself, never from
 * the other: the bytes are those of mxq_quantize() of x and of its transpose.
 *
 *   rows      out  the quantized x: rows x cols; NULL: not made
 *   cols      out  the quantized transpose of x: x->cols x x->rows, with blocks of consecutive values of a
 *                  column of x; NULL: not made
 *   x         in
 *   options   in   as for mxq_quantize(), for both; statistics are of rows, or of cols where rows is NULL;
 *                  amax is for both: only without one of them may there be one for each block
 *   error     out  may be NULL; MXQ_ERR_NONFINITE gives the position in x
 *
 * The formats of the two may differ.  Where both have E8M0 scales on 1 x 32 blocks, to nearest even and not by
 * mse (which is the default of FP6 and FP4), x is read from memory once; all else reads it once for each of
 * the two.
 *
 * Returns what mxq_quantize() returns; MXQ_ERR_ARGUMENT also when rows and cols are both NULL. */
MXQ_API MXQ_NODISCARD enum mxq_status mxq_quantize_both(const struct mxq_quantized *rows,
                                                        const struct mxq_quantized *cols,
                                                        const struct mxq_matrix *x,
                                                        const struct mxq_quantize_options *options,
                                                        struct mxq_error *error);

/* Finds the percentile of |x| over a matrix, exactly: the smallest magnitude m of x such that at least
 *
 *     ceil(percent / 100 * count)          in exact arithmetic, count being that of the finite values
 *
 * finite values have |x| <= m.  100 gives the largest, 50 the (lower) median.  NaNs and infinities are left
 * out.  The result is meant for options.amax: larger magnitudes then saturate.
 *
 *   x          in   read two times in BF16 and F16, three times in F32
 *   percent    in   above 0, at most 100
 *   magnitude  out
 *   parallel   in   NULL: this thread
 *   error      out  may be NULL
 *
 * Returns MXQ_OK, MXQ_ERR_ARGUMENT, MXQ_ERR_SHAPE (also for an empty x), or MXQ_ERR_NONFINITE when no value is
 * finite. */
MXQ_API MXQ_NODISCARD enum mxq_status mxq_percentile(const struct mxq_matrix *x, double percent,
                                                     float *magnitude,
                                                     const struct mxq_parallel *parallel,
                                                     struct mxq_error *error);

/* mxq_dequantize() converts back:
 *
 *     y = element * scale                  E8M0: 2^(scale - 127), exact in F32
 *     y = F32((element * scale) * S)       E4M3 scales: the product in brackets is exact
 *
 * rounded to F32 for the other scales (a magnitude beyond F32 becomes an infinity, subnormal results are
 * kept), then rounded once more, to nearest even, when y is BF16 or F16.  NaN scales and NaN elements
 * give the canonical NaN: 0x7FC00000 in F32, 0x7FC0 in BF16, 0x7E00 in F16.
 *
 *   y         out  same rows and cols as q; y->data is written, bytes between rows are not
 *   q         in
 *   parallel  in   NULL: this thread
 *   error     out  may be NULL
 *
 * Returns MXQ_OK, MXQ_ERR_ARGUMENT, MXQ_ERR_FORMAT, MXQ_ERR_SHAPE or MXQ_ERR_OVERLAP. */
MXQ_API MXQ_NODISCARD enum mxq_status mxq_dequantize(const struct mxq_matrix *y,
                                                     const struct mxq_quantized *q,
                                                     const struct mxq_parallel *parallel,
                                                     struct mxq_error *error);

/* ============================================================================================== */
/*                                             Layouts                                            */
/* ============================================================================================== */

/* Other places for the same codes and scales, as other programs want them.
 *
 *   layout         format                      bytes
 *   interleaved    1 x g blocks but NVFP4      for each block, row-major: its scale, then its g codes,
 *                                              packed as in a row: 33 bytes in MXFP8, 25 in MXFP6, 17 in MXFP4
 *   ggml           MXFP4                       block_mxfp4: the scale, then 16 bytes, of which byte j has
 *                                              code j in its lower and code j + 16 in its upper half
 *                  INT8, F16 scales, 1 x 32    block_q8_0: the scale, then 32 codes, as interleaved
 *   scales 128x4   scales of one byte, 1 x g   the scales alone, in tiles of 128 rows x 4 scales, as Blackwell's
 *                                              tensor cores read them; tiles row-major, 512 bytes each.  Scale (r, c)
 *                                              of a tile is byte (r % 32) * 16 + (r / 32) * 4 + c; what a tile
 *                                              has beyond the matrix is 0x00
 *
 * A tensor scale is not part of any.  For the first two cols must be a multiple of g. */
enum mxq_layout { MXQ_LAYOUT_INTERLEAVED = 0, MXQ_LAYOUT_GGML, MXQ_LAYOUT_SCALES_128X4 };
#define MXQ_LAYOUTS 3

/* Computes the bytes of rows x cols values in a layout.  Returns MXQ_OK, MXQ_ERR_ARGUMENT, MXQ_ERR_FORMAT
 * when the layout does not hold this format, or MXQ_ERR_SHAPE when cols is no multiple of the block where it
 * must be, or a size overflows size_t. */
MXQ_API MXQ_NODISCARD enum mxq_status mxq_layout_bytes(enum mxq_layout layout,
                                                       const struct mxq_format *format, size_t rows,
                                                       size_t cols, size_t *bytes);

/* mxq_layout_pack() writes a quantized matrix in a layout, mxq_layout_unpack() reads it back.  Codes and
 * scales move unchanged and unchecked.  MXQ_LAYOUT_SCALES_128X4 leaves the elements alone.
 *
 *   out, in   out, in  mxq_layout_bytes() bytes, of any alignment
 *   bytes     in       how many there are at least; any more are not touched
 *   q         in, out  format, shape and strides are always the caller's
 *   error     out      may be NULL
 *
 * Returns what mxq_layout_bytes() returns, MXQ_ERR_SHAPE also when bytes is too small, or
 * MXQ_ERR_OVERLAP. */
MXQ_API MXQ_NODISCARD enum mxq_status mxq_layout_pack(void *out, size_t bytes,
                                                      enum mxq_layout layout,
                                                      const struct mxq_quantized *q,
                                                      struct mxq_error *error);
MXQ_API MXQ_NODISCARD enum mxq_status mxq_layout_unpack(const struct mxq_quantized *q,
                                                        enum mxq_layout layout, const void *in,
                                                        size_t bytes, struct mxq_error *error);

/* ============================================================================================== */
/*                                          Packed weights                                        */
/* ============================================================================================== */

/* A weight matrix of any supported format is packed once, then multiplied many times.  The packed form is
 * one contiguous buffer without pointers: the same bytes on every machine, so that it may be saved, mapped
 * and moved.  Its layout is specified in src/packed.h.  It need not be aligned; 64 bytes are best. */

/* Computes the bytes of the packed form of n x k weights (n outputs, k inputs).  Returns MXQ_OK,
 * MXQ_ERR_ARGUMENT, MXQ_ERR_FORMAT, or MXQ_ERR_SHAPE when the size overflows size_t. */
MXQ_API MXQ_NODISCARD enum mxq_status mxq_packed_bytes(const struct mxq_format *format, size_t n,
                                                       size_t k, size_t *bytes);

/* mxq_pack_quantized() packs quantized weights; mxq_pack_matrix() quantizes and packs in one step,
 * the same bytes as mxq_quantize() followed by mxq_pack_quantized().
 *
 *   packed, packed_bytes  out  at least mxq_packed_bytes() of w's shape; that many are written
 *   w                     in   n x k: row n holds the k weights of output n
 *   format                in   what to quantize to
 *   options               in   as for mxq_quantize(), but for statistics, which must be NULL; NULL for the
 *                              defaults
 *   parallel              in   NULL: this thread
 *   error                 out  may be NULL
 *
 * Blocks of 128 x 128 make mxq_pack_matrix() read w nine times.
 *
 * Returns MXQ_OK, MXQ_ERR_ARGUMENT, MXQ_ERR_FORMAT, MXQ_ERR_SHAPE (packed_bytes is too small too),
 * MXQ_ERR_OVERLAP or, from mxq_pack_matrix() when asked for, MXQ_ERR_NONFINITE. */
MXQ_API MXQ_NODISCARD enum mxq_status mxq_pack_quantized(void *packed, size_t packed_bytes,
                                                         const struct mxq_quantized *w,
                                                         const struct mxq_parallel *parallel,
                                                         struct mxq_error *error);
MXQ_API MXQ_NODISCARD enum mxq_status mxq_pack_matrix(void *packed, size_t packed_bytes,
                                                      const struct mxq_format *format,
                                                      const struct mxq_matrix *w,
                                                      const struct mxq_quantize_options *options,
                                                      struct mxq_error *error);

/* What a packed buffer holds. */
struct mxq_packed_info {
    struct mxq_format format;
    size_t n;
    size_t k;
    size_t bytes; /* of the whole packed buffer */
};

/* Reads the header of a packed buffer: constant time.  Every function that takes a packed buffer does
 * this check by itself.  Returns MXQ_OK, MXQ_ERR_ARGUMENT or MXQ_ERR_PACKED. */
MXQ_API MXQ_NODISCARD enum mxq_status mxq_packed_read(const void *packed, size_t packed_bytes,
                                                      struct mxq_packed_info *info,
                                                      struct mxq_error *error);

/* Checks every byte of a packed buffer against the check value in its header: for one that comes from
 * a disk or a network.  (Damage that is not looked for gives wrong results, never a wrong access.)
 * Returns MXQ_OK, MXQ_ERR_ARGUMENT or MXQ_ERR_PACKED. */
MXQ_API MXQ_NODISCARD enum mxq_status mxq_packed_check(const void *packed, size_t packed_bytes,
                                                       const struct mxq_parallel *parallel,
                                                       struct mxq_error *error);

/* ============================================================================================== */
/*                                     Matrix multiplication                                      */
/* ============================================================================================== */

/* What is done to the activations before they are multiplied. */
enum mxq_x_compute {
    MXQ_X_AS_IS = 0, /* the values of x, exactly */
    MXQ_X_BF16,      /* rounded once to BF16, to nearest even: what BF16 units multiply fastest */
    MXQ_X_QUANTIZED /* quantized to x_format by x_scale_mode, as mxq_quantize() would: any format with
                        blocks of one row, or of the whole matrix */
};
#define MXQ_X_COMPUTES 3

/* Options of mxq_matmul().  Initialise with MXQ_MATMUL_OPTIONS, then change fields. */
struct mxq_matmul_options {
    size_t struct_bytes; /* sizeof(struct mxq_matmul_options) */
    enum mxq_x_compute x_compute;
    struct mxq_format x_format;              /* for MXQ_X_QUANTIZED */
    enum mxq_scale_mode x_scale_mode;        /* for MXQ_X_QUANTIZED */
    int accumulate;                          /* 1: add to what y holds; 0: y is only written */
    const struct mxq_matrix *bias;           /* 1 x n, of any type, added last; NULL: none */
    void *scratch;                           /* memory for this call, any alignment */
    size_t scratch_bytes;                    /* at least mxq_matmul_scratch_bytes() */
    const struct mxq_parallel *parallel;     /* NULL: this thread */
    const struct mxq_quantized *quantized_y; /* out: y in a format; NULL: none */
    const struct mxq_quantize_options
        *y_options; /* NULL: the defaults; parallel is not looked at */
};
#define MXQ_MATMUL_OPTIONS                                                                         \
    {                                                                                              \
        sizeof(struct mxq_matmul_options), MXQ_X_AS_IS, {MXQ_E4M3, MXQ_E8M0, 1, 32},               \
            MXQ_SCALE_DEFAULT, 0, NULL, NULL, 0, NULL, NULL, NULL                                  \
    }

/* Computes the scratch that mxq_matmul() and mxq_matmul_quantized() need for an m x k by k x n
 * product, on any instruction set and with any options: about 4 bytes for each value of x, with up to
 * 3 KiB more a row, and of y, but for y no more than 16 MiB or 256 bytes a row.  It never shrinks when
 * m, n or k grows, so scratch for the largest m, n and k serves all.  Weights with F32, BF16 or F16 scales
 * on blocks of 8 or 16 values count k four or two times.  Returns MXQ_OK, MXQ_ERR_ARGUMENT, or
 * MXQ_ERR_SHAPE when the size overflows size_t. */
MXQ_API MXQ_NODISCARD enum mxq_status mxq_matmul_scratch_bytes(size_t m, size_t n, size_t k,
                                                               size_t *bytes);

/* mxq_matmul() multiplies activations with packed weights:
 *
 *     y[m][n] = sum over k of x[m][k] * w[n][k]  (+ y[m][n] before the call)  (+ bias[n])
 *
 * in F32, in one order of additions on every instruction set.  k is cut into sub-blocks of 32 from
 * k = 0, the last one padded with zeros.  acc starts at y[m][n] when accumulating, else at +0; for each
 * sub-block in ascending order
 *
 *     even = fma(x[30], w[30], ... fma(x[2], w[2], fma(x[0], w[0], +0)))
 *     odd  = fma(x[31], w[31], ... fma(x[3], w[3], fma(x[1], w[1], +0)))
 *     acc  = acc + (even + odd)
 *
 * each fma and each + rounded once to F32, with gradual underflow; x and w are the dequantized values.
 * Then bias[n] is added, a NaN becomes the canonical NaN, and the sum is rounded once to y's type.
 *
 * That is for E8M0 scales.  With others, x and w are the elements, for E4M3 scales times these, and the F32
 * factors sx and sw, an operand's F32, BF16 or F16 scale or tensor_scale, are applied to groups: the longest
 * runs of k within one block of both.  (A factor that an operand does not have is 1.)  For each group
 *
 *     g   = +0, then g + (even + odd) for each of its sub-blocks
 *     acc = fma(g, sx * sw, acc), the product of the factors rounded to F32
 *
 * Blocks of 8 or 16 values with such scales are sub-blocks of their own, padded with zeros.
 *
 *   y         out  m x n; also in when accumulating; may be NULL where options->quantized_y is enough
 *   x         in   m x k
 *   w         in   packed, n x k, with packed_bytes the bytes that are readable there
 *   options   in   scratch is required unless m, n or k is 0
 *   error     out  may be NULL
 *
 * options->quantized_y, m x n in any format, is written as mxq_quantize() with options->y_options would
 * write it from an F32 y.  With blocks of 1 x 8, 1 x 16 or 1 x 32, and no E4M3 scales, statistics or
 * accumulation, that may be straight from the sums, and y NULL; otherwise y must be there, and F32.
 * MXQ_NONFINITE_ERROR is not for these options.
 *
 * y may overlap neither x, bias, w nor scratch, and scratch none of the others.  m, n and k may be 0
 * (with k = 0 the sum is empty).
 * Bytes between rows are not touched.
 *
 * Returns MXQ_OK, MXQ_ERR_ARGUMENT, MXQ_ERR_FORMAT, MXQ_ERR_SHAPE, MXQ_ERR_OVERLAP, MXQ_ERR_PACKED or
 * MXQ_ERR_SCRATCH.
 *
 * Source: docs/numerics.md, "The order of additions". */
MXQ_API MXQ_NODISCARD enum mxq_status
mxq_matmul(const struct mxq_matrix *y, const struct mxq_matrix *x, const void *w,
           size_t packed_bytes, const struct mxq_matmul_options *options, struct mxq_error *error);

/* The same with activations that are quantized already, in any format; options->x_compute must be
 * MXQ_X_AS_IS.  x with F32, BF16 or F16 scales on blocks of 8 or 16 values needs weights with such scales
 * on blocks no longer than its own: else MXQ_ERR_FORMAT. */
MXQ_API MXQ_NODISCARD enum mxq_status mxq_matmul_quantized(const struct mxq_matrix *y,
                                                           const struct mxq_quantized *x,
                                                           const void *w, size_t packed_bytes,
                                                           const struct mxq_matmul_options *options,
                                                           struct mxq_error *error);

/* ============================================================================================== */
/*                                        Instruction sets                                        */
/* ============================================================================================== */

/* The library picks the best instruction set of the machine on first use.  MXQ_ISA in the
 * environment overrides that choice, mxq_set_isa() overrides both.  Results never depend on it. */

/* Returns the name of the active instruction set: "amx", "avx512bf16", "avx512", "avx2",
 * "neonbf16", "neon" or "scalar".  When MXQ_ISA names something unknown or not available here, the
 * library falls to "scalar", and this function says so. */
MXQ_API const char *mxq_isa(void);

/* Makes an instruction set the active one, for the whole process, from the next call on.  NULL
 * returns to the automatic choice.  Returns MXQ_OK, or MXQ_ERR_ISA when the name is unknown or the
 * machine cannot run it; then nothing changes. */
MXQ_API MXQ_NODISCARD enum mxq_status mxq_set_isa(const char *name);

/* Asks the operating system to let this process use AMX tiles (on Linux arch_prctl with
 * ARCH_REQ_XCOMP_PERM), which adds 8 KiB to the signal frames of all its threads.  The library never
 * asks by itself: without this call "amx" is available only if the process already has the permission,
 * or if the user names it in MXQ_ISA or mxq_set_isa().  Call it before the first use, or before
 * mxq_set_isa(NULL).  Returns MXQ_OK when tiles may be used, MXQ_ERR_ISA when the machine has none or
 * the system refuses; the latter is no error but a slower kernel.  A thread's own tile configuration is
 * as before when a call returns; the data in its tiles is not kept, as across any call. */
MXQ_API enum mxq_status mxq_enable_amx(void);

/* One instruction set of this build. */
struct mxq_isa_info {
    const char *name;
    int available;       /* 1 when this machine can run it */
    const char *missing; /* the CPU or operating-system features that are missing, or "" */
};

/* Fills info for instruction set `index`, best first; returns 0 when there is no such index. */
MXQ_API int mxq_isa_at(size_t index, struct mxq_isa_info *info);

/* Returns the name of kernel `index`, such as "pack_e4m3_f32", or NULL past the last one. */
MXQ_API const char *mxq_kernel_name(size_t index);

/* Returns the name of the instruction set whose code runs as kernel `kernel` when `isa` (an index
 * as for mxq_isa_at) is active: its own name, or that of the one it inherits from; NULL when an
 * index is out of range. */
MXQ_API const char *mxq_kernel_isa(size_t kernel, size_t isa);

#ifdef __cplusplus
}
#endif

#endif
