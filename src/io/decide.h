/* SPDX-License-Identifier: Apache-2.0 */
/* decide.h -- which tensors are quantized, and why the others are not. */
#ifndef MXQ_IO_DECIDE_H
#define MXQ_IO_DECIDE_H

#include "options.h"
#include "safetensors.h"

/* MXQ_DECISION(decision, key, words): the key is for programs, the words are for people. */
/* clang-format off */
#define MXQ_DECISION_LIST                                                                          \
    MXQ_DECISION(QUANTIZE,        "quantized",  "quantized")                                       \
    MXQ_DECISION(KEEP_BIAS,       "bias",       "a bias")                                          \
    MXQ_DECISION(KEEP_OTHER,      "other",      "no *.weight of a layer")                          \
    MXQ_DECISION(KEEP_NORM,       "norm",       "a norm")                                          \
    MXQ_DECISION(KEEP_EMBEDDING,  "embedding",  "an embedding")                                    \
    MXQ_DECISION(KEEP_HEAD,       "head",       "the output head")                                 \
    MXQ_DECISION(KEEP_ROUTER,     "router",     "a router")                                        \
    MXQ_DECISION(KEEP_RANK,       "rank",       "no matrix")                                       \
    MXQ_DECISION(KEEP_DTYPE,      "dtype",      "not F32, BF16 or F16")                            \
    MXQ_DECISION(KEEP_EMPTY,      "empty",      "empty")                                           \
    MXQ_DECISION(KEEP_ROW_LENGTH, "row_length", "rows are no whole blocks")                 \
    MXQ_DECISION(KEEP_SQNR,       "sqnr",       "no format reaches --min-sqnr")                    \
    MXQ_DECISION(KEEP_SKIP,       "skip",       "matches --skip")                                  \
    MXQ_DECISION(KEEP_ONLY,       "only",       "matches no --only")
/* clang-format on */

enum mxq_decision {
#define MXQ_DECISION(decision, key, words) MXQ_##decision,
    MXQ_DECISION_LIST
#undef MXQ_DECISION
        MXQ_DECISIONS
};

const char *mxq_decision_key(enum mxq_decision decision);
const char *mxq_decision_words(enum mxq_decision decision);

/* Decides about one tensor.  `type` is set when it is to be quantized. */
enum mxq_decision mxq_decide(const struct mxq_tensor *tensor,
                             const struct mxq_convert_options *options, enum mxq_type *type);

/* Returns 1 when a tensor shows that its file holds quantized weights already. */
int mxq_is_quantized(const struct mxq_tensor *tensor);

/* Returns 1 when a tensor that is kept belongs to a layer that servers would otherwise expect to be
 * quantized: it must be in the list of layers to ignore. */
int mxq_must_be_ignored(const struct mxq_tensor *tensor, enum mxq_decision decision);

#endif
