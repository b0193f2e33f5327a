/* SPDX-License-Identifier: Apache-2.0 */
/* stream.h -- stores that go past the caches, for whole lines that are not read again soon. */
#ifndef MXQ_STREAM_H
#define MXQ_STREAM_H

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define MXQ_LINE 64 /* bytes */

/* Copies `bytes`, a multiple of MXQ_LINE, to an address that is one too.  mxq_stream_end() comes before
 * anyone else may read them. */
static inline void mxq_stream(uint8_t *to, const uint8_t *from, size_t bytes)
{
#if defined(__SSE2__)
    for (size_t i = 0; i < bytes; i += sizeof(__m128i)) {
        const void *part = from + i;
        _mm_stream_si128((void *)(to + i), _mm_loadu_si128(part));
    }
#else
    memcpy(to, from, bytes);
#endif
}

static inline void mxq_stream_end(void)
{
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

#endif
