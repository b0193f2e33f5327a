/* SPDX-License-Identifier: Apache-2.0 */
/* mxq.h -- the public API of libmxq: block-scaled FP8 numbers on CPUs.
 *
 * Read it top to bottom: it is meant as the manual.
 *
 * What the library does.  It converts matrices of F32, BF16 or F16 values to the OCP microscaling
 * format MXFP8 and back, and multiplies activations with weights in that format.  32 consecutive
 * values of a row form a block; a block is stored as 32 one-byte elements (E4M3 or E5M2) and one
 * shared scale (E8M0, a power of two):
 *
 *     value = element * 2^(scale - 127)
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
 * mxq_quantized (where an element is a byte).
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
 *   code   bits       bias  largest finite   smallest subnormal  infinities  NaN codes
 *   E4M3   s1 e4 m3      7  448   (0x7E)     2^-9                none        0x7F 0xFF
 *   E5M2   s1 e5 m2     15  57344 (0x7B)     2^-16               0x7C 0xFC   0x7D-0x7F, 0xFD-0xFF
 *
 * Source: OCP Microscaling Formats (MX) v1.0; OCP 8-bit Floating Point (OFP8) v1.0. */
enum mxq_element { MXQ_E4M3 = 0, MXQ_E5M2 };
#define MXQ_ELEMENTS 2

/* Shared scales.  E8M0: the value 2^(code - 127), code 0xFF is NaN; there is no zero, no sign. */
enum mxq_scale { MXQ_E8M0 = 0 };

/* A block-scaled format: element code x scale code x block shape.  A block spans block_rows x
 * block_cols values that share one scale; columns run along K, the axis that a GEMM sums over. */
struct mxq_format {
    enum mxq_element element;
    enum mxq_scale scale;
    uint32_t block_rows;
    uint32_t block_cols;
};

/* The formats that are supported today: OCP MX v1.0, 1 x 32 blocks. */
static const struct mxq_format mxq_mxfp8_e4m3 = {MXQ_E4M3, MXQ_E8M0, 1, 32};
static const struct mxq_format mxq_mxfp8_e5m2 = {MXQ_E5M2, MXQ_E8M0, 1, 32};

/* How a block's E8M0 scale follows from its amax.  With E the 8-bit exponent field and M the 23-bit
 * mantissa field of amax as an F32:
 *
 *     code = clamp(E - emax + d, 0, 254)          emax: 8 for E4M3, 15 for E5M2
 *
 *   mode    d = 1 exactly when                  largest scaled magnitude, and who scales so
 *   floor   never                               may saturate up to 12.5 %; the OCP v1.0 text
 *   ceil    M > 0                               never saturates
 *   even    amax rounded to the element's       saturates only what rounds down to the largest;
 *           mantissa would carry: M >= 0x780000 AMD Quark, torchao (option)
 *           (E4M3), 0x700000 (E5M2)
 *   rceil   M > 0x600000: amax * (1/max)        never saturates and never wastes a binade: the
 *           rounded up to a power of two        default; NVIDIA, torchao (inference)
 *   ct      M >= 0x600000                       compressed-tensors, llm-compressor
 *
 * rceil follows the rounded F32 product for the one amax per element where the two readings differ
 * (docs/numerics.md).  A block of zeros has code 0; a block that holds a NaN or an infinity has code
 * 0xFF, and no other block ever has. */
enum mxq_scale_mode {
    MXQ_SCALE_RCEIL = 0,
    MXQ_SCALE_FLOOR,
    MXQ_SCALE_CEIL,
    MXQ_SCALE_EVEN,
    MXQ_SCALE_CT
};
#define MXQ_SCALE_MODES 5

