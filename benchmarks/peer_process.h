/* SPDX-License-Identifier: Apache-2.0 */
/* peer_process.h -- bench_gemm's end of a peer's process (peers/peer.h). */
#pragma once

#include <cstdio>
#include <string>

#include "gemm.h"

class peer_process {
  public:
    /* The program beside this one; `environment` is NAME=VALUE, or empty.  It starts when it is
     * first asked. */
    peer_process(std::string program, std::string environment);

    /* Whether the program was built. */
    bool exists() const;

    /* Returns the median seconds of a product, and what the peer ran; throws an exception with the
     * reason where it cannot. */
    double measure(const gemm_product &product, double seconds, std::string *implementation);

  private:
    void start();

    std::string path_;
    std::string environment_;
    std::FILE *requests_ = nullptr;
    std::FILE *answers_ = nullptr;
};
