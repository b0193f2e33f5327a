/* SPDX-License-Identifier: Apache-2.0 */
/* fill.h -- blocks of wide values, made to be difficult. */
#ifndef MXQ_TESTS_FILL_H
#define MXQ_TESTS_FILL_H

#include "mxq/mxq.h"
#include "random.h"

enum fill {
    FILL_ZERO,
    FILL_SIGNED_ZERO,
    FILL_UNIFORM,           /* any bit pattern */
    FILL_NORMAL,            /* normal(0, 1) times a power of two, one for each block */
    FILL_TIES,              /* every midpoint between codes, and both its neighbours */
    FILL_CODES,             /* values that have a code */
    FILL_WIDE_SUBNORMAL,    /* subnormals of the wide type */
    FILL_ELEMENT_SUBNORMAL, /* around the subnormals of the element */
    FILL_SATURATION,        /* around the largest element */
    FILL_OUTLIER,           /* one value far above all others, in each lane in turn */
    FILL_NONFINITE,         /* one NaN (quiet, signalling) or infinity, in each lane in turn */
    FILL_ALL_NONFINITE,     /* nothing else */
    FILL_EXTREMES,          /* the largest and the smallest normals and subnormals, zeros */
    FILL_THRESHOLD,         /* amax at, above and below every scale threshold, at every exponent */
    FILL_EVERY,             /* counts through all bit patterns */
    FILL_LONE,              /* ordinary blocks, with one of another kind here and there */
    FILL_MIXED,             /* any of the above, block by block */
    FILLS
};

const char *fill_name(enum fill fill);

/* What a block is made for. */
struct fill_target {
    enum mxq_type type;
    enum mxq_element element;
    uint8_t scale;  /* FILL_TIES and the like aim at the grid under this scale */
    uint64_t index; /* of the block: where the fills that count through something continue */
};

/* Writes one block of 32 values. */
void fill_block(struct random *r, enum fill fill, const struct fill_target *t, void *block);

/* amax number `index` of a sweep over thresholds: every exponent with every interesting mantissa,
 * as F32 bits.  Repeats after FILL_THRESHOLDS. */
uint32_t fill_threshold(uint64_t index);
#define FILL_THRESHOLDS (256 * 20)

/* How many blocks a fill needs to count through all that it counts, or to mean something. */
extern const uint32_t fill_blocks[FILLS];

/* Returns a scale code: extremes more often than chance would. */
uint8_t fill_scale(struct random *r);

/* Returns a scale code for block `index` of a fill: every one in turn where the fill aims at the grid
 * under it, ordinary ones around the odd block of FILL_LONE. */
uint8_t fill_scale_for(struct random *r, enum fill fill, uint64_t index);

#endif
