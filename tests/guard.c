/* SPDX-License-Identifier: Apache-2.0 */
/* guard.c -- buffers between two unmapped pages, so that an access outside them traps. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "guard.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* How far around the data stray writes are looked for: several of the widest vectors. */
#define MARGIN 512

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t usable_bytes(const struct guard *g)
{
    return (size_t)(g->end - g->begin);
}

void guard_open(struct guard *g, size_t bytes)
{
    const size_t page = page_bytes();
    const size_t usable = (bytes + 64 + page - 1) / page * page;
    g->map = mmap(NULL, usable + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g->map == MAP_FAILED || mprotect(g->map + page, usable, PROT_READ | PROT_WRITE)) {
        perror("guard_open");
        exit(99); /* meson: an error of the test itself */
    }
    g->begin = g->map + page;
    g->end = g->begin + usable;
    g->data = g->begin;
    g->bytes = 0;
}

void guard_close(struct guard *g)
{
    munmap(g->map, usable_bytes(g) + 2 * page_bytes());
}

static unsigned char *margin_begin(const struct guard *g)
{
    return g->data - g->begin > MARGIN ? g->data - MARGIN : g->begin;
}

static unsigned char *margin_end(const struct guard *g)
{
    unsigned char *end = g->data + g->bytes;
    return g->end - end > MARGIN ? end + MARGIN : g->end;
}

unsigned char *guard_place(struct guard *g, enum guard_side side, int alignment, size_t bytes)
{
    g->data = side == GUARD_BEGIN ? g->begin : g->end - bytes;
    if (alignment >= 0) {
        const uintptr_t wanted = (uintptr_t)alignment, here = (uintptr_t)g->data;
        g->data =
            side == GUARD_BEGIN ? g->data + (wanted - here) % 64 : g->data - (here - wanted) % 64;
    }
    g->bytes = bytes;
    memset(margin_begin(g), GUARD_FILL, (size_t)(margin_end(g) - margin_begin(g)));
    return g->data;
}

ptrdiff_t guard_overwritten(const struct guard *g)
{
    const unsigned char *end = margin_end(g);
    for (const unsigned char *p = g->data + g->bytes; p < end; p++)
        if (*p != GUARD_FILL)
            return p - g->data;
    for (const unsigned char *p = margin_begin(g); p < g->data; p++)
        if (*p != GUARD_FILL)
            return p - g->data;
    return 0;
}
