/* SPDX-License-Identifier: Apache-2.0 */
/* test_dispatch.c -- which instruction set runs: made-up CPUs, MXQ_ISA, mxq_set_isa(), first use.
 *
 * The only argument is the path of expect_isa. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cpu.h"
#include "kernels.h"

static char *expect_isa;

/* ---------------------------------------- Made-up CPUs ---------------------------------------- */

/* The features of a level as Intel's manual numbers them: register, bit. */
struct bit {
    size_t word;
    int bit;
};
#define ECX1  offsetof(struct mxq_cpuid, leaf1_ecx)
#define EBX7  offsetof(struct mxq_cpuid, leaf7_ebx)
#define ECX7  offsetof(struct mxq_cpuid, leaf7_ecx)
#define EDX7  offsetof(struct mxq_cpuid, leaf7_edx)
#define EAX71 offsetof(struct mxq_cpuid, leaf7_1_eax)
static const struct bit avx2_bits[] = {{ECX1, 28}, {ECX1, 12}, {ECX1, 29}, {EBX7, 5}};
static const struct bit avx512_bits[] = {{EBX7, 16}, {EBX7, 17}, {EBX7, 28}, {EBX7, 30},
                                         {EBX7, 31}, {ECX7, 1},  {ECX7, 6},  {ECX7, 11}};
/* AVX512_BF16 first, then those of AMX. */
static const struct bit amx_bits[] = {{EAX71, 5}, {EDX7, 24}, {EDX7, 22}, {EDX7, 25}};
#define AVX2_BITS   (sizeof avx2_bits / sizeof *avx2_bits)
#define AVX512_BITS (sizeof avx512_bits / sizeof *avx512_bits)
#define AMX_BITS    (sizeof amx_bits / sizeof *amx_bits)

#define TILE_DATA UINT64_C(0x40000)

static void set_bits(struct mxq_cpuid *c, const struct bit *bits, size_t count, unsigned subset)
{
    for (size_t i = 0; i < count; i++)
        if (subset >> i & 1)
            *(uint32_t *)(void *)((char *)c + bits[i].word) |= UINT32_C(1) << bits[i].bit;
}

/* Which features of each level a made-up CPU has. */
struct made_up {
    unsigned avx2, avx512, amx;
    uint64_t xcr0, permissions;
    uint32_t max_leaf;
};

static const struct made_up everything = {0xF, 0xFF, 0xF, 0x600E7, TILE_DATA, 0x20};

static struct mxq_cpuid cpuid_of(const struct made_up *m)
{
    struct mxq_cpuid c = {.max_leaf = m->max_leaf,
                          .leaf1_ecx = UINT32_C(1) << 27,
                          .xcr0 = m->xcr0,
                          .permissions = m->permissions};
    set_bits(&c, avx2_bits, AVX2_BITS, m->avx2);
    set_bits(&c, avx512_bits, AVX512_BITS, m->avx512);
    set_bits(&c, amx_bits, AMX_BITS, m->amx);
    return c;
}

static uint32_t expected_levels(const struct made_up *m)
{
    const int ymm = m->max_leaf >= 7 && (m->xcr0 & 0x6) == 0x6;
    const int zmm = ymm && (m->xcr0 & 0xE0) == 0xE0;
    const int tiles = zmm && (m->xcr0 & 0x60000) == 0x60000 && (m->permissions & TILE_DATA);
    uint32_t levels = 0;
    if (m->avx2 != everything.avx2)
        return 0;
    if (ymm)
        levels |= MXQ_CPU_AVX2;
    if (m->avx512 != everything.avx512)
        return levels;
    if (zmm)
        levels |= MXQ_CPU_AVX512;
    if (zmm && (m->amx & 1))
        levels |= MXQ_CPU_AVX512BF16;
    if (tiles && m->amx == everything.amx)
        levels |= MXQ_CPU_AMX;
    return levels;
}

