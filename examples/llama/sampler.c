/* SPDX-License-Identifier: Apache-2.0 */
/* sampler.c -- greedy, or at random by temperature; a seed gives the same tokens everywhere. */
#include "sampler.h"

#include "arithmetic.h"

/* SplitMix64, as a number in [0, 1). */
static double random_number(struct sampler *s)
{
    uint64_t z = s->state += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static double weight(const struct sampler *s, float logit, float most)
{
    return exponential(((double)logit - most) / s->temperature);
}

size_t sampler_next(struct sampler *s, const float *logits, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        best = logits[i] > logits[best] ? i : best;
    if (s->temperature <= 0)
        return best;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += weight(s, logits[i], logits[best]);
    double left = random_number(s) * sum;
    for (size_t i = 0; i < n; i++) {
        left -= weight(s, logits[i], logits[best]);
        if (left < 0)
            return i;
    }
    return best; /* rounding left nothing */
}
