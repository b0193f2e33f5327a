/* SPDX-License-Identifier: Apache-2.0 */
/* packed.c -- packs weights for the GEMM, and reads the header of what was packed. */
#include "packed.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "fpenv.h"
#include "matrix.h"
#include "piece.h"

/* ------------------------------------------ The header ----------------------------------------- */

static const unsigned char magic[8] = {0x89, 'm', 'x', 'q', 'p', 'k', '\r', '\n'};

#define VERSION 2

enum {
    AT_VERSION = 8,
    AT_ELEMENT = 12,
    AT_SCALE = 16,
    AT_BLOCK_ROWS = 20,
    AT_BLOCK_COLS = 24,
    AT_SCALE_LOW = 28,
    AT_SCALE_HIGH = 29,
    AT_NONFINITE = 30,
    AT_LEAST = 31,
    AT_N = 32,
    AT_K = 40,
    AT_BYTES = 48,
    AT_CHECK = 56,
    AT_HEADER_CHECK = 120
};

static void put(unsigned char *p, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        p[i] = (unsigned char)(value >> 8 * i);
}

static uint64_t get(const unsigned char *p, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)p[i] << 8 * i;
    return value;
}

/* Mixes a word with its place: odd multipliers and shifts lose nothing, so a changed word changes the
 * result. */
static uint64_t mix(uint64_t word, uint64_t place)
{
    uint64_t h = word ^ place * UINT64_C(0x9E3779B97F4A7C15);
    h = (h ^ h >> 32) * UINT64_C(0xD6E8FEB86659FD93);
    return h ^ h >> 32;
}

/* The check value of whole 64-bit words, of which the first is number `place`. */
static uint64_t check_of(const unsigned char *data, size_t bytes, uint64_t place)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < bytes; i += 8)
        sum += mix(get(data + i, 8), place + i / 8);
    return sum;
}

/* How the weights of a format are packed. */
static struct mxq_packed_layout layout_of(const struct mxq_format *f)
{
    static const struct mxq_packed_layout layouts[MXQ_ELEMENTS] = {
        [MXQ_E4M3] = {MXQ_PACKED_E4M3, 0, MXQ_BLOCK},
        [MXQ_E5M2] = {MXQ_PACKED_E5M2, 0, MXQ_BLOCK},
        [MXQ_E3M2] = {MXQ_PACKED_E4M3, 0, MXQ_BLOCK},
        [MXQ_E2M3] = {MXQ_PACKED_INT8, 3, MXQ_BLOCK},
        [MXQ_E2M1] = {MXQ_PACKED_E2M1, 0, MXQ_BLOCK},
        [MXQ_MXINT8] = {MXQ_PACKED_INT8, 6, MXQ_BLOCK},
        [MXQ_INT8] = {MXQ_PACKED_INT8, 0, MXQ_BLOCK},
    };
    struct mxq_packed_layout layout = layouts[f->element];
    if (f->scale == MXQ_E4M3_SCALE)
        layout.element = MXQ_PACKED_NVFP4;
    else if (f->scale != MXQ_E8M0 && f->block_cols && f->block_cols < MXQ_BLOCK)
        layout.run = f->block_cols;
    return layout;
}

/* The blocks along k that have a factor of their own. */
static size_t factor_count(const struct mxq_format *f, size_t k)
{
    return f->scale == MXQ_E8M0         ? 0
           : f->scale == MXQ_E4M3_SCALE ? k != 0
                                        : mxq_block_count(f->block_cols, k);
}

