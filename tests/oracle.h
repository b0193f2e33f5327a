/* SPDX-License-Identifier: Apache-2.0 */
/* oracle.h -- the numeric contract a second time: slow, in doubles, from the definitions.
 *
 * Shares no code and no constant with src/.  Every F32, every F32 times a power of two and every
 * element times a scale is exact in a double, so each function below rounds at most once, and only
 * where its comment says so.  Needs the default floating-point environment. */
#ifndef MXQ_TESTS_ORACLE_H
#define MXQ_TESTS_ORACLE_H

#include <stddef.h>
#include <stdint.h>

#include "mxq/mxq.h"

/* The number that a bit pattern of a type stands for. */
double oracle_value(enum mxq_type type, uint32_t bits);

/* The bit pattern of a type that is nearest to v, ties to even; the canonical NaN for a NaN. */
uint32_t oracle_nearest(enum mxq_type type, double v);

/* Value i of an array, as a bit pattern of its type. */
uint32_t oracle_load(enum mxq_type type, const void *x, size_t i);
void oracle_store(enum mxq_type type, void *x, size_t i, uint32_t bits);

/* The F32 bits of the magnitude; the canonical NaN for a NaN. */
uint32_t oracle_magnitude(enum mxq_type type, uint32_t bits);

/* The number of an element code; NaN and infinities where it has them. */
double oracle_decode(enum mxq_element element, uint8_t code);

/* The smallest magnitude with as many significant bits as any; of integer codes, one step. */
double oracle_smallest_normal(enum mxq_element element);

/* Code i of a row of packed codes. */
uint8_t oracle_get(enum mxq_element element, const uint8_t *elements, size_t i);
void oracle_put(enum mxq_element element, uint8_t *elements, size_t i, uint8_t code);

/* The bytes of so many packed codes. */
size_t oracle_bytes(enum mxq_element element, size_t codes);

/* The code of the largest finite magnitude. */
uint8_t oracle_max_code(enum mxq_element element);

/* The element nearest to a value of a type times 2^(127 - scale). */
uint8_t oracle_pack(enum mxq_element element, enum mxq_type type, uint32_t bits, uint8_t scale);

/* The value of a type nearest to decode(code) * 2^(scale - 127), as its bit pattern. */
uint32_t oracle_unpack(enum mxq_element element, enum mxq_type type, uint8_t code, uint8_t scale);

/* The shared scale of a block with this amax (F32 bits). */
uint8_t oracle_scale(enum mxq_element element, enum mxq_scale_mode mode, uint32_t amax);

/* What MXQ_SCALE_MSE makes of the scale that MXQ_SCALE_FLOOR gives: this one, or the next. */
uint8_t oracle_least_error(enum mxq_element element, enum mxq_type type, const void *x,
                           size_t values, uint8_t scale);

/* amax of up to 32 values. */
uint32_t oracle_amax(enum mxq_type type, const void *x, size_t values);

/* A whole block of up to 32 values: a scale, and packed codes. */
void oracle_quantize(enum mxq_element element, enum mxq_scale_mode mode, enum mxq_type type,
                     const void *x, size_t values, uint8_t *elements, uint8_t *scale);

#endif
