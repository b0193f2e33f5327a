/* SPDX-License-Identifier: Apache-2.0 */
/* bench_gemm.cc -- mxq_matmul() on every instruction set, its limits, and what a user would pick
 * instead.
 *
 *   mxq_bf16/avx512/4096x4096/m:8/cold/threads:1        x BF16, w MXFP8 E4M3, y F32
 *   mxq_bf16_mxfp4/avx512/...                           w in another format
 *   mxq_int8_int8_channel/avx512/...                    x INT8 per token, w INT8 per channel
 *   onednn_bf16/avx512bf16/4096x4096/m:8/cold/threads:1 x and w BF16
 *
 * cold: the calls take turns with copies of the weights that no cache holds together, as the layers
 * of a model do.  warm: one copy, where it fits the last-level cache.
 *
 * A repetition is: probe the limits, run for some milliseconds, probe the limits again.  Its time
 * is the median of its calls.  The probes are counters of the repetition: gemm_report.py tells from
 * them how near the limit it was, and whether the machine was its own. */
#include <algorithm>
#include <benchmark/benchmark.h>
#include <cmath>
#include <cstring>
#include <exception>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <unistd.h>
#include <vector>

#include "gemm_limits.h"
#include "mxq/pthreadpool.h"
#include "peer_process.h"
#include "threads.h"
#include "timing.h"

/* ------------------------------------- What is to be measured --------------------------------- */

struct shape {
    size_t n;
    size_t k;

    std::string name() const
    {
        return std::to_string(n) + "x" + std::to_string(k);
    }
};

static const std::vector<size_t> all_m = {1, 4, 8, 16, 32, 128, 512};

/* The command line.  Empty lists: all. */
struct selection {
    bool is_quick = false;
    bool has_peers = true;
    double seconds = 0.02;
    std::vector<std::string> isas;
    std::vector<std::string> formats; /* of weights, beside MXFP8 */
    std::vector<size_t> m = all_m;
    /* The layers of Llama-7B: attention, gate and up, down. */
    std::vector<shape> shapes = {{4096, 4096}, {11008, 4096}, {4096, 11008}};
    std::vector<size_t> threads;
};

template <class Value> static bool contains(const std::vector<Value> &list, const Value &value)
{
    return std::find(list.begin(), list.end(), value) != list.end();
}

/* Rows whose weights stay in the cache, where they are not what limits anything beyond. */
static constexpr size_t largest_warm_m = 32;

/* A probe below this share of the best one: somebody else used the machine. */
static constexpr double quiet_share = 0.85;
static constexpr int max_attempts = 4;

/* ---------------------------------------- Packed weights -------------------------------------- */

static const char first_format[] = "mxfp8"; /* what most rows have, and peers are compared with */

static mxq_format format_of(const std::string &name)
{
    struct mxq_format_info info;
    for (size_t i = 0; mxq_format_at(i, &info); i++)
        if (name == info.name)
            return info.format;
    std::cerr << "bench_gemm: there is no format " << name << "\n";
    std::exit(EXIT_FAILURE);
}

struct packed_weights {
    size_t bytes = 0;
    const unsigned char *copies = nullptr;
};

[[noreturn]] static void give_up(const std::string &why)
{
    std::cerr << "bench_gemm: " << why << "\n";
    std::exit(EXIT_FAILURE);
}

static void require(mxq_status status, const char *what)
{
    if (status != MXQ_OK)
        give_up(std::string(what) + ": " + mxq_status_string(status));
}

static mxq_matrix matrix(const void *data, mxq_type type, size_t rows, size_t cols)
{
    return {const_cast<void *>(data), type, rows, cols, cols};
}

