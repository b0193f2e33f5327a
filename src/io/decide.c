/* SPDX-License-Identifier: Apache-2.0 */
/* decide.c -- the rules: linear layers are quantized, what is small or sensitive is kept. */
#include "decide.h"

#include <fnmatch.h>
#include <string.h>

#include "scheme.h"

static const struct {
    const char *key;
    const char *words;
} decisions[MXQ_DECISIONS] = {
#define MXQ_DECISION(decision, key, words) {key, words},
    MXQ_DECISION_LIST
#undef MXQ_DECISION
};

const char *mxq_decision_key(enum mxq_decision decision)
{
    return decisions[decision].key;
}

const char *mxq_decision_words(enum mxq_decision decision)
{
    return decisions[decision].words;
}

/* Names are paths of components: "model.layers.0.mlp.gate.weight".  A rule looks at the whole path
 * without ".weight", at its last component, or at any of them. */
enum part { WHOLE, LAST, ANY };

static const struct {
    enum part part;
    const char *pattern;
    enum mxq_decision decision;
} rules[] = {
    {LAST, "*norm*", MXQ_KEEP_NORM},
    {LAST, "ln", MXQ_KEEP_NORM},
    {LAST, "ln_*", MXQ_KEEP_NORM},
    {LAST, "lm_head", MXQ_KEEP_HEAD},
    {LAST, "embed_out", MXQ_KEEP_HEAD},
    {LAST, "score", MXQ_KEEP_HEAD},
    {WHOLE, "output", MXQ_KEEP_HEAD}, /* Mistral's own files */
    {ANY, "*embed*", MXQ_KEEP_EMBEDDING},
    {LAST, "wte", MXQ_KEEP_EMBEDDING},
    {LAST, "wpe", MXQ_KEEP_EMBEDDING},
    {LAST, "eh_proj",
     MXQ_KEEP_EMBEDDING}, /* joins embedding and state for multi-token prediction */
    {LAST, "relative_attention_bias", MXQ_KEEP_EMBEDDING},
    {WHOLE, "shared", MXQ_KEEP_EMBEDDING}, /* T5 */
    {LAST, "gate", MXQ_KEEP_ROUTER},
    {LAST, "shared_expert_gate", MXQ_KEEP_ROUTER},
    {ANY, "router", MXQ_KEEP_ROUTER},
};

#define MAX_COMPONENT 256

/* Matches one component; longer ones than any rule could mean never match. */
static int matches(const char *pattern, const char *component, size_t bytes)
{
    char text[MAX_COMPONENT];
    if (bytes >= sizeof text)
        return 0;
    memcpy(text, component, bytes);
    text[bytes] = '\0';
    return !fnmatch(pattern, text, 0);
}

static int rule_applies(enum part part, const char *pattern, const char *module, size_t bytes)
{
    if (part == WHOLE)
        return matches(pattern, module, bytes);
    for (size_t begin = 0; begin <= bytes;) {
        const char *dot = memchr(module + begin, '.', bytes - begin);
        const size_t end = dot ? (size_t)(dot - module) : bytes;
        if ((part == ANY || !dot) && matches(pattern, module + begin, end - begin))
            return 1;
        begin = end + 1;
    }
    return 0;
}

static int ends_with(const char *name, const char *suffix)
{
    const size_t bytes = strlen(name), suffix_bytes = strlen(suffix);
    return bytes >= suffix_bytes && !strcmp(name + bytes - suffix_bytes, suffix);
}

static enum mxq_decision decide_by_name(const char *name)
{
    if (!ends_with(name, ".weight"))
        return ends_with(name, "bias") ? MXQ_KEEP_BIAS : MXQ_KEEP_OTHER;
    const size_t bytes = strlen(name) - strlen(".weight");
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (rule_applies(rules[i].part, rules[i].pattern, name, bytes))
            return rules[i].decision;
    return MXQ_QUANTIZE;
}

static int find_type(enum mxq_dtype dtype, enum mxq_type *type)
{
    switch (dtype) {
    case MXQ_DTYPE_F32:
        *type = MXQ_F32;
        return 1;
    case MXQ_DTYPE_BF16:
        *type = MXQ_BF16;
        return 1;
    case MXQ_DTYPE_F16:
        *type = MXQ_F16;
        return 1;
    default:
        return 0;
    }
}

static int matches_glob(const struct mxq_globs *globs, const char *name)
{
    for (size_t i = 0; i < globs->count; i++)
        if (!fnmatch(globs->items[i], name, 0))
            return 1;
    return 0;
}

enum mxq_decision mxq_decide(const struct mxq_tensor *tensor,
                             const struct mxq_convert_options *options, enum mxq_type *type)
{
    const enum mxq_decision decision = decide_by_name(tensor->name);
    if (decision != MXQ_QUANTIZE)
        return decision;
    if (tensor->dims != 2)
        return MXQ_KEEP_RANK;
    if (!find_type(tensor->dtype, type))
        return MXQ_KEEP_DTYPE;
    if (!tensor->elements)
        return MXQ_KEEP_EMPTY;
    if (!options->candidates && !mxq_format_takes_row(&options->format.format, tensor->shape[1]))
        return MXQ_KEEP_ROW_LENGTH;
    if (options->only.count && !matches_glob(&options->only, tensor->name))
        return MXQ_KEEP_ONLY;
    if (matches_glob(&options->skip, tensor->name))
        return MXQ_KEEP_SKIP;
    return MXQ_QUANTIZE;
}

int mxq_is_quantized(const struct mxq_tensor *tensor)
{
    static const char *const suffixes[] = {".weight_scale",   ".weight_scale_inv",
                                           ".weight_scale_2", ".weight_packed",
                                           ".weight_shape",   ".weight_global_scale"};
    const unsigned bits = mxq_dtype_bits(tensor->dtype);
    const int is_integer = tensor->dtype == MXQ_DTYPE_BOOL || tensor->dtype == MXQ_DTYPE_U8 ||
                           tensor->dtype == MXQ_DTYPE_I8;
    if (bits <= 8 && !is_integer)
        return 1;
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++)
        if (ends_with(tensor->name, suffixes[i]))
            return 1;
    return 0;
}

int mxq_must_be_ignored(const struct mxq_tensor *tensor, enum mxq_decision decision)
{
    return decision != MXQ_QUANTIZE && decision != MXQ_KEEP_EMBEDDING &&
           decision != MXQ_KEEP_NORM && tensor->dims == 2 && ends_with(tensor->name, ".weight");
}
