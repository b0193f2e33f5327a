/* SPDX-License-Identifier: Apache-2.0 */
/* dispatch.c -- picks the row: MXQ_ISA < mxq_set_isa(), else the best that the machine can run.
 *
 * The active row is one atomic pointer to const data, so a call can never see a mixture of rows: it
 * reads the pointer once and passes the row down.  No constructor and no ifunc: resolvers run before
 * relocation and sanitizers are ready. */
#if defined(__linux__)
#define _GNU_SOURCE /* secure_getenv */
#endif
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "kernels.h"

static _Atomic(const struct mxq_kernels *) active;

static int is_available(const struct mxq_kernels *row)
{
    return (mxq_cpu_levels() & row->requires) == row->requires;
}

/* The row that the user names.  To name one that needs a permission is to ask for it. */
static const struct mxq_kernels *find_available(const char *name)
{
    for (size_t i = 0; mxq_rows[i]; i++)
        if (!strcmp(mxq_rows[i]->isa, name)) {
            if (mxq_rows[i]->requires & MXQ_CPU_AMX)
                mxq_cpu_request_amx();
            return is_available(mxq_rows[i]) ? mxq_rows[i] : NULL;
        }
    return NULL;
}

static const char *isa_from_environment(void)
{
#if defined(__GLIBC__)
    const char *name = secure_getenv("MXQ_ISA"); /* NULL in a set-user-ID process */
#else
    const char *name = getenv("MXQ_ISA");
#endif
    return name && *name ? name : NULL;
}

static const struct mxq_kernels *resolve(void)
{
    const char *name = isa_from_environment();
    if (name) {
        const struct mxq_kernels *row = find_available(name);
        return row ? row : &mxq_kernels_scalar; /* correct, and conspicuous in mxq_isa() */
    }
    size_t i = 0;
    while (!is_available(mxq_rows[i]))
        i++;
    return mxq_rows[i];
}

const struct mxq_kernels *mxq_active_kernels(void)
{
    const struct mxq_kernels *row = atomic_load_explicit(&active, memory_order_acquire);
    if (!row) {
        /* Threads may race here on first use: they find the same row.  The exchange keeps an
         * mxq_set_isa() that came in between. */
        const struct mxq_kernels *found = resolve();
        if (atomic_compare_exchange_strong(&active, &row, found))
            row = found;
    }
    return row;
}

const char *mxq_isa(void)
{
    return mxq_active_kernels()->isa;
}

enum mxq_status mxq_set_isa(const char *name)
{
    const struct mxq_kernels *row = NULL;
    if (name && !(row = find_available(name)))
        return MXQ_ERR_ISA;
    atomic_store_explicit(&active, row, memory_order_release);
    return MXQ_OK;
}

enum mxq_status mxq_enable_amx(void)
{
    mxq_cpu_request_amx();
    return mxq_cpu_levels() & MXQ_CPU_AMX ? MXQ_OK : MXQ_ERR_ISA;
}

static const struct mxq_kernels *row_at(size_t index)
{
    size_t i = 0;
    while (mxq_rows[i] && i < index)
        i++;
    return mxq_rows[i];
}

static const struct mxq_kernel *kernel_at(size_t index)
{
    size_t i = 0;
    while (mxq_kernel_list[i].name && i < index)
        i++;
    return &mxq_kernel_list[i];
}

int mxq_isa_at(size_t index, struct mxq_isa_info *info)
{
    const struct mxq_kernels *row = row_at(index);
    if (!row || !info)
        return 0;
    info->name = row->isa;
    info->available = is_available(row);
    info->missing = mxq_cpu_missing(row->requires);
    return 1;
}

const char *mxq_kernel_name(size_t index)
{
    return kernel_at(index)->name;
}

const char *mxq_kernel_isa(size_t kernel, size_t isa)
{
    const struct mxq_kernel *k = kernel_at(kernel);
    const struct mxq_kernels *row = row_at(isa);
    if (!k->name || !row)
        return NULL;
    /* A row inherits only from rows after it, so the last one with this function owns it. */
    const struct mxq_kernels *owner = row;
    for (size_t i = isa + 1; mxq_rows[i]; i++)
        if (!memcmp((const char *)row + k->slot, (const char *)mxq_rows[i] + k->slot,
                    sizeof(void (*)(void))))
            owner = mxq_rows[i];
    return owner->isa;
}