/* Quantized, then packed: a format whose blocks span many rows has no other way. */
static void pack(void *to, size_t bytes, const mxq_format &format, const shape &s)
{
    struct mxq_sizes sizes;
    float tensor_scale;
    require(mxq_quantized_sizes(&format, s.n, s.k, &sizes), "mxq_quantized_sizes");
    std::vector<uint8_t> elements(sizes.elements_bytes), scales(sizes.scales_bytes);
    const mxq_matrix plain = matrix(wide_values(MXQ_F32), MXQ_F32, s.n, s.k);
    const mxq_quantized q = {format,
                             s.n,
                             s.k,
                             elements.data(),
                             sizes.elements_row_bytes,
                             scales.data(),
                             sizes.scales_row_bytes,
                             format.scale == MXQ_E4M3_SCALE ? &tensor_scale : nullptr};
    require(mxq_quantize(&q, &plain, nullptr, nullptr), "mxq_quantize");
    require(mxq_pack_quantized(to, bytes, &q, nullptr, nullptr), "mxq_pack_quantized");
}

static const packed_weights &weights_of(const std::string &name, const shape &s)
{
    static std::map<std::string, packed_weights> all;
    packed_weights &w = all[name + s.name()];
    if (w.copies)
        return w;
    const mxq_format format = format_of(name);
    require(mxq_packed_bytes(&format, s.n, s.k, &w.bytes), "mxq_packed_bytes");
    const size_t copies = rotation::copies_of(w.bytes);
    auto *at = static_cast<unsigned char *>(operand_memory(w.bytes * copies));
    pack(at, w.bytes, format, s);
    for (size_t i = 1; i < copies; i++)
        std::memcpy(at + i * w.bytes, at, w.bytes);
    w.copies = at;
    return w;
}

static bool fits_memory(const shape &s)
{
    return s.n * s.k * sizeof(float) <= detect_working_sets()[working_sets - 1].bytes;
}

/* As far as this process may use it: a shared cache may be somebody else's beyond that. */
static bool fits_cache(const shape &s)
{
    return weights_of(first_format, s).bytes <= 2 * detect_working_sets()[working_sets - 2].bytes;
}

/* ------------------------------------------- A row -------------------------------------------- */

struct row {
    std::string what; /* such as "mxq_bf16" */
    std::string isa;
    std::string multiplier; /* the instruction set of the kernel that multiplies */
    std::string label;
    std::string format; /* of the weights */
    gemm_product product;

    shape weights() const
    {
        return {product.n, product.k};
    }

    /* INT8 weights are for INT8 activations; all others are multiplied with BF16 or F32. */
    bool is_w8a8() const
    {
        return format_of(format).element == MXQ_INT8;
    }

    std::string name() const
    {
        return what + "/" + isa + "/" + weights().name() + "/m:" + std::to_string(product.m) +
               (product.is_cold ? "/cold" : "/warm") +
               "/threads:" + std::to_string(product.threads);
    }
};

/* What gemm_report.py tells probes of peaks apart by, and calls them. */
static std::string peak_label(const std::string &isa)
{
    const limit_peak *peak = peak_of(isa);
    return "code=" + isa + " peak=" + (peak ? peak->instruction : "none");
}

/* Rates at which the machine reads the weights and multiplies; 0 where nothing probes it. */
struct limit_probe {
    double read;
    double peak;
};

static limit_probe probe(const row &r, rotation *weights)
{
    const gemm_product &p = r.product;
    const limit_peak *peak = peak_of(r.multiplier);
    return {probe_read(weights, weights_of(r.format, r.weights()).bytes, p.is_cold, p.threads),
            peak ? probe_peak(*peak, p.threads) : 0};
}

/* Whether a rate is near the best that has been seen under a name. */
static bool is_near_best(const std::string &name, double rate)
{
    static std::map<std::string, double> bests;
    double &best = bests[name];
    best = std::max(best, rate);
    return rate >= quiet_share * best;
}