static void check_made_up(const struct made_up *m)
{
    static const uint32_t levels[] = {MXQ_CPU_AVX2, MXQ_CPU_AVX512, MXQ_CPU_AVX512BF16,
                                      MXQ_CPU_AMX};
    const struct mxq_cpuid c = cpuid_of(m);
    const uint32_t expected = expected_levels(m), got = mxq_cpu_levels_x86(&c);
    if (got != expected)
        fail_msg("bits of avx2 %x, avx512 %x, amx %x, xcr0 %lx, permissions %lx, leaf %u: %x",
                 m->avx2, m->avx512, m->amx, (unsigned long)m->xcr0, (unsigned long)m->permissions,
                 m->max_leaf, got);
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        assert_int_equal(!*mxq_cpu_missing_x86(&c, levels[i]), (expected & levels[i]) != 0);
}

static void test_every_subset(void **state)
{
    /* x87 and SSE only; + YMM; + part of the ZMM state; all; all and half of the tiles; and all of them;
     * ZMM without YMM; tiles without ZMM. */
    static const uint64_t xcr0s[] = {0,       0x3,     0x7,     0x67, 0xA7, 0xC7,   0xE7,
                                     0x200E7, 0x400E7, 0x600E7, 0xE3, 0xE5, 0x60007};
    static const uint32_t leaves[] = {1, 6, 7, 0x20};
    static const uint64_t permissions[] = {0, TILE_DATA};
    unsigned long cases = 0;
    (void)state;
    for (unsigned features = 0; features < 1u << (AVX2_BITS + AVX512_BITS + AMX_BITS); features++)
        for (size_t x = 0; x < sizeof xcr0s / sizeof *xcr0s; x++)
            for (size_t i = 0; i < 2 * sizeof leaves / sizeof *leaves; i++) {
                struct made_up m = {.avx2 = features & everything.avx2,
                                    .avx512 = features >> AVX2_BITS & everything.avx512,
                                    .amx = features >> (AVX2_BITS + AVX512_BITS),
                                    .xcr0 = xcr0s[x],
                                    .permissions = permissions[i % 2],
                                    .max_leaf = leaves[i / 2]};
                check_made_up(&m);
                cases++;
            }
    print_message("%lu made-up CPUs\n", cases);
}

/* One thing missing at a time, by its name. */
static void test_missing(void **state)
{
    static const struct {
        uint32_t level;
        struct made_up without;
        const char *missing;
    } cases[] = {
        {MXQ_CPU_AVX512BF16, {.amx = 1 << 0}, "AVX512_BF16"},
        {MXQ_CPU_AMX, {.amx = 1 << 0}, "AVX512_BF16"},
        {MXQ_CPU_AMX, {.amx = 1 << 1}, "AMX_TILE"},
        {MXQ_CPU_AMX, {.amx = 1 << 2}, "AMX_BF16"},
        {MXQ_CPU_AMX, {.amx = 1 << 3}, "AMX_INT8"},
        {MXQ_CPU_AMX, {.avx512 = 1 << 5}, "AVX512_VBMI"},
        {MXQ_CPU_AMX, {.avx2 = 1 << 1}, "FMA"},
        {MXQ_CPU_AMX, {.xcr0 = 0x20000}, "operating-system support for AMX tiles (XCR0)"},
        {MXQ_CPU_AMX, {.xcr0 = 0x40000}, "operating-system support for AMX tiles (XCR0)"},
        {MXQ_CPU_AMX, {.xcr0 = 0x40}, "operating-system support for ZMM registers (XCR0)"},
        {MXQ_CPU_AMX, {.permissions = TILE_DATA}, "permission to use AMX tiles: mxq_enable_amx()"},
        {MXQ_CPU_AMX, {.max_leaf = 0x1A}, "CPUID leaf 7"},
    };
    (void)state;
    struct mxq_cpuid c = cpuid_of(&everything);
    assert_string_equal(mxq_cpu_missing_x86(&c, MXQ_CPU_AMX), "");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct made_up m = everything;
        m.avx2 ^= cases[i].without.avx2;
        m.avx512 ^= cases[i].without.avx512;
        m.amx ^= cases[i].without.amx;
        m.xcr0 ^= cases[i].without.xcr0;
        m.permissions ^= cases[i].without.permissions;
        m.max_leaf -= cases[i].without.max_leaf;
        c = cpuid_of(&m);
        assert_string_equal(mxq_cpu_missing_x86(&c, cases[i].level), cases[i].missing);
    }
}

