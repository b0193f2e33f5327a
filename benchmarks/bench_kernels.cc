/* SPDX-License-Identifier: Apache-2.0 */
/* bench_kernels.cc -- rows kernel x instruction set x working set, beside the machine's limits.
 *
 *   quantize_e4m3_f32/avx512/L2             a kernel, straight from its slot in a row
 *   mxq_quantize_mxfp8_f32/avx512/DRAM      the public function, for every named format
 *   mxq_quantize_mxfp8_f32/avx512/DRAM/threads:2
 *   limit_128:32/avx512/L2                  the same bytes moved, nothing computed
 *   limit_128:32_nt/avx512/L2               ... with non-temporal stores
 *
 * A row's label names the limit that it compares with.  Rates count bytes read + written. */
#include <algorithm>
#include <benchmark/benchmark.h>
#include <chrono>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "machine.h"
#include "mxq/pthreadpool.h"
#include "operands.h"

extern "C" {
#include "limits/limits.h"
}

static_assert(MXQ_BLOCK == 32, "the traffic below is that of blocks of 32");

/* What the command line asks for beyond Google Benchmark's own options. */
struct selection {
    bool quick = false;
    std::string isa; /* empty: all */
};

/* Bytes per block. */
struct traffic {
    size_t read;
    size_t written;
};

static size_t blocks_in(const working_set &set, const traffic &t)
{
    return set.bytes / (t.read + t.written) / LIMIT_GROUP * LIMIT_GROUP;
}

/* ----------------------------------------- Measuring ------------------------------------------ */

static double seconds_since_start()
{
    using clock = std::chrono::steady_clock;
    static const clock::time_point start = clock::now();
    return std::chrono::duration<double>(clock::now() - start).count();
}

template <class Call>
static void measure(benchmark::State &state, const traffic &t, size_t blocks, Call call)
{
    const size_t bytes = blocks * (t.read + t.written);
    /* Interleaved rows leave each other's data in the caches; DRAM rows have none to lose. */
    if (bytes < detect_working_sets()[working_sets - 1].bytes / 2)
        call();
    const double start = seconds_since_start();
    for (auto _ : state) {
        call();
        benchmark::ClobberMemory();
    }
    const auto iterations = static_cast<int64_t>(state.iterations());
    state.SetBytesProcessed(iterations * static_cast<int64_t>(bytes));
    state.SetItemsProcessed(iterations * static_cast<int64_t>(blocks * MXQ_BLOCK));
    state.counters["read_bytes_per_element"] = static_cast<double>(t.read) / MXQ_BLOCK;
    if (t.written) /* a coefficient of variation of zeros is not JSON */
        state.counters["written_bytes_per_element"] = static_cast<double>(t.written) / MXQ_BLOCK;
    state.counters["working_set_bytes"] = static_cast<double>(bytes);
    state.counters["start_seconds"] = start;
}

template <class Run>
static benchmark::internal::Benchmark *add(const std::string &name, const std::string &label,
                                           Run run)
{
    return benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State &state) {
        state.SetLabel(label);
        run(state);
    });
}

static void add_skipped(const std::string &name, const std::string &reason)
{
    benchmark::RegisterBenchmark(
        name.c_str(), [=](benchmark::State &state) { state.SkipWithError(reason.c_str()); });
}

/* ---------------------------------- The rows of kernels.def ----------------------------------- */

/* A slot: its family, and its index there, captured by writing it behind an object of this type. */
struct slot {
    const char *family;
    size_t at[2] = {0, 0};
    size_t depth = 0;

    explicit slot(const char *family) : family(family) {}
    bool is_in(const char *name) const
    {
        return !std::strcmp(family, name);
    }

    slot operator[](size_t index) const
    {
        slot next = *this;
        next.at[next.depth++] = index;
        return next;
    }
    mxq_element element() const
    {
        return is_in("panel") ? packed().element : static_cast<mxq_element>(at[0]);
    }
    const mxq_packed_element_info &packed() const
    {
        return mxq_packed_elements[at[0]];
    }
    mxq_type type() const
    {
        return static_cast<mxq_type>(at[depth - 1]);
    }
    /* What a kernel counts: blocks, or sub-blocks of a panel, which are 16 of them. */
    size_t unit_blocks() const
    {
        return is_in("panel") ? MXQ_PANEL : 1;
    }
    size_t block_bytes() const
    {
        return MXQ_BLOCK * mxq_type_bytes(type());
    }
    /* Of the codes of a block. */
    size_t code_bytes() const
    {
        return MXQ_BLOCK / 8 * static_cast<size_t>(mxq_elements[element()].bits);
    }
};