/* Whether the limit that binds the row says that the machine was its own. */
static bool is_quiet(const row &r, double flops_per_byte, const limit_probe &probed)
{
    const std::string threads = std::to_string(r.product.threads);
    const bool is_read_quiet = is_near_best((r.product.is_cold ? "cold " : "warm ") + r.format +
                                                r.weights().name() + threads,
                                            probed.read);
    const bool is_peak_quiet = is_near_best(r.multiplier + " " + threads, probed.peak);
    const bool is_read_bound = !(probed.peak > 0) || probed.read * flops_per_byte < probed.peak;
    return is_read_bound ? is_read_quiet : is_peak_quiet;
}

static void count(benchmark::State &state, const limit_probe &probed, const std::string &when)
{
    state.counters["read_" + when] = probed.read;
    if (probed.peak > 0) /* a coefficient of variation of zeros is not JSON */
        state.counters["peak_" + when] = probed.peak;
}

/* measure(weights) returns the median seconds of a product.  What a neighbour disturbed is measured
 * again, a few times; the report has the last word on what was quiet. */
template <class Measure>
static void run(benchmark::State &state, const row &r, double weight_bytes, Measure measure)
{
    const packed_weights &packed = weights_of(r.format, r.weights());
    rotation weights(packed.copies, packed.bytes, r.product.is_cold);
    const gemm_product &p = r.product;
    const double flops = 2.0 * static_cast<double>(p.m * p.n) * static_cast<double>(p.k);
    for (auto _ : state) {
        const double start = clock_seconds(false);
        limit_probe before, after;
        double seconds;
        int attempts = 0;
        do {
            before = probe(r, &weights);
            seconds = measure(&weights);
            after = probe(r, &weights);
        } while (++attempts < max_attempts && !(is_quiet(r, flops / weight_bytes, before) &&
                                                is_quiet(r, flops / weight_bytes, after)));
        state.SetIterationTime(seconds);
        count(state, before, "before");
        count(state, after, "after");
        state.counters["seconds"] = seconds;
        state.counters["flops"] = flops;
        state.counters["weight_bytes"] = weight_bytes;
        state.counters["attempts"] = attempts;
        state.counters["start_seconds"] = start;
    }
}

static void add(const row &r, std::function<void(benchmark::State &)> measure)
{
    benchmark::RegisterBenchmark(r.name().c_str(),
                                 [=](benchmark::State &state) {
                                     state.SetLabel(r.label);
                                     measure(state);
                                 })
        ->Iterations(1)
        ->UseManualTime();
}

/* ------------------------------------------- mxq_matmul --------------------------------------- */

/* Grows to the largest product's. */
static void *scratch(size_t bytes)
{
    static void *memory = nullptr;
    static size_t size = 0;
    if (size < bytes) {
        memory = operand_memory(bytes);
        size = bytes;
    }
    return memory;
}

static mxq_matmul_options options_of(const mxq_matrix &y, size_t k, const mxq_parallel *parallel)
{
    mxq_matmul_options options = MXQ_MATMUL_OPTIONS;
    require(mxq_matmul_scratch_bytes(y.rows, y.cols, k, &options.scratch_bytes),
            "mxq_matmul_scratch_bytes");
    options.scratch = scratch(options.scratch_bytes);
    options.parallel = parallel;
    return options;
}

static mxq_status multiply(const mxq_matrix &y, const mxq_matrix &x, const void *w, size_t bytes,
                           const mxq_parallel *parallel)
{
    const mxq_matmul_options options = options_of(y, x.cols, parallel);
    return mxq_matmul(&y, &x, w, bytes, &options, nullptr);
}

/* Activations in INT8, a scale for each token. */
class int8_tokens {
  public:
    explicit int8_tokens(const gemm_product &p)
        : elements_(p.m * p.k),
          scales_(p.m), q_{mxq_int8_channel, p.m,    p.k,
                           elements_.data(), p.k,    reinterpret_cast<uint8_t *>(scales_.data()),
                           sizeof(float),    nullptr}
    {
        const mxq_matrix x = matrix(wide_values(MXQ_F32), MXQ_F32, p.m, p.k);
        require(mxq_quantize(&q_, &x, nullptr, nullptr), "mxq_quantize");
    }

