/* SPDX-License-Identifier: Apache-2.0 */
/* check_main.c -- runs the conformance checks and prints the matrix: kernels x instruction sets. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "cpu.h"

#define SKIPPED 77 /* exit status that Meson reports as a skip */

static const char usage[] =
    "usage: %s [--kernel PATTERN] [--isa NAME] [--seed N] [--case N] [--repeat N] [--list]\n"
    "\n"
    "Checks every kernel of every instruction set of this machine against the scalar one.\n"
    "\n"
    "  --kernel PATTERN  only kernels that match, such as 'pack_*'\n"
    "  --isa NAME        only this instruction set; exits with 77 when it cannot run here\n"
    "  --seed N          of the random inputs (default 1)\n"
    "  --case N          only case N of each cell, to look at a failure\n"
    "  --repeat N        N times, with the seeds that follow\n"
    "  --list            prints the kernels and instruction sets\n";

struct options {
    const char *program;
    const char *kernel;
    const char *isa; /* NULL: all */
    uint64_t seed;
    int64_t only_case;
    uint64_t repeat;
    int list;
};

/* The result of one cell, as printed. */
struct cell {
    const char *text;
    char *message;
};

#define MAX_ROWS    8
#define MAX_KERNELS 256

static struct cell cells[MAX_KERNELS][MAX_ROWS];
static uint64_t total_cases, total_values;

static size_t count_rows(void)
{
    size_t n = 0;
    while (mxq_rows[n])
        n++;
    return n;
}

/* "" when this process can run the row: emulated columns run everywhere. */
static const char *missing_for(const struct mxq_kernels *row)
{
#if defined(MXQ_EMULATED)
    (void)row;
    return "";
#else
    return mxq_cpu_missing(row->requires);
#endif
}

/* ------------------------------------------- Options ------------------------------------------ */

static void fail_usage(const struct options *o, const char *what, const char *value)
{
    fprintf(stderr, "%s: %s %s\n", o->program, what, value);
    fprintf(stderr, usage, o->program);
    exit(2);
}

static uint64_t parse_number(const struct options *o, const char *text)
{
    char *end;
    errno = 0;
    const uint64_t n = strtoull(text, &end, 0);
    if (errno || end == text || *end || *text == '-')
        fail_usage(o, "not a number:", text);
    return n;
}

static struct options parse(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    struct options o = {slash ? slash + 1 : argv[0], "*", NULL, 1, -1, 1, 0};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (!strcmp(name, "--list")) {
            o.list = 1;
            continue;
        }
        if (!strcmp(name, "--help")) {
            printf(usage, o.program);
            exit(0);
        }
        if (++i == argc)
            fail_usage(&o, "unknown option, or one without a value:", name);
        if (!strcmp(name, "--kernel"))
            o.kernel = argv[i];
        else if (!strcmp(name, "--isa"))
            o.isa = argv[i];
        else if (!strcmp(name, "--seed"))
            o.seed = parse_number(&o, argv[i]);
        else if (!strcmp(name, "--case"))
            o.only_case = (int64_t)parse_number(&o, argv[i]);
        else if (!strcmp(name, "--repeat"))
            o.repeat = parse_number(&o, argv[i]);
        else
            fail_usage(&o, "unknown option:", name);
    }
    return o;
}

static int is_selected(const struct options *o, const struct mxq_kernels *row)
{
    return !o->isa || !strcmp(o->isa, row->isa);
}

/* ----------------------------------------- One cell ------------------------------------------- */

/* The row whose code runs in this cell: a row inherits from rows after it only. */
static const struct mxq_kernels *owner_of(const struct check_kernel *kernel, size_t row)
{
    const struct mxq_kernels *owner = mxq_rows[row];
    for (size_t i = row + 1; mxq_rows[i]; i++)
        if (!memcmp((const char *)mxq_rows[row] + kernel->slot,
                    (const char *)mxq_rows[i] + kernel->slot, sizeof(void (*)(void))))
            owner = mxq_rows[i];
    return owner;
}

static char *describe(const struct options *o, const struct check *c)
{
    const size_t bytes = sizeof c->message + 256;
    char *text = malloc(bytes);
    if (!text)
        exit(99);
    snprintf(text, bytes,
             "%s %s: %s\n    replay: %s --kernel %s --isa %s --seed %" PRIu64 " --case %" PRIu64
             "\n",
             c->kernel->name, c->row->isa, c->message, o->program, c->kernel->name, c->row->isa,
             c->seed, c->current.number);
    return text;
}

