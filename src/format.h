/* SPDX-License-Identifier: Apache-2.0 */
/* format.h -- element, scale and block formats as data. */
#ifndef MXQ_FORMAT_H
#define MXQ_FORMAT_H

#include <stdint.h>

#include "mxq/mxq.h"

/* The bodies that kernels share take the element and the type as arguments, to be folded: inlining is
 * not left to the compiler's taste. */
#define MXQ_INLINE static inline __attribute__((always_inline))

/* Every block that is supported so far has 32 elements. */
#define MXQ_BLOCK 32

/* An element code: a sign, then an exponent and a mantissa that count in steps of one code.  All
 * constants of the kernels follow from these. */
struct mxq_element_info {
    const char *name;
    int mantissa_bits;
    int bias;         /* exponent field 1 means 2^(1 - bias) */
    int emax;         /* exponent of the largest finite value */
    uint8_t max_code; /* code of the largest finite value; what is above it is special */
    float max;        /* the largest finite value */
};

/* Here and not in format.c, so that a kernel for one element folds its constants. */
/* clang-format off */
static const struct mxq_element_info mxq_elements[MXQ_ELEMENTS] = {
    /*               name    mbits  bias  emax  max code  max */
    [MXQ_E4M3] = {  "e4m3",  3,      7,    8,   0x7E,       448.0f },
    [MXQ_E5M2] = {  "e5m2",  2,     15,   15,   0x7B,     57344.0f },
};
/* clang-format on */

/* The integer rule that turns amax into an E8M0 code; see mxq_scale_fn. */
struct mxq_scale_rule {
    uint32_t emax;
    uint32_t threshold; /* of the 23-bit mantissa field; 1 << 23 is never reached */
    uint32_t exception; /* one amax, as F32 bits, for which d = 0 whatever its mantissa;
                            UINT32_MAX: none */
};

/* Returns the rule of a scale mode for an element code.  Both must be valid. */
struct mxq_scale_rule mxq_scale_rule(enum mxq_element element, enum mxq_scale_mode mode);

/* Returns 1 when the library supports this combination of element, scale and block shape. */
int mxq_format_is_supported(const struct mxq_format *format);

/* Which combinations those are, in a sentence. */
extern const char mxq_supported_formats[];

#endif