/* Features of other levels, and of none, must not matter. */
static void test_foreign_bits(void **state)
{
    (void)state;
    const struct made_up avx2 = {.avx2 = 0xF, .xcr0 = 0xE7, .max_leaf = 0x20};
    struct mxq_cpuid c = cpuid_of(&avx2);
    c.leaf7_ebx |= ~UINT32_C(0xD0030000); /* all but AVX-512 F, DQ, CD, BW, VL */
    c.leaf7_ecx = ~UINT32_C(0);
    c.leaf7_edx = ~UINT32_C(0);
    c.leaf7_1_eax = ~UINT32_C(0);
    c.leaf1_ecx = ~UINT32_C(0);
    c.permissions = ~UINT64_C(0);
    assert_int_equal(mxq_cpu_levels_x86(&c), MXQ_CPU_AVX2);
    assert_string_equal(mxq_cpu_missing_x86(&c, MXQ_CPU_AVX2), "");
    assert_string_equal(mxq_cpu_missing_x86(&c, MXQ_CPU_AVX512), "AVX512F");
    assert_string_equal(mxq_cpu_missing_x86(&c, MXQ_CPU_AVX512BF16), "AVX512F");
    assert_string_equal(mxq_cpu_missing_x86(&c, MXQ_CPU_AMX), "AVX512F");
    assert_string_equal(mxq_cpu_missing_x86(&c, 0), "");
    assert_string_not_equal(mxq_cpu_missing_x86(&c, MXQ_CPU_NEON), "");
    assert_string_not_equal(mxq_cpu_missing_x86(&c, MXQ_CPU_NEONBF16), "");
}

/* --------------------------------------- mxq_set_isa() ---------------------------------------- */

static void test_set_isa(void **state)
{
    (void)state;
    struct mxq_isa_info info;
    size_t count = 0;
    const char *best = NULL;
    assert_int_equal(mxq_set_isa(NULL), MXQ_OK);
    for (size_t i = 0; mxq_isa_at(i, &info); i++, count++) {
        assert_int_equal(info.available, !*info.missing);
        const enum mxq_status status = mxq_set_isa(info.name);
        assert_int_equal(mxq_isa_at(i, &info), 1); /* to name "amx" is to ask for the permission */
        if (info.available && !best)
            best = info.name;
        assert_int_equal(status, info.available ? MXQ_OK : MXQ_ERR_ISA);
        if (info.available)
            assert_string_equal(mxq_isa(), info.name);
    }
    assert_true(count >= 2);
    assert_string_equal(mxq_isa(), "scalar"); /* always there, always last */
    assert_int_equal(mxq_set_isa("avx1024"), MXQ_ERR_ISA);
    assert_int_equal(mxq_set_isa(""), MXQ_ERR_ISA);
    assert_int_equal(mxq_set_isa("AVX2"), MXQ_ERR_ISA);
    assert_string_equal(mxq_isa(), "scalar"); /* an error changes nothing */
    assert_int_equal(mxq_set_isa(NULL), MXQ_OK);
    assert_string_equal(mxq_isa(), best);
    assert_int_equal(mxq_isa_at(count, &info), 0);
    assert_int_equal(mxq_isa_at(SIZE_MAX, &info), 0);
    assert_int_equal(mxq_isa_at(0, NULL), 0);
}