constexpr size_t factor_bytes = MXQ_BLOCK / 8 * sizeof(float);
constexpr size_t f32_bytes = MXQ_BLOCK * sizeof(float);

static traffic traffic_of(mxq_amax_fn *, const slot &s)
{
    return {s.block_bytes(), 4};
}

static traffic traffic_of(mxq_scale_fn *, const slot &)
{
    return {4, 1};
}

static traffic traffic_of(mxq_pack_fn *, const slot &s)
{
    return {s.block_bytes() + 1, s.code_bytes()};
}

static traffic traffic_of(mxq_unpack_fn *, const slot &s)
{
    return {s.code_bytes() + 1, s.block_bytes()};
}

/* What panels read and write for 32 values. */
static traffic traffic_of_panel(const mxq_kernels &kernels, const slot &s)
{
    const size_t read = s.packed().element_bytes + size_t{s.packed().scale_bytes};
    return {read / MXQ_PANEL, size_t{kernels.tile[s.at[1]].w_bytes} / MXQ_PANEL};
}

static traffic traffic_of(mxq_quantize_fn *, const slot &s)
{
    return {s.block_bytes(), s.code_bytes() + 1};
}

static traffic traffic_of(mxq_columns_fn *, const slot &s)
{
    return {s.block_bytes(), s.code_bytes() + 1};
}

static traffic traffic_of(mxq_mse_fn *, const slot &)
{
    return {f32_bytes + 1, 1};
}

static traffic traffic_of(mxq_encode_fn *, const slot &s)
{
    return {s.block_bytes() + 1, s.code_bytes()};
}

static traffic traffic_of(mxq_quotient_fn *, const slot &)
{
    return {4, 8};
}

static traffic traffic_of(mxq_pack_by_fn *, const slot &s)
{
    return {s.block_bytes() + sizeof(float), s.code_bytes()};
}

static traffic traffic_of(mxq_unpack_by_fn *, const slot &s)
{
    return {s.code_bytes() + sizeof(float), s.block_bytes()};
}

static traffic traffic_of(mxq_scale_by_fn *, const slot &s)
{
    return {s.block_bytes() + sizeof(float), f32_bytes};
}

static traffic traffic_of(mxq_measure_fn *, const slot &s)
{
    return {s.block_bytes() + f32_bytes + factor_bytes, 0};
}

static traffic traffic_of(mxq_operand_fn *, const slot &s)
{
    return {s.block_bytes(), MXQ_BLOCK * sizeof(float)};
}

static traffic traffic_of(mxq_round_fn *, const slot &s)
{
    return {MXQ_BLOCK * sizeof(float), s.block_bytes()};
}

static traffic traffic_of(mxq_output_fn *, const slot &s)
{
    return {MXQ_BLOCK * sizeof(float), s.block_bytes()};
}

static auto bind(mxq_amax_fn *kernel, const slot &s, size_t blocks)
{
    return [=, amax = static_cast<uint32_t *>(output()), x = wide_values(s.type())] {
        kernel(amax, x, blocks, mxq_ahead(s.type()));
    };
}

static auto bind(mxq_scale_fn *kernel, const slot &, size_t blocks)
{
    return
        [=, scale = static_cast<uint8_t *>(output()), amax = amax_bits(),
         rule = mxq_scale_rule(MXQ_E4M3, MXQ_SCALE_RCEIL)] { kernel(scale, amax, blocks, &rule); };
}

static auto bind(mxq_pack_fn *kernel, const slot &s, size_t blocks)
{
    return [=, elements = static_cast<uint8_t *>(output()), x = wide_values(s.type()),
            scale = scale_codes(s.element())] { kernel(elements, x, scale, blocks); };
}

