/* SPDX-License-Identifier: Apache-2.0 */
/* onednn.cc -- oneDNN: matmul of F32 or BF16, with weights in the format that it asks for. */
#include <dnnl.hpp>
#include <memory>
#include <omp.h>
#include <stdexcept>
#include <vector>

#include "peers/peer.h"

using dnnl::memory;

static memory::data_type data_type(mxq_type type)
{
    return type == MXQ_F32 ? memory::data_type::f32 : memory::data_type::bf16;
}

static const dnnl::engine &engine()
{
    static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
    return cpu;
}

static dnnl::matmul::primitive_desc describe(const memory::desc &x, const memory::desc &w,
                                             const memory::desc &y)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl::matmul::primitive_desc(engine(), x, w, y);
#else
    return dnnl::matmul::primitive_desc(dnnl::matmul::desc(x, w, y), engine());
#endif
}

/* The weights of one shape in one format: as many copies as a rotation has. */
struct packed_weights {
    memory::desc format;
    const unsigned char *copies;
};

/* Products of other m may ask for another format. */
static const unsigned char *pack(const memory::desc &plain, const memory::desc &format,
                                 mxq_type type, dnnl::stream &stream)
{
    static std::vector<packed_weights> all;
    for (const packed_weights &w : all)
        if (w.format == format)
            return w.copies;
    const size_t bytes = format.get_size(), copies = rotation::copies_of(bytes);
    auto *at = static_cast<unsigned char *>(operand_memory(bytes * copies));
    memory from(plain, engine(), const_cast<void *>(wide_values(type)));
    for (size_t i = 0; i < copies; i++) {
        memory to(format, engine(), at + i * bytes);
        dnnl::reorder(from, to).execute(stream, from, to);
    }
    stream.wait();
    all.push_back({format, at});
    return at;
}

peer_call prepare_peer(const gemm_product &p)
{
    omp_set_num_threads(static_cast<int>(p.threads));
    const auto m = static_cast<memory::dim>(p.m), n = static_cast<memory::dim>(p.n),
               k = static_cast<memory::dim>(p.k);
    const memory::data_type type = data_type(p.type);
    const memory::desc x_desc({m, k}, type, memory::format_tag::ab);
    const memory::desc y_desc({m, n}, memory::data_type::f32, memory::format_tag::ab);
    const memory::desc plain({k, n}, type, memory::format_tag::ba);
    const auto primitive_desc =
        describe(x_desc, memory::desc({k, n}, type, memory::format_tag::any), y_desc);
    const memory::desc format = primitive_desc.weights_desc();
    auto stream = std::make_shared<dnnl::stream>(engine());
    const unsigned char *copies = pack(plain, format, p.type, *stream);
    rotation weights(copies, format.get_size(), p.is_cold);
    memory x(x_desc, engine(), const_cast<void *>(wide_values(p.type)));
    memory y(y_desc, engine(), output());
    memory w(format, engine(), nullptr);
    dnnl::matmul matmul(primitive_desc);
    const auto multiply = [=]() mutable {
        w.set_data_handle(const_cast<void *>(weights.next()));
        matmul.execute(*stream, {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, y}});
        stream->wait();
    };
    return {multiply, std::string("onednn:") + primitive_desc.impl_info_str()};
}