    mxq_status multiply(const mxq_matrix &y, const void *w, size_t bytes,
                        const mxq_parallel *parallel) const
    {
        const mxq_matmul_options options = options_of(y, q_.cols, parallel);
        return mxq_matmul_quantized(&y, &q_, w, bytes, &options, nullptr);
    }

  private:
    std::vector<uint8_t> elements_;
    std::vector<float> scales_;
    mxq_quantized q_;
};

static void run_mxq(benchmark::State &state, const row &r, double seconds)
{
    const gemm_product &p = r.product;
    const size_t bytes = weights_of(r.format, r.weights()).bytes;
    const mxq_parallel pool =
        p.is_one_thread() ? mxq_parallel{} : mxq_pthreadpool(pool_of(p.threads));
    const mxq_parallel *parallel = p.is_one_thread() ? nullptr : &pool;
    const mxq_matrix x = matrix(wide_values(p.type), p.type, p.m, p.k);
    const mxq_matrix y = matrix(output(), MXQ_F32, p.m, p.n);
    require(mxq_set_isa(r.isa.c_str()), "mxq_set_isa");
    const int8_tokens tokens(p);
    run(state, r, static_cast<double>(bytes), [&](rotation *weights) {
        const auto call = [&] {
            require(r.is_w8a8() ? tokens.multiply(y, weights->next(), bytes, parallel)
                                : multiply(y, x, weights->next(), bytes, parallel),
                    "mxq_matmul");
        };
        call(); /* what ran before has left its own data in the caches */
        return median_seconds(call, seconds, p.is_one_thread());
    });
    require(mxq_set_isa(nullptr), "mxq_set_isa");
}

/* The instruction set whose code is the kernel `name` of `isa`. */
static std::string owner_of(const std::string &name, const std::string &isa)
{
    struct mxq_isa_info info;
    size_t at = 0;
    while (mxq_isa_at(at, &info) && isa != info.name)
        at++;
    for (size_t i = 0; mxq_kernel_name(i); i++)
        if (name == mxq_kernel_name(i))
            return mxq_kernel_isa(i, at);
    return isa;
}

static std::string with_underscores(std::string name)
{
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
}

/* The name of an instruction set's integer unit in limits/, or, without one, its own. */
static std::string integer_unit_of(const std::string &isa)
{
    const std::string owner = owner_of("gemm_int8", isa);
    static const std::map<std::string, std::string> units = {
        {"avx2", "avx2madd"}, {"avx512", "avx512vnni"}, {"amx", "amxint8"}};
    const auto unit = units.find(owner);
    return unit == units.end() ? isa : unit->second;
}

static void add_mxq(const selection &select, const std::string &isa, const std::string &format,
                    const gemm_product &p)
{
    const bool is_f32 = p.type == MXQ_F32;
    row r = {is_f32 ? "mxq_f32" : "mxq_bf16",
             isa,
             owner_of(is_f32 ? "gemm_f32" : "gemm_bf16", isa),
             "",
             format,
             p};
    if (r.is_w8a8()) {
        r.what = "mxq_int8";
        r.multiplier = integer_unit_of(isa);
    }
    if (format != first_format)
        r.what += "_" + with_underscores(format);
    r.label = peak_label(r.multiplier);
    const double seconds = select.seconds;
    add(r, [=](benchmark::State &state) { run_mxq(state, r, seconds); });
}

