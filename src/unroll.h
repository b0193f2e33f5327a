/* SPDX-License-Identifier: Apache-2.0 */
/* unroll.h -- loops over the registers of a tile: they have no index, so every step must be spelled out. */
#ifndef MXQ_UNROLL_H
#define MXQ_UNROLL_H

/* clang ignores the pragma of gcc, and its own "unroll" comes too late to keep arrays out of memory. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif

#endif
