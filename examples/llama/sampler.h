/* SPDX-License-Identifier: Apache-2.0 */
/* sampler.h -- picks the next token. */
#ifndef LLAMA_SAMPLER_H
#define LLAMA_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

struct sampler {
    double temperature; /* 0: the likeliest token, always */
    uint64_t state;     /* the seed, at first */
};

size_t sampler_next(struct sampler *s, const float *logits, size_t n);

#endif
