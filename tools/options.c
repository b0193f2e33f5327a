/* SPDX-License-Identifier: Apache-2.0 */
/* options.c -- the options that decide the bytes of a conversion. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

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

static int take_formats(struct mxq_convert_options *options, const char *value)
{
    return mxq_find_formats(value, &options->candidates) ||
           bad_name("formats", value, mxq_format_name);
}

static int take_pattern(struct mxq_globs *globs, const char *value)
{
    struct mxq_io_error error;
    if (mxq_globs_add(globs, value))
        return 1;
    mxq_io_fail_memory(&error, value);
    report_error(&error);
    return 0;
}

int take_convert_option(struct mxq_convert_options *options, const char *name, const char *value)
{
    for (size_t i = 0; i < sizeof named_options / sizeof *named_options; i++)
        if (!strcmp(name, named_options[i].name))
            return take_named(options, &named_options[i], value);
    if (!strcmp(name, "formats"))
        return take_formats(options, value);
    if (!strcmp(name, "min-sqnr"))
        return take_decibels(&options->min_sqnr, value);
    if (!strcmp(name, "seed"))
        return take_seed(options, value);
    if (!strcmp(name, "skip"))
        return take_pattern(&options->skip, value);
    if (!strcmp(name, "only"))
        return take_pattern(&options->only, value);
    return -1;
}