static auto bind(mxq_unpack_fn *kernel, const slot &s, size_t blocks)
{
    return
        [=, y = output(), elements = element_codes(s.element()), scale = scale_codes(s.element()),
         units = blocks / s.unit_blocks()] { kernel(y, elements, scale, units); };
}

static auto bind(mxq_quantize_fn *kernel, const slot &s, size_t blocks)
{
    return [=, elements = static_cast<uint8_t *>(output()), scale = scale_output(),
            x = wide_values(s.type()), rule = mxq_scale_rule(s.element(), MXQ_SCALE_RCEIL)] {
        kernel(elements, scale, x, blocks, &rule, mxq_ahead(s.type()));
    };
}

/* 32 rows, as long as it takes. */
static auto bind(mxq_columns_fn *kernel, const slot &s, size_t blocks)
{
    return [=, elements = static_cast<uint8_t *>(output()), scale = scale_output(),
            x = wide_values(s.type()), stride = s.code_bytes(),
            rule = mxq_scale_rule(s.element(), MXQ_SCALE_RCEIL)] {
        kernel(elements, stride, scale, 1, x, blocks, blocks / 16, &rule, nullptr);
    };
}

/* The scales are what the last call made of them: after a few calls nothing changes any more. */
static auto bind(mxq_mse_fn *kernel, const slot &s, size_t blocks)
{
    const struct mxq_scale_rule rule = mxq_scale_rule(s.element(), MXQ_SCALE_FLOOR);
    mxq_active_kernels()->scale[MXQ_E8M0](scale_output(), amax_bits(), blocks, &rule);
    return [=, scale = scale_output(), x = static_cast<const float *>(wide_values(MXQ_F32))] {
        kernel(scale, x, blocks);
    };
}

static auto bind(mxq_encode_fn *kernel, const slot &s, size_t blocks)
{
    return [=, elements = static_cast<uint8_t *>(output()), x = wide_values(s.type()),
            scale = scale_codes(s.element())] {
        const struct mxq_encoding how = {MXQ_STOCHASTIC, 0, 0, 1, 0, mxq_ahead(s.type())};
        kernel(elements, x, scale, blocks, &how);
    };
}

static auto bind(mxq_quotient_fn *kernel, const slot &, size_t blocks)
{
    return [=, scales = static_cast<float *>(output()), amax = amax_bits(),
            count = blocks / MXQ_QUOTIENTS * MXQ_QUOTIENTS,
            rule = mxq_quotient_rule{MXQ_F32_SCALE, 448, 1, 0, 0, 0}] {
        kernel(scales, scales + count, amax, count, &rule);
    };
}

/* A factor for each block, to divide by. */
static mxq_factors block_factors()
{
    return {factors(), 5, 1, 0, 0};
}

static auto bind(mxq_pack_by_fn *kernel, const slot &s, size_t blocks)
{
    return [=, elements = static_cast<uint8_t *>(output()), x = wide_values(s.type()),
            by = block_factors()] { kernel(elements, x, &by, blocks, mxq_ahead(s.type())); };
}

static auto bind(mxq_unpack_by_fn *kernel, const slot &s, size_t blocks)
{
    return [=, y = output(), elements = element_codes(s.element()), by = block_factors()] {
        kernel(y, elements, &by, 0.5F, blocks);
    };
}

static auto bind(mxq_scale_by_fn *kernel, const slot &s, size_t blocks)
{
    return [=, v = static_cast<float *>(output()), x = wide_values(s.type()),
            by = block_factors()] { kernel(v, x, &by, blocks); };
}

static auto bind(mxq_measure_fn *kernel, const slot &s, size_t blocks)
{
    return [=, x = wide_values(s.type()), y = static_cast<const float *>(wide_values(MXQ_F32)),
            limit = factors()] {
        struct mxq_sums sums = {};
        kernel(&sums, x, y, limit, blocks, mxq_ahead(s.type()));
        benchmark::DoNotOptimize(sums);
    };
}

static auto bind(mxq_operand_fn *kernel, const slot &s, size_t blocks)
{
    return [=, out = static_cast<float *>(output()), x = wide_values(s.type())] {
        struct mxq_range range = MXQ_RANGE_EMPTY;
        kernel(out, x, blocks, &range);
    };
}

