/* SPDX-License-Identifier: Apache-2.0 */
/* test_amx.c -- the AMX kernel as a guest: foreign tile configurations, threads, fork, permission.
 *
 * It runs on AMX; with MXQ_TRAPPED, as the same machine code, on an x86-64 machine without AMX, whose
 * instructions are emulated one by one; with MXQ_EMULATED over emulated tiles on any machine. */
#define _DEFAULT_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cpu.h"
#include "kernels.h"
#include "random.h"
#include "tile_trap.h"

#if defined(MXQ_EMULATED)
#include "amx/gemm.c" /* its tiles are those of the file */
#else
#include "amx/tile.h"
#endif

#define SKIPPED 77 /* exit status that Meson reports as a skip */

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* ------------------------------------------ A product ----------------------------------------- */

#define MOST_ROWS   67
#define MOST_BLOCKS 5
#define GAP         8 /* values between rows */
#define X_STRIDE    (MOST_BLOCKS * MXQ_BLOCK + GAP)
#define Y_STRIDE    (2 * MXQ_PANEL + GAP)

struct product {
    float y[MOST_ROWS * Y_STRIDE], expected[MOST_ROWS * Y_STRIDE];
    uint16_t x[MOST_ROWS * X_STRIDE], w[2 * MOST_BLOCKS * MXQ_PANEL_ELEMENTS];
};

static void fill(struct random *random, uint16_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++) /* 2^-8 .. 2^7: nothing that flushes */
        values[i] =
            (uint16_t)((random_u32(random) & 0x807F) | (119 + random_below(random, 16)) << 7);
}

static void check_product(struct product *p, size_t rows, size_t panels, size_t blocks)
{
    mxq_gemm_bf16_amx(p->y, Y_STRIDE, p->x, X_STRIDE * sizeof *p->x, p->w,
                      MOST_BLOCKS * MXQ_PANEL_ELEMENTS * sizeof *p->w, rows, panels, blocks);
    mxq_gemm_bf16_scalar(p->expected, Y_STRIDE, p->x, X_STRIDE * sizeof *p->x, p->w,
                         MOST_BLOCKS * MXQ_PANEL_ELEMENTS * sizeof *p->w, rows, panels, blocks);
    REQUIRE(!memcmp(p->y, p->expected, sizeof p->y));
}

/* Returns a product of random operands, y included; the caller frees it. */
static struct product *make_product(uint64_t seed)
{
    struct random random = {seed};
    struct product *p = calloc(1, sizeof *p);
    REQUIRE(p);
    fill(&random, p->x, sizeof p->x / sizeof *p->x);
    fill(&random, p->w, sizeof p->w / sizeof *p->w);
    for (size_t i = 0; i < sizeof p->y / sizeof *p->y; i++)
        p->y[i] = p->expected[i] = (float)random_below(&random, 1000) - 500;
    return p;
}

/* Of integers: vectors do a part of it, which the emulated tiles do not bring. */
#if defined(MXQ_EMULATED)
static void check_integers(struct random *random, size_t rows, size_t panels, size_t blocks)
{
    (void)random;
    (void)rows;
    (void)panels;
    (void)blocks;
}
#else
#define INTEGERS_BLOCKS (4 * MOST_BLOCKS) /* some of them added up as integers */

struct integers {
    float y[MOST_ROWS * Y_STRIDE], expected[MOST_ROWS * Y_STRIDE];
    unsigned char x[MOST_ROWS * INTEGERS_BLOCKS * MXQ_INT8_X_BYTES];
    unsigned char w[2 * INTEGERS_BLOCKS * MXQ_INT8_W_BYTES];
};

static float some_factor(struct random *random, int are_units)
{
    return are_units ? 1 : 0.125F + 0.125F * (float)random_below(random, 16);
}

