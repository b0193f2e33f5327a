/* SPDX-License-Identifier: Apache-2.0 */
/* verify.c -- mxq verify: checks a converted model against its source. */
#include "verify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

struct arguments {
    struct run_options run;
    double min_sqnr; /* in dB; -infinity: no bound */
};

static int take(void *context, const char *name, const char *value)
{
    struct arguments *a = context;
    const int taken = take_run_option(&a->run, name, value);
    if (taken >= 0)
        return taken;
    return take_decibels(&a->min_sqnr, value);
}

/* ------------------------------------------ Results ------------------------------------------- */

static double share(uint64_t count, const struct mxq_statistics *s)
{
    return count_values(s) ? (double)count / (double)count_values(s) : 0;
}

static void write_row(struct table *table, const char *name, const struct mxq_statistics *s)
{
    table_cell(table, "%s", name);
    table_cell(table, "%.2f", mxq_sqnr(s));
    table_cell(table, "%.8f", mxq_cosine(s));
    table_cell(table, "%.3g", s->max_error);
    table_cell(table, "%.4f %%", 100 * share(s->saturated, s));
    table_cell(table, "%.4f %%", 100 * share(s->flushed, s));
    table_cell(table, "%llu", (unsigned long long)s->nonfinite);
}

static void write_table(struct mxq_text *text, const struct mxq_verification *v)
{
    static const char *const titles[] = {"TENSOR",    "SQNR dB", "COSINE", "MAX ABS ERROR",
                                         "SATURATED", "TO ZERO", "NAN"};
    struct table table = {.columns = 7, .alignment = "lrrrrrr"};
    char escaped[MXQ_IO_ESCAPED];
    for (size_t i = 0; i < table.columns; i++)
        table_cell(&table, "%s", titles[i]);
    for (size_t i = 0; i < v->plan.count; i++)
        for (size_t j = 0; j < v->plan.files[i].count; j++) {
            const struct mxq_plan_tensor *t = &v->plan.files[i].tensors[j];
            if (t->decision == MXQ_QUANTIZE)
                write_row(&table, mxq_io_escape(escaped, t->source->name, MXQ_IO_NAME_LIMIT),
                          &v->statistics[i][j]);
        }
    write_row(&table, "total", &v->total);
    table_write(&table, text);
}

static void write_json(struct mxq_text *text, const struct mxq_verification *v, int passed)
{
    mxq_text_format(text, "{\"passed\": %s, \"identical\": %s, \"differences\": %zu",
                    passed ? "true" : "false", v->differences ? "false" : "true", v->differences);
    if (v->differences) {
        mxq_text_string(text, ", \"first_difference\": ");
        write_error_json(text, &v->difference);
    }
    mxq_text_string(text, ", \"version\": ");
    mxq_text_json(text, v->options.version);
    mxq_text_string(text, ", \"options\": ");
    mxq_convert_options_write(&v->options, text);
    mxq_text_string(text, ", \"total\": {");
    write_statistics_json(text, &v->total);
    mxq_text_string(text, "}, \"tensors\": [");
    int first = 1;
    for (size_t i = 0; i < v->plan.count; i++)
        for (size_t j = 0; j < v->plan.files[i].count; j++) {
            const struct mxq_plan_tensor *t = &v->plan.files[i].tensors[j];
            if (t->decision != MXQ_QUANTIZE)
                continue;
            mxq_text_string(text, first ? "\n  {\"name\": " : ",\n  {\"name\": ");
            mxq_text_json(text, t->source->name);
            mxq_text_string(text, ", ");
            write_statistics_json(text, &v->statistics[i][j]);
            mxq_text_string(text, "}");
            first = 0;
        }
    mxq_text_string(text, "\n]}\n");
}

/* Returns the tensor with the smallest ratio below the bound, or NULL. */
static const struct mxq_plan_tensor *find_below(const struct mxq_verification *v, double bound,
                                                double *smallest)
{
    const struct mxq_plan_tensor *found = NULL;
    *smallest = bound;
    for (size_t i = 0; i < v->plan.count; i++)
        for (size_t j = 0; j < v->plan.files[i].count; j++) {
            const struct mxq_statistics *s = &v->statistics[i][j];
            /* Written so that a ratio that is no number fails, too. */
            if (count_values(s) && !(mxq_sqnr(s) >= *smallest)) {
                *smallest = mxq_sqnr(s);
                found = v->plan.files[i].tensors + j;
            }
        }
    return found;
}

