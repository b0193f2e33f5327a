/* SPDX-License-Identifier: Apache-2.0 */
/* oracle_matrix.c -- the contract for whole matrices: every format, rounding and policy. */
#include "oracle_matrix.h"

#include <math.h>
#include <string.h>

#include "oracle.h"

static double f32(double v)
{
    return oracle_value(MXQ_F32, oracle_nearest(MXQ_F32, v));
}

static double largest(enum mxq_element element)
{
    return oracle_decode(element, oracle_max_code(element));
}

static int has_nan(enum mxq_element element)
{
    return element == MXQ_E4M3 || element == MXQ_E5M2;
}

/* ------------------------------------------- Random words -------------------------------------- */

/* As the paper writes it: two multipliers, and keys that grow by Weyl's constants. */
void oracle_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t word[4])
{
    uint32_t k0 = key[0], k1 = key[1];
    uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]};
    for (int i = 0; i < 10; i++) {
        const uint64_t p0 = c[0] * UINT64_C(3528531795), p1 = c[2] * UINT64_C(3449720151);
        const uint32_t next[4] = {(uint32_t)(p1 / UINT64_C(4294967296)) ^ c[1] ^ k0, (uint32_t)p1,
                                  (uint32_t)(p0 / UINT64_C(4294967296)) ^ c[3] ^ k1, (uint32_t)p0};
        memcpy(c, next, sizeof c);
        k0 += UINT32_C(2654435769);
        k1 += UINT32_C(3144134277);
    }
    memcpy(word, c, sizeof c);
}

uint32_t oracle_random(uint64_t seed, uint64_t index)
{
    const uint64_t n = index / 4;
    const uint32_t counter[4] = {(uint32_t)(n % UINT64_C(4294967296)),
                                 (uint32_t)(n / UINT64_C(4294967296)), 0, 0};
    const uint32_t key[2] = {(uint32_t)(seed % UINT64_C(4294967296)),
                             (uint32_t)(seed / UINT64_C(4294967296))};
    uint32_t word[4];
    oracle_philox(counter, key, word);
    return word[index % 4];
}

/* ------------------------------------------ One element ---------------------------------------- */

/* The value of a magnitude's code; past the largest one, where the grid would go on. */
static double magnitude(enum mxq_element element, int code)
{
    const int max = oracle_max_code(element);
    if (code <= max)
        return oracle_decode(element, (uint8_t)code);
    return 2 * largest(element) - oracle_decode(element, (uint8_t)(max - 1));
}

/* Whether a value between two codes, f of the way, takes the upper one. */
static int is_up(enum mxq_rounding rounding, double f, int is_odd, uint32_t word)
{
    switch (rounding) {
    case MXQ_NEAREST_EVEN:
        return f > 0.5 || (f == 0.5 && is_odd);
    case MXQ_NEAREST_AWAY:
        return f >= 0.5;
    case MXQ_NEAREST_ZERO:
        return f > 0.5;
    case MXQ_TOWARD_ZERO:
        return 0;
    case MXQ_STOCHASTIC:
        return floor(f * 0x1p32) + word >= 0x1p32;
    }
    return 0;
}

uint8_t oracle_encode(enum mxq_element element, const struct mxq_quantize_options *options,
                      double v, uint32_t word)
{
    const int max = oracle_max_code(element);
    const int top = options->overflow == MXQ_OVERFLOW_SPECIAL ? max + 1 : max;
    const unsigned bits = (unsigned)oracle_bytes(element, 8);
    int code = max + 1;
    if (isnan(v))
        return has_nan(element) ? 0x7F : 0;
    if (fabs(v) < magnitude(element, max + 1)) {
        int low = 0;
        for (int step = 128; step; step /= 2)
            if (low + step <= max && magnitude(element, low + step) <= fabs(v))
                low += step;
        const double below = magnitude(element, low), above = magnitude(element, low + 1);
        const double f = (fabs(v) - below) / (above - below);
        code = low + is_up(options->rounding, f, low % 2, word);
    }
    if (code > top)
        code = top;
    if (!signbit(v) || (code == 0 && options->unsigned_zero))
        return (uint8_t)code;
    return (uint8_t)(element == MXQ_MXINT8 || element == MXQ_INT8 ? 256 - code
                                                                  : code + (1 << (bits - 1)));
}

/* -------------------------------------------- Formats ------------------------------------------- */

