/* SPDX-License-Identifier: Apache-2.0 */
/* amx.c -- the peaks of TDPBF16PS and TDPBUSD over 2 x 2 tiles with the tile loads of a GEMM: 16 KiB of
 * operands, which stay in L1.  The process must have the permission to use tiles. */
#include <stdint.h>

#include "limits/limits.h"

#define TILE_BYTES 1024
#define DEPTH      4 /* tiles of x, and of w, along k */

/* The memory operand of LDTILECFG. */
struct tile_config {
    uint8_t palette;
    uint8_t start_row;
    uint8_t reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

static _Thread_local uint16_t operands[4 * DEPTH * TILE_BYTES / 2] __attribute__((aligned(4096)));

/* Tiles 0 .. 3 are sums, 4 and 5 x, 6 and 7 w. */
#define MULTIPLY_TILES(name, instruction)                                                          \
    static void name(const uint16_t *at)                                                           \
    {                                                                                              \
        __asm__ volatile("tileloadd (%0,%1,1), %%tmm4\n\t"                                         \
                         "tileloadd 1024(%0,%1,1), %%tmm5\n\t"                                     \
                         "tileloadd 2048(%0,%1,1), %%tmm6\n\t"                                     \
                         "tileloadd 3072(%0,%1,1), %%tmm7\n\t" instruction                         \
                         " %%tmm6, %%tmm4, %%tmm0\n\t" instruction                                 \
                         " %%tmm7, %%tmm4, %%tmm1\n\t" instruction                                 \
                         " %%tmm6, %%tmm5, %%tmm2\n\t" instruction " %%tmm7, %%tmm5, %%tmm3"       \
                         :                                                                         \
                         : "r"(at), "r"((uint64_t)64)                                              \
                         : "memory");                                                              \
    }
MULTIPLY_TILES(multiply_bf16, "tdpbf16ps")
MULTIPLY_TILES(multiply_int8, "tdpbusd")

static inline __attribute__((always_inline)) void run_peak(void (*multiply_tiles)(const uint16_t *),
                                                           size_t steps)
{
    struct tile_config config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = 64;
        config.rows[i] = 16;
    }
    /* 1 and 2^-7 do not matter but for the power they take. */
    for (size_t i = 0; i < sizeof operands / sizeof *operands; i++)
        operands[i] = i & 1024 ? 0x3F80 : 0x3C00;
    __asm__ volatile("ldtilecfg %0" : : "m"(config) : "memory");
    __asm__ volatile("tilezero %%tmm0\n\ttilezero %%tmm1\n\ttilezero %%tmm2\n\ttilezero %%tmm3"
                     :
                     :);
    for (; steps; steps--)
        for (size_t k = 0; k < DEPTH; k++)
            multiply_tiles(operands + k * 4 * TILE_BYTES / 2);
    __asm__ volatile("tilerelease" : : : "memory");
}

static void run_bf16(size_t steps)
{
    run_peak(multiply_bf16, steps);
}

static void run_int8(size_t steps)
{
    run_peak(multiply_int8, steps);
}

/* 16 x 16 sums of 32 or 64 products, four times for each of DEPTH. */
const struct limit_peak limit_peak_amx = {"amx", "TDPBF16PS", DEPTH * 4 * 16 * 16 * 32 * 2.0,
                                          run_bf16};
const struct limit_peak limit_peak_amxint8 = {"amxint8", "TDPBUSD", DEPTH * 4 * 16 * 16 * 64 * 2.0,
                                              run_int8};
