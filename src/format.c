/* SPDX-License-Identifier: Apache-2.0 */
/* format.c -- what follows from the table of element codes. */
#include "format.h"

#include <string.h>

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

struct mxq_scale_rule mxq_scale_rule(enum mxq_element element, enum mxq_scale_mode mode)
{
    const struct mxq_element_info *e = &mxq_elements[element];
    struct mxq_scale_rule rule = {(uint32_t)e->emax, UINT32_C(1) << 23, UINT32_MAX};
    switch (mode) {
    case MXQ_SCALE_FLOOR:
        break;
    case MXQ_SCALE_CEIL:
        rule.threshold = 1;
        break;
    case MXQ_SCALE_EVEN:
        /* The mantissas that carry into the next binade when rounded to the element's, half up. */
        rule.threshold -= UINT32_C(1) << (22 - e->mantissa_bits);
        break;
    case MXQ_SCALE_RCEIL:
        /* amax > max * 2^k.  At nextafter(max * 2^-127) the F32 product amax * (1/max) rounds down
         * to exactly 2^-127, whose code is 0: the producers use the product, and so does mxq. */
        rule.threshold = (bits_of(e->max) & 0x7FFFFF) + 1;
        rule.exception = bits_of(e->max) - (UINT32_C(127) << 23) + 1;
        break;
    case MXQ_SCALE_CT:
        rule.threshold = 0x600000;
        break;
    }
    return rule;
}

const char mxq_supported_formats[] =
    "format must be E4M3 or E5M2 elements with E8M0 scales on 1 x 32 blocks";

int mxq_format_is_supported(const struct mxq_format *format)
{
    return (unsigned)format->element < MXQ_ELEMENTS && format->scale == MXQ_E8M0 &&
           format->block_rows == 1 && format->block_cols == MXQ_BLOCK;
}