static void fill_integers(struct random *random, struct integers *p, int are_units)
{
    for (size_t i = 0; i < sizeof p->y / sizeof *p->y; i++)
        p->y[i] = p->expected[i] = (float)random_below(random, 1 << 24) - 0x1p23F;
    for (size_t i = 0; i < sizeof p->x; i += MXQ_INT8_X_BYTES) {
        const float factor = some_factor(random, are_units);
        for (size_t k = 0; k < MXQ_BLOCK; k++)
            p->x[i + k] = (unsigned char)random_u32(random);
        memcpy(p->x + i + MXQ_BLOCK, &factor, sizeof factor);
    }
    for (size_t i = 0; i < sizeof p->w; i += MXQ_INT8_W_BYTES) {
        int32_t corrections[MXQ_PANEL] = {0};
        for (size_t j = 0; j < MXQ_PANEL_ELEMENTS; j++) {
            p->w[i + j] = (unsigned char)random_u32(random);
            corrections[j / 4 % MXQ_PANEL] -= 128 * (int8_t)p->w[i + j];
        }
        memcpy(p->w + i + MXQ_PANEL_ELEMENTS, corrections, sizeof corrections);
        for (size_t n = 0; n < MXQ_PANEL; n++) {
            const float factor = some_factor(random, are_units);
            memcpy(p->w + i + MXQ_PANEL_ELEMENTS + 4 * (MXQ_PANEL + n), &factor, sizeof factor);
        }
    }
}

static void check_integers(struct random *random, size_t rows, size_t panels, size_t blocks)
{
    const size_t x_stride = INTEGERS_BLOCKS * MXQ_INT8_X_BYTES;
    const size_t w_stride = INTEGERS_BLOCKS * MXQ_INT8_W_BYTES;
    struct integers *p = malloc(sizeof *p);
    REQUIRE(p);
    for (int are_units = 0; are_units < 2; are_units++) {
        fill_integers(random, p, are_units);
        mxq_gemm_int8_amx(p->y, Y_STRIDE, p->x, x_stride, p->w, w_stride, rows, panels, blocks);
        mxq_gemm_int8_scalar(p->expected, Y_STRIDE, p->x, x_stride, p->w, w_stride, rows, panels,
                             blocks);
        REQUIRE(!memcmp(p->y, p->expected, sizeof p->y));
    }
    free(p);
}
#endif

/* --------------------------------------- Configurations --------------------------------------- */

/* What another library may have left: no tile, few or many, none as the kernel's. */
static struct tile_config foreign(struct random *random)
{
    struct tile_config config;
    memset(&config, 0, sizeof config);
    config.palette = 1;
    for (size_t t = 0; t < TILES; t++) {
        if (random_below(random, 4) == 0)
            continue;
        config.rows[t] = (uint8_t)(1 + random_below(random, TILE_ROWS));
        config.row_bytes[t] = (uint16_t)(4 + 4 * random_below(random, TILE_BYTES / 4));
    }
    return config;
}

static void require_configuration(const struct tile_config *expected)
{
    struct tile_config found;
    memset(&found, 0xFF, sizeof found);
    tile_save(&found);
    REQUIRE(!memcmp(&found, expected, sizeof found));
}

static const struct tile_config none;

/* Every shape, without a configuration before, and with one; both are found afterwards. */
static void test_shapes(uint64_t seed)
{
    struct random random = {seed};
    struct product *p = make_product(seed);
    size_t products = 0;
    for (size_t rows = 0; rows <= MOST_ROWS; rows++)
        for (size_t panels = 1; panels <= 2; panels++)
            for (size_t blocks = 0; blocks <= MOST_BLOCKS; blocks += 1 + blocks / 2) {
                check_product(p, rows, panels, blocks);
                if (rows % 5 < 2)
                    check_integers(&random, rows, panels, 4 * blocks);
                require_configuration(&none);
                const struct tile_config config = foreign(&random);
                tile_load_config(&config);
                check_product(p, rows, panels, blocks);
                if (rows % 5 < 2)
                    check_integers(&random, rows, panels, blocks);
                require_configuration(&config);
                tile_release();
                products += 2;
            }
    free(p);
    printf("%zu products\n", products);
}

