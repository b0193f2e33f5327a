/* SPDX-License-Identifier: Apache-2.0 */
/* unroll.h -- loops over the registers of a tile: they have no index, so every step must be spelled out. */
#ifndef MXQ_UNROLL_H
#define MXQ_UNROLL_H

/* clang ignores gcc's. */
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif

#endif