/* Formats were chosen by sums over bands of rows, these are over chunks: the last digits may
 * differ. */
#define SUMS_DIFFER 1e-9

static int report(const struct arguments *a, const struct mxq_verification *v)
{
    struct mxq_text text = {0};
    struct mxq_io_error error = v->difference;
    double smallest;
    const double bound =
        v->options.candidates ? fmax(a->min_sqnr, v->options.min_sqnr - SUMS_DIFFER) : a->min_sqnr;
    const struct mxq_plan_tensor *below = find_below(v, bound, &smallest);
    const int passed = !v->differences && !below;
    if (a->run.json) {
        write_json(&text, v, passed);
    } else if (!a->run.quiet) {
        write_table(&text, v);
        if (passed) {
            mxq_text_string(&text,
                            "\nok: every byte is what mxq " MXQ_VERSION_STRING " writes for ");
            write_options(&text, &v->options);
            mxq_text_string(&text, "\n");
        }
    }
    int status = passed ? 0 : mxq_io_exit_status(MXQ_IO_MISMATCH);
    status = print_text(&text, status);
    if (v->differences)
        report_error(&error);
    if (below) {
        mxq_io_fail(&error, MXQ_IO_MISMATCH,
                    (struct mxq_io_place){NULL, MXQ_IO_NOWHERE, below->source->name},
                    "the error is too large: SQNR = %.2f dB, expected at least %.2f", smallest,
                    bound);
        report_error(&error);
    }
    return status;
}

/* ------------------------------------------ Running ------------------------------------------- */

static int fail(const struct arguments *a, const struct mxq_io_error *error)
{
    return report_failure(error, a->run.json);
}

static int verify(const struct arguments *a, const struct mxq_model *source,
                  const struct mxq_model *output)
{
    struct mxq_io_error error;
    struct mxq_verification v;
    struct run run;
    if (mxq_verification_begin(&v, source, output, &error))
        return fail(a, &error);
    int status = run_begin(&run, &a->run, &v.plan, "verified");
    if (!status) {
        const enum mxq_io_code code =
            mxq_verification_run(&v, source, output, &run.workers, &run.monitor, &error);
        run_end(&run);
        status = code ? fail(a, &error) : report(a, &v);
    }
    mxq_verification_end(&v);
    return status;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct arguments a = {.min_sqnr = -(double)INFINITY};
    const char *paths[MAX_ARGUMENTS];
    struct mxq_io_error error;
    struct mxq_model source, output;
    int status = parse_options(command, argc, argv, take, &a, paths);
    if (status < 0)
        status = select_isa(a.run.isa) ? mxq_io_exit_status(MXQ_IO_USAGE) : -1;
    if (status >= 0)
        return status;
    if (mxq_model_open(&source, paths[0], &error))
        return fail(&a, &error);
    if (mxq_model_open(&output, paths[1], &error)) {
        status = fail(&a, &error);
    } else {
        status = verify(&a, &source, &output);
        mxq_model_close(&output);
    }
    mxq_model_close(&source);
    return status;
}

static const struct command_option options[] = {
    {"min-sqnr", "DB", "fail when the signal-to-noise ratio of a tensor is below this"},
    RUN_OPTIONS,
    {NULL, NULL, NULL},
};

const struct command verify_command = {
    "verify",
    "SRC DST",
    2,
    "check a converted model against its source",
    "Quantizes SRC again with the options that DST records, and compares every byte; then "
    "measures\n"
    "for each tensor the signal-to-quantization-noise ratio (SQNR), the cosine similarity, the\n"
    "largest error, and the shares of values that saturated or became zero.  The digits do not\n"
    "depend on --threads or --isa.  Exits with 1 when a byte differs or a bound fails.\n"
    "\n"
    "Examples:\n"
    "  mxq verify Llama-3-8B Llama-3-8B-MXFP8\n"
    "  mxq verify --min-sqnr 30 --quiet Llama-3-8B Llama-3-8B-MXFP8 && echo good enough\n"
    "  mxq verify --json model.safetensors model-mxfp8.safetensors > report.json\n",
    options,
    run,
};
