/* SPDX-License-Identifier: Apache-2.0 */
/* guard.h -- buffers between two unmapped pages, so that an access outside them traps. */
#ifndef MXQ_TESTS_GUARD_H
#define MXQ_TESTS_GUARD_H

#include <stddef.h>

#define GUARD_FILL 0xAA /* what surrounds the data; never a plausible result by accident */

struct guard {
    unsigned char *map;   /* an unmapped page, the usable bytes, an unmapped page */
    unsigned char *begin; /* first usable byte */
    unsigned char *end;   /* first byte of the upper unmapped page */
    unsigned char *data;  /* what guard_place() returned last, and its length */
    size_t bytes;
};

/* Maps room for `bytes` bytes at any alignment.  Exits when there is no memory. */
void guard_open(struct guard *g, size_t bytes);
void guard_close(struct guard *g);

/* Places `bytes` bytes as close as possible to an end of the buffer such that their address is
 * `alignment` modulo 64; alignment < 0: exactly at that end.  Fills them, and what is around them,
 * with GUARD_FILL. */
enum guard_side { GUARD_BEGIN, GUARD_END };
unsigned char *guard_place(struct guard *g, enum guard_side side, int alignment, size_t bytes);

/* Returns the distance from data of the first byte around the data that is no longer GUARD_FILL, or
 * 0 when all are (data[0] itself is never "around"). */
ptrdiff_t guard_overwritten(const struct guard *g);

#endif
