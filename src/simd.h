/* SPDX-License-Identifier: Apache-2.0 */
/* simd.h -- the only place that includes intrinsics: the machine's own, or SIMDe's with MXQ_EMULATED.
 *
 * SIMDe is told to use no native instruction, so that an emulated column tests the column's logic on
 * any machine.  It has no fused multiply-add then: see vec.h where that matters. */
#ifndef MXQ_SIMD_H
#define MXQ_SIMD_H

#if defined(MXQ_EMULATED)
#define SIMDE_NO_NATIVE
#define SIMDE_ENABLE_NATIVE_ALIASES
#if defined(MXQ_SIMD_NEON)
#include <simde/arm/neon.h>
#else
#include <simde/x86/avx2.h>
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>

#include "simd_missing.h"
#endif
#elif defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#endif
