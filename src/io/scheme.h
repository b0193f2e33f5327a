/* SPDX-License-Identifier: Apache-2.0 */
/* scheme.h -- how a quantized tensor lies in a file: one table entry for each layout of servers.
 *
 * A weight "M.weight" [N, K] becomes up to three tensors, named M and a suffix:
 *
 *     elements       F8_E4M3, F8_E5M2 or I8 [N, K]; smaller codes U8 [N, bytes of a row]
 *     scales         U8 (E8M0), F8_E4M3, F32, BF16 or F16, [rows of blocks, blocks of a row]; [1]
 *                    where one block is the whole tensor
 *     tensor scale   for E4M3 scales: F32 [1], the divisor 1 / S
 *
 * A format without an entry has a layout of the same kind, with the suffixes .weight (or, below 8
 * bits, .weight_packed) and .weight_scale, and a config that no server takes for its own. */
#ifndef MXQ_IO_SCHEME_H
#define MXQ_IO_SCHEME_H

#include "mxq/mxq.h"
#include "safetensors.h"

/* The config of an output folder. */
enum mxq_config {
    MXQ_CONFIG_MXQ,                /* quant_method "mxq": what does not know it must refuse it */
    MXQ_CONFIG_MODELOPT,           /* and hf_quant_config.json */
    MXQ_CONFIG_COMPRESSED_TENSORS, /* with the members below */
    MXQ_CONFIG_FP8                 /* DeepSeek-V3's */
};

enum mxq_part { MXQ_ELEMENTS_PART, MXQ_SCALES_PART, MXQ_TENSOR_SCALE_PART };
#define MXQ_PARTS 3

struct mxq_scheme {
    const char *format; /* the name of the format, or NULL for any other one */
    const char *suffixes[MXQ_PARTS];
    enum mxq_config config;
    const char *kind;        /* compressed-tensors: "format" */
    const char *weights;     /* compressed-tensors: the arguments of weights, JSON */
    const char *activations; /* compressed-tensors: those of input activations, JSON */
    int is_mixed;            /* each tensor has a format of its own, and its layout */
    const char *note;        /* who loads it, a line */
};

/* Returns the scheme of a format, or of the name "mixed"; never NULL. */
const struct mxq_scheme *mxq_scheme_find(const struct mxq_format_info *format);

/* Describes the part of a quantized [N, K] tensor: dtype, shape, and its bytes as `end`.  Its name
 * is left to the caller.  Returns 0 when the format has no such part, or, never for a tensor that
 * has a size, when that overflows. */
int mxq_scheme_part(const struct mxq_format *format, const struct mxq_tensor *source,
                    enum mxq_part part, struct mxq_tensor *made);

/* Returns the bits of an element code. */
unsigned mxq_element_bits(const struct mxq_format *format);

/* Returns 1 when any run of blocks of a tensor may be quantized as one row: blocks lie in rows, and
 * rows are whole blocks. */
int mxq_format_is_flat(const struct mxq_format *format);

/* Returns 1 when quantizing needs the amax of the whole tensor first. */
int mxq_format_needs_amax(const struct mxq_format *format);

/* Returns 1 when rows of so many values can be stored: servers load only whole blocks of 1 x g. */
int mxq_format_takes_row(const struct mxq_format *format, uint64_t cols);

#endif