/* Fills the layout and the sizes that follow from info; returns 0 when one overflows. */
static int lay_out(struct mxq_packed *p)
{
    const size_t n = p->info.n, k = p->info.k;
    size_t scales_bytes, factors_bytes, panels_bytes;
    p->layout = layout_of(&p->info.format);
    p->element_bytes = mxq_packed_elements[p->layout.element].element_bytes;
    p->scale_bytes = mxq_packed_elements[p->layout.element].scale_bytes;
    p->panel_count = n / MXQ_PANEL + (n % MXQ_PANEL != 0);
    p->blocks = k / p->layout.run + (k % p->layout.run != 0);
    p->groups = factor_count(&p->info.format, k);
    if (__builtin_mul_overflow(p->blocks, p->element_bytes, &p->scales) ||
        __builtin_mul_overflow(p->blocks, p->scale_bytes, &scales_bytes) ||
        scales_bytes > SIZE_MAX - 63 ||
        __builtin_add_overflow(p->scales, (scales_bytes + 63) / 64 * 64, &p->factors) ||
        __builtin_mul_overflow(p->groups, MXQ_PANEL * sizeof(float), &factors_bytes) ||
        __builtin_add_overflow(p->factors, factors_bytes, &p->panel_bytes) ||
        __builtin_mul_overflow(p->panel_count, p->panel_bytes, &panels_bytes) ||
        __builtin_add_overflow(panels_bytes, MXQ_PACKED_HEADER, &p->info.bytes))
        return 0;
    return 1;
}

static enum mxq_status packed_error(struct mxq_error *error, const char *what)
{
    return mxq_fail(error, MXQ_ERR_PACKED, what);
}

static int reserved_are_zero(const unsigned char *h)
{
    unsigned char any = 0;
    for (size_t i = AT_CHECK + 8; i < AT_HEADER_CHECK; i++)
        any |= h[i];
    return !any;
}

enum mxq_status mxq_packed_open(struct mxq_packed *p, const void *packed, size_t packed_bytes,
                                struct mxq_error *error)
{
    const unsigned char *h = packed;
    if (!packed)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "packed must not be null");
    if (packed_bytes < MXQ_PACKED_HEADER)
        return packed_error(error, "packed_bytes must be at least the header's 128");
    if (memcmp(h, magic, sizeof magic))
        return packed_error(error, "packed must begin with the magic bytes of packed weights");
    if (get(h + AT_VERSION, 4) != VERSION)
        return packed_error(error, "packed must be of version 2: pack the weights again");
    if (get(h + AT_HEADER_CHECK, 8) != check_of(h, AT_HEADER_CHECK, 0))
        return packed_error(error, "the header of packed must match its check value");
    if (!reserved_are_zero(h) || h[AT_NONFINITE] > 1 || h[AT_LEAST] > 1 ||
        h[AT_SCALE_LOW] > h[AT_SCALE_HIGH])
        return packed_error(error,
                            "reserved bytes of packed's header must be 0, and its flags sound");
    const struct mxq_format format = {
        (enum mxq_element)get(h + AT_ELEMENT, 4), (enum mxq_scale)get(h + AT_SCALE, 4),
        (uint32_t)get(h + AT_BLOCK_ROWS, 4), (uint32_t)get(h + AT_BLOCK_COLS, 4)};
    const uint64_t n = get(h + AT_N, 8), k = get(h + AT_K, 8);
    if (!mxq_format_is_supported(&format))
        return packed_error(error, mxq_supported_formats);
    *p = (struct mxq_packed){.info = {format, (size_t)n, (size_t)k, 0},
                             .panels = h + MXQ_PACKED_HEADER,
                             .scale_low = h[AT_SCALE_LOW],
                             .scale_high = h[AT_SCALE_HIGH],
                             .is_finite = !h[AT_NONFINITE],
                             .has_least = h[AT_LEAST],
                             .check = get(h + AT_CHECK, 8)};
    if (n > SIZE_MAX || k > SIZE_MAX || !lay_out(p) || get(h + AT_BYTES, 8) != p->info.bytes)
        return packed_error(error, "the bytes in packed's header must follow from its n and k");
    if (packed_bytes < p->info.bytes)
        return packed_error(error, "packed_bytes must be at least the bytes in packed's header");
    return MXQ_OK;
}

/* ------------------------------------------- Packing ------------------------------------------- */

