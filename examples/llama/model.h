/* SPDX-License-Identifier: Apache-2.0 */
/* model.h -- a Llama: its weights, its memory, and the forward pass. */
#ifndef LLAMA_MODEL_H
#define LLAMA_MODEL_H

#include "linear.h"

struct layer {
    struct linear q, k, v, o, gate, up, down;
    float *attention_norm, *mlp_norm;
};

struct model {
    struct config config;
    const struct tensor *embedding;
    struct layer *layers;
    float *norm;
    struct linear head; /* never quantized */

    size_t batch;     /* rows of a forward pass, at most */
    size_t positions; /* of the K/V cache */
    struct workspace work;
    float (*rotations)[2]; /* [position][head_dim / 2]: cos, sin */
    float *keys;   /* [layer][kv_head][positions / 16][head_dim][16]: see multiply_panel() */
    float *values; /* [layer][kv_head][head_dim / 16][positions][16] */
    float *scores; /* of attention's strands */
    struct rows hidden, normed, q, k, v, attended, gate, up, logits;
};

/* Loads and packs the weights, and allocates all memory: for passes of up to `batch` tokens, of
 * which the last `logit_rows` have logits, and for `positions` tokens in all. */
void model_load(struct model *m, const struct checkpoint *c, const struct numbers *numbers,
                const struct mxq_parallel *parallel, size_t positions, size_t batch,
                size_t logit_rows);
void model_free(struct model *m);

/* Runs `count` tokens, which are bytes, from a position; those before it have been run.  Returns
 * the logits of the last `logit_rows` tokens, [logit_rows][vocab_size].  A token's logits are the
 * same bits however the tokens are cut into passes. */
const float *model_forward(struct model *m, const uint8_t *tokens, size_t count, size_t position,
                           size_t logit_rows);

#endif
