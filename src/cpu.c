/* SPDX-License-Identifier: Apache-2.0 */
/* cpu.c -- CPUID with XCR0 and the permission for AMX on x86-64, HWCAP on AArch64. */
#if defined(__linux__)
#define _GNU_SOURCE /* syscall */
#endif
#include "cpu.h"

#include <unistd.h>

size_t mxq_cpu_l2_bytes(void)
{
    long bytes = 0;
#if defined(_SC_LEVEL2_CACHE_SIZE)
    bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    return bytes > 0 ? (size_t)bytes : 512 * 1024;
}

/* One feature of a level: a bit of one CPUID register. */
struct feature {
    uint32_t level;
    size_t word; /* offset of the register in struct mxq_cpuid */
    int bit;
    const char *name;
};

#define LEAF1_ECX   offsetof(struct mxq_cpuid, leaf1_ecx)
#define LEAF7_EBX   offsetof(struct mxq_cpuid, leaf7_ebx)
#define LEAF7_ECX   offsetof(struct mxq_cpuid, leaf7_ecx)
#define LEAF7_EDX   offsetof(struct mxq_cpuid, leaf7_edx)
#define LEAF7_1_EAX offsetof(struct mxq_cpuid, leaf7_1_eax)

/* FROM_X: level X and those that contain it. */
#define FROM_AMX        MXQ_CPU_AMX
#define FROM_AVX512BF16 (MXQ_CPU_AVX512BF16 | FROM_AMX)
#define FROM_AVX512     (MXQ_CPU_AVX512 | FROM_AVX512BF16)
#define FROM_AVX2       (MXQ_CPU_AVX2 | FROM_AVX512)

/* clang-format off */
static const struct feature features[] = {
    {FROM_AVX2,       LEAF1_ECX,   28, "AVX"},
    {FROM_AVX2,       LEAF1_ECX,   12, "FMA"},
    {FROM_AVX2,       LEAF1_ECX,   29, "F16C"},
    {FROM_AVX2,       LEAF7_EBX,    5, "AVX2"},
    {FROM_AVX512,     LEAF7_EBX,   16, "AVX512F"},
    {FROM_AVX512,     LEAF7_EBX,   17, "AVX512DQ"},
    {FROM_AVX512,     LEAF7_EBX,   28, "AVX512CD"},
    {FROM_AVX512,     LEAF7_EBX,   30, "AVX512BW"},
    {FROM_AVX512,     LEAF7_EBX,   31, "AVX512VL"},
    {FROM_AVX512,     LEAF7_ECX,    1, "AVX512_VBMI"},
    {FROM_AVX512,     LEAF7_ECX,    6, "AVX512_VBMI2"},
    {FROM_AVX512,     LEAF7_ECX,   11, "AVX512_VNNI"},
    {FROM_AVX512BF16, LEAF7_1_EAX,  5, "AVX512_BF16"},
    {FROM_AMX,        LEAF7_EDX,   24, "AMX_TILE"},
    {FROM_AMX,        LEAF7_EDX,   22, "AMX_BF16"},
    {FROM_AMX,        LEAF7_EDX,   25, "AMX_INT8"},
};
/* clang-format on */

/* XCR0 bits the operating system must have set to save a level's registers across a switch. */
#define XCR0_YMM       UINT64_C(0x06) /* XMM, YMM */
#define XCR0_ZMM       UINT64_C(0xE6) /* ... opmask, ZMM0-15 upper halves, ZMM16-31 */
#define XCR0_TILE_DATA UINT64_C(0x40000)
#define XCR0_TILES     (UINT64_C(0x20000) | XCR0_TILE_DATA) /* tile configuration, tile data */

const char *mxq_cpu_missing_x86(const struct mxq_cpuid *cpuid, uint32_t level)
{
    if (!(level & FROM_AVX2))
        return level ? "an AArch64 machine" : "";
    if (cpuid->max_leaf < 7)
        return "CPUID leaf 7";
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        const uint32_t word = *(const uint32_t *)((const char *)cpuid + features[i].word);
        if ((features[i].level & level) && !(word >> features[i].bit & 1))
            return features[i].name;
    }
    if ((cpuid->xcr0 & XCR0_YMM) != XCR0_YMM)
        return "operating-system support for YMM registers (XCR0)";
    if ((level & FROM_AVX512) && (cpuid->xcr0 & XCR0_ZMM) != XCR0_ZMM)
        return "operating-system support for ZMM registers (XCR0)";
    if ((level & FROM_AMX) && (cpuid->xcr0 & XCR0_TILES) != XCR0_TILES)
        return "operating-system support for AMX tiles (XCR0)";
    if ((level & FROM_AMX) && !(cpuid->permissions & XCR0_TILE_DATA))
        return "permission to use AMX tiles: mxq_enable_amx()";
    return "";
}

