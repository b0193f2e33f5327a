/* SPDX-License-Identifier: Apache-2.0 */
/* command.c -- options, errors, tables, threads and signals of the subcommands. */
#include "command.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mxq/pthreadpool.h"

/* ------------------------------------------- Errors ------------------------------------------- */

int report_error(const struct mxq_io_error *error)
{
    fprintf(stderr, "mxq: %s [%s]\n", error->message, mxq_io_code_name(error->code));
    return mxq_io_exit_status(error->code);
}

int usage_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("mxq: ", stderr);
    vfprintf(stderr, format, arguments);
    fputs(" [USAGE]\n", stderr);
    va_end(arguments);
    return mxq_io_exit_status(MXQ_IO_USAGE);
}

/* ------------------------------------------- Output ------------------------------------------- */

int print_text(struct mxq_text *text, int status)
{
    struct mxq_io_error error;
    enum mxq_io_code code = MXQ_IO_OK;
    errno = 0;
    if (text->failed)
        code = mxq_io_fail_memory(&error, "standard output");
    else if ((text->bytes && fwrite(text->data, 1, text->bytes, stdout) != text->bytes) ||
             fflush(stdout))
        code = mxq_io_fail_system(&error, "standard output", "cannot write", errno);
    mxq_text_free(text);
    return code ? report_error(&error) : status;
}

void write_error_json(struct mxq_text *text, const struct mxq_io_error *error)
{
    mxq_text_string(text, "{\"code\": ");
    mxq_text_json(text, mxq_io_code_name(error->code));
    mxq_text_string(text, ", \"message\": ");
    mxq_text_json(text, error->message);
    if (error->at != MXQ_IO_NOWHERE)
        mxq_text_format(text, ", \"at\": %llu", (unsigned long long)error->at);
    mxq_text_string(text, "}");
}

int report_failure(const struct mxq_io_error *error, int json)
{
    struct mxq_text text = {0};
    if (json) {
        mxq_text_string(&text, "{\"error\": ");
        write_error_json(&text, error);
        mxq_text_string(&text, "}\n");
    }
    return print_text(&text, report_error(error));
}

const char *format_size(char to[SIZE_TEXT], uint64_t bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 999.5 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1000;
        unit++;
    }
    snprintf(to, SIZE_TEXT, unit && value < 99.95 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return to;
}

double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void write_number(struct mxq_text *text, double number)
{
    if (isfinite(number))
        mxq_text_format(text, "%.17g", number);
    else
        mxq_text_string(text, "null");
}

void write_shape(struct mxq_text *text, const struct mxq_tensor *tensor)
{
    mxq_text_string(text, "[");
    for (unsigned i = 0; i < tensor->dims; i++)
        mxq_text_format(text, "%s%llu", i ? ", " : "", (unsigned long long)tensor->shape[i]);
    mxq_text_string(text, "]");
}

uint64_t count_values(const struct mxq_statistics *s)
{
    return s->values + s->nonfinite;
}

void write_statistics_json(struct mxq_text *text, const struct mxq_statistics *s)
{
    mxq_text_format(text, "\"elements\": %llu, \"sqnr_db\": ", (unsigned long long)count_values(s));
    write_number(text, mxq_sqnr(s));
    mxq_text_string(text, ", \"cosine\": ");
    write_number(text, mxq_cosine(s));
    mxq_text_string(text, ", \"max_abs_error\": ");
    write_number(text, s->max_error);
    mxq_text_format(text, ", \"saturated\": %llu, \"flushed_to_zero\": %llu, \"nan\": %llu",
                    (unsigned long long)s->saturated, (unsigned long long)s->flushed,
                    (unsigned long long)s->nonfinite);
}

void write_options(struct mxq_text *text, const struct mxq_convert_options *options)
{
    if (options->candidates)
        mxq_text_format(text, "auto, at least %g dB", options->min_sqnr);
    else
        mxq_text_string(text, options->format.name);
    if (options->profile)
        mxq_text_format(text, ", profile %s", options->profile);
    if (options->scale_mode)
        mxq_text_format(text, ", scale %s", mxq_scale_mode_name(options->scale_mode));
    if (options->rounding)
        mxq_text_format(text, ", round %s", mxq_rounding_name(options->rounding));
    if (options->rounding == MXQ_STOCHASTIC)
        mxq_text_format(text, " (seed %llu)", (unsigned long long)options->seed);
}

