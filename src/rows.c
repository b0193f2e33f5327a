/* SPDX-License-Identifier: Apache-2.0 */
/* rows.c -- the columns of this build, best first, and the list of kernels. */
#include "kernels.h"

/* clang-format off */
const struct mxq_kernels *const mxq_rows[] = {
#if defined(__x86_64__) || defined(MXQ_EMULATED)
    &mxq_kernels_amx,
    &mxq_kernels_avx512bf16,
    &mxq_kernels_avx512,
#endif
#if defined(__x86_64__) && !defined(MXQ_EMULATED)
    &mxq_kernels_avx2,
#endif
#if defined(__aarch64__) && !defined(MXQ_EMULATED)
    &mxq_kernels_neonbf16,
#endif
#if defined(__aarch64__) || defined(MXQ_EMULATED)
    &mxq_kernels_neon,
#endif
    &mxq_kernels_scalar,
    NULL,
};
/* clang-format on */

const struct mxq_kernel mxq_kernel_list[] = {
#define MXQ_KERNEL(name, family, index) {#name, offsetof(struct mxq_kernels, family index)},
#include "kernels.def"
#undef MXQ_KERNEL
    {NULL, 0}};