struct pack {
    struct mxq_packed to;
    unsigned char *panels;
    const struct mxq_quantized *quantized; /* the source is this one, */
    struct mxq_pieces pieces;              /* or these */
    _Atomic uint64_t check;
    _Atomic uint32_t scale_low;
    _Atomic uint32_t scale_high;
    _Atomic int nonfinite;
    _Atomic int least;
};

/* What the header says of the scales and elements of a panel. */
struct extremes {
    uint8_t low, high;
    int nonfinite, least;
};

/* Some sub-blocks of a panel: values col .. col + count - 1 of k. */
struct chunk {
    size_t block, blocks, col, count;
};

static uint8_t code_at(const uint8_t *elements, size_t i, int bits)
{
    const size_t at = i * (size_t)bits;
    unsigned word = elements[at / 8];
    if (at % 8 + (size_t)bits > 8)
        word |= (unsigned)elements[at / 8 + 1] << 8;
    return (uint8_t)(word >> at % 8 & ((1u << bits) - 1));
}

/* The E4M3 code of the value of an E3M2 code. */
static uint8_t e4m3_of_e3m2(uint8_t code)
{
    static const uint8_t subnormal[] = {0, 0x18, 0x20, 0x24};
    const unsigned magnitude = code & 0x1Fu, sign = (code & 0x20u) << 2;
    return (uint8_t)(sign | (magnitude < 4 ? subnormal[magnitude] : (magnitude << 1) + 0x20));
}

/* Eight times the value of an E2M3 code. */
static uint8_t int8_of_e2m3(uint8_t code)
{
    const unsigned exponent = code >> 3 & 3, mantissa = code & 7;
    const unsigned magnitude = exponent ? (8 + mantissa) << (exponent - 1) : mantissa;
    return (uint8_t)(code & 0x20 ? 256 - magnitude : magnitude);
}

