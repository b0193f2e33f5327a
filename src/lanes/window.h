/* SPDX-License-Identifier: Apache-2.0 */
/* window.h -- where the codes of a packed row are: tables for the byte shuffles of vec.h.
 *
 * Code c of `bits` bits begins in byte bits * c / 8, and the two bytes from there hold all of it: its
 * window.  A 16-bit lane that holds the window has the code at its top, with other codes' bits below,
 * once it is shifted left by WINDOW_SHIFT.  A byte is a window of its own, in the upper half. */
#ifndef MXQ_LANES_WINDOW_H
#define MXQ_LANES_WINDOW_H

#define WINDOW(bits, c) (bits) * (c) / 8, (bits) == 8 ? (c) : (bits) * (c) / 8 + 1
#define WINDOWS_4(bits, c)                                                                         \
    WINDOW(bits, c), WINDOW(bits, (c) + 1), WINDOW(bits, (c) + 2), WINDOW(bits, (c) + 3)
#define WINDOWS_8(bits, c)  WINDOWS_4(bits, c), WINDOWS_4(bits, (c) + 4)
#define WINDOWS_16(bits, c) WINDOWS_8(bits, c), WINDOWS_8(bits, (c) + 8)
#define WINDOWS_32(bits, c) WINDOWS_16(bits, c), WINDOWS_16(bits, (c) + 16)

/* Of code c; the same every four codes. */
#define WINDOW_SHIFT(bits, c) ((bits) == 8 ? 0 : 16 - (bits) - (bits) * (c) % 8)
#define WINDOW_SHIFTS(bits)                                                                        \
    WINDOW_SHIFT(bits, 0), WINDOW_SHIFT(bits, 1), WINDOW_SHIFT(bits, 2), WINDOW_SHIFT(bits, 3)

/* The three bytes of four codes of 6 bits in a 32-bit lane. */
#define PACKED_LANE_6(lane) 4 * (lane), 4 * (lane) + 1, 4 * (lane) + 2

#endif
