/* SPDX-License-Identifier: Apache-2.0 */
/* tally.h -- counts cases, prints the first failures, and a summary line. */
#ifndef MXQ_TESTS_TALLY_H
#define MXQ_TESTS_TALLY_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

struct tally {
    const char *name;
    uint64_t cases;
    uint64_t failures;
};

/* Prints the message of a failure: the first ten of a tally. */
__attribute__((format(printf, 2, 3))) static inline void tally_fail(struct tally *t,
                                                                    const char *format, ...)
{
    va_list arguments;
    if (t->failures++ >= 10)
        return;
    printf("FAIL: %s: ", t->name);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
}

/* Prints the count; returns 1 when something failed. */
static inline int tally_end(const struct tally *t)
{
    printf("%-48s %13" PRIu64 " cases  %s", t->name, t->cases, t->failures ? "FAIL" : "ok");
    if (t->failures)
        printf(" (%" PRIu64 ")", t->failures);
    printf("\n");
    fflush(stdout);
    return t->failures != 0;
}

#endif
