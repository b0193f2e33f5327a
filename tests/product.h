/* SPDX-License-Identifier: Apache-2.0 */
/* product.h -- matrix products made to be difficult, with their results by the oracle. */
#ifndef MXQ_TESTS_PRODUCT_H
#define MXQ_TESTS_PRODUCT_H

#include "guard.h"
#include "oracle_gemm.h"
#include "random.h"

/* What the operands hold. */
enum product_values {
    PRODUCT_ORDINARY,
    PRODUCT_WIDE,      /* exponents all over the range */
    PRODUCT_UNDERFLOW, /* products at 2^-126, 2^-141 and 2^-149: the bounds of the range guard */
    PRODUCT_OVERFLOW,  /* dots at 2^128 */
    PRODUCT_SCALES,    /* scales at the ends and where they stop being ordinary */
    PRODUCT_SUBNORMAL, /* x of subnormals */
    PRODUCT_NONFINITE, /* ordinary ones, and some NaNs, infinities and zeros */
    PRODUCT_ZEROS,     /* of both signs, and little else */
    PRODUCT_CANCEL,    /* sums that cancel, and ties */
    PRODUCT_ANY,       /* any bit pattern */
    PRODUCT_VALUES
};

/* x is a wide type, or quantized. */
enum product_x { PRODUCT_X_QUANTIZED = MXQ_TYPES };
#define PRODUCT_XS (MXQ_TYPES + 1)

struct product_plan {
    size_t m, n, k;
    int x; /* an mxq_type, or PRODUCT_X_QUANTIZED */
    struct mxq_format w_format;
    enum mxq_type y_type;
    enum mxq_x_compute x_compute;
    struct mxq_format x_format; /* of quantized x, and for MXQ_X_QUANTIZED */
    enum mxq_scale_mode x_mode;
    int accumulate;
    int bias; /* an mxq_type; -1: none */
    enum product_values values;
    size_t x_gap, scales_gap, y_gap; /* between rows, in units of their strides */
    uint64_t seed;
};

/* A plan with its data.  Arrays are dense but for the gaps. */
struct product {
    struct product_plan plan;
    size_t x_stride, scales_stride, y_stride; /* that of quantized x, and of scales, in bytes */
    struct {
        unsigned char *data;
        size_t bytes;
    } x, x_scales, bias, w, w_scales, packed, before, after; /* the last two: y and its gaps */
    float x_tensor_scale, w_tensor_scale;
    float *values_x, *values_w;                      /* as they are multiplied */
    struct oracle_scales factors_of_x, factors_of_w; /* whose values are allocated */
};

/* A plan of random types and options, with the shape left out. */
struct product_plan product_plan(struct random *r);

/* Any format. */
struct mxq_format product_format(struct random *r);

/* Makes the operands, and y after the call.  Where the formats of the plan do not go together, that of x is
 * another one in p->plan. */
void product_make(struct product *p, const struct product_plan *plan);
void product_free(struct product *p);

/* The packed weights' source; and quantized x, whose memory may be elsewhere. */
struct mxq_quantized product_weights(const struct product *p);
struct mxq_quantized product_quantized_x(const struct product *p, uint8_t *elements,
                                         uint8_t *scales);

/* Where a call finds its operands: each between guard pages. */
enum {
    PRODUCT_Y,
    PRODUCT_X,
    PRODUCT_SCALES_OF_X,
    PRODUCT_BIAS,
    PRODUCT_W,
    PRODUCT_SCRATCH,
    PRODUCT_MEMORIES
};
struct product_memory {
    struct guard guards[PRODUCT_MEMORIES];
};
void product_memory_free(struct product_memory *memory);

/* Multiplies, at random places in memory, on the active instruction set.  Returns "" when y and its gaps are
 * what the oracle says and nothing else is touched; else a message, in static memory. */
const char *product_run(const struct product *p, struct product_memory *memory,
                        const struct mxq_parallel *parallel, uint64_t place);

/* Writes the plan as text, into static memory. */
const char *product_text(const struct product_plan *plan);

#endif
