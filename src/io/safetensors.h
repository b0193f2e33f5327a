/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors.h -- the safetensors file format: a reader that trusts nothing, and the header
 * writer.
 *
 * A file is
 *
 *     offset  size  content
 *     0       8     N, unsigned, little endian: bytes of the header, at most 100,000,000
 *     8       N     a JSON object in UTF-8, beginning with '{'; spaces (0x20) may follow it
 *     8 + N   rest  the data: tensor after tensor, without holes, to the end of the file
 *
 * The object maps each tensor's name to {"dtype": string, "shape": [integers], "data_offsets":
 * [begin, end]}, all three and nothing else; offsets count bytes from 8 + N.  Its member
 * "__metadata__", if there is one, maps strings to strings.  Values are little endian and
 * row-major.  A size in bytes is the product of the shape times the bits of the dtype / 8: shapes
 * count logical elements, and types below 8 bits must fill whole bytes.  An empty shape is one
 * element; a dimension may be 0, and then begin = end, at any place where a tensor could begin.
 *
 * Stricter than the format asks, as the limits below: every key once, names of 1 .. 65535 bytes
 * without NUL, plain integers up to 2^53, at most 8 dimensions, nesting up to 4, at most a million
 * tensors and ten thousand metadata keys.  Readers of the field disagree about the rest, so no file
 * here depends on it. */
#ifndef MXQ_IO_SAFETENSORS_H
#define MXQ_IO_SAFETENSORS_H

#include "dtype.h"
#include "reader.h"
#include "text.h"

#define MXQ_MAX_HEADER     100000000
#define MXQ_MAX_TENSORS    1000000
#define MXQ_MAX_DIMS       8
#define MXQ_MAX_NAME_BYTES 65535
#define MXQ_MAX_METADATA   10000

struct mxq_tensor {
    const char *name;
    enum mxq_dtype dtype;
    unsigned dims;
    uint64_t shape[MXQ_MAX_DIMS];
    uint64_t elements; /* the product of the shape */
    uint64_t begin;    /* bytes from the start of the data */
    uint64_t end;
    uint64_t at; /* byte offset of its entry in the file, for messages */
};

struct mxq_metadata {
    const char *key;
    const char *value;
};

/* The header of a file. */
struct mxq_safetensors {
    struct mxq_tensor *tensors; /* in the order of their data */
    size_t count;
    uint32_t *by_name; /* indices into tensors, in the order of their names */
    struct mxq_metadata *metadata;
    size_t metadata_count;
    uint64_t data_begin; /* 8 + N */
    uint64_t data_bytes;
};

/* Reads and checks the header.  On failure nothing is left to free. */
enum mxq_io_code mxq_safetensors_read(struct mxq_safetensors *st, const struct mxq_reader *reader,
                                      struct mxq_io_error *error);

void mxq_safetensors_free(struct mxq_safetensors *st);

/* Returns the tensor of that name, or NULL. */
const struct mxq_tensor *mxq_safetensors_find(const struct mxq_safetensors *st, const char *name);

/* Returns the metadata value of a key, or NULL. */
const char *mxq_safetensors_metadata(const struct mxq_safetensors *st, const char *key);

/* Writing a header: begin, then the entries in the order of their data, then end.  end pads with
 * spaces so that the data starts at a multiple of 4096, and fills in N. */
void mxq_header_begin(struct mxq_text *header, const struct mxq_metadata *metadata, size_t count);
void mxq_header_entry(struct mxq_text *header, const struct mxq_tensor *tensor);
void mxq_header_end(struct mxq_text *header);

#endif
