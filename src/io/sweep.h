/* SPDX-License-Identifier: Apache-2.0 */
/* sweep.h -- goes over the tensors of one planned file in chunks, with threads.
 *
 * A chunk is a run of values of a tensor that is quantized, or of bytes of one that is kept.  It is
 * whole blocks: a run of them where they lie in rows, else whole rows.  The cut depends on the file
 * and the format alone, so that sums over chunks, taken in order, do not depend on threads.  Each
 * thread takes the next chunk and works in memory of its own. */
#ifndef MXQ_IO_SWEEP_H
#define MXQ_IO_SWEEP_H

#include "plan.h"

/* Values of a chunk, unless whole rows are more: 512 KiB of F32.  Source, elements and scales stay
 * in the second-level cache between reading, quantizing and writing, and 64 threads stay below 64
 * MiB. */
#define MXQ_CHUNK_VALUES (128u << 10)
#define MXQ_CHUNK_BYTES  (4 * MXQ_CHUNK_VALUES)

/* The caller's threads.  The file layer starts none of its own. */
struct mxq_workers {
    const struct mxq_parallel *parallel; /* NULL: this thread */
    size_t count;                        /* how many chunks may be in work at once, at least 1 */
};

/* The caller's eyes and hand.  Every function may be NULL; the first two are called from any
 * thread. */
struct mxq_monitor {
    void (*advance)(void *context, uint64_t bytes); /* so many bytes of source are done */
    int (*is_interrupted)(void *context);           /* 1: stop at the next chunk */
    void (*finish)(void *context, const struct mxq_plan_file *file); /* this file is done */
    void *context;
};

struct mxq_chunk {
    uint64_t index; /* in the file */
    const struct mxq_plan_tensor *tensor;
    uint64_t first;        /* value or byte of the tensor */
    size_t count;          /* values or bytes */
    uint64_t source_begin; /* byte of the source file */
    size_t source_bytes;
};

/* Where the elements and scales of a chunk lie in those of its tensor, in bytes. */
struct mxq_chunk_place {
    uint64_t elements_begin;
    size_t elements_bytes;
    uint64_t scales_begin;
    size_t scales_bytes;
};
struct mxq_chunk_place mxq_place_chunk(const struct mxq_chunk *chunk,
                                       const struct mxq_format *format);

/* The most bytes that chunks of a file have: of source, of elements (or kept values), of scales. */
struct mxq_chunk_sizes {
    size_t source;
    size_t elements;
    size_t scales;
};

/* Visits one chunk.  `scratch` is memory of this thread, aligned to 64 bytes. */
typedef enum mxq_io_code mxq_visit_fn(void *context, const struct mxq_chunk *chunk, void *scratch,
                                      struct mxq_io_error *error);

/* Returns the number of chunks of a tensor. */
uint64_t mxq_count_chunks(const struct mxq_plan_tensor *tensor);

/* What is done on a sweep. */
struct mxq_sweep {
    const struct mxq_plan_file *file;
    int (*wants)(const struct mxq_plan_tensor *tensor); /* NULL: all tensors are visited */
    mxq_visit_fn *visit;
    void *context;
    size_t scratch_bytes;
};

/* Returns the largest chunks of a file, in the format of each tensor or, unless NULL, this one. */
struct mxq_chunk_sizes mxq_chunk_sizes(const struct mxq_plan_file *file,
                                       const struct mxq_format *format);

/* Visits every chunk of a file, or of the tensors that are wanted.  When visits fail, the failure
 * of the first chunk is returned: whichever thread it was on, and whatever else failed. */
enum mxq_io_code mxq_sweep(const struct mxq_sweep *what, const struct mxq_workers *workers,
                           const struct mxq_monitor *monitor, struct mxq_io_error *error);

#endif