/* Codes as they are packed, a byte each, from column `col` of a row on. */
static void load_codes(uint8_t *codes, const struct mxq_quantized *q, size_t row, size_t col,
                       size_t count)
{
    const struct mxq_element_info *e = &mxq_elements[q->format.element];
    const uint8_t *from = q->elements + row * q->elements_stride + mxq_code_bytes(e, col);
    if (e->bits == 8) {
        memcpy(codes, from, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const uint8_t code = code_at(from, i, e->bits);
        codes[i] = q->format.element == MXQ_E3M2   ? e4m3_of_e3m2(code)
                   : q->format.element == MXQ_E2M3 ? int8_of_e2m3(code)
                                                   : code;
    }
}

/* The E8M0 byte that a panel holds for that of the format. */
static uint8_t shifted(uint8_t scale, int shift)
{
    return (uint8_t)(scale == 0xFF ? 0xFF : scale < shift ? 255 - shift + scale : scale - shift);
}

/* Notes a sub-block with an E8M0 scale; one of zeros gets the scale 127. */
static void note_block(struct extremes *e, const uint8_t *codes, uint8_t *scale,
                       enum mxq_packed_element element)
{
    const struct mxq_element_info *info = &mxq_elements[mxq_packed_elements[element].element];
    const unsigned sign = info->kind == MXQ_INTEGER ? 0 : 1u << (info->bits - 1);
    uint8_t any = 0, largest = 0;
    for (size_t i = 0; i < MXQ_BLOCK; i++) {
        const uint8_t magnitude = (uint8_t)(codes[i] & ~sign);
        any |= magnitude;
        largest = magnitude > largest ? magnitude : largest;
        e->least |= info->kind == MXQ_INTEGER && codes[i] == 0x80;
    }
    if (*scale == 0xFF || (info->kind == MXQ_FLOAT && largest > info->max_code)) {
        e->nonfinite = 1;
    } else if (!any) {
        *scale = 127;
    } else {
        e->low = *scale < e->low ? *scale : e->low;
        e->high = *scale > e->high ? *scale : e->high;
    }
}

/* Makes a scale of E4M3 a magnitude, or 0x7F, and turns the signs of its elements instead. */
static uint8_t positive(struct extremes *e, uint8_t *codes, uint8_t scale)
{
    for (size_t i = 0; i < MXQ_BLOCK / 2 && scale >> 7; i++)
        codes[i] ^= 8;
    e->nonfinite |= (scale & 0x7F) == 0x7F;
    return scale & 0x7F;
}

/* Puts the codes of a sub-block of output `n` of a panel where they belong. */
static void store_codes(const struct mxq_packed *to, unsigned char *elements, size_t n,
                        const uint8_t *codes)
{
    for (size_t pair = 0; pair < MXQ_BLOCK / 2; pair++) {
        const uint8_t *from = codes + 2 * pair;
        if (to->element_bytes == MXQ_PANEL_ELEMENTS)
            memcpy(elements + (pair * MXQ_PANEL + n) * 2, from, 2);
        else
            elements[pair * MXQ_PANEL + n] = (uint8_t)(from[0] | from[1] << 4);
    }
}

/* Packs a chunk of output `n` of a panel; q is NULL beyond the last output, and else holds the chunk from
 * column `col` of its row `row` on. */
static void pack_row(const struct pack *pack, struct extremes *e, unsigned char *panel, size_t n,
                     const struct chunk *c, const struct mxq_quantized *q, size_t row, size_t col)
{
    const struct mxq_packed *to = &pack->to;
    const struct mxq_format *f = &to->info.format;
    const size_t run = to->layout.run;
    uint8_t codes[MXQ_SPAN] = {0}, e8m0[MXQ_SPAN_BLOCKS];
    memset(e8m0, 127, sizeof e8m0);
    if (q)
        load_codes(codes, q, row, col, c->count);
    if (q && f->scale == MXQ_E8M0)
        mxq_span_codes(e8m0, q, row, col, c->blocks);
    for (size_t b = 0; b < c->blocks; b++) {
        uint8_t own[MXQ_BLOCK] = {0};
        unsigned char *elements = panel + (c->block + b) * to->element_bytes;
        uint8_t *scales = panel + to->scales + (c->block + b) * to->scale_bytes + n;
        memcpy(own, codes + b * run, run);
        if (to->layout.element == MXQ_PACKED_NVFP4) {
            static const uint8_t none[2];
            const uint8_t *halves =
                q ? q->scales + row * q->scales_stride + col / 16 + 2 * b : none;
            const size_t left = c->count - b * MXQ_BLOCK; /* of the row: perhaps half a sub-block */
            scales[0] = positive(e, own, halves[0]);
            scales[MXQ_PANEL] = left > 16 ? positive(e, own + 16, halves[1]) : 0;
        } else {
            scales[0] = shifted(e8m0[b], to->layout.shift);
            note_block(e, own, scales, to->layout.element);
        }
        store_codes(to, elements, n, own);
    }
}

/* The factors of the blocks of a chunk. */
static void pack_factors(const struct pack *pack, unsigned char *panel, size_t n,
                         const struct chunk *c, const struct mxq_quantized *q, size_t row,
                         size_t col)
{
    const struct mxq_packed *to = &pack->to;
    const size_t k = to->info.k, length = to->groups == 1 ? k : to->info.format.block_cols;
    for (size_t i = 0; i < c->count; i += length) {
        float factor = 0;
        if (q && q->tensor_scale)
            factor = *q->tensor_scale;
        else if (q)
            factor = mxq_block_scale(q, row,
                                     (col + i) / mxq_block_length(q->format.block_cols, q->cols));
        if (isnan(factor))
            factor = NAN;
        memcpy(panel + to->factors + ((c->col + i) / length * MXQ_PANEL + n) * sizeof factor,
               &factor, sizeof factor);
    }
}

/* The amaxes that the pieces of a panel's rows need: of 128 rows at once, or for each row in the beginning. */
typedef uint32_t panel_amaxes[MXQ_PANEL][MXQ_PIECE_AMAXES];

static void pack_chunk(struct pack *pack, struct extremes *e, unsigned char *panel, size_t first,
                       const struct chunk *c, panel_amaxes amaxes)
{
    const struct mxq_packed *to = &pack->to;
    struct mxq_piece piece;
    const int is_shared = to->info.format.block_rows > 1;
    for (size_t n = 0; n < MXQ_PANEL; n++) {
        const struct mxq_quantized *q = NULL;
        size_t row = first + n, col = c->col;
        if (row < to->info.n && pack->quantized) {
            q = pack->quantized;
        } else if (row < to->info.n) {
            uint32_t *amax = amaxes[is_shared ? 0 : n];
            if (is_shared ? n == 0 : col == 0)
                mxq_find_amaxes(&pack->pieces, amax, row, col, c->count);
            mxq_quantize_piece(&pack->pieces, &piece, row, col, c->count, amax);
            q = &piece.q;
            row = col = 0;
        }
        pack_row(pack, e, panel, n, c, q, row, col);
        if (to->groups)
            pack_factors(pack, panel, n, c, q, row, col);
    }
}

static void note_panel(struct pack *pack, const struct extremes *e)
{
    uint32_t seen = atomic_load(&pack->scale_low);
    while (e->low < seen && !atomic_compare_exchange_weak(&pack->scale_low, &seen, e->low))
        ;
    seen = atomic_load(&pack->scale_high);
    while (e->high > seen && !atomic_compare_exchange_weak(&pack->scale_high, &seen, e->high))
        ;
    if (e->nonfinite)
        atomic_store(&pack->nonfinite, 1);
    if (e->least)
        atomic_store(&pack->least, 1);
}

static void pack_panel(void *context, size_t index)
{
    struct pack *pack = context;
    const struct mxq_packed *to = &pack->to;
    unsigned char *panel = pack->panels + index * to->panel_bytes;
    struct extremes e = {0xFF, 0, 0, 0};
    panel_amaxes amaxes;
    const size_t run = to->layout.run;
    const uint64_t fpenv = mxq_fpenv_enter();
    for (size_t b = 0; b < to->blocks; b += MXQ_SPAN_BLOCKS) {
        struct chunk c = {b, to->blocks - b, b * run, to->info.k - b * run};
        if (c.blocks > MXQ_SPAN_BLOCKS) {
            c.blocks = MXQ_SPAN_BLOCKS;
            c.count = MXQ_SPAN_BLOCKS * run;
        }
        pack_chunk(pack, &e, panel, index * MXQ_PANEL, &c, amaxes);
    }
    mxq_fpenv_leave(fpenv);
    const size_t used = to->scales + to->blocks * to->scale_bytes;
    memset(panel + used, 0, to->factors - used);
    atomic_fetch_add(&pack->check, check_of(panel, to->panel_bytes, index * (to->panel_bytes / 8)));
    note_panel(pack, &e);
}

static void write_header(unsigned char *h, const struct pack *pack)
{
    const struct mxq_packed_info *info = &pack->to.info;
    const uint32_t low = atomic_load(&pack->scale_low), high = atomic_load(&pack->scale_high);
    const int is_empty = low > high;
    memset(h, 0, MXQ_PACKED_HEADER);
    memcpy(h, magic, sizeof magic);
    put(h + AT_VERSION, VERSION, 4);
    put(h + AT_ELEMENT, (uint64_t)info->format.element, 4);
    put(h + AT_SCALE, (uint64_t)info->format.scale, 4);
    put(h + AT_BLOCK_ROWS, info->format.block_rows, 4);
    put(h + AT_BLOCK_COLS, info->format.block_cols, 4);
    h[AT_SCALE_LOW] = (unsigned char)(is_empty ? 127 : low);
    h[AT_SCALE_HIGH] = (unsigned char)(is_empty ? 127 : high);
    h[AT_NONFINITE] = (unsigned char)atomic_load(&pack->nonfinite);
    h[AT_LEAST] = (unsigned char)atomic_load(&pack->least);
    put(h + AT_N, info->n, 8);
    put(h + AT_K, info->k, 8);
    put(h + AT_BYTES, info->bytes, 8);
    put(h + AT_CHECK, atomic_load(&pack->check), 8);
    put(h + AT_HEADER_CHECK, check_of(h, AT_HEADER_CHECK, 0), 8);
}

/* Checks the destination against its source's memory, then packs. */
static enum mxq_status pack_all(struct pack *pack, void *packed, size_t packed_bytes,
                                const struct mxq_span *sources, size_t source_count,
                                const struct mxq_parallel *parallel, struct mxq_error *error)
{
    if (!lay_out(&pack->to))
        return mxq_fail(error, MXQ_ERR_SHAPE, "n * k must not overflow size_t");
    if (!packed)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "packed must not be null");
    if (packed_bytes < pack->to.info.bytes)
        return mxq_fail(error, MXQ_ERR_SHAPE, "packed_bytes must be what mxq_packed_bytes() says");
    const struct mxq_span to = {packed, 1, pack->to.info.bytes, 0};
    for (size_t i = 0; i < source_count; i++)
        if (mxq_spans_overlap(&to, &sources[i]))
            return mxq_fail(error, MXQ_ERR_OVERLAP, "packed must not overlap the weights");
    pack->panels = (unsigned char *)packed + MXQ_PACKED_HEADER;
    pack->scale_low = 0xFF;
    if (!pack->quantized)
        mxq_begin_pieces(&pack->pieces, parallel);
    /* Without inputs there may be any number of outputs, and there is nothing to do for them. */
    mxq_for_each_task(parallel, pack->to.panel_bytes ? pack->to.panel_count : 0, pack_panel, pack);
    write_header(packed, pack);
    return MXQ_OK;
}

