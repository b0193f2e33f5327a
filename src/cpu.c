/* SPDX-License-Identifier: Apache-2.0 */
/* cpu.c -- CPUID with XCR0 on x86-64, HWCAP on AArch64. */
#include "cpu.h"

#include <stddef.h>

/* One feature of a level: a bit of one CPUID register. */
struct feature {
    uint32_t level;
    size_t word; /* offset of the register in struct mxq_cpuid */
    int bit;
    const char *name;
};

#define LEAF1_ECX offsetof(struct mxq_cpuid, leaf1_ecx)
#define LEAF7_EBX offsetof(struct mxq_cpuid, leaf7_ebx)
#define LEAF7_ECX offsetof(struct mxq_cpuid, leaf7_ecx)

/* clang-format off */
static const struct feature features[] = {
    {MXQ_CPU_AVX2 | MXQ_CPU_AVX512, LEAF1_ECX, 28, "AVX"},
    {MXQ_CPU_AVX2 | MXQ_CPU_AVX512, LEAF1_ECX, 12, "FMA"},
    {MXQ_CPU_AVX2 | MXQ_CPU_AVX512, LEAF1_ECX, 29, "F16C"},
    {MXQ_CPU_AVX2 | MXQ_CPU_AVX512, LEAF7_EBX,  5, "AVX2"},
    {MXQ_CPU_AVX512,                LEAF7_EBX, 16, "AVX512F"},
    {MXQ_CPU_AVX512,                LEAF7_EBX, 17, "AVX512DQ"},
    {MXQ_CPU_AVX512,                LEAF7_EBX, 28, "AVX512CD"},
    {MXQ_CPU_AVX512,                LEAF7_EBX, 30, "AVX512BW"},
    {MXQ_CPU_AVX512,                LEAF7_EBX, 31, "AVX512VL"},
    {MXQ_CPU_AVX512,                LEAF7_ECX,  1, "AVX512_VBMI"},
    {MXQ_CPU_AVX512,                LEAF7_ECX,  6, "AVX512_VBMI2"},
    {MXQ_CPU_AVX512,                LEAF7_ECX, 11, "AVX512_VNNI"},
};
/* clang-format on */

/* XCR0 bits the operating system must have set to save a level's registers across a switch. */
#define XCR0_YMM UINT64_C(0x06) /* XMM, YMM */
#define XCR0_ZMM UINT64_C(0xE6) /* ... opmask, ZMM0-15 upper halves, ZMM16-31 */

const char *mxq_cpu_missing_x86(const struct mxq_cpuid *cpuid, uint32_t level)
{
    if (!(level & (MXQ_CPU_AVX2 | MXQ_CPU_AVX512)))
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
    if ((level & MXQ_CPU_AVX512) && (cpuid->xcr0 & XCR0_ZMM) != XCR0_ZMM)
        return "operating-system support for ZMM registers (XCR0)";
    return "";
}

uint32_t mxq_cpu_levels_x86(const struct mxq_cpuid *cpuid)
{
    static const uint32_t levels[] = {MXQ_CPU_AVX2, MXQ_CPU_AVX512};
    uint32_t found = 0;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (!*mxq_cpu_missing_x86(cpuid, levels[i]))
            found |= levels[i];
    return found;
}

#if defined(__x86_64__)
#include <cpuid.h>

static struct mxq_cpuid snapshot(void)
{
    struct mxq_cpuid s = {0, 0, 0, 0, 0};
    uint32_t a, b, c, d;
    __cpuid(0, s.max_leaf, b, c, d);
    __cpuid(1, a, b, s.leaf1_ecx, d);
    if (s.max_leaf >= 7)
        __cpuid_count(7, 0, a, s.leaf7_ebx, s.leaf7_ecx, d);
    if (s.leaf1_ecx >> 27 & 1) { /* OSXSAVE: XGETBV exists */
        uint32_t lo, hi;
        __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
        s.xcr0 = (uint64_t)hi << 32 | lo;
    }
    return s;
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

#define HWCAP_BIT_ASIMD 1 /* Linux arm64 uapi hwcap.h */

uint32_t mxq_cpu_levels(void)
{
    return (getauxval(AT_HWCAP) >> HWCAP_BIT_ASIMD & 1) ? MXQ_CPU_NEON : 0;
}

const char *mxq_cpu_missing(uint32_t level)
{
    const uint32_t missing = level & ~mxq_cpu_levels();
    return !missing ? "" : missing & MXQ_CPU_NEON ? "AdvSIMD" : "an x86-64 machine";
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
