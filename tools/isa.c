/* SPDX-License-Identifier: Apache-2.0 */
/* isa.c -- mxq isa: the kernel matrix of this build and machine. */
#include <string.h>

#include "command.h"

struct arguments {
    const char *isa;
    int json;
};

static int take(void *context, const char *name, const char *value)
{
    struct arguments *a = context;
    if (!strcmp(name, "json"))
        a->json = 1;
    else
        a->isa = value;
    return 1;
}

static void write_table(struct mxq_text *text)
{
    struct mxq_isa_info info;
    size_t isas = 0;
    while (mxq_isa_at(isas, &info))
        isas++;
    struct table table = {.columns = isas + 1, .alignment = "llllllll"};
    table_cell(&table, "KERNEL");
    for (size_t i = 0; mxq_isa_at(i, &info); i++)
        table_cell(&table, "%s%s", strcmp(info.name, mxq_isa()) ? "" : "*", info.name);
    const char *kernel;
    for (size_t k = 0; (kernel = mxq_kernel_name(k)); k++) {
        table_cell(&table, "%s", kernel);
        for (size_t i = 0; mxq_isa_at(i, &info); i++) {
            const char *owner = mxq_kernel_isa(k, i);
            const int is_own = !strcmp(owner, info.name);
            table_cell(&table, "%s%s", is_own ? "own" : "from ", is_own ? "" : owner);
        }
    }
    table_write(&table, text);
    mxq_text_string(text, "\n");
    for (size_t i = 0; mxq_isa_at(i, &info); i++)
        mxq_text_format(text, "%s%-8s %s%s\n", strcmp(info.name, mxq_isa()) ? " " : "*", info.name,
                        info.available ? "available" : "not available here: lacks ",
                        info.available ? "" : info.missing);
    mxq_text_string(text, "* is active.  --isa NAME, or MXQ_ISA=NAME in the environment, choose "
                          "another; results never differ.\n");
}

static void write_json(struct mxq_text *text)
{
    struct mxq_isa_info info;
    mxq_text_format(text, "{\"version\": \"%s\", \"active\": \"%s\", \"isas\": [", mxq_version(),
                    mxq_isa());
    for (size_t i = 0; mxq_isa_at(i, &info); i++) {
        mxq_text_format(text,
                        "%s\n  {\"name\": \"%s\", \"available\": %s, \"missing\": ", i ? "," : "",
                        info.name, info.available ? "true" : "false");
        mxq_text_json(text, info.missing);
        mxq_text_string(text, ", \"kernels\": {");
        for (size_t k = 0; mxq_kernel_name(k); k++)
            mxq_text_format(text, "%s\"%s\": \"%s\"", k ? ", " : "", mxq_kernel_name(k),
                            mxq_kernel_isa(k, i));
        mxq_text_string(text, "}}");
    }
    mxq_text_string(text, "\n]}\n");
}

static int run(const struct command *command, int argc, char **argv)
{
    struct arguments a = {.json = 0};
    struct mxq_text text = {0};
    int status = parse_options(command, argc, argv, take, &a, NULL);
    if (status < 0)
        status = select_isa(a.isa) ? mxq_io_exit_status(MXQ_IO_USAGE) : -1;
    if (status >= 0)
        return status;
    if (a.json)
        write_json(&text);
    else
        write_table(&text);
    return print_text(&text, 0);
}

static const struct command_option options[] = {
    {"isa", "NAME", "show it as the active one"},
    {"json", NULL, "print a JSON object instead of a table"},
    {NULL, NULL, NULL},
};

const struct command isa_command = {
    "isa",
    "",
    0,
    "show the kernels of this build and machine",
    "Shows, for every kernel and every instruction set, whose code runs: its own, or that of "
    "another\n"
    "instruction set; then which of them this machine can run, and what the others lack.\n"
    "\n"
    "Examples:\n"
    "  mxq isa\n"
    "  MXQ_ISA=avx2 mxq isa\n",
    options,
    run,
};