uint32_t mxq_cpu_levels_x86(const struct mxq_cpuid *cpuid)
{
    static const uint32_t levels[] = {MXQ_CPU_AVX2, MXQ_CPU_AVX512, MXQ_CPU_AVX512BF16,
                                      MXQ_CPU_AMX};
    uint32_t found = 0;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (!*mxq_cpu_missing_x86(cpuid, levels[i]))
            found |= levels[i];
    return found;
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <errno.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif

/* Whether only the permission can be missing for AMX.  A sandbox may kill a process for an unusual
 * system call: none without need. */
static int has_tiles(struct mxq_cpuid s)
{
    s.permissions = XCR0_TILE_DATA;
    return !*mxq_cpu_missing_x86(&s, MXQ_CPU_AMX);
}

#if defined(__linux__)
/* Linux x86 uapi asm/prctl.h */
#define ARCH_GET_XCOMP_PERM 0x1022
#define ARCH_REQ_XCOMP_PERM 0x1023
#define XFEATURE_TILE_DATA  18L

static long arch_prctl(long code, void *argument)
{
    const int saved = errno;
    const long result = syscall(SYS_arch_prctl, code, argument);
    errno = saved;
    return result;
}

static uint64_t get_permissions(void)
{
    uint64_t bits = 0;
    return arch_prctl(ARCH_GET_XCOMP_PERM, &bits) == 0 ? bits : 0;
}

static void request_tiles(void)
{
    (void)arch_prctl(ARCH_REQ_XCOMP_PERM, (void *)XFEATURE_TILE_DATA);
}
#else
static uint64_t get_permissions(void)
{
    return 0;
}

static void request_tiles(void) {}
#endif

static struct mxq_cpuid snapshot(void)
{
    struct mxq_cpuid s = {0};
    uint32_t a, b, c, d;
    __cpuid(0, s.max_leaf, b, c, d);
    __cpuid(1, a, b, s.leaf1_ecx, d);
    if (s.max_leaf >= 7) {
        __cpuid_count(7, 0, a, s.leaf7_ebx, s.leaf7_ecx, s.leaf7_edx);
        if (a >= 1) /* the largest subleaf */
            __cpuid_count(7, 1, s.leaf7_1_eax, b, c, d);
    }
    if (s.leaf1_ecx >> 27 & 1) { /* OSXSAVE: XGETBV exists */
        uint32_t lo, hi;
        __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
        s.xcr0 = (uint64_t)hi << 32 | lo;
    }
    if (has_tiles(s))
        s.permissions = get_permissions();
    return s;
}

void mxq_cpu_request_amx(void)
{
    if (has_tiles(snapshot()))
        request_tiles();
}

uint32_t mxq_cpu_levels(void)
{
    const struct mxq_cpuid s = snapshot();
    return mxq_cpu_levels_x86(&s);
}

const char *mxq_cpu_missing(uint32_t level)
{
    const struct mxq_cpuid s = snapshot();
    return mxq_cpu_missing_x86(&s, level);
}

#elif defined(__aarch64__)
#include <sys/auxv.h>

/* Linux arm64 uapi hwcap.h */
#define HWCAP_BIT_ASIMD   1
#define HWCAP_BIT_ASIMDDP 20
#define HWCAP2_BIT_BF16   14

uint32_t mxq_cpu_levels(void)
{
    const unsigned long hwcap = getauxval(AT_HWCAP);
    if (!(hwcap >> HWCAP_BIT_ASIMD & 1))
        return 0;
    const int has_bf16 = getauxval(AT_HWCAP2) >> HWCAP2_BIT_BF16 & 1;
    const int has_dots = hwcap >> HWCAP_BIT_ASIMDDP & 1;
    return has_bf16 && has_dots ? MXQ_CPU_NEON | MXQ_CPU_NEONBF16 : MXQ_CPU_NEON;
}

const char *mxq_cpu_missing(uint32_t level)
{
    const uint32_t missing = level & ~mxq_cpu_levels();
    return !missing                     ? ""
           : missing & MXQ_CPU_NEON     ? "AdvSIMD"
           : missing & MXQ_CPU_NEONBF16 ? "FEAT_BF16 or FEAT_DotProd"
                                        : "an x86-64 machine";
}

#else
uint32_t mxq_cpu_levels(void)
{
    return 0;
}

const char *mxq_cpu_missing(uint32_t level)
{
    return level ? "an x86-64 or AArch64 machine" : "";
}
#endif

#if !defined(__x86_64__)
void mxq_cpu_request_amx(void) {}
#endif
