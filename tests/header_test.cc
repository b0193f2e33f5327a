// SPDX-License-Identifier: Apache-2.0
// header_test.cc -- MXQ_HEADER compiles alone, twice, as strict C++17, and links.
#include MXQ_HEADER
#include MXQ_HEADER

#ifdef MXQ_H
static int call()
{
    struct mxq_quantize_options options = MXQ_QUANTIZE_OPTIONS;
    struct mxq_sizes sizes;
    return options.scale_mode != MXQ_SCALE_DEFAULT ||
           mxq_quantized_sizes(&mxq_mxfp8_e4m3, 1, 32, &sizes) != MXQ_OK ||
           mxq_quantized_sizes(&mxq_mxfp8_e5m2, 1, 32, &sizes) != MXQ_OK;
}
#else
static int call()
{
    return MXQ_VERSION_MAJOR < 0;
}
#endif

int main()
{
    return call();
}
