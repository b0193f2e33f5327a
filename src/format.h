/* SPDX-License-Identifier: Apache-2.0 */
/* format.h -- element, scale and block formats as data. */
#ifndef MXQ_FORMAT_H
#define MXQ_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "mxq/mxq.h"

/* The bodies that kernels share take the element and the type as arguments, to be folded: inlining is
 * not left to the compiler's taste. */
#define MXQ_INLINE static inline __attribute__((always_inline))

/* Values that kernels work on at a time; also the block of the MX formats. */
#define MXQ_BLOCK 32

enum mxq_element_kind { MXQ_FLOAT, MXQ_INTEGER };

/* An element code; elements.def says what the members mean.  All constants of the kernels follow from
 * these. */
struct mxq_element_info {
    const char *name;
    enum mxq_element_kind kind;
    int bits;
    int mantissa_bits;
    int bias;
    int emax;
    uint8_t max_code;
    uint8_t nan_code;
    float max;
    enum mxq_scale_mode mode;
};

/* Here and not in format.c, so that a kernel for one element folds its constants. */
static const struct mxq_element_info mxq_elements[MXQ_ELEMENTS] = {
#define MXQ_ELEMENT(E, e, kind, bits, mantissa_bits, bias, emax, max_code, nan_code, max, mode)    \
    [MXQ_##E] = {#e,   MXQ_##kind, bits,     mantissa_bits, bias,                                  \
                 emax, max_code,   nan_code, max,           MXQ_SCALE_##mode},
#include "elements.def"
};

/* Bytes of so many codes, the last one filled up with zero bits. */
MXQ_INLINE size_t mxq_code_bytes(const struct mxq_element_info *e, size_t codes)
{
    return codes / 8 * (size_t)e->bits + (codes % 8 * (size_t)e->bits + 7) / 8;
}

/* The integer rule that turns amax into an E8M0 code; see mxq_scale_fn. */
struct mxq_scale_rule {
    uint32_t emax;
    uint32_t threshold; /* of the 23-bit mantissa field; 1 << 23 is never reached */
    uint32_t exception; /* one amax, as F32 bits, for which d = 0 whatever its mantissa;
                            UINT32_MAX: none */
    uint8_t by_error;   /* then the better of the code and the next one; see mxq_mse_fn */
};

/* Returns the rule of a scale mode for an element code.  Both must be valid. */
struct mxq_scale_rule mxq_scale_rule(enum mxq_element element, enum mxq_scale_mode mode);

/* Returns the mode that MXQ_SCALE_DEFAULT means for a format. */
enum mxq_scale_mode mxq_scale_mode_of(const struct mxq_format *format, enum mxq_scale_mode mode);

/* Returns 1 when a mode makes sense for a format, both being valid. */
int mxq_scale_mode_is_supported(const struct mxq_format *format, enum mxq_scale_mode mode);
extern const char mxq_supported_scale_modes[]; /* which those are, in a sentence */

/* Returns 1 when the library supports this combination of element, scale and block shape. */
int mxq_format_is_supported(const struct mxq_format *format);
extern const char mxq_supported_formats[]; /* which those are, in a sentence */

/* Returns the bytes of one scale; the scale must be valid. */
size_t mxq_scale_bytes(enum mxq_scale scale);

/* How many blocks there are along an axis of `extent` values, and their length: an extent of 0 in a
 * format means the whole axis. */
size_t mxq_block_length(uint32_t block, size_t extent);
size_t mxq_block_count(uint32_t block, size_t extent);

#endif