/* ------------------------------------------ Unpacking ------------------------------------------ */

void mxq_unpack_any(const struct mxq_packed *p, float *w, const uint8_t *elements,
                    const uint8_t *scales, size_t blocks)
{
    const int shift = p->layout.shift;
    uint8_t own[MXQ_PANEL];
    for (size_t b = 0; b < blocks; b++, w += MXQ_PANEL_ELEMENTS) {
        const uint8_t *from = scales + b * p->scale_bytes;
        if (p->layout.element == MXQ_PACKED_NVFP4) {
            mxq_kernels_scalar.panel[MXQ_PACKED_NVFP4][MXQ_F32](w, elements + b * p->element_bytes,
                                                                from, 1);
            for (size_t i = 0; i < MXQ_PANEL_ELEMENTS; i++)
                if (from[i / (MXQ_PANEL_ELEMENTS / 2) * MXQ_PANEL + i % MXQ_PANEL] == 0x7F)
                    w[i] = NAN;
            continue;
        }
        /* A scale below 0 is unpacked as one above, and taken down. */
        for (size_t n = 0; n < MXQ_PANEL; n++)
            own[n] = (uint8_t)(from[n] < 255 - shift || from[n] == 255 ? from[n]
                                                                       : from[n] + shift - 255);
        mxq_kernels_scalar.panel[p->layout.element][MXQ_F32](w, elements + b * p->element_bytes,
                                                             own, 1);
        for (size_t n = 0; n < MXQ_PANEL; n++)
            for (size_t k = 0; own[n] != from[n] && k < MXQ_BLOCK; k++)
                w[k * MXQ_PANEL + n] = ldexpf(w[k * MXQ_PANEL + n], -shift);
    }
}

