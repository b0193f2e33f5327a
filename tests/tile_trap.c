/* SPDX-License-Identifier: Apache-2.0 */
/* tile_trap.c -- decodes AMX instructions in a SIGILL handler; amx/tile.h, emulated, does them.
 *
 * Compiled with MXQ_EMULATED, whatever the kernels are.  All of AMX is VEX.128.0F38.W0; the opcode and the
 * prefix that VEX stands for tell the instruction. */
#define _GNU_SOURCE /* REG_RIP */
#include "tile_trap.h"

#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include "amx/tile.h"

enum prefix { NO_PREFIX, PREFIX_66, PREFIX_F3, PREFIX_F2 };

struct instruction {
    const unsigned char *next; /* byte to decode */
    const greg_t *registers;
    unsigned extend_reg, extend_index, extend_base; /* 8 or 0 */
    unsigned vvvv;
    enum prefix prefix;
    unsigned char opcode;
    unsigned mod, reg, rm;
    /* Operand in memory: base + displacement, and the index, which is a stride. */
    uintptr_t address;
    size_t stride;
};

static void fail(const char *what)
{
    (void)!write(STDERR_FILENO, what, strlen(what));
    _exit(1);
}

static uintptr_t value_of(const struct instruction *i, unsigned number)
{
    static const int places[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                   REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                   REG_R12, REG_R13, REG_R14, REG_R15};
    return (uintptr_t)i->registers[places[number]];
}

static void decode_memory(struct instruction *i)
{
    unsigned base = i->rm;
    int has_base = 1;
    i->address = 0;
    i->stride = 0;
    if (i->rm == 4) { /* SIB */
        const unsigned sib = *i->next++;
        const unsigned index = (sib >> 3 & 7) + i->extend_index;
        base = sib & 7;
        has_base = base != 5 || i->mod != 0;
        if (index != 4)
            i->stride = value_of(i, index) << (sib >> 6);
    } else if (i->rm == 5 && i->mod == 0) {
        fail("an address relative to RIP\n");
    }
    if (has_base)
        i->address = value_of(i, base + i->extend_base);
    if (i->mod == 1) {
        i->address += (uintptr_t)(intptr_t)(signed char)*i->next++;
    } else if (i->mod == 2 || !has_base) {
        int32_t displacement;
        memcpy(&displacement, i->next, sizeof displacement);
        i->address += (uintptr_t)(intptr_t)displacement;
        i->next += sizeof displacement;
    }
}

static void decode(struct instruction *i)
{
    const unsigned char *p = i->next;
    if (p[0] != 0xC4 || (p[1] & 0x1F) != 2 || p[2] & 0x84) /* VEX, 0F38, W0, 128 bits */
        fail("an illegal instruction that is not of AMX\n");
    i->extend_reg = p[1] & 0x80 ? 0 : 8;
    i->extend_index = p[1] & 0x40 ? 0 : 8;
    i->extend_base = p[1] & 0x20 ? 0 : 8;
    i->vvvv = ~(unsigned)p[2] >> 3 & 15;
    i->prefix = (enum prefix)(p[2] & 3);
    i->opcode = p[3];
    i->mod = p[4] >> 6;
    i->reg = (p[4] >> 3 & 7) + i->extend_reg;
    i->rm = p[4] & 7;
    i->next = p + 5;
    if (i->mod != 3)
        decode_memory(i);
}

static void execute(const struct instruction *i)
{
    void *memory = (void *)i->address;
    if (i->opcode == 0x49 && i->mod != 3 && i->reg == 0 && i->prefix == NO_PREFIX)
        tile_load_config(memory);
    else if (i->opcode == 0x49 && i->mod != 3 && i->reg == 0 && i->prefix == PREFIX_66)
        tile_save(memory);
    else if (i->opcode == 0x49 && i->mod == 3 && i->reg == 0 && i->prefix == NO_PREFIX)
        tile_release();
    else if (i->opcode == 0x49 && i->mod == 3 && i->rm == 0 && i->prefix == PREFIX_F2)
        tile_zero((int)i->reg);
    else if (i->opcode == 0x4B && i->mod != 3 && i->rm == 4 && i->prefix == PREFIX_F2)
        tile_load((int)i->reg, memory, i->stride);
    else if (i->opcode == 0x4B && i->mod != 3 && i->rm == 4 && i->prefix == PREFIX_F3)
        tile_store((int)i->reg, memory, i->stride);
    else if (i->opcode == 0x5C && i->mod == 3 && i->prefix == PREFIX_F3)
        tile_dot((int)i->reg, (int)(i->rm + i->extend_base), (int)i->vvvv);
    else if (i->opcode == 0x5E && i->mod == 3 && i->prefix == PREFIX_66)
        tile_dot_bytes((int)i->reg, (int)(i->rm + i->extend_base), (int)i->vvvv);
    else
        fail("an instruction of AMX that the kernels do not use\n");
}

static void trap(int signal, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    struct instruction i = {.next = (const unsigned char *)registers[REG_RIP],
                            .registers = registers};
    (void)signal;
    (void)info;
    decode(&i);
    execute(&i);
    registers[REG_RIP] = (greg_t)(uintptr_t)i.next;
}

void tile_trap_install(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = trap;
    action.sa_flags = SA_SIGINFO;
    if (sigaction(SIGILL, &action, NULL))
        fail("no SIGILL handler\n");
}