/* Speed is nothing without the contract: the same bits as the reference, or no run. */
static void check_against_scalar(const std::string &isa, mxq_type type, size_t m)
{
    const shape s = {80 + 5, 320 + 7};
    const mxq_format format = format_of(first_format);
    std::vector<unsigned char> w;
    std::vector<float> expected(m * s.n), result(m * s.n);
    size_t bytes;
    require(mxq_packed_bytes(&format, s.n, s.k, &bytes), "mxq_packed_bytes");
    w.resize(bytes);
    const mxq_matrix plain = matrix(wide_values(MXQ_F32), MXQ_F32, s.n, s.k);
    const mxq_matrix x = matrix(wide_values(type), type, m, s.k);
    require(mxq_pack_matrix(w.data(), bytes, &format, &plain, nullptr, nullptr), "mxq_pack_matrix");
    require(mxq_set_isa("scalar"), "mxq_set_isa");
    require(multiply(matrix(expected.data(), MXQ_F32, m, s.n), x, w.data(), bytes, nullptr),
            "mxq_matmul");
    require(mxq_set_isa(isa.c_str()), "mxq_set_isa");
    const mxq_parallel pool = mxq_pthreadpool(pool_of(machine_threads()));
    for (const mxq_parallel *parallel : {static_cast<const mxq_parallel *>(nullptr), &pool}) {
        std::fill(result.begin(), result.end(), NAN);
        require(multiply(matrix(result.data(), MXQ_F32, m, s.n), x, w.data(), bytes, parallel),
                "mxq_matmul");
        if (std::memcmp(result.data(), expected.data(), result.size() * sizeof(float)) != 0)
            give_up(isa + " differs from scalar in a product of " + std::to_string(m) +
                    " rows: nothing is measured");
    }
    require(mxq_set_isa(nullptr), "mxq_set_isa");
}

static void check_bits(const std::string &isa)
{
    for (const mxq_type type : {MXQ_BF16, MXQ_F32})
        for (const size_t m : std::vector<size_t>{1, 2, 3, 4, 5, 8, 16, 17, 32, 33, 65})
            check_against_scalar(isa, type, m);
}

/* -------------------------------------------- Peers ------------------------------------------- */

/* What a user of these instruction sets would pick. */
struct peer {
    const char *what;
    const char *program;
    mxq_type type;
    const char *isa;
    const char *environment;
    std::vector<std::string> compared_with;
};

static const std::vector<peer> peer_list = {
#if defined(__x86_64__)
    {"openblas_f32", "peer_openblas", MXQ_F32, "avx2", "OPENBLAS_CORETYPE=Haswell", {"avx2"}},
    {"openblas_f32",
     "peer_openblas",
     MXQ_F32,
     "avx512",
     "OPENBLAS_CORETYPE=SkylakeX",
     {"avx512", "avx512bf16", "amx"}},
    {"onednn_f32", "peer_onednn", MXQ_F32, "avx2", "ONEDNN_MAX_CPU_ISA=AVX2", {"avx2"}},
    {"onednn_f32", "peer_onednn", MXQ_F32, "avx512", "ONEDNN_MAX_CPU_ISA=AVX512_CORE", {"avx512"}},
    {"onednn_bf16",
     "peer_onednn",
     MXQ_BF16,
     "avx512bf16",
     "ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16",
     {"avx512bf16"}},
    {"onednn_bf16", "peer_onednn", MXQ_BF16, "amx", "ONEDNN_MAX_CPU_ISA=AVX512_CORE_AMX", {"amx"}},
#elif defined(__aarch64__)
    {"openblas_f32", "peer_openblas", MXQ_F32, "neon", "", {"neon", "neonbf16"}},
    {"onednn_f32", "peer_onednn", MXQ_F32, "neon", "", {"neon"}},
    {"onednn_bf16", "peer_onednn", MXQ_BF16, "neonbf16", "", {"neonbf16"}},
#endif
};

/* Threads of a peer that wait by spinning must have gone to sleep before a limit is probed. */
static constexpr useconds_t settling_microseconds = 50000;

