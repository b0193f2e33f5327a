/* SPDX-License-Identifier: Apache-2.0 */
/* fpcontrol.h -- the floating-point control register of the machine: MXCSR or FPCR. */
#ifndef MXQ_TESTS_FPCONTROL_H
#define MXQ_TESTS_FPCONTROL_H

#include <stdint.h>

#if defined(__x86_64__)
#include <xmmintrin.h>

#define FPCONTROL_NAME   "MXCSR"
#define FPCONTROL_STICKY UINT64_C(0x3F) /* exceptions seen so far: not a mode */

static inline uint64_t fpcontrol_get(void)
{
    return _mm_getcsr();
}

static inline void fpcontrol_set(uint64_t value)
{
    _mm_setcsr((unsigned)value);
}

#elif defined(__aarch64__)

#define FPCONTROL_NAME   "FPCR"
#define FPCONTROL_STICKY UINT64_C(0) /* they live in FPSR */

static inline uint64_t fpcontrol_get(void)
{
    uint64_t value;
    __asm__ volatile("mrs %0, fpcr" : "=r"(value));
    return value;
}

static inline void fpcontrol_set(uint64_t value)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(value) : "memory");
}
#endif

#endif
