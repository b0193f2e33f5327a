/* SPDX-License-Identifier: Apache-2.0 */
/* group.h -- what all bodies in lanes/ share: loads of the wide side, and groups of blocks.
 *
 * Included after an instruction set's vec.h, which defines the vocabulary:
 *
 *   VEC_LANES            32-bit lanes of a vector; a group is VEC_LANES blocks
 *   vec                  VEC_LANES 32-bit lanes: F32 bits, or integers
 *   vec_set1             every lane the same
 *   vec_load vec_store   any alignment
 *   vec_load_bf16 _f16   VEC_LANES narrow values, widened to F32 bits
 *   vec_load_u8 _store_u8   VEC_LANES bytes, one a lane
 *   vec_store_bf16       the upper half of each lane; _f16: rounded to nearest even
 *   vec_and _andnot _or  bits; andnot(a, b) is ~a & b
 *   vec_add _sub         integers; _srl _sll by a constant
 *   vec_gt _eq           signed integers; all ones where true
 *   vec_max _min         signed integers
 *   vec_mul              F32
 *   vec_mask             one bit a lane, from the lanes' sign bits
 *   vec_reduce_max       lane i = the largest lane of vector i, of VEC_LANES vectors
 *   vec_round _code_bias _store_codes      see pack.h
 *   vec_decode _any_above                  see unpack.h
 */
#ifndef MXQ_LANES_GROUP_H
#define MXQ_LANES_GROUP_H

#include <string.h>

#include "kernels.h"

#define GROUP_BYTES_MAX (VEC_LANES * MXQ_BLOCK * 4)

static inline size_t type_bytes(enum mxq_type type)
{
    return type == MXQ_F32 ? 4 : 2;
}

static inline size_t block_bytes(enum mxq_type type)
{
    return MXQ_BLOCK * type_bytes(type);
}

/* Returns values i .. i + VEC_LANES - 1 of x as F32 bits. */
static inline vec load_wide(const void *x, size_t i, enum mxq_type type)
{
    const unsigned char *p = (const unsigned char *)x + i * type_bytes(type);
    return type == MXQ_F32 ? vec_load(p) : type == MXQ_BF16 ? vec_load_bf16(p) : vec_load_f16(p);
}

/* Blocks that do not fill a group run through the same code, in a group padded with zeros. */
static inline void pad_group(void *padded, const void *data, size_t data_bytes, size_t group_bytes)
{
    memcpy(padded, data, data_bytes);
    memset((unsigned char *)padded + data_bytes, 0, group_bytes - data_bytes);
}

#endif