static auto bind(mxq_round_fn *kernel, const slot &, size_t blocks)
{
    return [=, out = output(), x = static_cast<const float *>(wide_values(MXQ_F32))] {
        kernel(out, x, blocks);
    };
}

static auto bind(mxq_output_fn *kernel, const slot &, size_t blocks)
{
    return [=, y = output(), acc = static_cast<const float *>(wide_values(MXQ_F32))] {
        kernel(y, acc, nullptr, blocks * (MXQ_BLOCK / MXQ_PANEL));
    };
}

/* The streams, and what each moves.  Reading alone is none that narrows or widens. */
struct limit {
    const char *name;
    traffic t;
    bool reads_elements; /* else the wide side */
};

/* clang-format off */
static const limit limit_list[LIMIT_MIXES] = {
    {"limit_read",   {128, 0},      false},
    {"limit_128:32", {128, 32 + 1}, false}, {"limit_64:32",  {64, 32 + 1},  false},
    {"limit_128:24", {128, 24 + 1}, false}, {"limit_64:24",  {64, 24 + 1},  false},
    {"limit_128:16", {128, 16 + 1}, false}, {"limit_64:16",  {64, 16 + 1},  false},
    {"limit_32:128", {32 + 1, 128}, true},  {"limit_32:64",  {32 + 1, 64},  true},
    {"limit_24:128", {24 + 1, 128}, true},  {"limit_24:64",  {24 + 1, 64},  true},
    {"limit_16:128", {16 + 1, 128}, true},  {"limit_16:64",  {16 + 1, 64},  true},
};
/* clang-format on */

static double share_read(const traffic &t)
{
    return static_cast<double>(t.read) / static_cast<double>(t.read + t.written);
}

/* The stream with the same bytes, or the nearest mix.  amax and the like write next to nothing. */
static const char *limit_of(const traffic &t)
{
    const limit *nearest = &limit_list[0];
    if (share_read(t) > 0.96)
        return nearest->name;
    const auto distance = [&](const limit &l) {
        return std::abs(share_read(l.t) - share_read(t)) + (l.t.read == t.read ? 0 : 1e-6);
    };
    for (size_t i = 1; i < LIMIT_MIXES; i++)
        if (nearest == &limit_list[0] || distance(limit_list[i]) < distance(*nearest))
            nearest = &limit_list[i];
    return nearest->name;
}

struct row {
    const mxq_kernels *kernels;
    size_t index; /* in mxq_rows */
    bool available;
    std::string missing;
};

/* A quick run keeps the kernels of the README's table, in L2 and memory. */
static bool is_in_quick_run(const std::string &what, const working_set &set)
{
    static const char *const kernels[] = {"amax_f32",
                                          "amax_bf16",
                                          "scale_e8m0",
                                          "pack_e4m3_f32",
                                          "unpack_f32_e4m3",
                                          "unpack_bf16_e4m3",
                                          "quantize_e4m3_f32",
                                          "quantize_e4m3_bf16",
                                          "mxq_quantize_mxfp8_f32",
                                          "mxq_quantize_mxfp8_bf16",
                                          "mxq_dequantize_mxfp8_f32",
                                          "mxq_dequantize_mxfp8_bf16"};
    return (what.rfind("limit_", 0) == 0 ||
            std::find(std::begin(kernels), std::end(kernels), what) != std::end(kernels)) &&
           (!std::strcmp(set.name, "L2") || !std::strcmp(set.name, "DRAM"));
}

/* Calls add_runnable(name, set, blocks) for each working set of a row; where there is nothing to
 * run, the row says why instead of being left out. */
template <class Add>
static void for_each_working_set(const std::string &what, const traffic &t, const row &r,
                                 const selection &select, Add add_runnable)
{
    for (size_t i = 0; i < working_sets; i++) {
        const working_set &set = detect_working_sets()[i];
        const std::string name = what + "/" + r.kernels->isa + "/" + set.name;
        const size_t blocks = blocks_in(set, t);
        if (select.quick && !is_in_quick_run(what, set))
            continue;
        if (!blocks)
            add_skipped(name, "this machine has no such cache");
        else if (!std::strcmp(r.kernels->isa, "scalar") && i > 1)
            continue; /* scalar code is as slow from memory, and takes minutes */
        else if (!r.available)
            add_skipped(name, "not available on this machine: " + r.missing);
        else
            add_runnable(name, set, blocks);
    }
}

