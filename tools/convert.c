/* SPDX-License-Identifier: Apache-2.0 */
/* convert.c -- mxq convert: quantizes a model. */
#include "convert.h"

#include <errno.h>
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

/* Reports a value that is none of some names. */
static int bad_name(const char *name, const char *value, mxq_name_fn *name_at)
{
    char escaped[MXQ_IO_ESCAPED];
    struct mxq_text names = {0};
    for (size_t i = 0; name_at(i); i++)
        mxq_text_format(&names, "%s%s", !i ? "" : name_at(i + 1) ? ", " : " or ", name_at(i));
    usage_error("--%s %s: expected %s", name, mxq_io_escape(escaped, value, MXQ_IO_NAME_LIMIT),
                names.failed ? "another name" : names.data);
    mxq_text_free(&names);
    return 0;
}

/* Options that take one of some names. */
static const struct named_option {
    const char *name;
    mxq_name_fn *name_at;
} named_options[] = {{"format", mxq_format_name},
                     {"profile", mxq_profile_at},
                     {"scale", mxq_scale_mode_name},
                     {"round", mxq_rounding_name},
                     {"nonfinite", mxq_nonfinite_name}};

static int take_named(struct mxq_convert_options *options, const struct named_option *option,
                      const char *value)
{
    const int index = mxq_find_name(option->name_at, value);
    if (index < 0)
        return bad_name(option->name, value, option->name_at);
    if (option->name_at == mxq_format_name)
        return mxq_format_at((size_t)index, &options->format);
    if (option->name_at == mxq_profile_at)
        options->profile = mxq_profile_at((size_t)index);
    else if (option->name_at == mxq_scale_mode_name)
        options->scale_mode = (enum mxq_scale_mode)index;
    else if (option->name_at == mxq_rounding_name)
        options->rounding = (enum mxq_rounding)index;
    else
        options->nonfinite = (enum mxq_nonfinite)index;
    return 1;
}

static int take_seed(struct mxq_convert_options *options, const char *value)
{
    char *end;
    errno = 0;
    options->seed = strtoull(value, &end, 10);
    if (!errno && value[0] >= '0' && value[0] <= '9' && !*end && options->seed <= MXQ_MAX_SEED)
        return 1;
    usage_error("--seed must be an integer in 0 .. 2^53");
    return 0;
}

static int take(void *context, const char *name, const char *value)
{
    struct arguments *a = context;
    const int taken = take_run_option(&a->run, name, value);
    if (taken >= 0)
        return taken;
    for (size_t i = 0; i < sizeof named_options / sizeof *named_options; i++)
        if (!strcmp(name, named_options[i].name))
            return take_named(&a->options, &named_options[i], value);
    if (!strcmp(name, "seed"))
        return take_seed(&a->options, value);
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
    mxq_text_format(text, "\n%s %s: ", a->dry_run ? "would write" : "wrote",
                    mxq_io_escape(escaped, output, MXQ_IO_PATH_LIMIT));
    write_options(text, &a->options);
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
    struct mxq_io_error error;
    if (status < 0 && mxq_convert_options_check(&a.options, &error))
        status = fail(&a, &error);
    if (status < 0)
        status = open_and_convert(&a, paths[0], paths[1]);
    mxq_convert_options_free(&a.options);
    return status;
}

static const struct command_option options[] = {
    {"format", "NAME", "what to quantize to: mxfp8 (default), or one of those above"},
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
    "  mxq convert --format mxfp4 --scale floor model.safetensors model-mxfp4.safetensors\n"
    "      one file, with the scales of the OCP text\n",
    options,
    run,
};