/* ------------------------------------- Threads and processes ---------------------------------- */

#define THREADS 4
static pthread_barrier_t permitted;

static void *multiply(void *seed)
{
    pthread_barrier_wait(&permitted);
    struct product *p = make_product((uintptr_t)seed);
    for (size_t rows = 1; rows <= MOST_ROWS; rows++)
        check_product(p, rows, 2, MOST_BLOCKS);
    require_configuration(&none);
    free(p);
    return NULL;
}

static void start(pthread_t *threads, uintptr_t seed)
{
    for (uintptr_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, multiply, (void *)(seed + i)) == 0);
}

static void join(const pthread_t *threads)
{
    for (size_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
}

/* Threads from before the permission, and from after it. */
static void test_threads(enum mxq_status (*permit)(void))
{
    pthread_t before[THREADS], after[THREADS];
    REQUIRE(pthread_barrier_init(&permitted, NULL, 2 * THREADS) == 0);
    start(before, 100);
    REQUIRE(permit() == MXQ_OK);
    start(after, 200);
    join(before);
    join(after);
    pthread_barrier_destroy(&permitted);
}

/* Runs a test in a child. */
static void in_child(void (*test)(void))
{
    fflush(stdout);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        test();
        exit(0);
    }
    int status;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_shapes_of_child(void)
{
    test_shapes(3);
}

#if defined(MXQ_EMULATED) || defined(MXQ_TRAPPED)

static enum mxq_status permit(void)
{
    return MXQ_OK;
}

/* Returns 0 when the tests can run. */
static int prepare(void)
{
#if defined(MXQ_TRAPPED)
    if (strcmp(mxq_cpu_missing(MXQ_CPU_AMX), "AMX_TILE") != 0) {
        printf("skipped: no machine that lacks nothing but AMX here\n");
        return SKIPPED;
    }
    tile_trap_install();
#endif
    return 0;
}

#else

static enum mxq_status permit(void)
{
    return mxq_enable_amx();
}

/* Frames with tiles do not fit on a small signal stack: then the system refuses, and the library goes on
 * without AMX. */
static void refused(void)
{
    static unsigned char memory[1 << 16];
    const long smallest = sysconf(_SC_MINSIGSTKSZ);
    const stack_t stack = {.ss_sp = memory, .ss_size = smallest > 0 ? (size_t)smallest : 4096};
    if (smallest > 8192 || sigaltstack(&stack, NULL)) {
        printf("a small signal stack: skipped: none is allowed here\n");
        return;
    }
    REQUIRE(mxq_enable_amx() == MXQ_ERR_ISA);
    REQUIRE(mxq_set_isa("amx") == MXQ_ERR_ISA);
    REQUIRE(mxq_set_isa(NULL) == MXQ_OK);
    REQUIRE(strcmp(mxq_isa(), "amx") != 0);
}

static int prepare(void)
{
    unsetenv("MXQ_ISA"); /* to name "amx" would be to ask */
    const char *missing = mxq_cpu_missing(MXQ_CPU_AMX);
    if (*missing && strncmp(missing, "permission", 10) != 0) {
        printf("skipped: no %s here\n", missing);
        return SKIPPED;
    }
    REQUIRE(*missing); /* exec ends a permission, and nothing has asked */
    REQUIRE(strcmp(mxq_isa(), "amx") != 0);
    in_child(refused);
    REQUIRE(*mxq_cpu_missing(MXQ_CPU_AMX));
    return 0;
}
#endif

int main(void)
{
    if (prepare())
        return SKIPPED;
    test_threads(permit);
    test_shapes(1);
    in_child(test_shapes_of_child);
    return 0;
}