int oracle_has_format(const struct mxq_format *f)
{
    static const struct {
        uint32_t rows, cols;
        int is_mx;
    } blocks[] = {{1, 32, 1}, {1, 128, 1}, {128, 128, 1}, {1, 8, 0},
                  {1, 16, 0}, {1, 64, 0},  {1, 0, 0},     {0, 0, 0}};
    const int is_known = (unsigned)f->element < MXQ_ELEMENTS && (unsigned)f->scale < MXQ_SCALES;
    if (!is_known)
        return 0;
    if (f->scale == MXQ_E4M3_SCALE)
        return f->element == MXQ_E2M1 && f->block_rows == 1 && f->block_cols == 16;
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if (blocks[i].rows == f->block_rows && blocks[i].cols == f->block_cols)
            return f->scale == MXQ_E8M0 ? f->element != MXQ_INT8 && blocks[i].is_mx
                                        : f->element != MXQ_MXINT8;
    return 0;
}

/* Where a block is. */
struct region {
    size_t row, rows, col, cols;
};

static size_t blocks_of(uint32_t block, size_t extent)
{
    return block == 0 ? extent > 0 : (extent + block - 1) / block;
}

static struct region region_of(const struct mxq_quantized *q, size_t i, size_t j)
{
    const size_t rows = q->format.block_rows ? q->format.block_rows : q->rows;
    const size_t cols = q->format.block_cols ? q->format.block_cols : q->cols;
    const size_t rows_left = q->rows - i * rows, cols_left = q->cols - j * cols;
    return (struct region){i * rows, rows_left < rows ? rows_left : rows, j * cols,
                           cols_left < cols ? cols_left : cols};
}

static double value_at(const struct mxq_matrix *x, size_t row, size_t col)
{
    return oracle_value(x->type, oracle_load(x->type, x->data, row * x->stride + col));
}

/* The largest magnitude of a region; NaN where there is a value that is not finite, unless those are left
 * out. */
static double amax_of(const struct mxq_matrix *x, const struct region *r, enum mxq_nonfinite policy)
{
    double amax = 0;
    for (size_t row = r->row; row < r->row + r->rows; row++)
        for (size_t col = r->col; col < r->col + r->cols; col++) {
            const double v = fabs(value_at(x, row, col));
            if (!isfinite(v)) {
                if (policy != MXQ_NONFINITE_CLAMP)
                    return (double)NAN;
            } else if (v > amax) {
                amax = v;
            }
        }
    return amax;
}

/* -------------------------------------------- Scales -------------------------------------------- */

static enum mxq_type type_of(enum mxq_scale scale)
{
    return scale == MXQ_F32_SCALE ? MXQ_F32 : scale == MXQ_BF16_SCALE ? MXQ_BF16 : MXQ_F16;
}

/* A stored scale; E8M0 as a power of two, NaN for 0xFF. */
static double stored_scale(const struct mxq_quantized *q, size_t i, size_t j)
{
    const uint8_t *row = q->scales + i * q->scales_stride;
    if (q->format.scale == MXQ_E8M0)
        return row[j] == 255 ? (double)NAN : ldexp(1.0, row[j] - 127);
    if (q->format.scale == MXQ_E4M3_SCALE)
        return oracle_decode(MXQ_E4M3, row[j]);
    const enum mxq_type type = type_of(q->format.scale);
    return oracle_value(type, oracle_load(type, row, j));
}

/* What elements are made with: v = x * factor, exact, x * factor rounded to F32, or x / divisor rounded. */
struct scaling {
    enum { EXACT, MULTIPLY, DIVIDE } how;
    double by;
};

static struct scaling make_e8m0(const struct mxq_quantized *q, const struct mxq_matrix *x,
                                const struct mxq_quantize_options *o, const struct region *r,
                                uint8_t *scale, double amax)
{
    const enum mxq_element element = q->format.element;
    const int is_ocp = q->format.block_rows == 1 && q->format.block_cols == 32;
    enum mxq_scale_mode mode = o->scale_mode;
    if (mode == MXQ_SCALE_DEFAULT)
        mode = is_ocp && oracle_bytes(element, 8) < 8 ? MXQ_SCALE_MSE : MXQ_SCALE_RCEIL;
    *scale = oracle_scale(element, mode, oracle_nearest(MXQ_F32, amax));
    if (mode == MXQ_SCALE_MSE) {
        uint32_t values[32];
        for (size_t i = 0; i < r->cols; i++)
            values[i] = oracle_nearest(MXQ_F32, value_at(x, r->row, r->col + i));
        *scale = oracle_least_error(element, MXQ_F32, values, r->cols, *scale);
    }
    return (struct scaling){EXACT, *scale == 255 ? (double)NAN : ldexp(1.0, 127 - *scale)};
}

