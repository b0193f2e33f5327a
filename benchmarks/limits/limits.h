/* SPDX-License-Identifier: Apache-2.0 */
/* limits.h -- the machine's limits: streams that move the bytes of a kernel and do none of its
 * work, and loops that multiply and move next to nothing.
 *
 * A stream visits memory in the order of the kernels: blocks of 32 values on the wide side, their codes
 * on the narrow side, one scale byte a block.  Each instruction set has its own, in
 * intrinsics and with its own vectors, so that no compiler can turn the loop into a better or
 * worse one. */
#ifndef MXQ_BENCH_LIMITS_H
#define MXQ_BENCH_LIMITS_H

#include <stddef.h>

/* Every stream works on whole groups of blocks: the scales of a group are one 16-byte access. */
#define LIMIT_GROUP 16

/* Bytes of a block of 32 values: 128 or 64 on the wide side (F32; BF16, F16), 32, 24 or 16 on the narrow
 * one (elements of 8, 6 or 4 bits), where a scale byte comes with them. */
enum limit_mix {
    LIMIT_READ, /* 128 bytes a block read, nothing written (one vector a call) */
    LIMIT_128_32,
    LIMIT_64_32,
    LIMIT_128_24,
    LIMIT_64_24,
    LIMIT_128_16,
    LIMIT_64_16,
    LIMIT_32_128,
    LIMIT_32_64,
    LIMIT_24_128,
    LIMIT_24_64,
    LIMIT_16_128,
    LIMIT_16_64
};
#define LIMIT_MIXES 13

/* scale is written where the stream narrows, read where it widens.  blocks is a multiple of
 * LIMIT_GROUP; pointers are aligned to 64 bytes. */
typedef void limit_fn(void *dst, const void *src, void *scale, size_t blocks);

/* Reads alone, in several ways: which one is fastest depends on the machine and on where the bytes
 * are.  bytes is a multiple of 1024; one vector is written to dst. */
typedef void limit_read_fn(void *dst, const void *src, size_t bytes);

enum limit_read_way {
    LIMIT_READ_ONE,        /* from the first byte to the last, as the hardware prefetches */
    LIMIT_READ_PREFETCHED, /* the same, with software prefetches */
    LIMIT_READ_FOUR        /* four quarters side by side: four streams for the prefetchers */
};
#define LIMIT_READ_WAYS 3

struct limits {
    const char *isa;
    limit_fn *ordinary[LIMIT_MIXES];
    limit_fn *nontemporal[LIMIT_MIXES]; /* stores past the caches; NULL where there are none */
    limit_read_fn *read[LIMIT_READ_WAYS];
};

/* The multipliers' peak: independent chains of one instruction whose operands are registers, or,
 * for tiles, which must come from memory, lines of L1. */
struct limit_peak {
    const char *isa;
    const char *instruction;
    double step_flops;         /* of one step, a multiplication and an addition counting two */
    void (*run)(size_t steps); /* at most 2^20 steps, or sums grow out of the ordinary */
};

extern const struct limit_peak limit_peak_avx2;
extern const struct limit_peak limit_peak_avx2madd;
extern const struct limit_peak limit_peak_avx512;
extern const struct limit_peak limit_peak_avx512vnni;
extern const struct limit_peak limit_peak_avx512bf16;
extern const struct limit_peak limit_peak_amx;
extern const struct limit_peak limit_peak_amxint8;
extern const struct limit_peak limit_peak_neon;
extern const struct limit_peak limit_peak_neonbf16;

extern const struct limits limits_scalar;
extern const struct limits limits_avx2;
extern const struct limits limits_avx512;
extern const struct limits limits_neon;

#endif
