/* SPDX-License-Identifier: Apache-2.0 */
/* exhaustive.c -- sweeps whole domains: all 2^32 F32 inputs, all 2^32 amax, all 2^23 significands of a divisor.
 *
 *   pack_<element>_f32      every F32 under scale 127: scalar against the oracle, rows against scalar
 *   quantize_<element>_f32  every F32 in a block with an anchor that keeps the scale at 127
 *   scale_e8m0              every amax under every mode of every element, likewise
 *   divide                  by every significand, what lies on both sides of all boundaries between codes
 *   divide_bf16 <element>   by every significand, every significand of BF16
 *
 * The only argument is a pattern for the names of sweeps, such as 'scale_e8m0 e5m2 *'; default: all.
 * Threads take chunks from one counter; every value is looked at once for each subject. */
#define _POSIX_C_SOURCE 200809L
#include <fnmatch.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cpu.h"
#include "kernels.h"
#include "oracle.h"
#include "tally.h"

#define THREADS      2
#define CHUNK_BITS   14 /* values of one step: they stay in L2 */
#define CHUNK        (UINT32_C(1) << CHUNK_BITS)
#define CHUNK_BLOCKS (CHUNK / MXQ_BLOCK)
#define CHUNKS       (UINT64_C(1) << (32 - CHUNK_BITS))
#define ANCHORED     (MXQ_BLOCK - 1) /* values of a block beside its anchor */
#define MAX_ROWS     8

static const char *selected = "*";
static int ran;

static const char *const mode_names[MXQ_SCALE_MODES] = {"default", "rceil", "floor", "ceil",
                                                        "even",    "ct",    "mse",   "unit"};

/* One sweep over 2^32 values: a step checks chunk number `chunk` in all subjects. */
struct sweep {
    const char *name;
    enum mxq_element element;
    enum mxq_scale_mode mode;
    void (*step)(struct sweep *s, uint64_t chunk);
    uint64_t chunks;
    _Atomic uint64_t next;
    _Atomic uint64_t oracle_values; /* compared between scalar and the oracle */
    _Atomic uint64_t row_values[MAX_ROWS];
    pthread_mutex_t lock; /* of the tally */
    struct tally tally;
};

static int is_runnable(const struct mxq_kernels *row)
{
#if defined(MXQ_EMULATED)
    (void)row;
    return 1;
#else
    return !*mxq_cpu_missing(row->requires);
#endif
}

static void differs(struct sweep *s, const char *isa, uint32_t input, unsigned got,
                    unsigned expected)
{
    pthread_mutex_lock(&s->lock);
    tally_fail(&s->tally, "%s: 0x%08" PRIX32 " gives 0x%02X, must be 0x%02X", isa, input, got,
               expected);
    pthread_mutex_unlock(&s->lock);
}

/* Code i of packed codes of so many bits. */
static uint8_t code_at(const struct sweep *s, int bits, const uint8_t *codes, size_t i)
{
    return bits == 8 ? codes[i] : oracle_get(s->element, codes, i);
}

static void compare(struct sweep *s, size_t row, const uint32_t *inputs, const uint8_t *got,
                    const uint8_t *expected, int bits)
{
    s->row_values[row] += CHUNK;
    if (!memcmp(got, expected, (size_t)bits * CHUNK / 8))
        return;
    for (size_t i = 0; i < CHUNK; i++) {
        const uint8_t a = code_at(s, bits, got, i), b = code_at(s, bits, expected, i);
        if (a != b)
            differs(s, mxq_rows[row]->isa, inputs[i], a, b);
    }
}

/* -------------------------------------------- Steps ------------------------------------------- */

static void step_pack(struct sweep *s, uint64_t chunk)
{
    const int bits = mxq_elements[s->element].bits;
    uint32_t x[CHUNK];
    uint8_t scale[CHUNK_BLOCKS], expected[CHUNK], got[CHUNK];
    memset(scale, 127, sizeof scale);
    for (uint32_t i = 0; i < CHUNK; i++)
        x[i] = (uint32_t)chunk << CHUNK_BITS | i;
    mxq_kernels_scalar.pack[s->element][MXQ_F32](expected, x, scale, CHUNK_BLOCKS);
    for (uint32_t i = 0; i < CHUNK; i++) {
        const uint8_t oracle = oracle_pack(s->element, MXQ_F32, x[i], 127);
        const uint8_t code = code_at(s, bits, expected, i);
        if (code != oracle)
            differs(s, "scalar", x[i], code, oracle);
    }
    s->oracle_values += CHUNK;
    for (size_t row = 0; mxq_rows[row] != &mxq_kernels_scalar; row++)
        if (is_runnable(mxq_rows[row])) {
            mxq_rows[row]->pack[s->element][MXQ_F32](got, x, scale, CHUNK_BLOCKS);
            compare(s, row, x, got, expected, bits);
        }
}