/* ------------------------------------------- Public -------------------------------------------- */

enum mxq_status mxq_packed_bytes(const struct mxq_format *format, size_t n, size_t k, size_t *bytes)
{
    if (!format || !bytes)
        return MXQ_ERR_ARGUMENT;
    if (!mxq_format_is_supported(format))
        return MXQ_ERR_FORMAT;
    struct mxq_packed p = {.info = {*format, n, k, 0}};
    if (!lay_out(&p))
        return MXQ_ERR_SHAPE;
    *bytes = p.info.bytes;
    return MXQ_OK;
}

enum mxq_status mxq_pack_quantized(void *packed, size_t packed_bytes, const struct mxq_quantized *w,
                                   const struct mxq_parallel *parallel, struct mxq_error *error)
{
    struct mxq_span sources[2];
    if (parallel && !parallel->run)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "parallel->run must not be null");
    const enum mxq_status status = mxq_quantized_spans(&sources[0], &sources[1], w, error);
    if (status)
        return status;
    struct pack pack = {.to.info = {w->format, w->rows, w->cols, 0}, .quantized = w};
    return pack_all(&pack, packed, packed_bytes, sources, 2, parallel, error);
}

enum mxq_status mxq_pack_matrix(void *packed, size_t packed_bytes, const struct mxq_format *format,
                                const struct mxq_matrix *w,
                                const struct mxq_quantize_options *options, struct mxq_error *error)
{
    static const struct mxq_quantize_options defaults = MXQ_QUANTIZE_OPTIONS;
    const struct mxq_quantize_options *o = options ? options : &defaults;
    struct mxq_span source;
    if (!format)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "format must not be null");
    if (!mxq_format_is_supported(format))
        return mxq_fail(error, MXQ_ERR_FORMAT, mxq_supported_formats);
    enum mxq_status status = mxq_matrix_span(&source, w, error);
    if (!status)
        status = mxq_check_quantize_options(o, format,
                                            mxq_block_count(format->block_rows, w->rows) *
                                                mxq_block_count(format->block_cols, w->cols),
                                            error);
    if (status)
        return status;
    if (o->statistics)
        return mxq_fail(error, MXQ_ERR_ARGUMENT,
                        "options.statistics must be null: mxq_quantize() takes them");
    struct pack pack = {.to.info = {*format, w->rows, w->cols, 0},
                        .pieces = {mxq_active_kernels(), w, *format, *o, 0}};
    if (o->nonfinite == MXQ_NONFINITE_ERROR) {
        status = mxq_check_finite(pack.pieces.kernels, w, o->parallel, error);
        if (status)
            return status;
    }
    return pack_all(&pack, packed, packed_bytes, &source, 1, o->parallel, error);
}