static void test_enable_amx(void **state)
{
    (void)state;
    struct mxq_isa_info info = {NULL, 0, NULL};
    int is_available = 0;
    const enum mxq_status status = mxq_enable_amx();
    for (size_t i = 0; mxq_isa_at(i, &info); i++)
        is_available |= info.available && !strcmp(info.name, "amx");
    assert_int_equal(status, is_available ? MXQ_OK : MXQ_ERR_ISA);
    assert_int_equal(mxq_enable_amx(), status);
    assert_int_equal(mxq_set_isa(NULL), MXQ_OK);
    assert_int_equal(!strcmp(mxq_isa(), "amx"), is_available);
    assert_int_equal(mxq_set_isa("amx"), status);
    assert_int_equal(mxq_set_isa(NULL), MXQ_OK);
}

/* What mxq_matmul() relies on. */
static void test_tiles(void **state)
{
    (void)state;
    for (size_t i = 0; mxq_rows[i]; i++)
        for (size_t compute = 0; compute < MXQ_COMPUTES; compute++) {
            const struct mxq_tile *tile = &mxq_rows[i]->tile[compute];
            if (compute == MXQ_COMPUTE_INT8 && !tile->x_bytes)
                continue; /* no such unit */
            assert_true(
                compute == MXQ_COMPUTE_INT8
                    ? tile->x_bytes == MXQ_INT8_X_BYTES &&
                          (tile->w_bytes == MXQ_INT8_W_BYTES || tile->w_bytes == MXQ_INT16_W_BYTES)
                    : tile->x_bytes == 4 * MXQ_BLOCK ||
                          (tile->x_bytes == 2 * MXQ_BLOCK && compute == MXQ_BF16));
            assert_true(compute == MXQ_COMPUTE_INT8 || tile->w_bytes == MXQ_PANEL * tile->x_bytes);
            assert_true(tile->rows >= 1 && tile->panels >= 1 && tile->panels <= MXQ_TILE_PANELS);
            assert_true(tile->blocks >= 4 && tile->few_blocks >= 4); /* a group of 128 values */
            assert_true((size_t)tile->panels * tile->blocks * tile->w_bytes <= MXQ_TILE_BYTES);
            unsigned seen = 0;
            for (size_t k = 0; k < 4; k++)
                seen |= 1u << tile->k_order[k];
            assert_int_equal(seen, 0xF);
            /* A row that inherits a kernel inherits what is said of it. */
            for (size_t j = i + 1; mxq_rows[j]; j++)
                if (mxq_rows[j]->tile[compute].x_bytes &&
                    mxq_rows[j]->gemm[compute] == mxq_rows[i]->gemm[compute])
                    assert_memory_equal(tile, &mxq_rows[j]->tile[compute], sizeof *tile);
        }
}

static void test_kernel_list(void **state)
{
    (void)state;
    struct mxq_isa_info info;
    size_t kernels = 0, isas = 0;
    while (mxq_isa_at(isas, &info))
        isas++;
    for (; mxq_kernel_name(kernels); kernels++)
        for (size_t isa = 0; isa < isas; isa++) {
            const char *owner = mxq_kernel_isa(kernels, isa);
            int found = 0;
            for (size_t i = isa; i < isas; i++) { /* itself, or a later row */
                assert_int_equal(mxq_isa_at(i, &info), 1);
                found += !strcmp(info.name, owner);
            }
            assert_int_equal(found, 1);
        }
    size_t listed = 0;
#define MXQ_KERNEL(name, family, index) listed++;
#include "kernels.def"
#undef MXQ_KERNEL
    assert_int_equal(kernels, listed);
    assert_string_equal(mxq_kernel_name(0), "amax_f32");
    assert_null(mxq_kernel_name(kernels));
    assert_null(mxq_kernel_name(SIZE_MAX));
    assert_null(mxq_kernel_isa(kernels, 0));
    assert_null(mxq_kernel_isa(0, isas));
    assert_null(mxq_kernel_isa(SIZE_MAX, SIZE_MAX));
}

/* ------------------------------------------ MXQ_ISA ------------------------------------------- */

