/* SPDX-License-Identifier: Apache-2.0 */
/* fail.h -- how mxq-llama ends when something is wrong: one message, one exit status. */
#ifndef LLAMA_FAIL_H
#define LLAMA_FAIL_H

#include <stddef.h>

enum { EXIT_INPUT = 1, EXIT_USAGE = 2 };

/* Prints "mxq-llama: <message>" to stderr and exits.  What is not printable ASCII becomes \xNN:
 * names come from files, so they may hold anything. */
_Noreturn void fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Returns zeroed memory, aligned to 64 bytes; does not return without. */
void *allocate(size_t count, size_t bytes);

#endif
