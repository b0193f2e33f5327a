/* SPDX-License-Identifier: Apache-2.0 */
/* convert.c -- mxq convert: quantizes a model. */
#include "convert.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "summary.h"

struct arguments {
    struct mxq_convert_options options;
    struct run_options run;
    int force;
    int dry_run;
    int is_auto;
    int names_format;
};

/* ------------------------------------------ Options ------------------------------------------- */

static int take(void *context, const char *name, const char *value)
{
    struct arguments *a = context;
    const int taken = take_run_option(&a->run, name, value);
    if (taken >= 0)
        return taken;
    const int is_known = take_convert_option(&a->options, name, value);
    if (!strcmp(name, "format"))
        a->names_format = 1;
    if (is_known >= 0)
        return is_known;
    if (!strcmp(name, "force"))
        a->force = 1;
    else if (!strcmp(name, "auto"))
        a->is_auto = 1;
    else
        a->dry_run = 1;
    return 1;
}

/* Returns 0 or an exit status. */
static int check_options(struct arguments *a)
{
    struct mxq_io_error error;
    const int has_bound = !isnan(a->options.min_sqnr);
    if (!a->is_auto && (a->options.candidates || has_bound))
        return usage_error("--formats and --min-sqnr are for --auto");
    if (a->is_auto && !has_bound)
        return usage_error("--auto needs --min-sqnr DB");
    if (a->is_auto && a->names_format)
        return usage_error("--auto chooses from --formats LIST: leave out --format");
    if (a->is_auto && !a->options.candidates)
        a->options.candidates = mxq_all_formats();
    return mxq_convert_options_check(&a->options, &error) ? report_failure(&error, a->run.json) : 0;
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
    mxq_text_format(text, "\n%s %s: ", a->dry_run ? "would write" : "wrote",
                    mxq_io_escape(escaped, output, MXQ_IO_PATH_LIMIT));
    write_options(text, &a->options);
    if (a->is_auto)
        mxq_text_format(text, ": %s", plan->format.name);
    mxq_text_format(text, ", %s -> %s", format_size(from, plan->source_bytes),
                    format_size(to, plan->output_bytes));
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

/* Returns 0 or an exit status. */
static int choose_formats(struct arguments *a, const struct mxq_model *model)
{
    struct mxq_survey survey;
    struct mxq_io_error error;
    const int status = run_survey(&survey, model, &a->options, &a->run, &error);
    if (status)
        return status;
    const enum mxq_io_code code = mxq_survey_choose(&survey, &a->options, &error);
    mxq_survey_end(&survey);
    return code ? fail(a, &error) : 0;
}

static int open_and_convert(struct arguments *a, const char *source, const char *output)
{
    struct mxq_io_error error;
    struct mxq_model model;
    struct mxq_plan plan;
    int status = select_isa(a->run.isa);
    if (status)
        return status;
    if (mxq_model_open(&model, source, &error))
        return fail(a, &error);
    if (a->is_auto)
        status = choose_formats(a, &model);
    if (status) {
        mxq_model_close(&model);
        return status;
    }
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
    if (status < 0 && check_options(&a))
        status = mxq_io_exit_status(MXQ_IO_USAGE);
    if (status < 0)
        status = open_and_convert(&a, paths[0], paths[1]);
    mxq_convert_options_free(&a.options);
    return status;
}

static const struct command_option options[] = {
    {"format", "NAME", "what to quantize to: mxfp8 (default), or one of those above"},
    {"auto", NULL, "choose for each layer the smallest format that reaches --min-sqnr"},
    {"min-sqnr", "DB", "what --auto must reach; layers that no format brings there are kept"},
    {"formats", "LIST", "what --auto chooses from: mxfp8,mxfp4 (default: all formats)"},
    {"scale", "MODE",
     "rule of the shared scales: default, rceil, floor, ceil, even, ct, mse, unit"},
    {"round", "MODE",
     "nearest-even (default), nearest-away, nearest-zero, toward-zero, stochastic"},
    {"seed", "N", "of stochastic rounding (default: 0)"},
    {"profile", "NAME", "scales and rounding as another producer has them, byte for byte"},
    {"skip", "GLOB", "keep tensors of this name as they are; may be repeated"},
    {"only", "GLOB", "quantize no tensors but those of this name; may be repeated"},
    {"nonfinite", "WHAT",
     "NaN or infinity in a weight: error (default), nan for its block, or clamp"},
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
    "Quantizes the linear layers of a model: to MXFP8, 8-bit elements with a power-of-two scale "
    "for\n"
    "every 32 of them, or to another format.  SRC is a safetensors file or a Hugging Face model\n"
    "folder, DST a new one.  Embeddings, the output head, norms, biases, routers and rows that "
    "are\n"
    "no whole blocks are kept as they are.  DST appears only when it is complete.\n"
    "\n"
    "Formats:\n"
    "  mxfp8, mxfp8-e5m2, mxfp6-e2m3, mxfp6-e3m2, mxfp4, mxint8   OCP MX: a power of two for 32\n"
    "  nvfp4                                 4 bits, an FP8 scale for 16, one scale for the "
    "tensor\n"
    "  fp8-tensor, fp8-channel, fp8-group, fp8-block   FP8, an F32 scale for the tensor, a row,\n"
    "                                        1 x 128 or 128 x 128 values\n"
    "  int8-tensor, int8-channel, q8-0       INT8, a scale for the tensor, a row, or 32 values\n"
    "Profiles: ocp, nvidia, torchao-floor, compressed-tensors, ggml, deepseek\n"
    "\n"
    "Examples:\n"
    "  mxq convert Llama-3-8B Llama-3-8B-MXFP8\n"
    "      quantize a model folder; vLLM, TensorRT-LLM and SGLang load the result\n"
    "  mxq convert --dry-run Llama-3-8B Llama-3-8B-MXFP8\n"
    "      first see what would be quantized, and what kept, and why\n"
    "  mxq convert --skip '*.down_proj.weight' --skip 'model.layers.0.*' Llama-3-8B out\n"
    "      keep some layers in full precision\n"
    "  mxq convert --format fp8-block Llama-3-8B Llama-3-8B-FP8\n"
    "      DeepSeek-V3's layout, which also servers on CPUs load\n"
    "  mxq convert --auto --min-sqnr 30 --formats mxfp4,mxfp6-e2m3,mxfp8 Llama-3-8B out\n"
    "      each layer as small as it may be; see also mxq compare\n"
    "  mxq convert --format mxfp4 --scale floor model.safetensors model-mxfp4.safetensors\n"
    "      one file, with the scales of the OCP text\n",
    options,
    run,
};