/* Lane b % 32 of block b is the largest element; the other lanes count through all F32. */
static void step_quantize(struct sweep *s, uint64_t chunk)
{
    const int bits = mxq_elements[s->element].bits;
    const uint32_t largest =
        oracle_nearest(MXQ_F32, oracle_decode(s->element, oracle_max_code(s->element)));
    const struct mxq_scale_rule rule = mxq_scale_rule(s->element, s->mode);
    uint32_t x[CHUNK];
    uint8_t scale[CHUNK_BLOCKS], expected_scale[CHUNK_BLOCKS], expected[CHUNK], got[CHUNK];
    uint64_t value = chunk * CHUNK_BLOCKS * ANCHORED;
    for (uint32_t i = 0; i < CHUNK; i++)
        x[i] = i % MXQ_BLOCK == i / MXQ_BLOCK % MXQ_BLOCK ? largest : (uint32_t)value++;
    mxq_kernels_scalar.quantize[s->element][MXQ_F32](expected, expected_scale, x, CHUNK_BLOCKS,
                                                     &rule, 0);
    for (size_t row = 0; mxq_rows[row] != &mxq_kernels_scalar; row++)
        if (is_runnable(mxq_rows[row])) {
            mxq_rows[row]->quantize[s->element][MXQ_F32](got, scale, x, CHUNK_BLOCKS, &rule, 0);
            compare(s, row, x, got, expected, bits);
            if (memcmp(scale, expected_scale, CHUNK_BLOCKS))
                differs(s, mxq_rows[row]->isa, x[0], scale[0], expected_scale[0]);
        }
}

static void step_scale(struct sweep *s, uint64_t chunk)
{
    const struct mxq_scale_rule rule = mxq_scale_rule(s->element, s->mode);
    uint32_t amax[CHUNK];
    uint8_t expected[CHUNK], got[CHUNK];
    for (uint32_t i = 0; i < CHUNK; i++)
        amax[i] = (uint32_t)chunk << CHUNK_BITS | i;
    mxq_kernels_scalar.scale[MXQ_E8M0](expected, amax, CHUNK, &rule);
    for (uint32_t i = 0; i < CHUNK && amax[i] < 0x80000000; i++) { /* a magnitude has no sign */
        const uint8_t oracle = oracle_scale(s->element, s->mode, amax[i]);
        if (expected[i] != oracle)
            differs(s, "scalar", amax[i], expected[i], oracle);
        s->oracle_values += (i + 1 == CHUNK) * CHUNK;
    }
    for (size_t row = 0; mxq_rows[row] != &mxq_kernels_scalar; row++)
        if (is_runnable(mxq_rows[row])) {
            mxq_rows[row]->scale[MXQ_E8M0](got, amax, CHUNK, &rule);
            compare(s, row, amax, got, expected, 8);
        }
}

/* The codes of INT8 change at 128 significands, among which are those of every element; for each divisor and
 * boundary come the eight F32 nearest to their product.  Quotients are rounded as the processor divides. */
#define BOUNDARIES     128
#define NEIGHBOURS     8
#define DIVISOR_SHIFT  10 /* of BOUNDARIES * NEIGHBOURS values */
#define CHUNK_DIVISORS (CHUNK >> DIVISOR_SHIFT)

static void step_divide(struct sweep *s, uint64_t chunk)
{
    float divisor[CHUNK_DIVISORS];
    uint32_t x[CHUNK];
    uint8_t expected[CHUNK], got[CHUNK];
    const struct mxq_factors by = {divisor, DIVISOR_SHIFT, 1, 0, 0};
    for (uint32_t d = 0; d < CHUNK_DIVISORS; d++) {
        const uint32_t bits = 0x3F800000 | ((uint32_t)chunk * CHUNK_DIVISORS + d);
        memcpy(&divisor[d], &bits, sizeof bits);
    }
    for (uint32_t i = 0; i < CHUNK; i++) {
        const float d = divisor[i >> DIVISOR_SHIFT];
        const float boundary = (float)(i / NEIGHBOURS % BOUNDARIES) + 0.5F, product = d * boundary;
        float value;
        memcpy(&x[i], &product, sizeof product);
        x[i] += i % NEIGHBOURS - NEIGHBOURS / 2;
        memcpy(&value, &x[i], sizeof value);
        const float quotient = value / d + 0x1.8p23F; /* rounded to an integer, in the low bits */
        uint32_t code;
        memcpy(&code, &quotient, sizeof code);
        expected[i] = (uint8_t)((code & 0xFF) == 128 ? 127 : code);
    }
    for (size_t row = 0; mxq_rows[row] != &mxq_kernels_scalar; row++)
        if (is_runnable(mxq_rows[row])) {
            mxq_rows[row]->pack_by[s->element][MXQ_F32](got, x, &by, CHUNK_BLOCKS, 0);
            compare(s, row, x, got, expected, 8);
        }
}

