/* SPDX-License-Identifier: Apache-2.0 */
/* mxq.c -- the command-line tool: finds the subcommand. */
#include <stdio.h>
#include <string.h>

#include "command.h"

static const struct command *const commands[] = {
    &convert_command, &verify_command, &inspect_command, &compare_command, &isa_command, NULL};

static int print_usage(void)
{
    printf("mxq converts models to block-scaled numbers (MXFP8, FP8, FP4, INT8, ...), and checks "
           "them.\n"
           "\n"
           "Usage: mxq COMMAND [OPTION]... [ARGUMENT]...\n"
           "\n"
           "Commands:\n");
    for (const struct command *const *c = commands; *c; c++)
        printf("  %-8s %-9s %s\n", (*c)->name, (*c)->arguments, (*c)->summary);
    printf("\n"
           "Examples:\n"
           "  mxq convert Llama-3-8B Llama-3-8B-MXFP8   a model folder, for vLLM and others\n"
           "  mxq verify Llama-3-8B Llama-3-8B-MXFP8    every byte checked, every error measured\n"
           "  mxq inspect Llama-3-8B-MXFP8              what is in it\n"
           "  mxq compare Llama-3-8B                    which format suits which layer\n"
           "\n"
           "mxq COMMAND --help says more.  mxq --version prints the version.\n"
           "\n"
           "Exit status:\n"
           "  0  ok                   4  reading or writing failed\n"
           "  1  verification failed  5  the disk is full\n"
           "  2  wrong usage          6  out of memory\n"
           "  3  input rejected       7  interrupted\n");
    return print_text(&(struct mxq_text){0}, 0);
}

int main(int argc, char **argv)
{
    catch_signals();
    if (argc < 2)
        return usage_error("which command? see mxq --help");
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        return print_usage();
    if (!strcmp(argv[1], "--version")) {
        printf("mxq %s\n", mxq_version());
        return print_text(&(struct mxq_text){0}, 0);
    }
    for (const struct command *const *c = commands; *c; c++)
        if (!strcmp(argv[1], (*c)->name))
            return (*c)->run(*c, argc - 2, argv + 2);
    char escaped[MXQ_IO_ESCAPED];
    return usage_error("unknown command %s; see mxq --help",
                       mxq_io_escape(escaped, argv[1], MXQ_IO_NAME_LIMIT));
}
