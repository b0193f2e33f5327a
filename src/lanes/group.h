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
 *   vec_store_bf16       the upper halves of the lanes of two vectors
 *   vec_store_f16        one vector, rounded to nearest even
 *   vec_and _andnot _or  bits; andnot(a, b) is ~a & b
 *   vec_add _sub         integers; _srl _sll by a constant
 *   vec_gt _eq           signed integers; all ones where true
 *   vec_max _min         signed integers
 *   vec_max_16           signed 16-bit integers
 *   vec_mul              F32
 *   vec_mask             one bit a lane, from the lanes' sign bits
 *   vec_lane             every lane the same: the lane of v that `lane` names; lanes are named by
 *                        vec_first_lane and vec_next_lane
 *   VEC_PREFETCH_OUTPUT  how far ahead, in bytes, to claim lines of a large output; 0: not at all
 *   vec_reduce_max       lane i = the largest lane of vector i, of VEC_LANES vectors
 *   vec_reduce_max_16    the same of 16-bit lanes, which are the bits of positive numbers of a narrow type,
 *                        widened to F32 bits
 *   vec_round _code_bias _store_codes      see pack.h
 *   vec_column_bias _column_codes _store_columns _repack     see columns.h
 *   vec_decode _max_code _any_above                  see unpack.h
 */
#ifndef MXQ_LANES_GROUP_H
#define MXQ_LANES_GROUP_H

#include <string.h>

#include "kernels.h"

#define GROUP_BYTES_MAX (VEC_LANES * MXQ_BLOCK * 4)

/* Bytes of so many codes, a multiple of 8. */
MXQ_INLINE size_t packed_bytes(size_t codes, const struct mxq_element_info *e)
{
    return codes * (size_t)e->bits / 8;
}

MXQ_INLINE size_t type_bytes(enum mxq_type type)
{
    return type == MXQ_F32 ? 4 : 2;
}

MXQ_INLINE size_t block_bytes(enum mxq_type type)
{
    return MXQ_BLOCK * type_bytes(type);
}

/* Returns values i .. i + VEC_LANES - 1 of x as F32 bits. */
MXQ_INLINE vec load_wide(const void *x, size_t i, enum mxq_type type)
{
    const unsigned char *p = (const unsigned char *)x + i * type_bytes(type);
    return type == MXQ_F32 ? vec_load(p) : type == MXQ_BF16 ? vec_load_bf16(p) : vec_load_f16(p);
}

/* Loads values i .. i + 4 * VEC_LANES - 1 of x as F32 bits, in the order that vec_store_codes expects for
 * the type: F32 and F16 as they come; BF16 as the even, then the odd values of each vector that was
 * read, since a shift and a mask cost less than widening in order.  In signs is what vec_store_codes
 * takes the signs from: v, or in 0 and 2 the vectors that were read. */
MXQ_INLINE void load_step(vec v[4], vec signs[4], const void *x, size_t i, enum mxq_type type)
{
    for (size_t k = 0; k < 4; k += type == MXQ_BF16 ? 2 : 1) {
        if (type != MXQ_BF16) {
            signs[k] = v[k] = load_wide(x, i + k * VEC_LANES, type);
            continue;
        }
        const vec pairs =
            vec_load((const unsigned char *)x + (i + k * VEC_LANES) * sizeof(uint16_t));
        signs[k] = signs[k + 1] = pairs;
        v[k] = vec_sll(pairs, 16);
        v[k + 1] = vec_and(pairs, vec_set1(0xFFFF0000));
    }
}

/* Stores two vectors of F32 bits as values i .. of y; BF16 takes the upper halves. */
MXQ_INLINE void store_two(void *y, size_t i, enum mxq_type type, vec a, vec b)
{
    unsigned char *p = (unsigned char *)y + i * type_bytes(type);
    if (type == MXQ_BF16) {
        vec_store_bf16(p, a, b);
        return;
    }
    unsigned char *q = p + VEC_LANES * type_bytes(type);
    if (type == MXQ_F32) {
        vec_store(p, a);
        vec_store(q, b);
    } else {
        vec_store_f16(p, a);
        vec_store_f16(q, b);
    }
}

/* Makes a NaN the canonical one, without its sign. */
MXQ_INLINE vec canonical(vec value)
{
    const vec is_nan = vec_gt(vec_and(value, vec_set1(0x7FFFFFFF)), vec_set1(0x7F800000));
    return vec_or(vec_andnot(is_nan, value), vec_and(is_nan, vec_set1(0x7FC00000)));
}

/* Rounds F32 bits to nearest even where their upper halves are taken: a NaN stays the canonical one. */
MXQ_INLINE vec round_to_bf16(vec value)
{
    const vec odd = vec_and(vec_srl(value, 16), vec_set1(1));
    return vec_add(value, vec_add(odd, vec_set1(0x7FFF)));
}

/* Blocks that do not fill a group run through the same code, in a group padded with zeros. */
MXQ_INLINE void pad_group(void *padded, const void *data, size_t data_bytes, size_t group_bytes)
{
    memcpy(padded, data, data_bytes);
    memset((unsigned char *)padded + data_bytes, 0, group_bytes - data_bytes);
}

/* Whether vector k of the four that begin at value i is the last one of its block. */
MXQ_INLINE int ends_block(size_t i, size_t k)
{
    return 4 * VEC_LANES >= MXQ_BLOCK ? (k + 1) * VEC_LANES % MXQ_BLOCK == 0
                                      : (i + (k + 1) * VEC_LANES) % MXQ_BLOCK == 0;
}

/* An address past the end is harmless to the machine; as integers it is to the language too. */
MXQ_INLINE void prefetch_at(const void *data, size_t offset_bytes)
{
    __builtin_prefetch((const void *)((uintptr_t)data + offset_bytes));
}

/* For each line of a group. */
MXQ_INLINE void prefetch_lines(const void *data, size_t bytes, size_t ahead)
{
    for (size_t offset = 0; ahead && offset < bytes; offset += 64)
        prefetch_at(data, offset + ahead);
}

/* Claims a line that will be written VEC_PREFETCH_OUTPUT bytes further on; 0 where it gains nothing. */
MXQ_INLINE void prefetch_output(void *data, size_t offset_bytes)
{
    if (VEC_PREFETCH_OUTPUT)
        __builtin_prefetch((void *)((uintptr_t)data + offset_bytes + VEC_PREFETCH_OUTPUT), 1);
}

#endif
