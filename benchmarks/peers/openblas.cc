/* SPDX-License-Identifier: Apache-2.0 */
/* openblas.cc -- OpenBLAS: sgemm of F32 weights, and sgemv for one row, as its users call it. */
#include <cblas.h>
#include <stdexcept>

#include "peers/peer.h"

peer_call prepare_peer(const gemm_product &p)
{
    if (p.type != MXQ_F32)
        throw std::runtime_error("only F32");
    openblas_set_num_threads(static_cast<int>(p.threads));
    const auto *x = static_cast<const float *>(wide_values(MXQ_F32));
    auto *y = static_cast<float *>(output());
    const auto m = static_cast<blasint>(p.m), n = static_cast<blasint>(p.n),
               k = static_cast<blasint>(p.k);
    rotation weights(wide_values(MXQ_F32), p.n * p.k * sizeof(float), p.is_cold);
    const auto multiply = [=]() mutable {
        const auto *w = static_cast<const float *>(weights.next());
        if (m == 1)
            cblas_sgemv(CblasRowMajor, CblasNoTrans, n, k, 1.0F, w, k, x, 1, 0.0F, y, 1);
        else
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1.0F, x, k, w, k, 0.0F, y,
                        n);
    };
    return {multiply,
            std::string("openblas:") + openblas_get_corename() + (p.m == 1 ? ":sgemv" : ":sgemm")};
}
