/* SPDX-License-Identifier: Apache-2.0 */
/* gemm_long.c -- very many random dots through every row: suite gemm-long.
 *
 * A dot is the 32 products of one sub-block of one output.  Most products have one sub-block only, so that
 * no later sum can hide a wrong one.  The operands cover wide ranges of exponents, and cancel and tie often;
 * most of them pass the range guard, so that units which flush take part.
 *
 *     gemm_long [MILLIONS OF DOTS] [SEED] */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "oracle_gemm.h"
#include "random.h"
#include "tally.h"
#include "workers.h"

#define ELEMENTS 2 /* of weights: E4M3 and E5M2 */

#define THREADS          2
#define PRODUCT_ELEMENTS 2  /* of weights: E4M3 and E5M2 */
#define BATCH            64 /* products between two changes of the row */

/* The shapes: the fused kernels, the tiles, the tails of both. */
static const struct {
    size_t m, n, k;
} shapes[] = {{1, 1024, 32}, {2, 1000, 32}, {5, 512, 32},  {8, 500, 32}, {16, 256, 32},
              {33, 250, 32}, {64, 128, 32}, {128, 64, 32}, {64, 64, 96}, {70, 60, 50}};
#define SHAPES     (sizeof shapes / sizeof *shapes)
#define MOST_X     (128 * 96)
#define MOST_W     (1024 * 96)
#define MOST_Y     (128 * 128)
#define MOST_BYTES (128 + 64 * (3 * 512 + 64))
#define ELEMENTS   2 /* E4M3 and E5M2 */

struct product {
    size_t m, n, k;
    enum mxq_type x_type;
    enum mxq_x_compute x_compute;
    float x[MOST_X], rounded[MOST_X], w[MOST_W];
    uint16_t narrow[MOST_X];
    uint8_t elements[MOST_W], scales[MOST_W / 32];
    uint8_t packed[MOST_BYTES];
    size_t packed_bytes;
    float before[MOST_Y], after[MOST_Y], y[MOST_Y];
    int accumulate;
};

static struct product products[BATCH];
static struct tally tally = {"gemm-long", 0, 0};
static uint64_t seed = 1, batch;
static _Atomic uint64_t wrong;

/* ------------------------------------------- Operands ----------------------------------------- */

/* How the values of a product are chosen. */
struct ranges {
    int x_low, x_spread, x_bits;
    int scale_low, scale_spread;
    int repeats; /* one of so many pairs of products cancels */
};

static struct ranges some_ranges(struct random *r)
{
    static const int spreads[] = {0, 2, 8, 20, 40, 70};
    static const int bits[] = {0, 1, 2, 3, 7, 7, 7, 23};
    struct ranges a;
    a.x_spread = spreads[random_below(r, 6)];
    a.x_low = (int)random_below(r, 40) - 20 - a.x_spread / 2;
    a.x_bits = bits[random_below(r, 8)];
    a.scale_spread = spreads[random_below(r, 5)];
    a.scale_low = 107 + (int)random_below(r, 40) - a.scale_spread / 2;
    a.repeats = 1 + (int)random_below(r, 8);
    return a;
}

static float some_x(struct random *r, const struct ranges *a)
{
    const uint64_t random = random_u64(r);
    const int exponent = a->x_low + (int)((random >> 32) % (uint64_t)(a->x_spread + 1));
    uint32_t bits = (uint32_t)random & (0x80000000 | (0x7FFFFF & ~(0x7FFFFFu >> a->x_bits)));
    bits |= (uint32_t)(exponent + 127) << 23;
    float value;
    memcpy(&value, &bits, sizeof value);
    return random >> 58 == 0 ? 0 : value;
}

static void make_operands(struct product *p, struct random *r)
{
    const struct ranges a = some_ranges(r);
    const enum mxq_element element = (enum mxq_element)random_below(r, ELEMENTS);
    const size_t blocks = (p->k + 31) / 32;
    p->x_compute = random_below(r, 4) ? MXQ_X_AS_IS : MXQ_X_BF16;
    p->x_type = a.x_bits <= 7 && p->x_compute == MXQ_X_AS_IS ? MXQ_BF16 : MXQ_F32;
    for (size_t i = 0; i < p->m * p->k; i++) {
        const int again = i % p->k % 32 >= 2 && random_below(r, (uint32_t)a.repeats) == 0;
        p->x[i] = again ? -p->x[i - 2] : some_x(r, &a);
        uint32_t bits;
        memcpy(&bits, &p->x[i], sizeof bits);
        p->narrow[i] = (uint16_t)(bits >> 16);
        p->rounded[i] = p->x_compute == MXQ_X_BF16
                            ? oracle_float(MXQ_BF16, oracle_nearest(MXQ_BF16, (double)p->x[i]))
                            : p->x[i];
    }
    for (size_t i = 0; i < p->n * blocks; i++)
        p->scales[i] = (uint8_t)(a.scale_low + (int)random_below(r, (uint32_t)a.scale_spread + 1));
    static float values[ELEMENTS][256];
    if (values[0][1] == 0) /* the same for each thread */
        for (int code = 0; code < 256; code++)
            for (int e = 0; e < ELEMENTS; e++)
                values[e][code] = (float)oracle_decode((enum mxq_element)e, (uint8_t)code);
    for (size_t i = 0; i < p->n * p->k; i++) {
        const size_t k = i % p->k;
        uint8_t code = (uint8_t)random_u32(r);
        if ((code & 0x7F) > oracle_max_code(element))
            code &= 0x80;
        if (k % 32 >= 2 && random_below(r, (uint32_t)a.repeats) == 0)
            code = p->elements[i - 2];
        p->elements[i] = code;
        const uint32_t power = (uint32_t)p->scales[i / p->k * blocks + k / 32] << 23;
        float scale;
        memcpy(&scale, &power, sizeof scale);
        p->w[i] = values[element][code] * scale; /* exact: nowhere near an end of F32's range */
    }
    const struct mxq_quantized q = {
        {element, MXQ_E8M0, 1, 32}, p->n, p->k, p->elements, p->k, p->scales, blocks};
    if (mxq_packed_bytes(&q.format, p->n, p->k, &p->packed_bytes) ||
        mxq_pack_quantized(p->packed, sizeof p->packed, &q, NULL, NULL))
        exit(99);
}