static struct scaling make_quotient(const struct mxq_quantized *q,
                                    const struct mxq_quantize_options *o, uint8_t *row, size_t j,
                                    double amax)
{
    const enum mxq_type type = type_of(q->format.scale);
    double scale = f32(amax / largest(q->format.element));
    if (o->scale_mode == MXQ_SCALE_RCEIL && scale > 0) {
        int exponent;
        const double fraction = frexp(scale, &exponent); /* scale = fraction * 2^exponent */
        scale = ldexp(1.0, fraction == 0.5 ? exponent - 1 : exponent);
    }
    if (amax == 0)
        scale = o->reciprocal ? 0 : 1;
    const double limit = type == MXQ_F16 ? 65504 : (double)INFINITY;
    oracle_store(type, row, j, oracle_nearest(type, scale > limit ? limit : scale));
    if (o->reciprocal) {
        const double most = 0x1.fffffep127, reciprocal = scale == 0 ? 0 : f32(1 / scale);
        return (struct scaling){MULTIPLY, reciprocal > most ? most : reciprocal};
    }
    return (struct scaling){DIVIDE, oracle_value(type, oracle_load(type, row, j))};
}

static double nvfp4_quotient(const struct mxq_quantize_options *o, double tensor, double amax)
{
    if (isnan(tensor) || isnan(amax))
        return (double)NAN;
    if (!o->positive_scale)
        return amax == 0 ? 0 : f32(f32(amax / 6) / tensor);
    const double quotient = amax == 0 ? 0 : f32(amax / f32(6 * tensor));
    return quotient == 0 ? 1 : fmax(quotient, 0x1p-9);
}

static struct scaling make_nvfp4(const struct mxq_quantized *q,
                                 const struct mxq_quantize_options *o, uint8_t *scale, double amax)
{
    const struct mxq_quantize_options nearest = MXQ_QUANTIZE_OPTIONS;
    const double tensor = (double)*q->tensor_scale;
    *scale = oracle_encode(MXQ_E4M3, &nearest, nvfp4_quotient(o, tensor, amax), 0);
    return (struct scaling){DIVIDE, f32(tensor * oracle_decode(MXQ_E4M3, *scale))};
}

static double scaled(double x, const struct scaling *s)
{
    if (s->how == EXACT)
        return x * s->by;
    if (s->how == MULTIPLY)
        return f32(x * s->by);
    if (s->by == 0) /* counts as infinity */
        return isfinite(x) ? copysign(0.0, x) : (double)NAN;
    return f32(x / s->by);
}

/* ------------------------------------------- Quantizing ----------------------------------------- */

static void quantize_block(const struct mxq_quantized *q, const struct mxq_matrix *x,
                           const struct mxq_quantize_options *o, size_t i, size_t j)
{
    const struct region r = region_of(q, i, j);
    const size_t index = i * blocks_of(q->format.block_cols, q->cols) + j;
    uint8_t *scales = q->scales + i * q->scales_stride;
    struct scaling s;
    double amax = o->amax_count && q->format.scale != MXQ_E4M3_SCALE
                      ? (double)o->amax[o->amax_count == 1 ? 0 : index]
                      : amax_of(x, &r, o->nonfinite);
    if (amax < (double)o->amax_floor)
        amax = (double)o->amax_floor;
    if (q->format.scale == MXQ_E8M0)
        s = make_e8m0(q, x, o, &r, &scales[j], amax);
    else if (q->format.scale == MXQ_E4M3_SCALE)
        s = make_nvfp4(q, o, &scales[j], amax);
    else
        s = make_quotient(q, o, scales, j, amax);
    for (size_t row = r.row; row < r.row + r.rows; row++)
        for (size_t col = r.col; col < r.col + r.cols; col++) {
            const uint64_t at = o->first_index + row * q->cols + col;
            const uint32_t word = o->rounding == MXQ_STOCHASTIC ? oracle_random(o->seed, at) : 0;
            oracle_put(
                q->format.element, q->elements + row * q->elements_stride, col,
                oracle_encode(q->format.element, o, scaled(value_at(x, row, col), &s), word));
        }
}

/* ------------------------------------------- Statistics ----------------------------------------- */

/* Part sums: of a lane, of a task, of a node of the tree. */
struct sums {
    double xx, yy, ee;
};

static void add(struct sums *a, const struct sums *b)
{
    a->xx += b->xx;
    a->yy += b->yy;
    a->ee += b->ee;
}

static void measure_value(const struct mxq_quantized *q, const struct mxq_matrix *x, size_t row,
                          size_t col, struct sums lanes[8], struct mxq_statistics *to)
{
    const double a = value_at(x, row, col), b = oracle_dequantized(q, row, col);
    const size_t i = q->format.block_rows ? row / q->format.block_rows : 0;
    const size_t j = q->format.block_cols ? col / q->format.block_cols : 0;
    const double e = f32(a - b);
    if (!isfinite(a) || !isfinite(b)) {
        to->nonfinite++;
        return;
    }
    const double tensor = q->tensor_scale ? (double)*q->tensor_scale : 1;
    const double limit = f32(f32(largest(q->format.element) * stored_scale(q, i, j)) * tensor);
    add(&lanes[col % 8], &(struct sums){a * a, b * b, e * e});
    to->max_error = fmax(to->max_error, fabs(e));
    to->amax = fmax(to->amax, fabs(a));
    to->values++;
    to->saturated += fabs(b) >= limit && fabs(a) > fabs(b);
    to->flushed += b == 0 && a != 0;
}