/* A row without a BF16 unit has its F32 kernels in the BF16 slots, too; one without a unit of integers has the
 * scalar ones in theirs. */
static bool is_second_name(const slot &s, const row &r)
{
    if (s.is_in("panel") && s.at[1] == MXQ_COMPUTE_INT8)
        return !r.kernels->tile[MXQ_COMPUTE_INT8].x_bytes;
    return (s.is_in("panel") || s.is_in("round")) && s.type() == MXQ_BF16 &&
           r.kernels->tile[MXQ_BF16].x_bytes != 2 * MXQ_BLOCK;
}

template <class Kernel>
static void add_kernel(const char *kernel_name, size_t kernel_index, const slot &s, Kernel *kernel,
                       const row &r, const selection &select)
{
    if (is_second_name(s, r))
        return;
    const char *code = mxq_kernel_isa(kernel_index, r.index);
    const traffic t = s.is_in("panel") ? traffic_of_panel(*r.kernels, s) : traffic_of(kernel, s);
    std::string label = limit_of(t);
    if (std::strcmp(code, r.kernels->isa) != 0)
        label += std::string(" code=") + code;
    for_each_working_set(kernel_name, t, r, select,
                         [&](const std::string &name, const working_set &, size_t blocks) {
                             add(name, label, [=](benchmark::State &state) {
                                 measure(state, t, blocks, bind(kernel, s, blocks));
                             });
                         });
}

/* What multiplies is no stream: bench_gemm measures it, and what works on sums that are in L1. */
static void add_kernel(const char *, size_t, const slot &, mxq_gemm_fn *, const row &,
                       const selection &)
{
}

static void add_kernel(const char *, size_t, const slot &, mxq_fold_fn *, const row &,
                       const selection &)
{
}

static void add_kernel(const char *, size_t, const slot &, mxq_gemm_fused_fn *, const row &,
                       const selection &)
{
}

