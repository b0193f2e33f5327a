/* SPDX-License-Identifier: Apache-2.0 */
/* cpu.h -- what the machine can run: feature bits, and how they follow from CPUID or HWCAP. */
#ifndef MXQ_CPU_H
#define MXQ_CPU_H

#include <stddef.h>
#include <stdint.h>

/* Levels are deployment targets, not single CPUID bits: each stands for all features that code
 * compiled for it may use, and for the operating system's support of their registers. */
/* clang-format off */
#define MXQ_CPU_AVX2       (UINT32_C(1) << 0) /* AVX2 FMA F16C */
#define MXQ_CPU_AVX512     (UINT32_C(1) << 1) /* AVX2, and F CD BW DQ VL VBMI VBMI2 VNNI (Ice Lake) */
#define MXQ_CPU_NEON       (UINT32_C(1) << 2) /* Armv8.0 AdvSIMD */
#define MXQ_CPU_AVX512BF16 (UINT32_C(1) << 3) /* AVX512, and BF16 (Cooper Lake, Zen 4) */
#define MXQ_CPU_AMX        (UINT32_C(1) << 4) /* AVX512BF16, and AMX-TILE BF16 INT8, with permission */
#define MXQ_CPU_NEONBF16   (UINT32_C(1) << 5) /* NEON, and FEAT_BF16 and FEAT_DotProd */
/* clang-format on */

/* What CPUID, XGETBV and the system said: all that the decision depends on.  A made-up one tests it. */
struct mxq_cpuid {
    uint32_t max_leaf;
    uint32_t leaf1_ecx;
    uint32_t leaf7_ebx;
    uint32_t leaf7_ecx;
    uint32_t leaf7_edx;
    uint32_t leaf7_1_eax;
    uint64_t xcr0;        /* 0 when OSXSAVE is off */
    uint64_t permissions; /* XCR0 bits that the process may use, of those that need a permission */
};

/* Returns the MXQ_CPU_* levels of an x86-64 machine.  Pure; never looks at the model number, which
 * lies in virtual machines. */
uint32_t mxq_cpu_levels_x86(const struct mxq_cpuid *cpuid);

/* Returns what an x86-64 machine lacks for a level, as a static string; "" when it lacks nothing.
 * Names the first missing feature. */
const char *mxq_cpu_missing_x86(const struct mxq_cpuid *cpuid, uint32_t level);

/* Returns the MXQ_CPU_* levels of this machine. */
uint32_t mxq_cpu_levels(void);

/* Asks the system to let this process, its threads and its children use AMX tiles; whether it does,
 * mxq_cpu_levels() tells then.  Does nothing where the CPU has none. */
void mxq_cpu_request_amx(void);

/* Returns the size of the L2 cache of a core, or a small one's where the system does not tell. */
size_t mxq_cpu_l2_bytes(void);

/* Returns what this machine lacks for a level; "" when it lacks nothing. */
const char *mxq_cpu_missing(uint32_t level);

#endif