static struct sums sum_of_tree(const struct sums *part, size_t count)
{
    size_t half = 1;
    if (count == 1)
        return *part;
    while (2 * half < count)
        half *= 2;
    struct sums left = sum_of_tree(part, half);
    const struct sums right = sum_of_tree(part + half, count - half);
    add(&left, &right);
    return left;
}

/* Tiles in the order of rows of tiles; tasks of as many tiles as the shape says. */
static void measure(const struct mxq_quantized *q, const struct mxq_matrix *x,
                    struct mxq_statistics *to)
{
    const struct mxq_format *f = &q->format;
    const size_t tile_rows = f->block_rows == 128 ? 128 : 1;
    const size_t tile_cols = f->block_rows == 1 && f->block_cols == 0 ? q->cols : 4096;
    const size_t across = (q->cols + tile_cols - 1) / tile_cols;
    const size_t tiles = (q->rows + tile_rows - 1) / tile_rows * across;
    size_t task = 65536 / (tile_rows * tile_cols) + 1;
    struct sums parts[256];
    size_t tasks = 0;
    if (task < (tiles + 255) / 256)
        task = (tiles + 255) / 256;
    for (size_t first = 0; first < tiles; first += task) {
        struct sums lanes[8] = {{0, 0, 0}};
        for (size_t t = first; t < tiles && t < first + task; t++)
            for (size_t row = t / across * tile_rows;
                 row < q->rows && row < (t / across + 1) * tile_rows; row++)
                for (size_t col = t % across * tile_cols;
                     col < q->cols && col < (t % across + 1) * tile_cols; col++)
                    measure_value(q, x, row, col, lanes, to);
        for (size_t distance = 4; distance; distance /= 2)
            for (size_t lane = 0; lane < distance; lane++)
                add(&lanes[lane], &lanes[lane + distance]);
        parts[tasks++] = lanes[0];
    }
    if (tasks) {
        const struct sums all = sum_of_tree(parts, tasks);
        to->sum_xx = all.xx;
        to->sum_yy = all.yy;
        to->sum_ee = all.ee;
    }
}

/* --------------------------------------------- Public -------------------------------------------- */

void oracle_quantize_matrix(const struct mxq_quantized *q, const struct mxq_matrix *x,
                            const struct mxq_quantize_options *o)
{
    const size_t down = blocks_of(q->format.block_rows, q->rows);
    const size_t across = blocks_of(q->format.block_cols, q->cols);
    if (q->format.scale == MXQ_E4M3_SCALE) {
        const struct region all = {0, q->rows, 0, q->cols};
        double amax = o->amax_count ? (double)o->amax[0] : amax_of(x, &all, o->nonfinite);
        if (amax < (double)o->amax_floor)
            amax = (double)o->amax_floor;
        *q->tensor_scale = amax == 0 ? 1 : (float)f32(amax / (6 * 448));
    }
    for (size_t row = 0; row < q->rows; row++)
        memset(q->elements + row * q->elements_stride, 0, oracle_bytes(q->format.element, q->cols));
    for (size_t i = 0; i < down; i++)
        for (size_t j = 0; j < across; j++)
            quantize_block(q, x, o, i, j);
    if (o->statistics) {
        *o->statistics = (struct mxq_statistics){0};
        if (q->rows && q->cols)
            measure(q, x, o->statistics);
    }
}

double oracle_dequantized(const struct mxq_quantized *q, size_t row, size_t col)
{
    const size_t i = q->format.block_rows ? row / q->format.block_rows : 0;
    const size_t j = q->format.block_cols ? col / q->format.block_cols : 0;
    const double element =
        oracle_decode(q->format.element,
                      oracle_get(q->format.element, q->elements + row * q->elements_stride, col));
    const double product = f32(element * stored_scale(q, i, j));
    return q->tensor_scale ? f32(product * (double)*q->tensor_scale) : product;
}

void oracle_dequantize_matrix(const struct mxq_matrix *y, const struct mxq_quantized *q)
{
    for (size_t row = 0; row < q->rows; row++)
        for (size_t col = 0; col < q->cols; col++)
            oracle_store(y->type, y->data, row * y->stride + col,
                         oracle_nearest(y->type, oracle_dequantized(q, row, col)));
}
