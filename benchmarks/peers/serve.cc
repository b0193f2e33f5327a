/* SPDX-License-Identifier: Apache-2.0 */
/* serve.cc -- measures one peer, request after request. */
#include <cmath>
#include <cstring>
#include <exception>
#include <iostream>
#include <sstream>
#include <stdexcept>

#include "machine.h"
#include "peers/peer.h"
#include "timing.h"

static double value_at(mxq_type type, size_t index)
{
    uint32_t bits;
    if (type == MXQ_F32)
        bits = static_cast<const uint32_t *>(wide_values(type))[index];
    else
        bits = static_cast<uint32_t>(static_cast<const uint16_t *>(wide_values(type))[index]) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return static_cast<double>(value);
}

/* A peer that multiplies something else is no peer: some results against sums in double. */
static void check(const gemm_product &p)
{
    const auto *y = static_cast<const float *>(output());
    for (size_t i = 0; i < 16; i++) {
        const size_t row = i * 5 % p.m, col = (i * 1237 + 3) % p.n;
        double sum = 0, magnitudes = 0;
        for (size_t k = 0; k < p.k; k++) {
            const double term = value_at(p.type, row * p.k + k) * value_at(p.type, col * p.k + k);
            sum += term;
            magnitudes += std::fabs(term);
        }
        const double error = std::fabs(static_cast<double>(y[row * p.n + col]) - sum);
        if (!(error <= 1e-5 * magnitudes))
            throw std::runtime_error("its result is not the product");
    }
}

static gemm_product parse(const std::string &line, double *seconds)
{
    std::istringstream words(line);
    std::string type;
    gemm_product p{};
    words >> type >> p.n >> p.k >> p.m >> p.is_cold >> p.threads >> *seconds;
    if (!words || (type != "f32" && type != "bf16") || !p.n || !p.k || !p.m)
        throw std::runtime_error("not a request");
    p.type = type == "f32" ? MXQ_F32 : MXQ_BF16;
    if (p.n * p.k * mxq_type_bytes(p.type) > detect_working_sets()[working_sets - 1].bytes)
        throw std::runtime_error("too little memory for these weights");
    return p;
}

static void serve(const std::string &line)
{
    double at_least;
    const gemm_product p = parse(line, &at_least);
    const peer_call call = prepare_peer(p);
    call.multiply();
    check(p);
    const double seconds = median_seconds(call.multiply, at_least, p.is_one_thread());
    std::cout << "ok " << seconds << " " << call.implementation << std::endl;
}

int main()
{
    std::cout.precision(9);
    for (std::string line; std::getline(std::cin, line);)
        try {
            serve(line);
        } catch (const std::exception &e) {
            std::cout << "error " << e.what() << std::endl;
        }
}