/* What to do with a block that holds a NaN or an infinity. */
enum mxq_nonfinite {
    MXQ_NONFINITE_NAN = 0, /* scale 0xFF, every element 0x7F: the whole block reads as NaN */
    MXQ_NONFINITE_ERROR    /* write nothing, return MXQ_ERR_NONFINITE and the first position */
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
 *   elements   row r starts at elements + r * elements_stride; one byte per value
 *   scales     row r starts at scales + r * scales_stride; one byte per block, the last block of a
 *              row may be partial: ceil(cols / block_cols) bytes a row
 */
struct mxq_quantized {
    struct mxq_format format;
    size_t rows;
    size_t cols;
    uint8_t *elements;
    size_t elements_stride; /* in bytes */
    uint8_t *scales;
    size_t scales_stride; /* in bytes */
};

/* The dense sizes of a quantized matrix. */
struct mxq_sizes {
    size_t elements_row_bytes; /* one row of elements: the smallest elements_stride */
    size_t scales_row_bytes;   /* one row of scales: the smallest scales_stride */
    size_t elements_bytes;     /* rows * elements_row_bytes */
    size_t scales_bytes;       /* rows * scales_row_bytes */
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

/* Options of mxq_quantize().  Initialise with MXQ_QUANTIZE_OPTIONS, then change fields. */
struct mxq_quantize_options {
    size_t struct_bytes; /* sizeof(struct mxq_quantize_options) */
    enum mxq_scale_mode scale_mode;
    enum mxq_nonfinite nonfinite;
    const struct mxq_parallel *parallel; /* NULL: this thread */
};
#define MXQ_QUANTIZE_OPTIONS                                                                       \
    {                                                                                              \
        sizeof(struct mxq_quantize_options), MXQ_SCALE_RCEIL, MXQ_NONFINITE_NAN, NULL              \
    }

/* mxq_quantize() converts a matrix to a block-scaled format.  For each block:
 *
 *     scale   = code(amax), by the rule of options->scale_mode
 *     element = round(x * 2^(127 - scale))
 *
 * rounded to nearest even, once, from the exact product; magnitudes beyond the largest finite
 * element saturate to it; subnormal element codes are used; the sign of zero is kept.
 *
 *   q         out  format, shape and strides set by the caller; elements and scales are written
 *   x         in   same rows and cols as q
 *   options   in   NULL for the defaults: rceil, NaN blocks, this thread
 *   error     out  may be NULL
 *
 * cols need not be a multiple of the block: missing elements of the last block count as +0 and are
 * not written.  rows or cols may be 0.  Bytes between rows are not touched.
 *
 * A block that holds a NaN or an infinity becomes a NaN block (scale 0xFF, elements 0x7F), or, with
 * MXQ_NONFINITE_ERROR, the call fails with MXQ_ERR_NONFINITE and writes nothing; this costs a second
 * read of x.
 *
 * Returns MXQ_OK, MXQ_ERR_ARGUMENT, MXQ_ERR_FORMAT, MXQ_ERR_SHAPE, MXQ_ERR_OVERLAP or
 * MXQ_ERR_NONFINITE.
 *
 * Source: OCP Microscaling Formats (MX) v1.0, section 6.3; docs/numerics.md. */
MXQ_API MXQ_NODISCARD enum mxq_status mxq_quantize(const struct mxq_quantized *q,
                                                   const struct mxq_matrix *x,
                                                   const struct mxq_quantize_options *options,
                                                   struct mxq_error *error);

/* mxq_dequantize() converts back:
 *
 *     y = element * 2^(scale - 127)
 *
 * exact in F32 (a magnitude beyond F32 becomes an infinity, subnormal results are kept), then
 * rounded once, to nearest even, when y is BF16 or F16.  Scale 0xFF and NaN elements give the
 * canonical NaN: 0x7FC00000 in F32, 0x7FC0 in BF16, 0x7E00 in F16.
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
/*                                          Packed weights                                        */
/* ============================================================================================== */

/* A weight matrix is packed once, then multiplied many times.  The packed form is one contiguous
 * buffer without pointers: the same bytes on every machine, so that it may be saved, mapped and moved.
 * Its layout is specified in src/packed.h.  It need not be aligned; 64 bytes are best. */

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
 *   options               in   as for mxq_quantize(); NULL for the defaults
 *   parallel              in   NULL: this thread
 *   error                 out  may be NULL
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
    MXQ_X_QUANTIZED  /* quantized to x_format by x_scale_mode, as mxq_quantize() would */
};
#define MXQ_X_COMPUTES 3

/* Options of mxq_matmul().  Initialise with MXQ_MATMUL_OPTIONS, then change fields. */
struct mxq_matmul_options {
    size_t struct_bytes; /* sizeof(struct mxq_matmul_options) */
    enum mxq_x_compute x_compute;
    struct mxq_format x_format;          /* for MXQ_X_QUANTIZED */
    enum mxq_scale_mode x_scale_mode;    /* for MXQ_X_QUANTIZED */
    int accumulate;                      /* 1: add to what y holds; 0: y is only written */
    const struct mxq_matrix *bias;       /* 1 x n, of any type, added last; NULL: none */
    void *scratch;                       /* memory for this call, any alignment */
    size_t scratch_bytes;                /* at least mxq_matmul_scratch_bytes() */
    const struct mxq_parallel *parallel; /* NULL: this thread */
};
#define MXQ_MATMUL_OPTIONS                                                                         \
    {                                                                                              \
        sizeof(struct mxq_matmul_options), MXQ_X_AS_IS, {MXQ_E4M3, MXQ_E8M0, 1, 32},               \
            MXQ_SCALE_RCEIL, 0, NULL, NULL, 0, NULL                                                \
    }

/* Computes the scratch that mxq_matmul() and mxq_matmul_quantized() need for an m x k by k x n
 * product, on any instruction set and with any options: about 4 bytes for each value of x, with up to
 * 3 KiB more a row, and of y, but for y no more than 16 MiB or 256 bytes a row.  It never shrinks when
 * m, n or k grows, so scratch for the largest m, n and k serves all.  Returns MXQ_OK,
 * MXQ_ERR_ARGUMENT, or MXQ_ERR_SHAPE when the size overflows size_t. */
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
 *   y         out  m x n; also in when accumulating
 *   x         in   m x k
 *   w         in   packed, n x k, with packed_bytes the bytes that are readable there
 *   options   in   scratch is required unless m, n or k is 0
 *   error     out  may be NULL
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

/* The same with activations that are quantized already; options->x_compute must be MXQ_X_AS_IS. */
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
