/* SPDX-License-Identifier: Apache-2.0 */
/* documents.h -- the generated text files of an output folder: index and configs. */
#ifndef MXQ_IO_DOCUMENTS_H
#define MXQ_IO_DOCUMENTS_H

#include "plan.h"

/* Adds a folder's documents, and what to say of its readers, to a plan whose files are complete. */
enum mxq_io_code mxq_documents_make(struct mxq_plan *plan, const struct mxq_model *model,
                                    const struct mxq_convert_options *options,
                                    struct mxq_io_error *error);

#endif