enum mxq_status mxq_packed_read(const void *packed, size_t packed_bytes,
                                struct mxq_packed_info *info, struct mxq_error *error)
{
    struct mxq_packed p;
    if (!info)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "info must not be null");
    const enum mxq_status status = mxq_packed_open(&p, packed, packed_bytes, error);
    if (!status)
        *info = p.info;
    return status;
}

struct check {
    const struct mxq_packed *packed;
    _Atomic uint64_t sum;
};

static void check_panel(void *context, size_t index)
{
    struct check *c = context;
    const size_t bytes = c->packed->panel_bytes;
    atomic_fetch_add(&c->sum,
                     check_of(c->packed->panels + index * bytes, bytes, index * (bytes / 8)));
}

enum mxq_status mxq_packed_check(const void *packed, size_t packed_bytes,
                                 const struct mxq_parallel *parallel, struct mxq_error *error)
{
    struct mxq_packed p;
    if (parallel && !parallel->run)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "parallel->run must not be null");
    const enum mxq_status status = mxq_packed_open(&p, packed, packed_bytes, error);
    if (status)
        return status;
    struct check c = {&p, 0};
    mxq_for_each_task(parallel, p.panel_bytes ? p.panel_count : 0, check_panel, &c);
    if (atomic_load(&c.sum) != p.check)
        return packed_error(error, "the panels of packed must match their check value");
    return MXQ_OK;
}
