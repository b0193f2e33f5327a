/* SPDX-License-Identifier: Apache-2.0 */
/* check.c -- one cell of the kernel matrix: cases, guard pages, signals, messages. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "fpcontrol.h"

#define LARGEST_CASE 2048 /* blocks */
#define LONGEST_TAIL 67   /* blocks: past four of the widest unrolled loop, and a little more */
#define CHUNK        61   /* blocks of a case about values: odd, so that tails see them too */

/* Each operand exactly at an end of its pages. */
#define NOT_ALIGNED                                                                                \
    {                                                                                              \
        -1, -1, -1, -1                                                                             \
    }

const struct check_kernel check_kernels[] = {
#define MXQ_KERNEL(name, family, index)                                                            \
    {#name, offsetof(struct mxq_kernels, family index), check_##family},
#include "kernels.def"
#undef MXQ_KERNEL
    {NULL, 0, NULL}};

/* ------------------------------------------ Messages ------------------------------------------ */

__attribute__((format(printf, 2, 3))) static void say(struct check *c, const char *format, ...)
{
    const size_t used = strlen(c->message);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(c->message + used, sizeof c->message - used, format, arguments);
    va_end(arguments);
}

static void say_value(struct check *c, const unsigned char *value, size_t bytes)
{
    uint32_t v = 0;
    memcpy(&v, value, bytes);
    say(c, "0x%0*" PRIX32, (int)(2 * bytes), v);
}

static void say_case(struct check *c)
{
    static const char *const sides[] = {"begin", "end"};
    say(c, "\n    case %" PRIu64 ": %zu blocks, fill %s, at the %s of the pages, alignments",
        c->current.number, c->current.blocks, fill_name(c->current.fill), sides[c->current.side]);
    for (int k = 0; k < CHECK_OPERANDS; k++)
        if (c->family.operands[k].value_bytes)
            say(c, " %s %u", c->family.operands[k].name,
                (unsigned)((uintptr_t)c->guards[k].data % 64));
    if (c->family.shape)
        say(c, "\n    shape: rows %zu, panels %zu, strides %zu %zu %zu, variant %d", c->shape.rows,
            c->shape.panels, c->shape.y_stride, c->shape.x_stride, c->shape.w_stride,
            c->shape.variant);
    if (c->family.rules > 1)
        say(c, "\n    rule: element %s, mode %d, emax %" PRIu32 ", threshold 0x%" PRIX32,
            mxq_elements[c->element].name, (int)c->mode, c->rule.emax, c->rule.threshold);
}

static void say_inputs(struct check *c, size_t block)
{
    for (int k = 0; k < CHECK_OPERANDS; k++) {
        const struct check_operand *o = &c->family.operands[k];
        if (o->role == CHECK_OUTPUT || !o->block_bytes)
            continue;
        say(c, "\n    %s of block %zu:", o->name, block);
        for (size_t i = 0; i < o->block_bytes; i += o->value_bytes) {
            say(c, "%s",
                i % (8 * o->value_bytes) || o->block_bytes == o->value_bytes ? " " : "\n        ");
            say_value(c, c->expected[k] + block * o->block_bytes + i, o->value_bytes);
        }
    }
}

/* ------------------------------------------ One case ------------------------------------------ */

static size_t operand_bytes(const struct check *c, int k)
{
    const struct check_operand *o = &c->family.operands[k];
    return o->bytes + c->current.blocks * o->block_bytes;
}

/* Makes the inputs, and copies of them at the places that the case wants. */
static void place_inputs(struct check *c, const struct fill_target *t, void **data)
{
    c->family.fill(c, c->current.fill, t, c->current.blocks, (void *const *)c->expected);
    for (int k = 0; k < CHECK_OPERANDS; k++) {
        const struct check_operand *o = &c->family.operands[k];
        const size_t bytes = operand_bytes(c, k);
        const int step = o->alignment ? o->alignment : 1;
        const int alignment =
            c->current.alignment[k] < 0 ? -1 : c->current.alignment[k] / step * step;
        data[k] = guard_place(&c->guards[k], c->current.side, alignment, bytes);
        if (o->role != CHECK_OUTPUT)
            memcpy(data[k], c->expected[k], bytes);
    }
}

static void call_row(struct check *c, void *const *data)
{
    const uint64_t before = fpcontrol_get();
    c->family.call(c, c->row, data, c->current.blocks);
    if ((fpcontrol_get() ^ before) & ~FPCONTROL_STICKY)
        say(c, "the kernel changed " FPCONTROL_NAME);
    fpcontrol_set(before);
}

static int is_same(enum check_equality equality, const unsigned char *a, const unsigned char *b,
                   size_t bytes)
{
    if (!memcmp(a, b, bytes))
        return 1;
    if (equality == CHECK_BITS)
        return 0;
    const uint32_t least = equality == CHECK_NANS ? 0x7F800001 : 0x7F800000;
    uint32_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x & 0x7FFFFFFF) >= least && (y & 0x7FFFFFFF) >= least;
}

