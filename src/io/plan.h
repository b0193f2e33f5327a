/* SPDX-License-Identifier: Apache-2.0 */
/* plan.h -- what a conversion will write, decided from headers and options alone.
 *
 * Converting, verifying and a dry run share one plan: which tensor is quantized and which is kept
 * and why, where every byte of the output will be, and the text of every generated file.
 *
 * A quantized tensor becomes the parts that scheme.h describes, and a folder the text of its index
 * and, where it has a config.json, that with a "quantization_config".  Data lies in a file by the
 * width of its type, widest first, and then as in the source: so every tensor is aligned to its
 * type, which readers that map the file need. */
#ifndef MXQ_IO_PLAN_H
#define MXQ_IO_PLAN_H

#include "decide.h"
#include "model.h"
#include "scheme.h"

struct mxq_plan_tensor {
    const struct mxq_tensor *source;
    enum mxq_decision decision;
    enum mxq_type type;              /* MXQ_QUANTIZE: of the source's values */
    struct mxq_format_info format;   /* MXQ_QUANTIZE: what it becomes */
    const struct mxq_scheme *scheme; /* MXQ_QUANTIZE: how that lies in the file */
    uint64_t begin[MXQ_PARTS];       /* byte in the output file of each part; [0]: of kept values */
    uint64_t bytes[MXQ_PARTS];       /* of those; 0: no such part */
    uint64_t chunk;     /* values, or bytes of a kept tensor, that are worked on at a time */
    size_t amax;        /* which of the plan's amaxes is its own, or MXQ_NO_AMAX */
    size_t shared_amax; /* which is that of all layers it is fused with, or MXQ_NO_AMAX */
};

#define MXQ_NO_AMAX SIZE_MAX

/* One output file of weights: it has the name of its shard. */
struct mxq_plan_file {
    const struct mxq_shard *shard;
    struct mxq_plan_tensor *tensors; /* in the order of the data, as in the source */
    size_t count;
    struct mxq_text header;
    uint64_t bytes; /* of the whole file */
    size_t entries; /* tensors that it holds */
};

/* A generated text file of an output folder. */
struct mxq_document {
    const char *name;
    struct mxq_text text;
};

#define MXQ_PLAN_DOCUMENTS 3

struct mxq_plan {
    struct mxq_plan_file *files;
    size_t count;
    struct mxq_document documents[MXQ_PLAN_DOCUMENTS];
    size_t document_count;
    struct mxq_format_info format; /* of all quantized tensors, or with the name "mixed" */
    struct mxq_text notes;         /* what the user should know, a line each */
    uint64_t source_bytes;         /* of all tensors */
    uint64_t output_bytes;         /* of all tensors */
    size_t quantized;              /* tensors */
    size_t amaxes;                 /* that must be found first */
    uint64_t amax_bytes;           /* of source, to find them */
};

/* Returns the bytes that a tensor has in the output. */
uint64_t mxq_plan_tensor_bytes(const struct mxq_plan_tensor *tensor);

/* Makes the plan; `model` and `options` must outlive it.  On failure nothing is left to free. */
enum mxq_io_code mxq_plan_make(struct mxq_plan *plan, const struct mxq_model *model,
                               const struct mxq_convert_options *options,
                               struct mxq_io_error *error);
void mxq_plan_free(struct mxq_plan *plan);

/* Makes a plan to look at every linear layer, of any row length, in whole bands of MXQ_BAND_ROWS
 * rows: nothing is laid out. */
#define MXQ_BAND_ROWS 128
enum mxq_io_code mxq_plan_survey(struct mxq_plan *plan, const struct mxq_model *model,
                                 const struct mxq_convert_options *options,
                                 struct mxq_io_error *error);

#endif
