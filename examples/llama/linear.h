/* SPDX-License-Identifier: Apache-2.0 */
/* linear.h -- linear layers, y = x w^T: packed MXFP8 by libmxq, or plain F32 to compare with. */
#ifndef LLAMA_LINEAR_H
#define LLAMA_LINEAR_H

#include "arithmetic.h"
#include "checkpoint.h"
#include "mxq/mxq.h"

enum precision { PRECISION_F32, PRECISION_BF16, PRECISION_MXFP8 };

/* What linear layers compute with.  Plain layers, of F32 or BF16 weights, round their activations
 * as mxq_matmul() does, and then add in F32. */
struct numbers {
    enum precision weights;
    enum precision activations;
    enum mxq_element element;       /* of whatever is quantized here, */
    enum mxq_scale_mode scale_mode; /* and the rule of its scales */
};

/* n outputs, k inputs; packed or panels is NULL. */
struct linear {
    size_t n, k;
    struct numbers numbers;
    void *packed; /* of libmxq */
    size_t packed_bytes;
    float *panels; /* of multiply_panel() */
};

/* What all layers share: threads, and memory for one product at a time. */
struct workspace {
    const struct mxq_parallel *parallel;
    void *scratch; /* of mxq_matmul() */
    size_t scratch_bytes;
    float *rounded;             /* a plain product's activations, rounded, */
    uint8_t *elements, *scales; /* by way of MXFP8 */
};

/* Allocates the memory for products of up to m rows, n outputs and k inputs. */
void workspace_reserve(struct workspace *w, size_t m, size_t n, size_t k);
void workspace_free(struct workspace *w);

/* Loads the weights "<name>.weight", n x k.  A tensor of 8-bit floats is packed with its scales,
 * "<name>.weight_scale"; another one is quantized and packed when numbers ask for MXFP8. */
void linear_load(struct linear *l, const struct checkpoint *c, const char *name, size_t n, size_t k,
                 const struct numbers *numbers, const struct mxq_parallel *parallel);
void linear_free(struct linear *l);

/* y = x w^T, or y += x w^T. */
void linear_apply(const struct linear *l, struct rows y, struct rows x, int accumulate,
                  const struct workspace *w);

#endif
