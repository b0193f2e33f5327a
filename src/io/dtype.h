/* SPDX-License-Identifier: Apache-2.0 */
/* dtype.h -- the element types of safetensors files. */
#ifndef MXQ_IO_DTYPE_H
#define MXQ_IO_DTYPE_H

/* MXQ_DTYPE(name, bits), in the order of the format's own list. */
/* clang-format off */
#define MXQ_DTYPE_LIST                                                                             \
    MXQ_DTYPE(BOOL, 8)        MXQ_DTYPE(F4, 4)           MXQ_DTYPE(F6_E2M3, 6)                     \
    MXQ_DTYPE(F6_E3M2, 6)     MXQ_DTYPE(U8, 8)           MXQ_DTYPE(I8, 8)                          \
    MXQ_DTYPE(F8_E5M2, 8)     MXQ_DTYPE(F8_E4M3, 8)      MXQ_DTYPE(F8_E8M0, 8)                     \
    MXQ_DTYPE(F8_E4M3FNUZ, 8) MXQ_DTYPE(F8_E5M2FNUZ, 8)  MXQ_DTYPE(I16, 16)                        \
    MXQ_DTYPE(U16, 16)        MXQ_DTYPE(F16, 16)         MXQ_DTYPE(BF16, 16)                       \
    MXQ_DTYPE(I32, 32)        MXQ_DTYPE(U32, 32)         MXQ_DTYPE(F32, 32)                        \
    MXQ_DTYPE(C64, 64)        MXQ_DTYPE(F64, 64)         MXQ_DTYPE(I64, 64)                        \
    MXQ_DTYPE(U64, 64)
/* clang-format on */

enum mxq_dtype {
#define MXQ_DTYPE(name, bits) MXQ_DTYPE_##name,
    MXQ_DTYPE_LIST
#undef MXQ_DTYPE
        MXQ_DTYPES
};

const char *mxq_dtype_name(enum mxq_dtype dtype);
unsigned mxq_dtype_bits(enum mxq_dtype dtype);

/* Returns the type of that name, or MXQ_DTYPES when there is none. */
enum mxq_dtype mxq_dtype_find(const char *name);

#endif