static void make_product(void *context, size_t index)
{
    struct product *p = &((struct product *)context)[index];
    struct random r = {seed ^ (batch * BATCH + index) << 20};
    const size_t shape = random_below(&r, SHAPES);
    p->m = shapes[shape].m;
    p->n = shapes[shape].n;
    p->k = shapes[shape].k;
    p->accumulate = random_below(&r, 4) == 0;
    make_operands(p, &r);
    for (size_t i = 0; i < p->m * p->n; i++)
        p->before[i] = (float)random_normal(&r);
    const struct oracle_product o = {
        p->m, p->n,      p->k,     32, p->rounded, p->w, p->accumulate ? p->before : NULL,
        NULL, {NULL, 0}, {NULL, 0}};
    for (size_t i = 0; i < p->m * p->n; i++)
        oracle_store(MXQ_F32, p->after, i, oracle_output(&o, i / p->n, i % p->n, MXQ_F32));
}

/* --------------------------------------------- Rows ------------------------------------------- */

static void run_product(void *context, size_t index)
{
    struct product *p = &((struct product *)context)[index];
    const void *data = p->x_type == MXQ_F32 ? (const void *)p->x : p->narrow;
    const struct mxq_matrix x = {(void *)(uintptr_t)data, p->x_type, p->m, p->k, p->k};
    const struct mxq_matrix y = {p->y, MXQ_F32, p->m, p->n, p->n};
    struct mxq_matmul_options o = MXQ_MATMUL_OPTIONS;
    if (mxq_matmul_scratch_bytes(p->m, p->n, p->k, &o.scratch_bytes))
        exit(99);
    void *scratch = malloc(o.scratch_bytes);
    o.scratch = scratch;
    o.x_compute = p->x_compute;
    o.accumulate = p->accumulate;
    memcpy(p->y, p->before, p->m * p->n * sizeof *p->y);
    if (!scratch || mxq_matmul(&y, &x, p->packed, p->packed_bytes, &o, NULL))
        exit(99);
    free(scratch);
    for (size_t i = 0; i < p->m * p->n; i++)
        if (memcmp(&p->y[i], &p->after[i], sizeof *p->y))
            atomic_fetch_add(&wrong, 1);
}

static uint64_t dots_of_batch(void)
{
    uint64_t dots = 0;
    for (size_t i = 0; i < BATCH; i++)
        dots += products[i].m * products[i].n * ((products[i].k + 31) / 32);
    return dots;
}

#define ROWS 16

int main(int argc, char **argv)
{
    const uint64_t wanted = (argc > 1 ? strtoull(argv[1], NULL, 0) : 100) * 1000000;
    struct workers workers = {THREADS, 1, 0, NULL, NULL, NULL};
    const struct mxq_parallel parallel = workers_parallel(&workers);
    struct mxq_isa_info info;
    uint64_t dots = 0, failures[ROWS] = {0};
    seed = argc > 2 ? strtoull(argv[2], NULL, 0) : seed;
    printf("seed %" PRIu64 "\n", seed);
    make_product(products, 0); /* the table of codes, by one thread */
    for (batch = 0; dots < wanted; batch++) {
        parallel.run(parallel.pool, BATCH, make_product, products);
        dots += dots_of_batch();
        for (size_t isa = 0; isa < ROWS && mxq_isa_at(isa, &info); isa++) {
            if (mxq_set_isa(info.name))
                continue;
            atomic_store(&wrong, 0);
            parallel.run(parallel.pool, BATCH, run_product, products);
            if (atomic_load(&wrong) && !failures[isa])
                printf("FAIL: %s differs first in batch %" PRIu64 "\n", info.name, batch);
            failures[isa] += atomic_load(&wrong);
        }
    }
    for (size_t isa = 0; isa < ROWS && mxq_isa_at(isa, &info); isa++) {
        if (!info.available) {
            printf("%s: skipped: no %s here\n", info.name, info.missing);
            continue;
        }
        tally = (struct tally){info.name, dots, 0};
        if (failures[isa])
            tally_fail(&tally, "%" PRIu64 " outputs differ from the oracle's", failures[isa]);
        if (tally_end(&tally))
            failures[0] += isa != 0;
    }
    return failures[0] != 0;
}
