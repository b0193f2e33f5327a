/* SPDX-License-Identifier: Apache-2.0 */
/* convert.c -- mxq convert: quantizes a model. */
#include "convert.h"

#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "summary.h"

struct arguments {
    struct mxq_convert_options options;
    struct run_options run;
    int force;
    int dry_run;
};

/* ------------------------------------------ Options ------------------------------------------- */

static int bad_value(const char *name, const char *value, const char *expected)
{
    char escaped[MXQ_IO_ESCAPED];
    usage_error("--%s %s: expected %s", name, mxq_io_escape(escaped, value, MXQ_IO_NAME_LIMIT),
                expected);
    return 0;
}

static int take(void *context, const char *name, const char *value)
{
    struct arguments *a = context;
    const int taken = take_run_option(&a->run, name, value);
    if (taken >= 0)
        return taken;
    if (!strcmp(name, "element"))
        return mxq_find_element(value, &a->options.format.element) ||
               bad_value(name, value, "e4m3 or e5m2");
    if (!strcmp(name, "scale"))
        return mxq_find_scale_mode(value, &a->options.scale_mode) ||
               bad_value(name, value, "rceil, floor, ceil, even or ct");
    if (!strcmp(name, "nonfinite"))
        return mxq_find_nonfinite(value, &a->options.nonfinite) ||
               bad_value(name, value, "error or nan");
    if (!strcmp(name, "skip") || !strcmp(name, "only"))
        return mxq_globs_add(name[0] == 's' ? &a->options.skip : &a->options.only, value);
    if (!strcmp(name, "force"))
        a->force = 1;
    else
        a->dry_run = 1;
    return 1;
}

/* ------------------------------------------ Results ------------------------------------------- */

static void write_result(struct mxq_text *text, const struct arguments *a,
                         const struct mxq_plan *plan, const char *output, double seconds)
{
    char from[SIZE_TEXT], to[SIZE_TEXT], rate[SIZE_TEXT], escaped[MXQ_IO_ESCAPED];
    if (a->run.json) {
        mxq_text_format(text, "{\"output\": ");
        mxq_text_json(text, output);
        mxq_text_format(text, ", \"written\": %s, \"isa\": \"%s\", \"options\": ",
                        a->dry_run ? "false" : "true", mxq_isa());
        mxq_convert_options_write(&a->options, text);
        mxq_text_string(text, ", \"seconds\": ");
        write_number(text, seconds);
        mxq_text_string(text, ", ");
        write_plan_json(text, plan);
        mxq_text_string(text, "}\n");
        return;
    }
    if (a->run.quiet)
        return;
    write_plan_table(text, plan);
    mxq_text_format(text, "\n%s %s: MXFP8 %s, scale %s, %s -> %s",
                    a->dry_run ? "would write" : "wrote",
                    mxq_io_escape(escaped, output, MXQ_IO_PATH_LIMIT),
                    a->options.format.element == MXQ_E4M3 ? "E4M3" : "E5M2",
                    mxq_scale_mode_name(a->options.scale_mode),
                    format_size(from, plan->source_bytes), format_size(to, plan->output_bytes));
    if (!a->dry_run)
        mxq_text_format(text, ", %.2f s, %s/s, %s", seconds,
                        format_size(rate, (uint64_t)((double)plan->source_bytes / seconds)),
                        mxq_isa());
    mxq_text_string(text, "\n");
    for (const char *note = plan->notes.bytes ? plan->notes.data : ""; *note;) {
        const size_t bytes = strcspn(note, "\n");
        mxq_text_format(text, "note: %.*s\n", (int)bytes, note);
        note += bytes + (note[bytes] == '\n');
    }
}

static int fail(const struct arguments *a, const struct mxq_io_error *error)
{
    return report_failure(error, a->run.json);
}

/* ------------------------------------------ Running ------------------------------------------- */