static void run_cell(const struct options *o, size_t kernel, size_t row, struct cell *cell)
{
    static struct check c; /* large */
    const struct mxq_kernels *owner = owner_of(&check_kernels[kernel], row);
    const struct mxq_kernels *reference = mxq_rows[count_rows() - 1];
    cell->text = mxq_rows[row] == reference ? "ref" : owner == mxq_rows[row] ? "ok" : owner->isa;
    if (owner != mxq_rows[row])
        return; /* checked where it lives */
    for (uint64_t i = 0; i < o->repeat; i++) {
        c = (struct check){.kernel = &check_kernels[kernel],
                           .row = mxq_rows[row],
                           .reference = reference,
                           .seed = o->seed + i,
                           .only_case = o->only_case,
                           .share = o->only_case < 0 ? random_share() : 1};
        const enum check_result result = check_cell(&c);
        total_cases += c.cases;
        total_values += c.values;
        if (result != CHECK_OK) {
            cell->text = result == CHECK_CRASH ? "CRASH" : "FAIL";
            cell->message = describe(o, &c);
            return;
        }
    }
}

/* ------------------------------------------ The matrix ---------------------------------------- */

static void print_matrix(const struct options *o)
{
    printf("%-20s", "");
    for (size_t row = 0; mxq_rows[row]; row++)
        if (is_selected(o, mxq_rows[row]))
            printf("%-12s", mxq_rows[row]->isa);
    printf("\n");
    for (size_t k = 0; check_kernels[k].name; k++) {
        if (fnmatch(o->kernel, check_kernels[k].name, 0))
            continue;
        printf("%-20s", check_kernels[k].name);
        for (size_t row = 0; mxq_rows[row]; row++)
            if (is_selected(o, mxq_rows[row]))
                printf("%-12s", cells[k][row].text);
        printf("\n");
    }
}

static int print_failures(void)
{
    int failures = 0;
    for (size_t k = 0; k < MAX_KERNELS; k++)
        for (size_t row = 0; row < MAX_ROWS; row++)
            if (cells[k][row].message) {
                failures++;
                printf("\n%s: %s", cells[k][row].text, cells[k][row].message);
                free(cells[k][row].message);
            }
    return failures;
}

static void list(void)
{
    for (size_t k = 0; check_kernels[k].name; k++)
        printf("%s\n", check_kernels[k].name);
    for (size_t row = 0; mxq_rows[row]; row++) {
        const char *missing = missing_for(mxq_rows[row]);
        printf("--isa %s%s%s\n", mxq_rows[row]->isa, *missing ? ": no " : "", missing);
    }
}

/* Runs the selected cells; returns how many were run. */
static size_t run(const struct options *o)
{
    size_t ran = 0, kernels = 0;
    for (size_t k = 0; check_kernels[k].name; k++) {
        if (fnmatch(o->kernel, check_kernels[k].name, 0))
            continue;
        kernels++;
        for (size_t row = 0; mxq_rows[row]; row++) {
            if (!is_selected(o, mxq_rows[row]))
                continue;
            if (*missing_for(mxq_rows[row])) {
                cells[k][row].text = "skipped";
                continue;
            }
            run_cell(o, k, row, &cells[k][row]);
            ran++;
        }
    }
    if (!kernels)
        fail_usage(o, "no kernel matches", o->kernel);
    return ran;
}

int main(int argc, char **argv)
{
    const struct options o = parse(argc, argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    size_t rows = 0;
    for (size_t row = 0; mxq_rows[row]; row++)
        rows += (size_t)is_selected(&o, mxq_rows[row]);
    if (!rows)
        fail_usage(&o, "no such instruction set:", o.isa);
    if (o.list) {
        list();
        return 0;
    }
    mxq_cpu_request_amx(); /* or nobody would run those kernels */
    printf("seed %" PRIu64 "\n\n", o.seed);
    const size_t ran = run(&o);
    print_matrix(&o);
    printf("\n");
    for (size_t row = 0; mxq_rows[row]; row++)
        if (is_selected(&o, mxq_rows[row]) && *missing_for(mxq_rows[row]))
            printf("%s: skipped: no %s here\n", mxq_rows[row]->isa, missing_for(mxq_rows[row]));
    const int failures = print_failures();
    printf("%zu cells, %" PRIu64 " cases, %" PRIu64 " values compared: %d failed\n", ran,
           total_cases, total_values, failures);
    return failures ? 1 : ran ? 0 : SKIPPED;
}
