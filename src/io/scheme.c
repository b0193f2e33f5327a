/* SPDX-License-Identifier: Apache-2.0 */
/* scheme.c -- the table of checkpoint layouts. */
#include "scheme.h"

#include <string.h>

#define FP8_ARGUMENTS  "{\"num_bits\": 8, \"type\": \"float\", \"symmetric\": true, \"strategy\": "
#define INT8_ARGUMENTS "{\"num_bits\": 8, \"type\": \"int\", \"symmetric\": true, \"strategy\": "
#define FP4_ARGUMENTS                                                                              \
    "{\"num_bits\": 4, \"type\": \"float\", \"symmetric\": true, \"zp_dtype\": null, "             \
    "\"dynamic\": false, \"strategy\": "

#define NO_SERVER "no server loads this layout today: the output is for mxq and for research"
#define TO_VLLM   "the output is in the layout of compressed-tensors, for vLLM"

static const struct mxq_scheme schemes[] = {
    {.format = "mxfp8",
     .suffixes = {".weight", ".weight_scale"},
     .config = MXQ_CONFIG_MODELOPT,
     .note = "the output is in ModelOpt's MXFP8 layout, for vLLM, TensorRT-LLM and SGLang; "
             "transformers does not know it and would read wrong values"},
    {.format = "mxfp4",
     .suffixes = {".weight_packed", ".weight_scale"},
     .config = MXQ_CONFIG_COMPRESSED_TENSORS,
     .kind = "mxfp4-pack-quantized",
     .weights = FP4_ARGUMENTS "\"group\", \"group_size\": 32, \"scale_dtype\": \"torch.uint8\"}",
     .activations = "null",
     .note = TO_VLLM " (weights only)"},
    {.format = "nvfp4",
     .suffixes = {".weight_packed", ".weight_scale", ".weight_global_scale"},
     .config = MXQ_CONFIG_COMPRESSED_TENSORS,
     .kind = "nvfp4-pack-quantized",
     .weights = FP4_ARGUMENTS
     "\"tensor_group\", \"group_size\": 16, \"scale_dtype\": \"torch.float8_e4m3fn\"}",
     .activations = "null",
     .note = TO_VLLM " (weights only)"},
    {.format = "fp8-tensor",
     .suffixes = {".weight", ".weight_scale"},
     .config = MXQ_CONFIG_COMPRESSED_TENSORS,
     .kind = "float-quantized",
     .weights = FP8_ARGUMENTS "\"tensor\", \"dynamic\": false}",
     .activations = FP8_ARGUMENTS "\"tensor\", \"dynamic\": true}",
     .note = TO_VLLM " and transformers; TensorRT-LLM takes fp8-channel and fp8-block only"},
    {.format = "fp8-channel",
     .suffixes = {".weight", ".weight_scale"},
     .config = MXQ_CONFIG_COMPRESSED_TENSORS,
     .kind = "float-quantized",
     .weights = FP8_ARGUMENTS "\"channel\", \"dynamic\": false}",
     .activations = FP8_ARGUMENTS "\"token\", \"dynamic\": true}",
     .note = TO_VLLM ", SGLang, TensorRT-LLM and transformers"},
    {.format = "fp8-block",
     .suffixes = {".weight", ".weight_scale_inv"},
     .config = MXQ_CONFIG_FP8,
     .note = "the output is in DeepSeek-V3's FP8 layout, for vLLM, SGLang, TensorRT-LLM and "
             "transformers; some want rows and columns in multiples of 128"},
    {.format = "int8-channel",
     .suffixes = {".weight", ".weight_scale"},
     .config = MXQ_CONFIG_COMPRESSED_TENSORS,
     .kind = "int-quantized",
     .weights = INT8_ARGUMENTS "\"channel\", \"dynamic\": false}",
     .activations = INT8_ARGUMENTS "\"token\", \"dynamic\": true}",
     .note = TO_VLLM ", SGLang and transformers; TensorRT-LLM would take it for FP8"},
    {.format = "mixed",
     .is_mixed = 1,
     .note = "tensors have different formats, which no server loads from one folder today: the "
             "output is for mxq and for research"},
};

