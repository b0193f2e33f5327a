/* SPDX-License-Identifier: Apache-2.0 */
/* packed.c -- packs weights for the GEMM, and reads the header of what was packed. */
#include "packed.h"

#include <stdatomic.h>
#include <string.h>

#include "fpenv.h"
#include "matrix.h"

/* ------------------------------------------ The header ----------------------------------------- */

static const unsigned char magic[8] = {0x89, 'm', 'x', 'q', 'p', 'k', '\r', '\n'};

#define VERSION 1

enum {
    AT_VERSION = 8,
    AT_ELEMENT = 12,
    AT_SCALE = 16,
    AT_BLOCK_ROWS = 20,
    AT_BLOCK_COLS = 24,
    AT_SCALE_LOW = 28,
    AT_SCALE_HIGH = 29,
    AT_NONFINITE = 30,
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

/* Fills the sizes that follow from info; returns 0 when one overflows. */
static int lay_out(struct mxq_packed *p)
{
    const size_t n = p->info.n, k = p->info.k;
    size_t scales_bytes, panels_bytes;
    p->panel_count = n / MXQ_PANEL + (n % MXQ_PANEL != 0);
    p->blocks = k / MXQ_BLOCK + (k % MXQ_BLOCK != 0);
    if (__builtin_mul_overflow(p->blocks, MXQ_PANEL_ELEMENTS, &p->scales) ||
        __builtin_mul_overflow(p->blocks, MXQ_PANEL, &scales_bytes) ||
        scales_bytes > SIZE_MAX - 63 ||
        __builtin_add_overflow(p->scales, (scales_bytes + 63) / 64 * 64, &p->panel_bytes) ||
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
    unsigned char any = h[AT_NONFINITE + 1];
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
        return packed_error(error, "packed must be of version 1");
    if (get(h + AT_HEADER_CHECK, 8) != check_of(h, AT_HEADER_CHECK, 0))
        return packed_error(error, "the header of packed must match its check value");
    if (!reserved_are_zero(h) || h[AT_NONFINITE] > 1 || h[AT_SCALE_LOW] > h[AT_SCALE_HIGH])
        return packed_error(error,
                            "reserved bytes of packed's header must be 0, and its flags sound");
    const struct mxq_format format = {
        (enum mxq_element)get(h + AT_ELEMENT, 4), (enum mxq_scale)get(h + AT_SCALE, 4),
        (uint32_t)get(h + AT_BLOCK_ROWS, 4), (uint32_t)get(h + AT_BLOCK_COLS, 4)};
    const uint64_t n = get(h + AT_N, 8), k = get(h + AT_K, 8);
    if (!mxq_format_is_packable(&format))
        return mxq_fail(error, MXQ_ERR_PACKED, mxq_packable_formats);
    *p = (struct mxq_packed){.info = {format, (size_t)n, (size_t)k, 0},
                             .panels = h + MXQ_PACKED_HEADER,
                             .scale_low = h[AT_SCALE_LOW],
                             .scale_high = h[AT_SCALE_HIGH],
                             .is_finite = !h[AT_NONFINITE],
                             .check = get(h + AT_CHECK, 8)};
    if (n > SIZE_MAX || k > SIZE_MAX || !lay_out(p) || get(h + AT_BYTES, 8) != p->info.bytes)
        return packed_error(error, "the bytes in packed's header must follow from its n and k");
    if (packed_bytes < p->info.bytes)
        return packed_error(error, "packed_bytes must be at least the bytes in packed's header");
    return MXQ_OK;
}

/* ------------------------------------------- Packing ------------------------------------------- */

/* Sub-blocks that are gathered from the 16 rows of a panel at a time. */
#define CHUNK 16

struct pack {
    struct mxq_packed to;
    unsigned char *panels;
    const struct mxq_quantized *quantized; /* the source is this one, */
    const struct mxq_matrix *wide;         /* or this one, through the kernel */
    mxq_quantize_fn *kernel;
    struct mxq_scale_rule rule;
    _Atomic uint64_t check;
    _Atomic uint32_t scale_low;
    _Atomic uint32_t scale_high;
    _Atomic int nonfinite;
};

/* Some sub-blocks of one row, padded with zeros: as they come, and as they are packed. */
struct row_chunk {
    uint8_t elements[CHUNK * MXQ_BLOCK];
    uint8_t scales[CHUNK];
};

static void load_quantized(struct row_chunk *chunk, const struct mxq_quantized *q, size_t row,
                           size_t first, size_t blocks)
{
    const size_t k = first * MXQ_BLOCK, left = q->cols - k;
    memcpy(chunk->elements, q->elements + row * q->elements_stride + k,
           left < blocks * MXQ_BLOCK ? left : blocks * MXQ_BLOCK);
    memcpy(chunk->scales, q->scales + row * q->scales_stride + first, blocks);
}

static void load_wide(struct row_chunk *chunk, const struct pack *pack, size_t row, size_t first,
                      size_t blocks)
{
    const struct mxq_matrix *w = pack->wide;
    const size_t type_bytes = mxq_type_bytes(w->type);
    const size_t k = first * MXQ_BLOCK, left = w->cols - k;
    const unsigned char *data = (const unsigned char *)w->data + (row * w->stride + k) * type_bytes;
    if (left >= blocks * MXQ_BLOCK) {
        pack->kernel(chunk->elements, chunk->scales, data, blocks, &pack->rule);
        return;
    }
    unsigned char padded[CHUNK * MXQ_BLOCK * 4] = {0};
    memcpy(padded, data, left * type_bytes);
    pack->kernel(chunk->elements, chunk->scales, padded, blocks, &pack->rule);
    memset(chunk->elements + left, 0, blocks * MXQ_BLOCK - left); /* of a NaN block's padding */
}

/* What the header says of the scales and elements of a panel. */
struct extremes {
    uint8_t low, high;
    int nonfinite;
};

/* Notes one block; a block of zeros gets the scale 127. */
static void note_block(struct extremes *e, const uint8_t *elements, uint8_t *scale,
                       uint8_t max_code)
{
    uint8_t any = 0, largest = 0;
    for (size_t i = 0; i < MXQ_BLOCK; i++) {
        const uint8_t magnitude = elements[i] & 0x7F;
        any |= magnitude;
        largest = magnitude > largest ? magnitude : largest;
    }
    if (*scale == 0xFF || largest > max_code) {
        e->nonfinite = 1;
    } else if (!any) {
        *scale = 127;
    } else {
        e->low = *scale < e->low ? *scale : e->low;
        e->high = *scale > e->high ? *scale : e->high;
    }
}

/* Packs sub-blocks first .. first + blocks - 1 of one panel, of which `rows` rows exist. */
static void pack_chunk(struct pack *pack, struct extremes *e, unsigned char *panel, size_t n,
                       size_t rows, size_t first, size_t blocks)
{
    const uint8_t max_code = mxq_elements[pack->to.info.format.element].max_code;
    for (size_t r = 0; r < MXQ_PANEL; r++) {
        struct row_chunk chunk = {{0}, {0}};
        memset(chunk.scales, 127, sizeof chunk.scales);
        if (r < rows) {
            if (pack->quantized)
                load_quantized(&chunk, pack->quantized, n + r, first, blocks);
            else
                load_wide(&chunk, pack, n + r, first, blocks);
        }
        for (size_t b = 0; b < blocks; b++) {
            const uint8_t *from = chunk.elements + b * MXQ_BLOCK;
            unsigned char *to = panel + (first + b) * MXQ_PANEL_ELEMENTS + 2 * r;
            note_block(e, from, &chunk.scales[b], max_code);
            for (size_t pair = 0; pair < MXQ_BLOCK / 2; pair++)
                memcpy(to + pair * 2 * MXQ_PANEL, from + 2 * pair, 2);
            panel[pack->to.scales + (first + b) * MXQ_PANEL + r] = chunk.scales[b];
        }
    }
}

static void pack_panel(void *context, size_t index)
{
    struct pack *pack = context;
    const struct mxq_packed *to = &pack->to;
    const size_t n = index * MXQ_PANEL, left = to->info.n - n;
    unsigned char *panel = pack->panels + index * to->panel_bytes;
    struct extremes e = {0xFF, 0, 0};
    const uint64_t fpenv = mxq_fpenv_enter();
    for (size_t first = 0; first < to->blocks; first += CHUNK)
        pack_chunk(pack, &e, panel, n, left < MXQ_PANEL ? left : MXQ_PANEL, first,
                   to->blocks - first < CHUNK ? to->blocks - first : CHUNK);
    mxq_fpenv_leave(fpenv);
    const size_t used = to->scales + to->blocks * MXQ_PANEL;
    memset(panel + used, 0, to->panel_bytes - used);
    atomic_fetch_add(&pack->check, check_of(panel, to->panel_bytes, index * (to->panel_bytes / 8)));
    uint32_t seen = atomic_load(&pack->scale_low);
    while (e.low < seen && !atomic_compare_exchange_weak(&pack->scale_low, &seen, e.low))
        ;
    seen = atomic_load(&pack->scale_high);
    while (e.high > seen && !atomic_compare_exchange_weak(&pack->scale_high, &seen, e.high))
        ;
    if (e.nonfinite)
        atomic_store(&pack->nonfinite, 1);
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
    /* Without inputs there may be any number of outputs, and there is nothing to do for them. */
    mxq_for_each_task(parallel, pack->to.panel_bytes ? pack->to.panel_count : 0, pack_panel, pack);
    write_header(packed, pack);
    return MXQ_OK;
}

/* ------------------------------------------- Public -------------------------------------------- */

enum mxq_status mxq_packed_bytes(const struct mxq_format *format, size_t n, size_t k, size_t *bytes)
{
    if (!format || !bytes)
        return MXQ_ERR_ARGUMENT;
    if (!mxq_format_is_packable(format))
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
    if (!mxq_format_is_packable(format))
        return mxq_fail(error, MXQ_ERR_FORMAT, mxq_packable_formats);
    enum mxq_status status = mxq_matrix_span(&source, w, error);
    if (!status)
        status = mxq_check_quantize_options(o, format, 1, error);
    if (status)
        return status;
    const struct mxq_kernels *row = mxq_active_kernels();
    struct pack pack = {
        .to.info = {*format, w->rows, w->cols, 0},
        .wide = w,
        .kernel = row->quantize[format->element][w->type],
        .rule = mxq_scale_rule(format->element, mxq_scale_mode_of(format, o->scale_mode))};
    if (o->nonfinite == MXQ_NONFINITE_ERROR) {
        status = mxq_check_finite(row, w, o->parallel, error);
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