/* Runs expect_isa with MXQ_ISA = value (NULL: unset); returns its exit status. */
static int run_child(const char *value, const char *expected)
{
    char name[32];
    snprintf(name, sizeof name, "%s", expected);
    char *const arguments[] = {expect_isa, name, NULL};
    fflush(stdout);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (value)
            setenv("MXQ_ISA", value, 1);
        else
            unsetenv("MXQ_ISA");
        execv(expect_isa, arguments);
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_environment(void **state)
{
    (void)state;
    struct mxq_isa_info info;
    const char *best = NULL;
    for (size_t i = 0; mxq_isa_at(i, &info); i++) {
        if (!best && info.available && strcmp(info.name, "amx")) /* exec ends the permission */
            best = info.name;
        assert_int_equal(run_child(info.name, info.available ? info.name : "scalar"), 0);
    }
    assert_int_equal(run_child(NULL, best), 0);
    assert_int_equal(run_child("", best), 0);
    assert_int_equal(run_child("avx1024", "scalar"), 0);
    assert_int_equal(run_child("AVX2", "scalar"), 0);
    assert_int_equal(run_child("neon sve", "scalar"), 0);
    assert_int_equal(run_child("scalar", "sacalr"), 1); /* the child does compare */
}

/* ------------------------------------------ First use ----------------------------------------- */

#define RACERS 8
static pthread_barrier_t barrier;

static void *first_use(void *argument)
{
    (void)argument;
    pthread_barrier_wait(&barrier);
    return (void *)(uintptr_t)mxq_active_kernels();
}

static void *set_scalar(void *argument)
{
    pthread_barrier_wait(&barrier);
    *(enum mxq_status *)argument = mxq_set_isa("scalar");
    return NULL;
}

static void test_race_on_first_use(void **state)
{
    (void)state;
    for (int round = 0; round < 500; round++) {
        pthread_t threads[RACERS];
        void *rows[RACERS];
        assert_int_equal(mxq_set_isa(NULL), MXQ_OK); /* unresolved again */
        pthread_barrier_init(&barrier, NULL, RACERS);
        for (int i = 0; i < RACERS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, first_use, NULL), 0);
        for (int i = 0; i < RACERS; i++)
            pthread_join(threads[i], &rows[i]);
        pthread_barrier_destroy(&barrier);
        for (int i = 0; i < RACERS; i++)
            assert_ptr_equal(rows[i], mxq_active_kernels());
    }
}

/* An mxq_set_isa() that races with first uses must not be lost. */
static void test_race_with_set_isa(void **state)
{
    (void)state;
    for (int round = 0; round < 500; round++) {
        pthread_t threads[RACERS];
        enum mxq_status status = MXQ_ERR_ISA;
        assert_int_equal(mxq_set_isa(NULL), MXQ_OK);
        pthread_barrier_init(&barrier, NULL, RACERS);
        for (int i = 0; i < RACERS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, i ? first_use : set_scalar, &status),
                             0);
        for (int i = 0; i < RACERS; i++)
            pthread_join(threads[i], NULL);
        pthread_barrier_destroy(&barrier);
        assert_int_equal(status, MXQ_OK);
        assert_string_equal(mxq_isa(), "scalar");
    }
    assert_int_equal(mxq_set_isa(NULL), MXQ_OK);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_subset),      cmocka_unit_test(test_missing),
        cmocka_unit_test(test_foreign_bits),      cmocka_unit_test(test_set_isa),
        cmocka_unit_test(test_enable_amx),        cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_kernel_list),       cmocka_unit_test(test_environment),
        cmocka_unit_test(test_race_on_first_use), cmocka_unit_test(test_race_with_set_isa),
    };
    if (argc != 2) {
        fprintf(stderr, "usage: %s EXPECT_ISA\n", argv[0]);
        return 2;
    }
    expect_isa = argv[1];
    unsetenv("MXQ_ISA"); /* the tests compare with the automatic choice */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