/* For each divisor the 128 significands of BF16 times eight powers of two: the quotients are below 2^8. */
static void step_divide_bf16(struct sweep *s, uint64_t chunk)
{
    float divisor[CHUNK_DIVISORS], quotient[CHUNK];
    uint32_t x[CHUNK];
    uint16_t narrow[CHUNK];
    uint8_t unit[CHUNK_BLOCKS], expected[CHUNK], got[CHUNK];
    const struct mxq_factors by = {divisor, DIVISOR_SHIFT, 1, 0x3F800000, 0x3FFFFFFF};
    memset(unit, 127, sizeof unit);
    for (uint32_t d = 0; d < CHUNK_DIVISORS; d++) {
        const uint32_t bits = 0x3F800000 | ((uint32_t)chunk * CHUNK_DIVISORS + d);
        memcpy(&divisor[d], &bits, sizeof bits);
    }
    for (uint32_t i = 0; i < CHUNK; i++) {
        float value;
        x[i] = (i & 1) << 31 | (0x3F800000 + ((i & 1023) << 16));
        narrow[i] = (uint16_t)(x[i] >> 16);
        memcpy(&value, &x[i], sizeof value);
        quotient[i] = value / divisor[i >> DIVISOR_SHIFT];
    }
    mxq_kernels_scalar.pack[s->element][MXQ_F32](expected, quotient, unit, CHUNK_BLOCKS);
    for (size_t row = 0; mxq_rows[row] != &mxq_kernels_scalar; row++)
        if (is_runnable(mxq_rows[row])) {
            mxq_rows[row]->pack_by[s->element][MXQ_BF16](got, narrow, &by, CHUNK_BLOCKS, 0);
            compare(s, row, x, got, expected, 8);
        }
}

/* -------------------------------------------- Sweeps ------------------------------------------ */

static void *work(void *argument)
{
    struct sweep *s = argument;
    for (uint64_t chunk; (chunk = atomic_fetch_add(&s->next, 1)) < s->chunks;)
        s->step(s, chunk);
    return NULL;
}

static double now(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Runs one sweep and prints, for each subject, how many values it compared. */
static int run(const char *name, enum mxq_element element, enum mxq_scale_mode mode,
               void (*step)(struct sweep *, uint64_t), uint64_t chunks)
{
    struct sweep s = {.name = name,
                      .element = element,
                      .mode = mode,
                      .step = step,
                      .chunks = chunks,
                      .tally = {name, 0, 0}};
    pthread_t threads[THREADS];
    const double begin = now();
    if (fnmatch(selected, name, 0))
        return 0;
    ran++;
    pthread_mutex_init(&s.lock, NULL);
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, &s))
            exit(99);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&s.lock);
    if (s.oracle_values)
        printf("%-34s %-8s %13" PRIu64 " against the oracle\n", name, "scalar",
               (uint64_t)s.oracle_values);
    for (size_t row = 0; mxq_rows[row] != &mxq_kernels_scalar; row++)
        if (s.row_values[row])
            printf("%-34s %-8s %13" PRIu64 " against scalar\n", name, mxq_rows[row]->isa,
                   (uint64_t)s.row_values[row]);
        else
            printf("%-34s %-8s skipped: no %s here\n", name, mxq_rows[row]->isa,
                   mxq_cpu_missing(mxq_rows[row]->requires));
    printf("%-34s %" PRIu64 " wrong, %.1f s\n", name, s.tally.failures, now() - begin);
    fflush(stdout);
    return s.tally.failures != 0;
}

static int run_element(enum mxq_element element)
{
    /* One more chunk: 31 / 32 of a chunk's values are new ones. */
    const uint64_t anchored =
        ((UINT64_C(1) << 32) + CHUNK_BLOCKS * ANCHORED - 1) / (CHUNK_BLOCKS * ANCHORED);
    char name[64];
    int failed = 0;
    snprintf(name, sizeof name, "pack_%s_f32", mxq_elements[element].name);
    failed += run(name, element, MXQ_SCALE_RCEIL, step_pack, CHUNKS);
    snprintf(name, sizeof name, "quantize_%s_f32", mxq_elements[element].name);
    failed += run(name, element, MXQ_SCALE_RCEIL, step_quantize, anchored);
    /* INT8 has no E8M0 scales. */
    for (int mode = 0; element != MXQ_INT8 && mode < MXQ_SCALE_MODES; mode++) {
        snprintf(name, sizeof name, "scale_e8m0 %s %s", mxq_elements[element].name,
                 mode_names[mode]);
        failed += run(name, element, (enum mxq_scale_mode)mode, step_scale, CHUNKS);
    }
    return failed;
}

int main(int argc, char **argv)
{
    const double begin = now();
    int failed = 0;
    if (argc > 1)
        selected = argv[1];
    for (int element = 0; element < MXQ_ELEMENTS; element++)
        failed += run_element((enum mxq_element)element);
    failed +=
        run("divide", MXQ_INT8, MXQ_SCALE_RCEIL, step_divide, (UINT64_C(1) << 23) / CHUNK_DIVISORS);
    for (int element = MXQ_E4M3; element <= MXQ_E5M2; element++) {
        char name[64];
        snprintf(name, sizeof name, "divide_bf16 %s", mxq_elements[element].name);
        failed += run(name, (enum mxq_element)element, MXQ_SCALE_RCEIL, step_divide_bf16,
                      (UINT64_C(1) << 23) / CHUNK_DIVISORS);
    }
    printf("%d sweeps, %d failed, %.0f s in all\n", ran, failed, now() - begin);
    return failed || !ran;
}
