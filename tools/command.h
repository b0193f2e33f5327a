/* SPDX-License-Identifier: Apache-2.0 */
/* command.h -- what the subcommands of mxq share: options, errors, output, threads, signals. */
#ifndef MXQ_COMMAND_H
#define MXQ_COMMAND_H

#include <pthreadpool.h>

#include "survey.h"

/* ------------------------------------------ Commands ------------------------------------------ */

/* One option: the parser and --help both read this table.  A NULL name ends it. */
struct command_option {
    const char *name;  /* without the dashes */
    const char *value; /* what to write for its value in --help, or NULL when it takes none */
    const char *help;
};

struct command {
    const char *name;
    const char *arguments; /* "SRC DST" */
    int argument_count;
    const char *summary;
    const char *help; /* what it does, and examples */
    const struct command_option *options;
    int (*run)(const struct command *command, int argc, char **argv); /* returns the exit status */
};

extern const struct command compare_command, convert_command, inspect_command, isa_command,
    verify_command;

#define MAX_ARGUMENTS 2

/* Parses the command line after the subcommand's name.  Calls take() for each option; it returns 0
 * after it has reported that the value is bad.  Returns -1 to go on, else the exit status: --help
 * was answered, or the usage was wrong. */
int parse_options(const struct command *command, int argc, char **argv,
                  int (*take)(void *context, const char *name, const char *value), void *context,
                  const char *arguments[MAX_ARGUMENTS]);

/* ------------------------------------------- Output ------------------------------------------- */

/* Prints "mxq: <message> [CODE]" to stderr and returns the exit status of the code. */
int report_error(const struct mxq_io_error *error);

/* The same; with `json`, also prints {"error": ...} to stdout. */
int report_failure(const struct mxq_io_error *error, int json);

/* Prints a usage error and returns its exit status. */
int usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Writes to stdout and frees the text.  Returns `status`, or that of the failure to write. */
int print_text(struct mxq_text *text, int status);

/* The failure as a JSON object, for stdout. */
void write_error_json(struct mxq_text *text, const struct mxq_io_error *error);

/* "1.6 MB", in powers of 1000. */
#define SIZE_TEXT 32
const char *format_size(char to[SIZE_TEXT], uint64_t bytes);

/* Seconds of a clock that never jumps. */
double seconds_now(void);

/* A number in JSON, with all its digits; what JSON cannot say is null. */
void write_number(struct mxq_text *text, double number);

/* "mxfp8, scale rceil, round stochastic (seed 7)"; what is as usual is left out. */
void write_options(struct mxq_text *text, const struct mxq_convert_options *options);

/* Values that were quantized, also those that are not finite. */
uint64_t count_values(const struct mxq_statistics *statistics);

/* The members of a JSON object that say what quantization did, without the braces. */
void write_statistics_json(struct mxq_text *text, const struct mxq_statistics *statistics);

/* "[128, 352]" */
void write_shape(struct mxq_text *text, const struct mxq_tensor *tensor);

/* A table that is aligned when it is written; its cells are copied. */
#define MAX_COLUMNS 66
struct table {
    size_t columns;
    const char *alignment; /* of each column: 'l' or 'r' */
    char **cells;
    size_t count;
    size_t capacity;
    int failed;
};
void table_cell(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
void table_write(struct table *table, struct mxq_text *text); /* frees the cells */

/* ------------------------------------------ Running ------------------------------------------- */

/* The options that convert and verify share. */
struct run_options {
    size_t threads; /* 0: as many as there are processors */
    const char *isa;
    int json;
    int quiet;
};

#define RUN_OPTIONS                                                                                \
    {"threads", "N", "number of threads (default: one per processor)"},                            \
        {"isa", "NAME", "instruction set to use: see mxq isa (default: the best)"},                \
        {"json", NULL, "print a JSON object instead of a table"},                                  \
    {                                                                                              \
        "quiet", NULL, "print nothing but errors"                                                  \
    }

/* Takes one of RUN_OPTIONS.  Returns 1 when it was one, 0 when its value is bad, -1 when it is none
 * of them. */
int take_run_option(struct run_options *options, const char *name, const char *value);

/* Takes a bound of the signal-to-noise ratio.  Returns 0 after it has reported that it is bad. */
int take_decibels(double *number, const char *value);

/* options.c: takes one of the options of a conversion.  Returns 0 after it has reported that its
 * value is bad, 1 when all is well, -1 when it is none of them. */
int take_convert_option(struct mxq_convert_options *options, const char *name, const char *value);

/* Takes --isa into effect.  Returns 0 or an exit status. */
int select_isa(const char *isa);

/* Threads and a progress display, for as long as the work lasts. */
struct run {
    pthreadpool_t pool;
    struct mxq_parallel parallel;
    struct mxq_workers workers;
    struct mxq_monitor monitor;
    struct progress *progress;
};

/* `verb` says what is done to each file, as in "converted".  Returns 0 or an exit status. */
int run_begin(struct run *run, const struct run_options *options, const struct mxq_plan *plan,
              const char *verb);
void run_end(struct run *run);

/* Measures options->candidates on a model.  Returns 0 or an exit status, after it has reported the
 * failure. */
int run_survey(struct mxq_survey *survey, const struct mxq_model *model,
               const struct mxq_convert_options *options, const struct run_options *run_options,
               struct mxq_io_error *error);

/* From here on, SIGINT, SIGTERM and SIGHUP only set a flag that the work looks at. */
void catch_signals(void);
int is_interrupted(void);

/* progress.c: a bar on a terminal, else a line per file; both on stderr. */
struct progress *progress_begin(const struct mxq_plan *plan, const char *verb);
void progress_advance(void *progress, uint64_t bytes);
void progress_finish(void *progress, const struct mxq_plan_file *file);
void progress_end(struct progress *progress);

#endif
