/* SPDX-License-Identifier: Apache-2.0 */
/* tile.h -- the tile words of the GEMM: AMX instructions, or with MXQ_EMULATED what they do, in C.
 *
 * Instructions are assembly with their memory named: gcc 12's intrinsics lack it, and gcc drops the
 * stores before them.  A tile's number is part of the instruction, so words are macros over constants.
 *
 *   tile_save(c) tile_load_config(c)   the configuration: 64 bytes; all tiles become zeros
 *   tile_release()                     no configuration: the state in which threads begin
 *   tile_load(t, p, stride)            rows of up to 64 bytes, `stride` bytes apart
 *   tile_store(t, p, stride)
 *   tile_zero(t)
 *   tile_dot(c, a, b)                  c += a . b, of BF16 pairs; a sub-block in the canonical order
 *   tile_dot_bytes(c, a, b)            c += a . b, in int32, of quads of bytes, unsigned in a, signed in b */
#ifndef MXQ_AMX_TILE_H
#define MXQ_AMX_TILE_H

#include <stddef.h>
#include <stdint.h>

#define TILES      8
#define TILE_ROWS  16
#define TILE_BYTES 64 /* of a row */

/* What LDTILECFG reads. */
struct tile_config {
    uint8_t palette; /* 1: 8 tiles of 16 rows x 64 bytes; 0: none */
    uint8_t start_row;
    uint8_t reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

#if !defined(MXQ_EMULATED)

static inline void tile_save(struct tile_config *config)
{
    __asm__ volatile("sttilecfg %0" : "=m"(*config));
}

static inline void tile_load_config(const struct tile_config *config)
{
    __asm__ volatile("ldtilecfg %0" : : "m"(*config));
}

static inline void tile_release(void)
{
    __asm__ volatile("tilerelease");
}

/* The rows are anywhere: hence "memory". */
#define tile_load(t, p, stride)                                                                    \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t                                               \
                     :                                                                             \
                     : "r"((const void *)(p)), "r"((size_t)(stride))                               \
                     : "memory")
#define tile_store(t, p, stride)                                                                   \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)"                                           \
                     :                                                                             \
                     : "r"((void *)(p)), "r"((size_t)(stride))                                     \
                     : "memory")
#define tile_zero(t)            __asm__ volatile("tilezero %%tmm" #t : :)
#define tile_dot(c, a, b)       __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c : :)
#define tile_dot_bytes(c, a, b) __asm__ volatile("tdpbusd %%tmm" #b ", %%tmm" #a ", %%tmm" #c : :)

#else
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the instructions of this thread would have left. */
static _Thread_local struct tile_config emulated_config;
static _Thread_local unsigned char emulated_tiles[TILES][TILE_ROWS][TILE_BYTES];

static inline void tile_save(struct tile_config *config)
{
    *config = emulated_config;
}

static inline void tile_load_config(const struct tile_config *config)
{
    emulated_config = *config;
    memset(emulated_tiles, 0, sizeof emulated_tiles);
}

static inline void tile_release(void)
{
    memset(&emulated_config, 0, sizeof emulated_config);
    memset(emulated_tiles, 0, sizeof emulated_tiles);
}

/* The machine raises an exception. */
static inline void tile_require(int condition)
{
    if (!condition)
        abort();
}

static inline int tile_is_configured(int t)
{
    return emulated_config.palette == 1 && emulated_config.rows[t] &&
           emulated_config.rows[t] <= TILE_ROWS && emulated_config.row_bytes[t] &&
           emulated_config.row_bytes[t] <= TILE_BYTES && emulated_config.row_bytes[t] % 4 == 0;
}

static inline void tile_load(int t, const void *p, size_t stride)
{
    tile_require(tile_is_configured(t));
    memset(emulated_tiles[t], 0, sizeof emulated_tiles[t]);
    for (size_t r = 0; r < emulated_config.rows[t]; r++)
        memcpy(emulated_tiles[t][r], (const char *)p + r * stride, emulated_config.row_bytes[t]);
}

static inline void tile_store(int t, void *p, size_t stride)
{
    tile_require(tile_is_configured(t));
    for (size_t r = 0; r < emulated_config.rows[t]; r++)
        memcpy((char *)p + r * stride, emulated_tiles[t][r], emulated_config.row_bytes[t]);
}

static inline float tile_flush(float f)
{
    return fabsf(f) < 0x1p-126F ? copysignf(0, f) : f;
}

static inline float tile_f32(const unsigned char *p)
{
    float f;
    memcpy(&f, p, sizeof f);
    return tile_flush(f);
}

static inline float tile_bf16(const unsigned char *p)
{
    uint16_t half;
    memcpy(&half, p, sizeof half);
    const uint32_t bits = (uint32_t)half << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return tile_flush(f);
}

static inline void tile_require_product(int c, int a, int b)
{
    const struct tile_config *g = &emulated_config;
    tile_require(tile_is_configured(a) && tile_is_configured(b) && tile_is_configured(c));
    tile_require(g->rows[a] == g->rows[c] && g->row_bytes[b] == g->row_bytes[c] &&
                 g->row_bytes[a] == 4 * g->rows[b] && a != b && b != c && a != c);
}

static inline void tile_dot(int c, int a, int b)
{
    const struct tile_config *g = &emulated_config;
    tile_require_product(c, a, b);
    for (size_t m = 0; m < g->rows[c]; m++)
        for (size_t n = 0; n < g->row_bytes[c]; n += 4) {
            float chain[2] = {0, 0};
            for (size_t k = 0; k < 2 * (size_t)g->rows[b]; k++)
                chain[k % 2] = tile_flush(fmaf(tile_bf16(&emulated_tiles[a][m][2 * k]),
                                               tile_bf16(&emulated_tiles[b][k / 2][n + k % 2 * 2]),
                                               chain[k % 2]));
            unsigned char *sum = &emulated_tiles[c][m][n];
            const float y = tile_flush(tile_f32(sum) + tile_flush(chain[0] + chain[1]));
            memcpy(sum, &y, sizeof y);
        }
}

static inline void tile_zero(int t)
{
    tile_require(tile_is_configured(t));
    memset(emulated_tiles[t], 0, sizeof emulated_tiles[t]);
}

static inline void tile_dot_bytes(int c, int a, int b)
{
    const struct tile_config *g = &emulated_config;
    tile_require_product(c, a, b);
    for (size_t m = 0; m < g->rows[c]; m++)
        for (size_t n = 0; n < g->row_bytes[c]; n += 4) {
            uint32_t sum;
            memcpy(&sum, &emulated_tiles[c][m][n], sizeof sum);
            for (size_t k = 0; k < 4 * (size_t)g->rows[b]; k++)
                sum += (uint32_t)(emulated_tiles[a][m][k] *
                                  (int8_t)emulated_tiles[b][k / 4][n + k % 4]);
            memcpy(&emulated_tiles[c][m][n], &sum, sizeof sum);
        }
}
#endif

#endif
