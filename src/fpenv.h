/* SPDX-License-Identifier: Apache-2.0 */
/* fpenv.h -- the floating-point environment of the contract: nearest even, no flushing.
 *
 * Hosts set FTZ, DAZ or a rounding mode (loading any library built with -ffast-math does, and new
 * threads inherit it).  Every public entry point and every task of a parallel run brackets its
 * arithmetic with these two. */
#ifndef MXQ_FPENV_H
#define MXQ_FPENV_H

#include <stdint.h>

#if defined(__x86_64__)
#include <xmmintrin.h>

#define MXQ_MXCSR_DEFAULT 0x1F80u /* all exceptions masked, nearest even, FTZ and DAZ off */

static inline uint64_t mxq_fpenv_enter(void)
{
    const unsigned saved = _mm_getcsr();
    _mm_setcsr(MXQ_MXCSR_DEFAULT);
    return saved;
}

static inline void mxq_fpenv_leave(uint64_t saved)
{
    _mm_setcsr((unsigned)saved);
}

#elif defined(__aarch64__)

static inline uint64_t mxq_fpenv_enter(void)
{
    uint64_t saved;
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
    __asm__ volatile("msr fpcr, %0" : : "r"(UINT64_C(0)) : "memory");
    return saved;
}

static inline void mxq_fpenv_leave(uint64_t saved)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(saved) : "memory");
}

#else
#include <fenv.h>

static inline uint64_t mxq_fpenv_enter(void)
{
    const int saved = fegetround();
    fesetround(FE_TONEAREST);
    return (uint64_t)saved;
}

static inline void mxq_fpenv_leave(uint64_t saved)
{
    fesetround((int)saved);
}
#endif

#endif
