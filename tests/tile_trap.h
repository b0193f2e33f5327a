/* SPDX-License-Identifier: Apache-2.0 */
/* tile_trap.h -- AMX instructions on a machine without AMX: what the CPU does not know is emulated.
 *
 * So the very machine code of the AMX column runs, and its operands are seen, where there are no tiles. */
#ifndef MXQ_TESTS_TILE_TRAP_H
#define MXQ_TESTS_TILE_TRAP_H

/* From now on, in all threads, an illegal instruction that is one of AMX's is emulated; any other one
 * ends the process. */
void tile_trap_install(void);

#endif