static int convert(const struct arguments *a, const struct mxq_model *model,
                   const struct mxq_plan *plan, const char *output)
{
    struct mxq_io_error error;
    struct mxq_target target;
    struct run run;
    const double start = seconds_now();
    if (mxq_target_open(&target, output, model, a->force, &error))
        return fail(a, &error);
    int status = run_begin(&run, &a->run, plan, "converted");
    if (!status) {
        const enum mxq_io_code code =
            mxq_convert(model, plan, &a->options, &target, &run.workers, &run.monitor, &error);
        run_end(&run);
        if (code)
            status = fail(a, &error);
    }
    mxq_target_close(&target);
    if (status)
        return status;
    struct mxq_text text = {0};
    write_result(&text, a, plan, output, seconds_now() - start);
    return print_text(&text, 0);
}

static int open_and_convert(const struct arguments *a, const char *source, const char *output)
{
    struct mxq_io_error error;
    struct mxq_model model;
    struct mxq_plan plan;
    int status = select_isa(a->run.isa);
    if (status)
        return status;
    if (mxq_model_open(&model, source, &error))
        return fail(a, &error);
    if (mxq_plan_make(&plan, &model, &a->options, &error)) {
        status = fail(a, &error);
    } else {
        if (a->dry_run) {
            struct mxq_text text = {0};
            write_result(&text, a, &plan, output, 0);
            status = print_text(&text, 0);
        } else {
            status = convert(a, &model, &plan, output);
        }
        mxq_plan_free(&plan);
    }
    mxq_model_close(&model);
    return status;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct arguments a = {.force = 0};
    const char *paths[MAX_ARGUMENTS];
    if (!mxq_convert_options_init(&a.options))
        return mxq_io_exit_status(MXQ_IO_NO_MEMORY);
    int status = parse_options(command, argc, argv, take, &a, paths);
    if (status < 0)
        status = open_and_convert(&a, paths[0], paths[1]);
    mxq_convert_options_free(&a.options);
    return status;
}

static const struct command_option options[] = {
    {"element", "E", "element code: e4m3 (default) or e5m2"},
    {"scale", "MODE", "rule of the shared scales: rceil (default), floor, ceil, even, ct"},
    {"skip", "GLOB", "keep tensors of this name as they are; may be repeated"},
    {"only", "GLOB", "quantize no tensors but those of this name; may be repeated"},
    {"nonfinite", "WHAT", "NaN or infinity in a weight: error (default), or nan for its block"},
    {"force", NULL, "replace an existing output file, or a folder that mxq wrote"},
    {"dry-run", NULL, "tell what would be done, and write nothing"},
    RUN_OPTIONS,
    {NULL, NULL, NULL},
};

const struct command convert_command = {
    "convert",
    "SRC DST",
    2,
    "quantize a safetensors file or a Hugging Face model folder",
    "Quantizes the linear layers of a model to MXFP8: 8-bit elements, and a power-of-two scale "
    "for\n"
    "every 32 of them.  SRC is a safetensors file or a Hugging Face model folder, DST a new one.\n"
    "Embeddings, the output head, norms, biases, routers and rows that are no multiple of 32 are\n"
    "kept as they are.  DST appears only when it is complete.\n"
    "\n"
    "Examples:\n"
    "  mxq convert Llama-3-8B Llama-3-8B-MXFP8\n"
    "      quantize a model folder; vLLM, TensorRT-LLM and SGLang load the result\n"
    "  mxq convert --dry-run Llama-3-8B Llama-3-8B-MXFP8\n"
    "      first see what would be quantized, and what kept, and why\n"
    "  mxq convert --skip '*.down_proj.weight' --skip 'model.layers.0.*' Llama-3-8B out\n"
    "      keep some layers in full precision\n"
    "  mxq convert --scale floor --element e5m2 model.safetensors model-e5m2.safetensors\n"
    "      one file, other formats\n",
    options,
    run,
};
