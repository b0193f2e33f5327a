/* SPDX-License-Identifier: Apache-2.0 */
/* summary.h -- tells what a plan does: as a table for people, as JSON for programs. */
#ifndef MXQ_SUMMARY_H
#define MXQ_SUMMARY_H

#include "plan.h"

/* A table of all tensors.  Those that differ only in numbers, as layers do, share a line. */
void write_plan_table(struct mxq_text *text, const struct mxq_plan *plan);

/* "model.layers.11.mlp.up_proj.weight" becomes "model.layers.*.mlp.up_proj.weight", in memory that
 * the caller frees; NULL without memory. */
char *name_pattern(const char *name);

/* The members "source_bytes", "output_bytes", "quantized", "kept", "notes" and "tensors", without
 * the braces around them. */
void write_plan_json(struct mxq_text *text, const struct mxq_plan *plan);

#endif