void table_cell(struct table *table, const char *format, ...)
{
    if (table->count == table->capacity && !table->failed) {
        const size_t capacity = table->capacity ? 2 * table->capacity : 64;
        char **grown = realloc(table->cells, capacity * sizeof *grown);
        table->failed = !grown;
        if (grown) {
            table->cells = grown;
            table->capacity = capacity;
        }
    }
    if (table->failed)
        return;
    va_list arguments;
    va_start(arguments, format);
    const int bytes = vasprintf(&table->cells[table->count], format, arguments);
    va_end(arguments);
    if (bytes < 0)
        table->failed = 1;
    else
        table->count++;
}

void table_write(struct table *table, struct mxq_text *text)
{
    size_t widths[MAX_COLUMNS] = {0};
    for (size_t i = 0; i < table->count; i++) {
        const size_t bytes = strlen(table->cells[i]);
        size_t *width = &widths[i % table->columns];
        *width = bytes > *width ? bytes : *width;
    }
    for (size_t i = 0; i < table->count; i++) {
        const size_t column = i % table->columns;
        const int last = column + 1 == table->columns;
        const int left = table->alignment[column] == 'l';
        const int width = left && last ? 0 : left ? -(int)widths[column] : (int)widths[column];
        mxq_text_format(text, "%*s%s", width, table->cells[i], last ? "\n" : "  ");
        free(table->cells[i]);
    }
    text->failed |= table->failed;
    free(table->cells);
    *table = (struct table){0};
}

/* ------------------------------------------ Options ------------------------------------------- */

static void print_help(const struct command *command)
{
    printf("Usage: mxq %s [OPTION]... %s\n\n%s", command->name, command->arguments, command->help);
    printf("\nOptions:\n");
    for (const struct command_option *o = command->options; o->name; o++) {
        char usage[64];
        snprintf(usage, sizeof usage, "--%s%s%s", o->name, o->value ? " " : "",
                 o->value ? o->value : "");
        printf("  %-22s %s\n", usage, o->help);
    }
    printf("  %-22s %s\n", "--help", "print this");
}

static const struct command_option *find_option(const struct command *command, const char *name,
                                                size_t bytes)
{
    for (const struct command_option *o = command->options; o->name; o++)
        if (strlen(o->name) == bytes && !strncmp(o->name, name, bytes))
            return o;
    return NULL;
}

/* Takes the option at argv[*i], and its value.  Returns -1, or an exit status. */
static int parse_option(const struct command *command, int argc, char **argv, int *i,
                        int (*take)(void *context, const char *name, const char *value),
                        void *context)
{
    char escaped[MXQ_IO_ESCAPED];
    const char *text = argv[*i];
    const char *equals = strchr(text, '=');
    const size_t bytes = equals ? (size_t)(equals - text) : strlen(text);
    const struct command_option *option =
        bytes > 2 && text[1] == '-' ? find_option(command, text + 2, bytes - 2) : NULL;
    if (!option)
        return usage_error("unknown option %s; see mxq %s --help",
                           mxq_io_escape(escaped, text, MXQ_IO_NAME_LIMIT), command->name);
    if (!option->value && equals)
        return usage_error("--%s takes no value", option->name);
    const char *value = equals ? equals + 1 : NULL;
    if (option->value && !value) {
        if (*i + 1 == argc)
            return usage_error("--%s needs a value: --%s %s", option->name, option->name,
                               option->value);
        value = argv[++*i];
    }
    return take(context, option->name, value) ? -1 : mxq_io_exit_status(MXQ_IO_USAGE);
}

int parse_options(const struct command *command, int argc, char **argv,
                  int (*take)(void *context, const char *name, const char *value), void *context,
                  const char *arguments[MAX_ARGUMENTS])
{
    int count = 0, options_end = 0;
    for (int i = 0; i < argc; i++) {
        if (!options_end && !strcmp(argv[i], "--")) {
            options_end = 1;
        } else if (!options_end && (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))) {
            print_help(command);
            return print_text(&(struct mxq_text){0}, 0);
        } else if (!options_end && argv[i][0] == '-' && argv[i][1]) {
            const int status = parse_option(command, argc, argv, &i, take, context);
            if (status >= 0)
                return status;
        } else if (count == command->argument_count) {
            return usage_error("too many arguments; usage: mxq %s [OPTION]... %s", command->name,
                               command->arguments);
        } else {
            arguments[count++] = argv[i];
        }
    }
    if (count < command->argument_count)
        return usage_error("too few arguments; usage: mxq %s [OPTION]... %s", command->name,
                           command->arguments);
    return -1;
}

