/* SPDX-License-Identifier: Apache-2.0 */
/* emulated_dispatch.c -- stands in for dispatch.c where the columns are emulated: every row runs on every
 * machine. */
#include <string.h>

#include "kernels.h"

static const struct mxq_kernels *active;

const struct mxq_kernels *mxq_active_kernels(void)
{
    return active ? active : mxq_rows[0];
}

const char *mxq_isa(void)
{
    return mxq_active_kernels()->isa;
}

enum mxq_status mxq_set_isa(const char *name)
{
    for (size_t i = 0; name && mxq_rows[i]; i++)
        if (!strcmp(mxq_rows[i]->isa, name)) {
            active = mxq_rows[i];
            return MXQ_OK;
        }
    return MXQ_ERR_ISA;
}

int mxq_isa_at(size_t index, struct mxq_isa_info *info)
{
    size_t i = 0;
    while (mxq_rows[i] && i < index)
        i++;
    if (!mxq_rows[i])
        return 0;
    *info = (struct mxq_isa_info){mxq_rows[i]->isa, 1, ""};
    return 1;
}