static void run_peer(benchmark::State &state, row r, const std::shared_ptr<peer_process> &process,
                     double seconds)
{
    const gemm_product &p = r.product;
    std::string implementation;
    const double bytes = static_cast<double>(p.n * p.k * mxq_type_bytes(p.type));
    try {
        run(state, r, bytes, [&](rotation *) {
            const double median = process->measure(p, seconds, &implementation);
            if (!p.is_one_thread())
                usleep(settling_microseconds);
            return median;
        });
        state.SetLabel(r.label + " impl=" + implementation);
    } catch (const std::exception &e) {
        state.SkipWithError(e.what());
    }
}

static bool is_wanted(const peer &p, const std::vector<std::string> &isas)
{
    return std::any_of(p.compared_with.begin(), p.compared_with.end(),
                       [&](const std::string &isa) { return contains(isas, isa); });
}

static void add_peer(const selection &select, const peer &p,
                     const std::vector<gemm_product> &products)
{
    const auto process = std::make_shared<peer_process>(p.program, p.environment);
    if (!process->exists())
        return;
    std::string label = peak_label(p.isa) + " for=";
    for (const std::string &isa : p.compared_with)
        label += (&isa == &p.compared_with[0] ? "" : ",") + isa;
    const double seconds = select.seconds;
    for (gemm_product product : products) {
        product.type = p.type;
        const row r = {p.what, p.isa, p.isa, label, first_format, product};
        add(r, [=](benchmark::State &state) { run_peer(state, r, process, seconds); });
    }
}

/* ----------------------------------------- Choosing rows -------------------------------------- */

/* Of BF16 x; peers replace the type by their own. */
static std::vector<gemm_product> list_products(const selection &select)
{
    std::vector<gemm_product> products;
    for (const size_t threads : select.threads)
        for (const shape &s : select.shapes)
            for (const size_t m : select.m)
                for (const bool is_cold : {true, false})
                    if (is_cold || (m <= largest_warm_m && fits_cache(s)))
                        products.push_back({MXQ_BF16, s.n, s.k, m, is_cold, threads});
    return products;
}

/* F32 x costs a wider x, and on BF16 units the use of others: a few rows show it. */
static bool has_f32_row(const selection &select, const gemm_product &p)
{
    return !select.is_quick && p.is_cold && p.n == select.shapes[0].n &&
           p.k == select.shapes[0].k && (p.m == 1 || p.m == 32 || p.m == 512);
}

/* Available instruction sets that were asked for.  The reference is measured only by name. */
static std::vector<std::string> list_isas(const selection &select)
{
    std::vector<std::string> isas;
    std::string missing;
    struct mxq_isa_info info;
    for (size_t i = 0; mxq_isa_at(i, &info); i++) {
        const bool is_named = contains(select.isas, std::string(info.name));
        if (info.available &&
            (is_named || (select.isas.empty() && std::strcmp(info.name, "scalar"))))
            isas.emplace_back(info.name);
        else if (!info.available)
            missing += (missing.empty() ? "" : "; ") + std::string(info.name) + ": " + info.missing;
    }
    benchmark::AddCustomContext("not_available", missing.empty() ? "none" : missing);
    for (const std::string &isa : select.isas)
        if (!contains(isas, isa))
            give_up("--isa=" + isa + " is not available here" +
                    (missing.empty() ? "" : " (" + missing + ")"));
    return isas;
}

static void add_rows(const selection &select)
{
    for (const shape &s : select.shapes)
        if (!fits_memory(s))
            give_up("too little memory for weights of " + s.name() + ": choose by --shape");
    const std::vector<std::string> isas = list_isas(select);
    const std::vector<gemm_product> products = list_products(select);
    for (const std::string &isa : isas) {
        check_bits(isa);
        for (gemm_product p : products) {
            add_mxq(select, isa, first_format, p);
            for (const std::string &format : select.formats)
                add_mxq(select, isa, format, p);
            p.type = MXQ_F32;
            if (has_f32_row(select, p))
                add_mxq(select, isa, first_format, p);
        }
    }
    for (const peer &p : peer_list)
        if (select.has_peers && is_wanted(p, isas))
            add_peer(select, p, products);
}

