/* SPDX-License-Identifier: Apache-2.0 */
/* arithmetic.c -- functions and sums of fixed digits, in plain C. */
#include "arithmetic.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define LN2 0.69314718055994530942

/* x = n ln 2 + r, and exp(r) by its Taylor series: r^11 / 11! is below 1e-12.  Without branches, so
 * that loops over it vectorise. */
double exponential(double x)
{
    const double ln2_high = 0x1.62e42fee00000p-1, ln2_low = 0x1.a39ef35793c76p-33;
    const double shift = 0x1.8p52; /* added and subtracted, it rounds to an integer */
    const double clamped = x < -708 ? -708 : x;
    const double shifted = clamped * (1 / LN2) + shift;
    const double n = shifted - shift;
    const double r = (clamped - n * ln2_high) - n * ln2_low;
    double sum = 1. / 3628800;
    sum = sum * r + 1. / 362880;
    sum = sum * r + 1. / 40320;
    sum = sum * r + 1. / 5040;
    sum = sum * r + 1. / 720;
    sum = sum * r + 1. / 120;
    sum = sum * r + 1. / 24;
    sum = sum * r + 1. / 6;
    sum = sum * r + 1. / 2;
    sum = sum * r + 1;
    sum = sum * r + 1;
    uint64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 1023) << 52; /* the low bits of `shifted` are n: this is 2^n */
    double power;
    memcpy(&power, &bits, sizeof power);
    return x < -708 ? 0 : sum * power;
}

/* x = 2^e m with m in [sqrt(1/2), sqrt(2)), and log(m) = 2 atanh((m - 1) / (m + 1)), a series. */
double logarithm(double x)
{
    int e;
    double m = frexp(x, &e);
    if (m < 0.70710678118654752440) {
        m *= 2;
        e--;
    }
    const double s = (m - 1) / (m + 1), square = s * s;
    double sum = 0;
    for (int i = 23; i > 0; i -= 2)
        sum = sum * square + 1. / i;
    return e * LN2 + 2 * s * sum;
}

/* By the Taylor series of both; |x| at most 1. */
static void cos_sin(double x, double to[2])
{
    double term = 1;
    to[0] = to[1] = 0;
    for (int i = 0; i < 20; i++) {
        to[i % 2] += i % 4 < 2 ? term : -term;
        term = term * x / (i + 1);
    }
}

float round_to_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (x != x)
        return x;
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000;
    memcpy(&x, &bits, sizeof bits);
    return x;
}

void rotations(float (*to)[2], size_t positions, size_t dim, double theta)
{
    const size_t half = dim / 2;
    for (size_t i = 0; i < half; i++) {
        double step[2], turn[2] = {1, 0};
        cos_sin(exponential(-2. * (double)i / (double)dim * logarithm(theta)), step);
        for (size_t p = 0; p < positions; p++) {
            to[p * half + i][0] = (float)turn[0];
            to[p * half + i][1] = (float)turn[1];
            const double cosine = turn[0] * step[0] - turn[1] * step[1];
            turn[1] = turn[1] * step[0] + turn[0] * step[1];
            turn[0] = cosine;
        }
    }
}

void rms_norm(float *to, const float *x, const float *weight, size_t n, double eps)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    const float scale = (float)(1 / sqrt(sum / (double)n + eps));
    for (size_t i = 0; i < n; i++)
        to[i] = x[i] * scale * weight[i];
}

static float largest(const float *x, size_t n)
{
    float most = x[0];
    for (size_t i = 1; i < n; i++)
        most = x[i] > most ? x[i] : most;
    return most;
}

void softmax(float *x, size_t n, float scale)
{
    const float most = largest(x, n);
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        x[i] = (float)exponential((double)scale * (x[i] - most));
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    const float factor = (float)(1 / sum);
    for (size_t i = 0; i < n; i++)
        x[i] *= factor;
}

void swiglu(float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        /* Beyond 700 the exponential would overflow; silu is 0 long before. */
        const double negated = gate[i] < -700 ? 700 : -gate[i];
        gate[i] = (float)(gate[i] / (1 + exponential(negated))) * up[i];
    }
}

double surprise(const float *x, size_t n, size_t index)
{
    const float most = largest(x, n);
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += exponential((double)x[i] - most);
    return (logarithm(sum) - ((double)x[index] - most)) / LN2;
}

/* ---- The F32 product ---- */

#define LANES   4 /* of the vectors every machine has */
#define VECTORS (PANEL / LANES)

/* Adds in a few vectors by value, which compilers keep in registers, as they do not keep arrays. */
typedef float vector __attribute__((vector_size(sizeof(float) * LANES)));

/* For `rows` rows of x, 1 or ROWS, a constant where it is inlined. */
#define ROWS 2
static inline __attribute__((always_inline)) void
multiply_rows(float *y, size_t y_stride, size_t cols, const float *x, size_t x_stride, size_t k,
              const float *panel, int accumulate, const size_t rows)
{
    vector sums[ROWS][VECTORS];
    float edge[ROWS][PANEL] = {{0}};
    if (accumulate)
        for (size_t r = 0; r < rows; r++)
            memcpy(edge[r], y + r * y_stride, cols * sizeof *y);
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < VECTORS; v++)
            memcpy(&sums[r][v], edge[r] + v * LANES, sizeof(vector));
    for (size_t i = 0; i < k; i++)
        for (size_t v = 0; v < VECTORS; v++) {
            vector w;
            memcpy(&w, panel + i * PANEL + v * LANES, sizeof w);
            for (size_t r = 0; r < rows; r++)
                sums[r][v] += x[r * x_stride + i] * w;
        }
    for (size_t r = 0; r < rows; r++) {
        for (size_t v = 0; v < VECTORS; v++)
            memcpy(edge[r] + v * LANES, &sums[r][v], sizeof(vector));
        memcpy(y + r * y_stride, edge[r], cols * sizeof *y);
    }
}

void multiply_panel(struct rows y, size_t cols, struct rows x, size_t k, const float *panel,
                    int accumulate)
{
    size_t r = 0;
    for (; r + ROWS <= x.count; r += ROWS)
        multiply_rows(y.data + r * y.stride, y.stride, cols, x.data + r * x.stride, x.stride, k,
                      panel, accumulate, ROWS);
    for (; r < x.count; r++)
        multiply_rows(y.data + r * y.stride, y.stride, cols, x.data + r * x.stride, x.stride, k,
                      panel, accumulate, 1);
}
