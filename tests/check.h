/* SPDX-License-Identifier: Apache-2.0 */
/* check.h -- conformance of the kernel matrix: every kernel of every row against the scalar row.
 *
 * A cell of the matrix is one kernel of one row.  A cell runs many cases; a case is one call on
 * buffers between guard pages.  Everything in a case follows from the seed, the kernel's name and
 * the case's number, so that each one replays alone. */
#ifndef MXQ_TESTS_CHECK_H
#define MXQ_TESTS_CHECK_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "fill.h"
#include "guard.h"
#include "kernels.h"
#include "random.h"

struct check;

enum check_role { CHECK_INPUT, CHECK_OUTPUT, CHECK_UPDATED /* read, then written */ };

/* When two F32 values count as the same. */
enum check_equality {
    CHECK_BITS,
    CHECK_NANS,     /* any NaN is as good as another */
    CHECK_NONFINITE /* and so is an infinity */
};

/* One array that a kernel reads or writes. */
struct check_operand {
    const char *name;
    size_t block_bytes;
    size_t value_bytes; /* the unit in which differences are reported */
    enum check_role role;
    int alignment; /* of its C type; 0: none, as for bytes and the untyped wide side */
    enum check_equality equality;
    size_t bytes;      /* besides those of the blocks */
    size_t most_bytes; /* of any case; 0: those of the longest one */
};
#define CHECK_OPERANDS 4

/* What a kernel family adds to the common plan of cases. */
struct check_family {
    struct check_operand operands[CHECK_OPERANDS]; /* in argument order; value_bytes 0: none */
    int rules;             /* how many scale rules it has to run under: rule i is c->rule */
    unsigned every_rounds; /* rounds of 2048 blocks of FILL_EVERY; 0: as any other fill */
    /* 0 where blocks are cheap, and where a case has no shape but their number. */
    size_t blocks_in_tails; /* the most blocks of a case about sizes and alignments */
    size_t blocks_per_fill;
    size_t blocks_per_case;         /* of a case about values */
    void (*shape)(struct check *c); /* chooses c->shape, and operands[].bytes after it */
    /* Writes the inputs among data[]; t->index is the number of the first block. */
    void (*fill)(struct check *c, enum fill fill, const struct fill_target *t, size_t blocks,
                 void *const *data);
    void (*call)(const struct check *c, const struct mxq_kernels *row, void *const *data,
                 size_t blocks);
};

/* One kernel of the list, and the function that checks its family. */
struct check_kernel {
    const char *name;
    size_t slot; /* offset in struct mxq_kernels */
    void (*check)(struct check *c);
};
extern const struct check_kernel check_kernels[]; /* as kernels.def; a NULL name ends the list */

enum check_result { CHECK_OK, CHECK_FAIL, CHECK_CRASH };

/* The case that is running, for its message. */
struct check_case {
    uint64_t number;
    enum fill fill;
    size_t blocks;
    enum guard_side side;
    int alignment[CHECK_OPERANDS];
};

/* What else a family chooses for a case. */
struct check_shape {
    size_t rows, panels;
    size_t y_stride, x_stride, w_stride;
    int variant; /* of the call */
};

/* One cell. */
struct check {
    /* Set by the caller. */
    const struct check_kernel *kernel;
    const struct mxq_kernels *row;       /* under test */
    const struct mxq_kernels *reference; /* the scalar row */
    uint64_t seed;
    int64_t only_case; /* -1: all */
    unsigned share;    /* of these every so many; 0 and 1: all */

    /* Results. */
    uint64_t cases;
    uint64_t values;    /* values compared */
    char message[4096]; /* "" when all is well */

    /* What runs now. */
    struct check_case current;
    struct check_family family;
    struct check_shape shape;
    struct random random;
    enum mxq_element element;
    enum mxq_packed_element packed; /* of a product's kernel, with its compute type */
    size_t compute;
    enum mxq_type type;
    enum mxq_scale_mode mode;
    struct mxq_scale_rule rule;
    struct guard guards[CHECK_OPERANDS];
    unsigned char *expected[CHECK_OPERANDS]; /* the same operands, for the reference */
};

/* Runs one cell.  A message says what went wrong, in which case, and with which inputs. */
enum check_result check_cell(struct check *c);

/* Runs the common plan of cases for a family; c->element and c->type are set. */
void check_run(struct check *c, const struct check_family *family);

/* The index of the kernel within its family's slots. */
#define CHECK_INDEX(c, family)                                                                     \
    (((c)->kernel->slot - offsetof(struct mxq_kernels, family)) / sizeof(void (*)(void)))

/* Puts BF16 values of x into the order in which the row under test wants them; to may be from. */
void check_reorder(const struct check *c, void *to, const void *from, size_t blocks);

/* One check for each family of kernels.def; a family without one does not compile. */
void check_amax(struct check *c);
void check_amax_8(struct check *c);
void check_amax_16(struct check *c);
void check_amax_all(struct check *c);
void check_scale(struct check *c);
void check_pack(struct check *c);
void check_unpack(struct check *c);
void check_quantize(struct check *c);
void check_columns(struct check *c);
void check_mse(struct check *c);
void check_encode(struct check *c);
void check_quotient(struct check *c);
void check_pack_by(struct check *c);
void check_unpack_by(struct check *c);
void check_scale_by(struct check *c);
void check_measure(struct check *c);
void check_operand(struct check *c);
void check_round(struct check *c);
void check_panel(struct check *c);
void check_gemm(struct check *c);
void check_gemm_fused(struct check *c);
void check_fold(struct check *c);
void check_output(struct check *c);

#endif
