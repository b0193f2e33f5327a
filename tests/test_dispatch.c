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
#define ECX1 offsetof(struct mxq_cpuid, leaf1_ecx)
#define EBX7 offsetof(struct mxq_cpuid, leaf7_ebx)
#define ECX7 offsetof(struct mxq_cpuid, leaf7_ecx)
static const struct bit avx2_bits[] = {{ECX1, 28}, {ECX1, 12}, {ECX1, 29}, {EBX7, 5}};
static const struct bit avx512_bits[] = {{EBX7, 16}, {EBX7, 17}, {EBX7, 28}, {EBX7, 30},
                                         {EBX7, 31}, {ECX7, 1},  {ECX7, 6},  {ECX7, 11}};
#define AVX2_BITS   (sizeof avx2_bits / sizeof *avx2_bits)
#define AVX512_BITS (sizeof avx512_bits / sizeof *avx512_bits)

static void set_bits(struct mxq_cpuid *c, const struct bit *bits, size_t count, unsigned subset)
{
    for (size_t i = 0; i < count; i++)
        if (subset >> i & 1)
            *(uint32_t *)(void *)((char *)c + bits[i].word) |= UINT32_C(1) << bits[i].bit;
}

static struct mxq_cpuid made_up(unsigned avx2, unsigned avx512, uint64_t xcr0, uint32_t max_leaf)
{
    struct mxq_cpuid c = {max_leaf, UINT32_C(1) << 27, 0, 0, xcr0};
    set_bits(&c, avx2_bits, AVX2_BITS, avx2);
    set_bits(&c, avx512_bits, AVX512_BITS, avx512);
    return c;
}

static void test_every_subset(void **state)
{
    /* x87 and SSE only; + YMM; + part of the ZMM state; all; all and AMX; ZMM without YMM. */
    static const uint64_t xcr0s[] = {0, 0x3, 0x7, 0x67, 0xA7, 0xC7, 0xE7, 0x600E7, 0xE3, 0xE5};
    const unsigned all2 = (1u << AVX2_BITS) - 1, all512 = (1u << AVX512_BITS) - 1;
    unsigned long cases = 0;
    (void)state;
    for (unsigned avx2 = 0; avx2 <= all2; avx2++)
        for (unsigned avx512 = 0; avx512 <= all512; avx512++)
            for (size_t x = 0; x < sizeof xcr0s / sizeof *xcr0s; x++)
                for (uint32_t leaf = 1; leaf <= 0x20; leaf += leaf == 1 ? 5 : leaf == 6 ? 1 : 25) {
                    const struct mxq_cpuid c = made_up(avx2, avx512, xcr0s[x], leaf);
                    const int ymm = leaf >= 7 && (xcr0s[x] & 0x6) == 0x6;
                    const int zmm = ymm && (xcr0s[x] & 0xE0) == 0xE0;
                    uint32_t expected = 0;
                    if (avx2 == all2 && ymm)
                        expected |= MXQ_CPU_AVX2;
                    if (avx2 == all2 && avx512 == all512 && zmm)
                        expected |= MXQ_CPU_AVX512;
                    const uint32_t got = mxq_cpu_levels_x86(&c);
                    if (got != expected)
                        fail_msg("avx2 bits %x, avx512 bits %x, xcr0 %lx, leaf %u: %x", avx2,
                                 avx512, (unsigned long)xcr0s[x], leaf, got);
                    assert_int_equal(!*mxq_cpu_missing_x86(&c, MXQ_CPU_AVX2),
                                     (expected & MXQ_CPU_AVX2) != 0);
                    assert_int_equal(!*mxq_cpu_missing_x86(&c, MXQ_CPU_AVX512),
                                     (expected & MXQ_CPU_AVX512) != 0);
                    cases++;
                }
    print_message("%lu made-up CPUs\n", cases);
}

/* Features of other levels, and of none, must not matter. */
static void test_foreign_bits(void **state)
{
    (void)state;
    struct mxq_cpuid c = made_up(15, 0, 0xE7, 0x20);
    c.leaf7_ebx |= ~UINT32_C(0xD0030000); /* all but AVX-512 F, DQ, CD, BW, VL */
    c.leaf7_ecx = ~UINT32_C(0);
    c.leaf1_ecx = ~UINT32_C(0);
    assert_int_equal(mxq_cpu_levels_x86(&c), MXQ_CPU_AVX2);
    assert_string_equal(mxq_cpu_missing_x86(&c, MXQ_CPU_AVX2), "");
    assert_string_equal(mxq_cpu_missing_x86(&c, MXQ_CPU_AVX512), "AVX512F");
    assert_string_equal(mxq_cpu_missing_x86(&c, 0), "");
    assert_string_not_equal(mxq_cpu_missing_x86(&c, MXQ_CPU_NEON), "");
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
        if (info.available && !best)
            best = info.name;
        assert_int_equal(mxq_set_isa(info.name), info.available ? MXQ_OK : MXQ_ERR_ISA);
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
        if (!best && info.available)
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
        cmocka_unit_test(test_every_subset),      cmocka_unit_test(test_foreign_bits),
        cmocka_unit_test(test_set_isa),           cmocka_unit_test(test_kernel_list),
        cmocka_unit_test(test_environment),       cmocka_unit_test(test_race_on_first_use),
        cmocka_unit_test(test_race_with_set_isa),
    };
    if (argc != 2) {
        fprintf(stderr, "usage: %s EXPECT_ISA\n", argv[0]);
        return 2;
    }
    expect_isa = argv[1];
    unsetenv("MXQ_ISA"); /* the tests compare with the automatic choice */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
