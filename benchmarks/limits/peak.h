/* SPDX-License-Identifier: Apache-2.0 */
/* peak.h -- the loop of multipliers, written once over what each instruction set defines:
 *
 *   peak_sum, peak_factor   registers of F32 sums and of factors
 *   PEAK_CHAINS             sums that wait for no other: more than latency times units
 *   set_sum, set_factor     a register full of one value
 *   multiply_add            one instruction, in assembly: no compiler may drop it */
#include "limits/limits.h"

static void run_peak(size_t steps)
{
    peak_sum sums[PEAK_CHAINS];
    /* No zeros, which take less power: the clock would be higher than with real operands. */
    const peak_factor x = set_factor(1.015625F), w = set_factor(0.0078125F);
#pragma GCC unroll 32
    for (int i = 0; i < PEAK_CHAINS; i++)
        sums[i] = set_sum(1.0F + (float)i);
    for (; steps; steps--) {
#pragma GCC unroll 32
        for (int i = 0; i < PEAK_CHAINS; i++)
            multiply_add(&sums[i], x, w);
    }
}