static void compare_operand(struct check *c, int k)
{
    const struct check_operand *o = &c->family.operands[k];
    const unsigned char *got = c->guards[k].data, *expected = c->expected[k];
    const ptrdiff_t stray = guard_overwritten(&c->guards[k]);
    if (stray) {
        say(c, "wrote outside of %s: at byte %td of %zu", o->name, stray, c->guards[k].bytes);
        return;
    }
    if (!memcmp(got, expected, c->guards[k].bytes))
        return;
    size_t at = 0;
    while (at < c->guards[k].bytes && is_same(o->equality, got + at, expected + at, o->value_bytes))
        at += o->value_bytes;
    if (at >= c->guards[k].bytes)
        return;
    const size_t value = at / o->value_bytes;
    if (o->role == CHECK_INPUT) {
        say(c, "changed its input %s[%zu]", o->name, value);
        return;
    }
    say(c, "%s[%zu] is ", o->name, value);
    say_value(c, got + at, o->value_bytes);
    say(c, ", %s gives ", c->reference->isa);
    say_value(c, expected + at, o->value_bytes);
    say_case(c);
    if (o->block_bytes)
        say_inputs(c, at / o->block_bytes);
}

/* Runs one case unless another one was asked for; returns 0 when the cell has failed. */
static int run_case(struct check *c, enum fill fill, uint64_t first, size_t blocks,
                    enum guard_side side, const int *alignment)
{
    c->current = (struct check_case){c->cases++, fill, blocks, side, NOT_ALIGNED};
    if (c->only_case >= 0 && c->current.number != (uint64_t)c->only_case)
        return 1;
    if (c->share > 1 && c->current.number % c->share)
        return 1;
    c->random.state = (c->seed ^ random_hash(c->kernel->name)) + (c->current.number << 32);
    if (alignment)
        for (int k = 0; k < CHECK_OPERANDS; k++)
            c->current.alignment[k] =
                alignment[k] >= 0 ? alignment[k] : (int)random_below(&c->random, 64);
    const struct fill_target t = {c->type, c->element, fill_scale(&c->random), first};
    void *data[CHECK_OPERANDS];
    if (c->family.shape)
        c->family.shape(c);
    place_inputs(c, &t, data);
    c->family.call(c, c->reference, (void *const *)c->expected, blocks);
    call_row(c, data);
    for (int k = 0; k < CHECK_OPERANDS && !*c->message; k++)
        if (c->family.operands[k].value_bytes) {
            compare_operand(c, k);
            if (c->family.operands[k].role != CHECK_INPUT)
                c->values += c->guards[k].bytes / c->family.operands[k].value_bytes;
        }
    if (*c->message && !strchr(c->message, '\n'))
        say_case(c);
    return !*c->message;
}

/* ------------------------------------- The plan of a family ----------------------------------- */

static void set_rule(struct check *c, int index)
{
    if (c->family.rules > MXQ_SCALE_MODES)
        c->element = (enum mxq_element)(index / MXQ_SCALE_MODES);
    c->mode = (enum mxq_scale_mode)(index % MXQ_SCALE_MODES);
    c->rule = mxq_scale_rule(c->element, c->mode);
}

static size_t longest_tail(const struct check_family *f)
{
    return f->blocks_in_tails ? f->blocks_in_tails : LONGEST_TAIL;
}

static int run_sizes(struct check *c)
{
    for (size_t blocks = 0; blocks <= longest_tail(&c->family); blocks++) {
        set_rule(c, (int)blocks % c->family.rules);
        for (int side = GUARD_BEGIN; side <= GUARD_END; side++)
            if (!run_case(c, FILL_MIXED, blocks, blocks, (enum guard_side)side, NULL))
                return 0;
    }
    return 1;
}

