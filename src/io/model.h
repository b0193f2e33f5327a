/* SPDX-License-Identifier: Apache-2.0 */
/* model.h -- a model as it lies on disk: one safetensors file, or a Hugging Face folder.
 *
 * A folder holds
 *
 *     model.safetensors, or shards with an index: *.safetensors.index.json, an object whose member
 *         "weight_map" maps each tensor to the name of its shard
 *     config.json, and companions such as tokenizer files, also in subfolders
 *
 * Names in an index come from outside: a shard is a plain name ending in .safetensors.  A symbolic
 * link must stay in the folder, or lead to the blobs of the Hugging Face cache that the folder is a
 * snapshot of. */
#ifndef MXQ_IO_MODEL_H
#define MXQ_IO_MODEL_H

#include "safetensors.h"

struct mxq_shard {
    char *name; /* in the folder, or the path of a single file */
    char *path; /* for messages */
    struct stat identity;
    struct mxq_safetensors header;
};

struct mxq_model {
    char *path;
    int folder; /* descriptor, or -1 for a single file */
    struct mxq_shard *shards;
    size_t count;
    char **companions; /* paths below the folder, sorted: neither weights nor about weights */
    size_t companion_count;
    char *config; /* the text of config.json, or NULL */
    size_t config_bytes;
    char *index_name;           /* or NULL */
    uint64_t declared_size;     /* metadata.total_size of the index, or 0 */
    uint64_t declared_elements; /* metadata.total_parameters of the index, or 0 */
    int has_hf_quant_config;
    int has_other_weights; /* weights in files that are not read, such as *.bin */
};

/* Opens a file or folder and reads every header.  On failure nothing is left to close. */
enum mxq_io_code mxq_model_open(struct mxq_model *model, const char *path,
                                struct mxq_io_error *error);
void mxq_model_close(struct mxq_model *model);

/* Opens a shard for reading; fails when it is no longer the file whose header was read. */
enum mxq_io_code mxq_shard_open(const struct mxq_model *model, const struct mxq_shard *shard,
                                struct mxq_file *file, struct mxq_io_error *error);

/* Opens a file of a folder, symbolic links checked as above.  `path` is for messages and must
 * outlive the file. */
enum mxq_io_code mxq_model_open_file(const struct mxq_model *model, const char *name,
                                     const char *path, struct mxq_file *file,
                                     struct mxq_io_error *error);

/* Returns "<folder>/<name>" in memory that the caller frees, or NULL. */
char *mxq_join_path(const char *folder, const char *name);

#endif
