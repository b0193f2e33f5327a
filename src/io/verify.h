/* SPDX-License-Identifier: Apache-2.0 */
/* verify.h -- checks an output against its source, byte for byte, and measures what was lost. */
#ifndef MXQ_IO_VERIFY_H
#define MXQ_IO_VERIFY_H

#include "sweep.h"

struct mxq_verification {
    struct mxq_convert_options options; /* as recorded in the output */
    struct mxq_plan plan;               /* made again from them */
    struct mxq_statistics *
        *statistics; /* [file][tensor]; of no values where nothing is quantized */
    struct mxq_statistics total;
    struct mxq_io_error difference; /* the first one; its code is MXQ_IO_OK when there is none */
    size_t differences;             /* files and chunks that differ */
};

/* Opens the verification: reads the options of `output` and makes the plan.  Both models must
 * outlive it.  On failure nothing is left to free. */
enum mxq_io_code mxq_verification_begin(struct mxq_verification *v, const struct mxq_model *source,
                                        const struct mxq_model *output, struct mxq_io_error *error);

/* Compares everything.  Differences are results, not failures. */
enum mxq_io_code mxq_verification_run(struct mxq_verification *v, const struct mxq_model *source,
                                      const struct mxq_model *output,
                                      const struct mxq_workers *workers,
                                      const struct mxq_monitor *monitor,
                                      struct mxq_io_error *error);
void mxq_verification_end(struct mxq_verification *v);

#endif
