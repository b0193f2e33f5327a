/* SPDX-License-Identifier: Apache-2.0 */
/* plan.h -- what a conversion will write, decided from headers and options alone.
 *
 * Converting, verifying and a dry run share one plan: which tensor is quantized and which is kept
 * and why, where every byte of the output will be, and the text of every generated file.
 *
 * A quantized tensor "M.weight" [N, K] becomes, in its place,
 *
 *     M.weight        F8_E4M3 or F8_E5M2 [N, K]    the elements
 *     M.weight_scale  U8 [N, K / 32]               the E8M0 scales
 *
 * A folder also gets the text of its index, and, for E4M3, config.json with the
 * "quantization_config" and hf_quant_config.json as ModelOpt writes them for MXFP8: servers load
 * that.  No server loads E5M2 elements today, so there config.json says quant_method "mxq" and
 * there is no other file: what does not know the layout must refuse it, not misread it. */
#ifndef MXQ_IO_PLAN_H
#define MXQ_IO_PLAN_H

#include "decide.h"
#include "model.h"

struct mxq_plan_tensor {
    const struct mxq_tensor *source;
    enum mxq_decision decision;
    enum mxq_type type;    /* MXQ_QUANTIZE: of the source's values */
    uint64_t begin;        /* byte in the output file of the elements, or of the kept values */
    uint64_t bytes;        /* of those */
    uint64_t scales_begin; /* MXQ_QUANTIZE: byte in the output file of the scales */
    uint64_t scales_bytes;
};

/* One output file of weights: it has the name of its shard. */
struct mxq_plan_file {
    const struct mxq_shard *shard;
    struct mxq_plan_tensor *tensors; /* in the order of the data, as in the source */
    size_t count;
    struct mxq_text header;
    uint64_t bytes; /* of the whole file */
};

/* A generated text file of an output folder. */
struct mxq_document {
    const char *name;
    struct mxq_text text;
};

#define MXQ_PLAN_DOCUMENTS 3

#define MXQ_NOTE_E5M2                                                                              \
    "no server loads MXFP8 with E5M2 elements today: the output is for mxq and for research\n"

struct mxq_plan {
    struct mxq_plan_file *files;
    size_t count;
    struct mxq_document documents[MXQ_PLAN_DOCUMENTS];
    size_t document_count;
    struct mxq_text notes; /* what the user should know, a line each */
    uint64_t source_bytes; /* of all tensors */
    uint64_t output_bytes; /* of all tensors */
    size_t quantized;      /* tensors */
};

/* Makes the plan; `model` and `options` must outlive it.  On failure nothing is left to free. */
enum mxq_io_code mxq_plan_make(struct mxq_plan *plan, const struct mxq_model *model,
                               const struct mxq_convert_options *options,
                               struct mxq_io_error *error);
void mxq_plan_free(struct mxq_plan *plan);

#endif
