/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint.h -- a Hugging Face Llama folder: config.json, and tensors in safetensors files.
 *
 * A safetensors file is a 64-bit little-endian length, a JSON header of that length,
 * {"name": {"dtype": "BF16", "shape": [n, k], "data_offsets": [begin, end]}, ...}, and the data.
 * Files are mapped, not read.  Nothing they say is believed: every field is checked against the
 * file. */
#ifndef LLAMA_CHECKPOINT_H
#define LLAMA_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

enum dtype { DTYPE_F32, DTYPE_BF16, DTYPE_F8_E4M3, DTYPE_F8_E5M2, DTYPE_U8, DTYPE_OTHER };

#define MAX_DIMS 8

struct tensor {
    const char *name;
    const char *file; /* for messages */
    enum dtype dtype;
    const char *dtype_name;
    size_t dims;
    size_t shape[MAX_DIMS];
    const uint8_t *data; /* in the mapped file, not aligned */
};

/* The fields of config.json that shape the computation. */
struct config {
    size_t hidden_size, intermediate_size;
    size_t layers, heads, kv_heads, head_dim;
    size_t vocab_size;
    size_t context; /* max_position_embeddings */
    double norm_eps, rope_theta;
    int tied; /* lm_head is the embedding */
};

/* A file, mapped to read. */
struct mapping {
    const uint8_t *data;
    size_t bytes;
};
struct mapping map_file(const char *path);
void unmap_file(struct mapping m);

struct checkpoint {
    const char *folder;
    struct config config;
    struct tensor *tensors;
    size_t tensor_count;
    int is_quantized; /* a tensor is of 8-bit floats */
    struct shard *shards;
    size_t shard_count;
};

/* Opens a folder.  It stays mapped until it is closed. */
void checkpoint_open(struct checkpoint *c, const char *folder);
void checkpoint_close(struct checkpoint *c);

/* Returns a tensor of a shape, [rows] when cols is 0, else [rows, cols]; fails if there is none. */
const struct tensor *checkpoint_tensor(const struct checkpoint *c, const char *name, size_t rows,
                                       size_t cols);

/* Fails because a tensor has not the dtype that is needed. */
_Noreturn void fail_dtype(const struct tensor *t, const char *expected);

/* Widens a value of a tensor of F32 or BF16. */
float tensor_value(const struct tensor *t, size_t index);

#endif