static const struct mxq_scheme raw = {
    .suffixes = {".weight", ".weight_scale", ".weight_global_scale"}, .note = NO_SERVER};
static const struct mxq_scheme raw_packed = {
    .suffixes = {".weight_packed", ".weight_scale", ".weight_global_scale"}, .note = NO_SERVER};

/* Element codes of 8 bits that a file has a type for; all others are bytes. */
static const struct {
    enum mxq_element element;
    enum mxq_dtype dtype;
} element_dtypes[] = {{MXQ_E4M3, MXQ_DTYPE_F8_E4M3},
                      {MXQ_E5M2, MXQ_DTYPE_F8_E5M2},
                      {MXQ_MXINT8, MXQ_DTYPE_I8},
                      {MXQ_INT8, MXQ_DTYPE_I8}};

/* Servers load E8M0 as bytes. */
static const enum mxq_dtype scale_dtypes[MXQ_SCALES] = {[MXQ_E8M0] = MXQ_DTYPE_U8,
                                                        [MXQ_F32_SCALE] = MXQ_DTYPE_F32,
                                                        [MXQ_BF16_SCALE] = MXQ_DTYPE_BF16,
                                                        [MXQ_F16_SCALE] = MXQ_DTYPE_F16,
                                                        [MXQ_E4M3_SCALE] = MXQ_DTYPE_F8_E4M3};

unsigned mxq_element_bits(const struct mxq_format *format)
{
    struct mxq_sizes sizes;
    /* Eight codes are as many bytes as one has bits. */
    return mxq_quantized_sizes(format, 1, 8, &sizes) ? 0 : (unsigned)sizes.elements_row_bytes;
}

const struct mxq_scheme *mxq_scheme_find(const struct mxq_format_info *format)
{
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (!strcmp(schemes[i].format, format->name))
            return &schemes[i];
    return mxq_element_bits(&format->format) < 8 ? &raw_packed : &raw;
}

static void describe_elements(const struct mxq_format *format, const struct mxq_sizes *sizes,
                              struct mxq_tensor *made)
{
    made->dtype = MXQ_DTYPE_U8;
    for (size_t i = 0; i < sizeof element_dtypes / sizeof *element_dtypes; i++)
        if (element_dtypes[i].element == format->element)
            made->dtype = element_dtypes[i].dtype;
    made->shape[1] = sizes->elements_row_bytes;
    made->end = sizes->elements_bytes;
}

static void describe_scales(const struct mxq_format *format, const struct mxq_sizes *sizes,
                            struct mxq_tensor *made)
{
    made->dtype = scale_dtypes[format->scale];
    made->shape[0] = sizes->scales_rows;
    made->shape[1] = sizes->scales_row_bytes / (mxq_dtype_bits(made->dtype) / 8);
    if (format->block_rows == 0)
        made->dims = 1;
    made->end = sizes->scales_bytes;
}

int mxq_scheme_part(const struct mxq_format *format, const struct mxq_tensor *source,
                    enum mxq_part part, struct mxq_tensor *made)
{
    struct mxq_sizes sizes;
    if (mxq_quantized_sizes(format, source->shape[0], source->shape[1], &sizes))
        return 0;
    *made = (struct mxq_tensor){.dims = 2, .shape = {source->shape[0]}};
    switch (part) {
    case MXQ_ELEMENTS_PART:
        describe_elements(format, &sizes, made);
        break;
    case MXQ_SCALES_PART:
        describe_scales(format, &sizes, made);
        break;
    case MXQ_TENSOR_SCALE_PART:
        made->dtype = MXQ_DTYPE_F32;
        made->dims = 1;
        made->shape[0] = 1;
        made->end = sizeof(float);
        break;
    }
    return part != MXQ_TENSOR_SCALE_PART || format->scale == MXQ_E4M3_SCALE;
}

int mxq_format_is_flat(const struct mxq_format *format)
{
    return format->block_rows == 1 && format->block_cols;
}

int mxq_format_needs_amax(const struct mxq_format *format)
{
    return format->block_rows == 0 || format->scale == MXQ_E4M3_SCALE;
}

int mxq_format_takes_row(const struct mxq_format *format, uint64_t cols)
{
    return !mxq_format_is_flat(format) || cols % format->block_cols == 0;
}
