/* SPDX-License-Identifier: Apache-2.0 */
/* arithmetic.h -- what is computed outside mxq_matmul(), the same digits on every machine.
 *
 * IEEE 754 fixes +, -, *, / and sqrt to the bit, so plain C does too, as long as the order of
 * operations is fixed and the compiler fuses none (-ffp-contract=off).  It does not fix exp, log,
 * sin and cos, and the C library picks among several of each by the CPU it finds: here they are
 * polynomials in double instead, far more exact than the F32 values that are made of them. */
#ifndef LLAMA_ARITHMETIC_H
#define LLAMA_ARITHMETIC_H

#include <stddef.h>

double exponential(double x); /* relative error below 1e-12; 0 from -708 down, x at most 709 */
double logarithm(double x);   /* x positive, finite and normal */

/* Rounds to BF16, to nearest even. */
float round_to_bf16(float x);

/* Fills to[position][i] = cos, sin of position * theta^(-2 i / dim), for i below dim / 2. */
void rotations(float (*to)[2], size_t positions, size_t dim, double theta);

/* to = x / sqrt(mean of x^2 + eps) * weight */
void rms_norm(float *to, const float *x, const float *weight, size_t n, double eps);

/* x = exp(scale * x) / sum of exp(scale * x) */
void softmax(float *x, size_t n, float scale);

/* gate = gate / (1 + exp(-gate)) * up */
void swiglu(float *gate, const float *up, size_t n);

/* Returns -log2 of the probability that softmax gives to x[index]. */
double surprise(const float *x, size_t n, size_t index);

/* ---- The F32 product, y = x w^T, for what is not quantized ----
 *
 * w is kept in panels of 16 outputs, [panel][k][16], so that one output is one SIMD lane: the
 * compiler vectorises over outputs, and each sum is plainly ((0 + x[0] w[0]) + x[1] w[1]) + ... in
 * ascending k. */
#define PANEL 16

static inline size_t panels_of(size_t n)
{
    return (n + PANEL - 1) / PANEL;
}

/* A row-major matrix of F32. */
struct rows {
    float *data;
    size_t count;
    size_t stride;
};

/* y[row][0 .. cols - 1] = sum over k of x[row][k] * panel[k][0 .. cols - 1], for at most 16 cols.
 * With accumulate the sums start at y, else at 0. */
void multiply_panel(struct rows y, size_t cols, struct rows x, size_t k, const float *panel,
                    int accumulate);

#endif