static int run_alignments(struct check *c)
{
    for (int alignment = 0; alignment < 64; alignment++)
        for (int k = 0; k < CHECK_OPERANDS && c->family.operands[k].value_bytes; k++)
            for (int side = GUARD_BEGIN; side <= GUARD_END; side++) {
                int alignments[CHECK_OPERANDS] = NOT_ALIGNED;
                alignments[k] = alignment;
                set_rule(c, alignment % c->family.rules);
                const size_t blocks =
                    1 + (size_t)(alignment * 7 + k * 3) % longest_tail(&c->family);
                if (!run_case(c, FILL_MIXED, 0, blocks, (enum guard_side)side, alignments))
                    return 0;
            }
    return 1;
}

static uint64_t blocks_of_fill(const struct check_family *f, enum fill fill)
{
    if (fill == FILL_EVERY && f->every_rounds)
        return (uint64_t)fill_blocks[fill] * f->every_rounds;
    return f->blocks_per_fill ? f->blocks_per_fill : fill_blocks[fill];
}

static int run_values(struct check *c)
{
    static const int any[CHECK_OPERANDS] = NOT_ALIGNED;
    const struct check_family *f = &c->family;
    for (int rule = 0; rule < f->rules; rule++)
        for (int fill = 0; fill < FILLS; fill++) {
            const uint64_t blocks = blocks_of_fill(f, (enum fill)fill);
            const size_t chunk = f->blocks_per_case   ? f->blocks_per_case
                                 : fill == FILL_EVERY ? LARGEST_CASE
                                                      : CHUNK;
            set_rule(c, rule);
            for (uint64_t first = 0; first < blocks; first += chunk)
                if (!run_case(c, (enum fill)fill, first, chunk, GUARD_END, any))
                    return 0;
        }
    return 1;
}

void check_run(struct check *c, const struct check_family *family)
{
    c->family = *family;
    for (int k = 0; k < CHECK_OPERANDS; k++) {
        const struct check_operand *o = &family->operands[k];
        const size_t bytes =
            o->most_bytes ? o->most_bytes : o->bytes + LARGEST_CASE * o->block_bytes;
        guard_open(&c->guards[k], bytes);
        c->expected[k] = calloc(1, bytes + 1);
        if (!c->expected[k]) {
            perror("check_run");
            exit(99);
        }
    }
    (void)(run_sizes(c) && run_alignments(c) && run_values(c));
}

/* ------------------------------------------ Signals ------------------------------------------- */

static const int caught[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGABRT};
#define CAUGHT (sizeof caught / sizeof *caught)

static sigjmp_buf crash_return;
static unsigned char *crash_address;

static void on_crash(int signal, siginfo_t *info, void *context)
{
    (void)context;
    crash_address = info->si_addr;
    siglongjmp(crash_return, signal);
}

static void say_crash(struct check *c, int signal)
{
    say(c, "%s", strsignal(signal));
    for (int k = 0; k < CHECK_OPERANDS; k++) {
        const struct guard *g = &c->guards[k];
        if (!g->map || (signal != SIGSEGV && signal != SIGBUS))
            continue;
        if (crash_address >= g->end && crash_address < g->end + (g->begin - g->map))
            say(c, ": access %td bytes past the end of %s", crash_address - (g->data + g->bytes),
                c->family.operands[k].name);
        else if (crash_address >= g->map && crash_address < g->begin)
            say(c, ": access %td bytes before the begin of %s", g->data - crash_address,
                c->family.operands[k].name);
    }
    say_case(c);
}

enum check_result check_cell(struct check *c)
{
    struct sigaction action = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_NODEFER};
    struct sigaction saved[CAUGHT];
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < CAUGHT; i++)
        sigaction(caught[i], &action, &saved[i]);
    c->cases = c->values = 0;
    *c->message = 0;
    memset(c->guards, 0, sizeof c->guards);
    memset(c->expected, 0, sizeof c->expected);
    const int signal = sigsetjmp(crash_return, 1);
    if (signal == 0)
        c->kernel->check(c);
    else
        say_crash(c, signal);
    for (size_t i = 0; i < CAUGHT; i++)
        sigaction(caught[i], &saved[i], NULL);
    for (int k = 0; k < CHECK_OPERANDS; k++) {
        if (c->guards[k].map)
            guard_close(&c->guards[k]);
        free(c->expected[k]);
    }
    return signal ? CHECK_CRASH : *c->message ? CHECK_FAIL : CHECK_OK;
}