static void add_kernels(const row &r, const selection &select)
{
    size_t index = 0;
#define MXQ_KERNEL(name, family, at)                                                               \
    add_kernel(#name, index++, slot(#family) at, r.kernels->family at, r, select);
#include "kernels.def"
#undef MXQ_KERNEL
}

/* ------------------------------------------ Threads ------------------------------------------- */

static pthreadpool_t all_threads()
{
    static const pthreadpool_t pool = pthreadpool_create(0);
    return pool;
}

/* One row for this thread, timed by its CPU time, so that a thread that waited for a neighbour is
 * not billed for it; one for all threads, by the clock, where one thread does not fill the
 * machine. */
template <class Run>
static void add_threaded(const std::string &name, const std::string &label, const working_set &set,
                         Run run)
{
    add(name, label, [=](benchmark::State &state) { run(state, nullptr); });
    const size_t threads = pthreadpool_get_threads_count(all_threads());
    if (threads > 1 && set.bytes > detect_working_sets()[1].bytes)
        add(name + "/threads:" + std::to_string(threads), label, [=](benchmark::State &state) {
            run(state, all_threads());
        })->UseRealTime();
}

/* ------------------------------------ The public functions ------------------------------------ */

/* The rows of a weight matrix. */
constexpr size_t matrix_cols = 4096;

/* What mxq_quantize() is asked for beyond the defaults. */
enum class variant { plain, stochastic, statistics, columns, both };

struct public_row {
    traffic t;
    mxq_matrix x;
    mxq_quantized q;
    variant how;
    const char *isa;

    size_t blocks() const
    {
        return x.rows * x.cols / MXQ_BLOCK;
    }
};

/* Bytes per 32 values.  A scale over the tensor has to be known before the first element: x is read
 * twice. */
static traffic public_traffic(const mxq_format &f, mxq_type type, bool reads_x)
{
    struct mxq_sizes sizes;
    const size_t rows = 128, cols = matrix_cols, blocks = rows * cols / MXQ_BLOCK;
    if (mxq_quantized_sizes(&f, rows, cols, &sizes) != MXQ_OK)
        return {0, 0};
    const bool is_tensor = f.block_rows == 0 || f.scale == MXQ_E4M3_SCALE;
    const size_t wide = MXQ_BLOCK * mxq_type_bytes(type);
    const size_t narrow = (sizes.elements_bytes + sizes.scales_bytes) / blocks;
    return reads_x ? traffic{is_tensor ? 2 * wide : wide, narrow} : traffic{narrow, wide};
}

static public_row public_operands(const traffic &t, const mxq_format &format, mxq_type type,
                                  variant how, const char *isa, size_t blocks)
{
    const size_t cols = std::min(matrix_cols, blocks * MXQ_BLOCK);
    const size_t rows = blocks * MXQ_BLOCK / cols;
    struct mxq_sizes sizes = {};
    static float tensor_scale;
    if (mxq_quantized_sizes(&format, rows, cols, &sizes) != MXQ_OK)
        std::abort();
    return {t,
            {nullptr, type, rows, cols, cols},
            {format, rows, cols, nullptr, sizes.elements_row_bytes, nullptr, sizes.scales_row_bytes,
             format.scale == MXQ_E4M3_SCALE ? &tensor_scale : nullptr},
            how,
            isa};
}

template <class Call>
static void measure_public(benchmark::State &state, const public_row &p, Call call)
{
    if (mxq_set_isa(p.isa) != MXQ_OK || call() != MXQ_OK)
        state.SkipWithError("the public function failed");
    else
        measure(state, p.t, p.blocks(), [&] { benchmark::DoNotOptimize(call()); });
    if (mxq_set_isa(nullptr) != MXQ_OK)
        state.SkipWithError("no automatic choice of instruction set");
}

static void run_quantize(benchmark::State &state, public_row p, pthreadpool_t pool)
{
    const mxq_parallel parallel = mxq_pthreadpool(pool);
    struct mxq_statistics statistics = {};
    mxq_quantize_options options = MXQ_QUANTIZE_OPTIONS;
    options.parallel = pool ? &parallel : nullptr;
    options.rounding = p.how == variant::stochastic ? MXQ_STOCHASTIC : MXQ_NEAREST_EVEN;
    options.statistics = p.how == variant::statistics ? &statistics : nullptr;
    p.x.data = const_cast<void *>(wide_values(p.x.type));
    p.q.elements = static_cast<uint8_t *>(output());
    p.q.scales = scale_output();
    measure_public(state, p, [&] { return mxq_quantize(&p.q, &p.x, &options, nullptr); });
}

/* Down the columns alone, or both ways from one read. */
static void run_quantize_both(benchmark::State &state, public_row p, pthreadpool_t pool)
{
    const mxq_parallel parallel = mxq_pthreadpool(pool);
    mxq_quantize_options options = MXQ_QUANTIZE_OPTIONS;
    struct mxq_sizes sizes = {};
    options.parallel = pool ? &parallel : nullptr;
    p.x.data = const_cast<void *>(wide_values(p.x.type));
    p.q.elements = static_cast<uint8_t *>(output());
    p.q.scales = scale_output();
    if (mxq_quantized_sizes(&p.q.format, p.x.cols, p.x.rows, &sizes) != MXQ_OK)
        state.SkipWithError("mxq_quantized_sizes() failed");
    const mxq_quantized cols = {p.q.format,
                                p.x.cols,
                                p.x.rows,
                                element_input(),
                                sizes.elements_row_bytes,
                                p.q.scales + p.q.rows * p.q.scales_stride,
                                sizes.scales_row_bytes,
                                nullptr};
    const mxq_quantized *rows = p.how == variant::both ? &p.q : nullptr;
    measure_public(state, p,
                   [&] { return mxq_quantize_both(rows, &cols, &p.x, &options, nullptr); });
}

/* What is read was made by mxq_quantize(), before the clock runs. */
static void run_dequantize(benchmark::State &state, public_row p, pthreadpool_t pool)
{
    const mxq_parallel parallel = mxq_pthreadpool(pool);
    p.x.data = const_cast<void *>(wide_values(p.x.type));
    p.q.elements = element_input();
    p.q.scales = scale_output();
    if (mxq_quantize(&p.q, &p.x, nullptr, nullptr) != MXQ_OK)
        state.SkipWithError("mxq_quantize() failed");
    p.x.data = output();
    measure_public(state, p,
                   [&] { return mxq_dequantize(&p.x, &p.q, pool ? &parallel : nullptr, nullptr); });
}

using run_fn = void(benchmark::State &, public_row, pthreadpool_t);

static void add_public_function(const std::string &function, const traffic &t,
                                const mxq_format &format, mxq_type type, variant how, const row &r,
                                const selection &select, run_fn *run)
{
    for_each_working_set(
        function, t, r, select,
        [&](const std::string &name, const working_set &set, size_t blocks) {
            const public_row p = public_operands(t, format, type, how, r.kernels->isa, blocks);
            add_threaded(name, limit_of(t), set,
                         [=](benchmark::State &state, pthreadpool_t pool) { run(state, p, pool); });
        });
}

/* Every named format; of MXFP8 also what the options cost. */
static void add_public_functions(const row &r, const selection &select)
{
    static const char *const types[MXQ_TYPES] = {"f32", "bf16", "f16"};
    struct mxq_format_info info;
    for (size_t i = 0; mxq_format_at(i, &info); i++)
        for (size_t t = 0; t < MXQ_TYPES; t++) {
            const auto type = static_cast<mxq_type>(t);
            const std::string name = info.name + std::string("_") + types[t];
            const traffic quantizing = public_traffic(info.format, type, true);
            add_public_function("mxq_quantize_" + name, quantizing, info.format, type,
                                variant::plain, r, select, run_quantize);
            add_public_function("mxq_dequantize_" + name, public_traffic(info.format, type, false),
                                info.format, type, variant::plain, r, select, run_dequantize);
            if (i > 0)
                continue;
            add_public_function("mxq_quantize_stochastic_" + name, quantizing, info.format, type,
                                variant::stochastic, r, select, run_quantize);
            add_public_function("mxq_quantize_statistics_" + name, quantizing, info.format, type,
                                variant::statistics, r, select, run_quantize);
            add_public_function("mxq_quantize_columns_" + name, quantizing, info.format, type,
                                variant::columns, r, select, run_quantize_both);
            add_public_function("mxq_quantize_both_" + name,
                                {quantizing.read, 2 * quantizing.written}, info.format, type,
                                variant::both, r, select, run_quantize_both);
        }
}

/* ------------------------------------ The machine's limits ------------------------------------ */

static const limits *limits_of(const char *isa)
{
    static const limits *const all[] = {
#if defined(__x86_64__)
        &limits_avx512,
        &limits_avx2,
#elif defined(__aarch64__)
        &limits_neon,
#endif
        &limits_scalar
    };
    for (const limits *l : all)
        if (!std::strcmp(l->isa, isa))
            return l;
    return nullptr;
}

struct stream {
    limit_fn *run;
    const limit *l;
    unsigned char *dst;
    const unsigned char *src;
    unsigned char *scale;
    size_t blocks;
    size_t parts;

    /* What thread `part` of `parts` moves. */
    void run_part(size_t part) const
    {
        const size_t groups = blocks / LIMIT_GROUP;
        const size_t first = groups * part / parts * LIMIT_GROUP;
        const size_t end = groups * (part + 1) / parts * LIMIT_GROUP;
        const size_t wide = l->reads_elements ? l->t.written : l->t.read;
        const size_t narrow =
            (l->reads_elements ? l->t.read : std::max(l->t.written, size_t{1})) - 1;
        run(dst + first * (l->reads_elements ? wide : narrow),
            src + first * (l->reads_elements ? narrow : wide), scale + first, end - first);
    }
};

static void run_stream_part(void *context, size_t part)
{
    static_cast<const stream *>(context)->run_part(part);
}

static void run_limit(benchmark::State &state, limit_fn *run, const limit &l, size_t blocks,
                      pthreadpool_t pool)
{
    const void *src = l.reads_elements ? element_codes(MXQ_E4M3) : wide_values(MXQ_F32);
    stream s = {run,
                &l,
                static_cast<unsigned char *>(output()),
                static_cast<const unsigned char *>(src),
                scale_output(),
                blocks,
                pool ? pthreadpool_get_threads_count(pool) : 1};
    measure(state, l.t, blocks, [&] {
        if (pool)
            pthreadpool_parallelize_1d(pool, run_stream_part, &s, s.parts, 0);
        else
            s.run_part(0);
    });
}

static void add_limit(const std::string &what, limit_fn *run, const limit &l, const row &r,
                      const selection &select)
{
    for_each_working_set(
        what, l.t, r, select, [&](const std::string &name, const working_set &set, size_t blocks) {
            add_threaded(name, "", set, [=, &l](benchmark::State &state, pthreadpool_t pool) {
                run_limit(state, run, l, blocks, pool);
            });
        });
}

static void add_limits(const row &r, const selection &select)
{
    const limits *streams = limits_of(r.kernels->isa);
    for (size_t i = 0; streams && i < LIMIT_MIXES; i++) {
        const limit &l = limit_list[i];
        add_limit(l.name, streams->ordinary[i], l, r, select);
        if (streams->nontemporal[i])
            add_limit(std::string(l.name) + "_nt", streams->nontemporal[i], l, r, select);
    }
}

/* --------------------------------------- Choosing rows ---------------------------------------- */

static std::vector<row> list_rows()
{
    std::vector<row> rows;
    struct mxq_isa_info info;
    for (size_t i = 0; mxq_isa_at(i, &info); i++)
        rows.push_back({mxq_rows[i], i, info.available != 0, info.missing});
    return rows;
}

/* Kernels of the rows that were asked for; limits of these, and of the widest vectors. */
static void add_rows(const selection &select)
{
    bool is_widest = true;
    for (const row &r : list_rows()) {
        const bool is_selected = select.isa.empty() || select.isa == r.kernels->isa;
        if (is_selected) {
            add_kernels(r, select);
            add_public_functions(r, select);
        }
        const bool is_limit = is_widest && r.available && limits_of(r.kernels->isa);
        if ((is_selected && !select.quick) || is_limit)
            add_limits(r, select);
        if (is_limit) {
            benchmark::AddCustomContext("limit_isa", r.kernels->isa);
            is_widest = false;
        }
    }
}

/* Takes our own options out of the command line.  Returns false when the ISA cannot be measured: a
 * run that asked for avx512 must not measure anything else. */
static bool take_selection(int *argc, char **argv, selection *select)
{
    const std::string isa_option = "--isa=";
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        if (!std::strcmp(argv[i], "--quick"))
            select->quick = true;
        else if (std::string(argv[i]).rfind(isa_option, 0) == 0)
            select->isa = argv[i] + isa_option.size();
        else
            argv[kept++] = argv[i];
    }
    *argc = kept;
    if (select->isa.empty())
        return true;
    for (const row &r : list_rows())
        if (select->isa == r.kernels->isa) {
            if (!r.available)
                std::cerr << "bench_kernels: --isa=" << select->isa
                          << " is not available on this machine: " << r.missing << "\n";
            return r.available;
        }
    std::cerr << "bench_kernels: --isa=" << select->isa << " is not in this build\n";
    return false;
}

/* The method is the default, so that the bare program follows it too; later options win. */
static std::vector<char *> with_method(int argc, char **argv)
{
    static char method[][64] = {
        "--benchmark_repetitions=11", "--benchmark_enable_random_interleaving=true",
        "--benchmark_min_time=0.01", "--benchmark_display_aggregates_only=true"};
    std::vector<char *> args = {argv[0]};
    for (char *option : method)
        args.push_back(option);
    args.insert(args.end(), argv + 1, argv + argc);
    return args;
}

int main(int argc, char **argv)
{
    seconds_since_start();
    selection select;
    if (!take_selection(&argc, argv, &select))
        return 2;
    std::vector<char *> args = with_method(argc, argv);
    int args_count = static_cast<int>(args.size());
    args.push_back(nullptr);
    benchmark::Initialize(&args_count, args.data());
    if (benchmark::ReportUnrecognizedArguments(args_count, args.data()))
        return 2;
    describe_machine();
    add_rows(select);
    const size_t run = benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return run ? 0 : 1;
}