/* ------------------------------------------ Running ------------------------------------------- */

#define MAX_THREADS 256

int take_run_option(struct run_options *options, const char *name, const char *value)
{
    if (!strcmp(name, "json")) {
        options->json = 1;
    } else if (!strcmp(name, "quiet")) {
        options->quiet = 1;
    } else if (!strcmp(name, "isa")) {
        options->isa = value;
    } else if (!strcmp(name, "threads")) {
        char *end;
        errno = 0;
        const long threads = strtol(value, &end, 10);
        if (errno || end == value || *end || threads < 1 || threads > MAX_THREADS) {
            usage_error("--threads must be 1 .. %d, not \"%s\"", MAX_THREADS, value);
            return 0;
        }
        options->threads = (size_t)threads;
    } else {
        return -1;
    }
    return 1;
}

int take_decibels(double *number, const char *value)
{
    char *end;
    *number = strtod(value, &end);
    if (end != value && !*end && isfinite(*number))
        return 1;
    usage_error("--min-sqnr must be a number, in dB");
    return 0;
}

int select_isa(const char *isa)
{
    struct mxq_isa_info info;
    if (!isa || mxq_set_isa(isa) == MXQ_OK)
        return 0;
    for (size_t i = 0; mxq_isa_at(i, &info); i++)
        if (!strcmp(info.name, isa))
            return usage_error("--isa %s: not available on this machine, which lacks %s", isa,
                               info.missing);
    return usage_error("--isa %s: unknown; see mxq isa", isa);
}

static size_t count_processors(void)
{
    cpu_set_t set;
    const int count = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    return count < 1 ? 1 : count > MAX_THREADS ? MAX_THREADS : (size_t)count;
}

static int monitor_is_interrupted(void *context)
{
    (void)context;
    return is_interrupted();
}

int run_begin(struct run *run, const struct run_options *options, const struct mxq_plan *plan,
              const char *verb)
{
    const size_t threads = options->threads ? options->threads : count_processors();
    *run = (struct run){.workers = {NULL, threads},
                        .monitor = {.is_interrupted = monitor_is_interrupted}};
    if (threads > 1) {
        run->pool = pthreadpool_create(threads);
        if (!run->pool) {
            struct mxq_io_error error;
            mxq_io_fail(&error, MXQ_IO_NO_MEMORY, (struct mxq_io_place){NULL, MXQ_IO_NOWHERE, NULL},
                        "cannot start %zu threads", threads);
            return report_error(&error);
        }
        run->parallel = mxq_pthreadpool(run->pool);
        run->workers.parallel = &run->parallel;
    }
    run->progress = options->quiet ? NULL : progress_begin(plan, verb);
    if (run->progress) {
        run->monitor.advance = progress_advance;
        run->monitor.finish = progress_finish;
        run->monitor.context = run->progress;
    }
    return 0;
}

void run_end(struct run *run)
{
    progress_end(run->progress);
    if (run->pool)
        pthreadpool_destroy(run->pool);
}

int run_survey(struct mxq_survey *survey, const struct mxq_model *model,
               const struct mxq_convert_options *options, const struct run_options *run_options,
               struct mxq_io_error *error)
{
    struct run run;
    if (mxq_survey_begin(survey, model, options, error))
        return report_failure(error, run_options->json);
    int status = run_begin(&run, run_options, &survey->plan, "measured");
    if (!status) {
        const enum mxq_io_code code =
            mxq_survey_run(survey, model, options, &run.workers, &run.monitor, error);
        run_end(&run);
        status = code ? report_failure(error, run_options->json) : 0;
    }
    if (status)
        mxq_survey_end(survey);
    return status;
}

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

void catch_signals(void)
{
    static const int stopping[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal};
    struct sigaction old;
    for (size_t i = 0; i < sizeof stopping / sizeof stopping[0]; i++)
        if (!sigaction(stopping[i], NULL, &old) && old.sa_handler != SIG_IGN)
            sigaction(stopping[i], &action, NULL);
    /* Limits and closed pipes become errors of the calls that meet them. */
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
    sigaction(SIGXFSZ, &action, NULL);
}

int is_interrupted(void)
{
    return interrupted;
}