/* -------------------------------------- The command line -------------------------------------- */

static std::vector<std::string> split(const std::string &list)
{
    std::vector<std::string> words;
    std::istringstream stream(list);
    for (std::string word; std::getline(stream, word, ',');)
        words.push_back(word);
    return words;
}

static size_t number(const std::string &text)
{
    char *end;
    const unsigned long value = std::strtoul(text.c_str(), &end, 10);
    if (!value || *end || text[0] == '-')
        give_up("'" + text + "' is not a number of 1 or more");
    return value;
}

/* "all" is for threads. */
static std::vector<size_t> numbers(const std::string &list)
{
    std::vector<size_t> values;
    for (const std::string &word : split(list))
        values.push_back(word == "all" ? machine_threads() : number(word));
    return values;
}

static std::vector<shape> shapes(const std::string &list)
{
    std::vector<shape> values;
    for (const std::string &word : split(list)) {
        const size_t x = word.find('x');
        if (x == std::string::npos)
            give_up("'" + word + "' is not a shape, such as 4096x4096");
        values.push_back({number(word.substr(0, x)), number(word.substr(x + 1))});
    }
    return values;
}

static void make_quick(selection *select)
{
    select->is_quick = true;
    select->m = {1, 8, 32, 512};
    select->shapes.resize(1);
    select->threads = {1};
}

/* Returns whether the option is one of ours. */
static bool take_option(const std::string &option, selection *select)
{
    const size_t equals = option.find('=');
    const std::string name = option.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : option.substr(equals + 1);
    if (name == "--isa")
        select->isas = split(value);
    else if (name == "--format")
        select->formats = split(value);
    else if (name == "--m")
        select->m = numbers(value);
    else if (name == "--shape")
        select->shapes = shapes(value);
    else if (name == "--threads")
        select->threads = numbers(value);
    else if (option == "--peers=no")
        select->has_peers = false;
    else
        return option == "--quick"; /* taken before, so that other options narrow it */
    return true;
}

static selection take_selection(int argc, char **argv, std::vector<char *> *others)
{
    selection select;
    if (std::any_of(argv + 1, argv + argc,
                    [](const char *o) { return !std::strcmp(o, "--quick"); }))
        make_quick(&select);
    for (int i = 1; i < argc; i++)
        if (!take_option(argv[i], &select))
            others->push_back(argv[i]);
    if (select.threads.empty())
        select.threads = machine_threads() > 1 ? std::vector<size_t>{1, machine_threads()}
                                               : std::vector<size_t>{1};
    return select;
}

/* The method is the default, so that the bare program follows it too; later options win. */
static std::vector<char *> method(char *program, bool is_quick)
{
    static char interleaving[] = "--benchmark_enable_random_interleaving=true";
    static char display[] = "--benchmark_display_aggregates_only=true";
    static char repetitions[] = "--benchmark_repetitions=11";
    static char few_repetitions[] = "--benchmark_repetitions=5";
    return {program, interleaving, display, is_quick ? few_repetitions : repetitions};
}

int main(int argc, char **argv)
{
    (void)mxq_enable_amx(); /* where there is none, list_isas() says so */
    std::vector<char *> others;
    selection select = take_selection(argc, argv, &others);
    std::vector<char *> args = method(argv[0], select.is_quick);
    args.insert(args.end(), others.begin(), others.end());
    int args_count = static_cast<int>(args.size());
    args.push_back(nullptr);
    benchmark::Initialize(&args_count, args.data());
    if (benchmark::ReportUnrecognizedArguments(args_count, args.data()))
        return 2;
    describe_machine();
    add_rows(select);
    const size_t rows = benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    std::cerr << describe_reads();
    return rows ? 0 : 1;
}
