/* SPDX-License-Identifier: Apache-2.0 */
/* gemm_limits.cc -- probes are short, so that a probe before and one after a measurement say what
 * the machine allowed in between; neighbours on a shared host come and go within milliseconds. */
#include "gemm_limits.h"

#include <algorithm>
#include <iomanip>
#include <iterator>
#include <map>
#include <sstream>

#include "threads.h"
#include "timing.h"

static constexpr double probe_seconds = 0.002;
static constexpr size_t max_threads = 1024;

const limit_peak *peak_of(const std::string &isa)
{
    static const limit_peak *const all[] = {
#if defined(__x86_64__)
        &limit_peak_amxint8,
        &limit_peak_amx,
        &limit_peak_avx512bf16,
        &limit_peak_avx512vnni,
        &limit_peak_avx512,
        &limit_peak_avx2madd,
        &limit_peak_avx2,
#elif defined(__aarch64__)
        &limit_peak_neonbf16,
        &limit_peak_neon,
#endif
        nullptr
    };
    for (const limit_peak *peak : all)
        if (peak && peak->isa == isa)
            return peak;
    return nullptr;
}

static const limits &widest_streams()
{
    struct mxq_isa_info info;
    for (size_t i = 0; mxq_isa_at(i, &info); i++) {
#if defined(__x86_64__)
        if (info.available && std::string(info.name) == limits_avx512.isa)
            return limits_avx512;
        if (info.available && std::string(info.name) == limits_avx2.isa)
            return limits_avx2;
#elif defined(__aarch64__)
        if (info.available && std::string(info.name) == limits_neon.isa)
            return limits_neon;
#endif
    }
    return limits_scalar;
}

static void read_all(limit_read_fn *read, const void *from, size_t bytes, size_t threads)
{
    alignas(64) static unsigned char sink[max_threads][64];
    constexpr size_t unit = 1024; /* a stream wants whole units */
    run_parts(threads, [=](size_t part) {
        const size_t first = bytes / unit * part / threads,
                     end = bytes / unit * (part + 1) / threads;
        read(sink[part % max_threads], static_cast<const unsigned char *>(from) + first * unit,
             (end - first) * unit);
    });
}

static double read_rate(limit_read_fn *read, rotation *weights, size_t copy_bytes, size_t threads)
{
    const auto call = [&] { read_all(read, weights->next(), copy_bytes, threads); };
    return static_cast<double>(copy_bytes) / median_seconds(call, probe_seconds, threads == 1);
}

/* Ways to read, by where the bytes are. */
struct read_trial {
    double rates[LIMIT_READ_WAYS];
    size_t best;
};

static std::map<std::string, read_trial> read_trials;

/* The best of some rounds: a neighbour makes a way slower, never faster. */
static read_trial try_reads(rotation *weights, size_t copy_bytes, size_t threads)
{
    read_trial trial{};
    for (int round = 0; round < 11; round++)
        for (size_t way = 0; way < LIMIT_READ_WAYS; way++)
            trial.rates[way] = std::max(trial.rates[way], read_rate(widest_streams().read[way],
                                                                    weights, copy_bytes, threads));
    trial.best = static_cast<size_t>(
        std::max_element(std::begin(trial.rates), std::end(trial.rates)) - std::begin(trial.rates));
    return trial;
}

double probe_read(rotation *weights, size_t copy_bytes, bool is_cold, size_t threads)
{
    const std::string where = std::string(is_cold ? "cold" : "warm") + " x" +
                              std::to_string(threads) + ", " + std::to_string(copy_bytes >> 20) +
                              " MiB";
    auto trial = read_trials.find(where);
    if (trial == read_trials.end())
        trial = read_trials.emplace(where, try_reads(weights, copy_bytes, threads)).first;
    return read_rate(widest_streams().read[trial->second.best], weights, copy_bytes, threads);
}

static void run_peak(const limit_peak &peak, size_t steps, size_t threads)
{
    run_parts(threads, [&peak, steps](size_t) { peak.run(steps); });
}

double probe_peak(const limit_peak &peak, size_t threads)
{
    static std::map<const limit_peak *, size_t> steps_of; /* in about a fifth of a probe */
    size_t &steps = steps_of[&peak];
    if (!steps)
        for (steps = 16; steps < size_t{1} << 20; steps *= 2)
            if (median_seconds([&] { peak.run(steps); }, probe_seconds / 10, true) >
                probe_seconds / 5)
                break;
    const double seconds =
        median_seconds([&] { run_peak(peak, steps, threads); }, probe_seconds, threads == 1);
    return peak.step_flops * static_cast<double>(steps * threads) / seconds;
}

std::string describe_reads()
{
    static const char *const ways[] = {"one stream", "prefetched", "four streams"};
    std::ostringstream text;
    text << std::fixed << std::setprecision(1);
    for (const auto &trial : read_trials) {
        text << "reading, GB/s: " << trial.first << ":";
        for (size_t way = 0; way < LIMIT_READ_WAYS; way++)
            text << (way ? ", " : " ") << ways[way] << " " << trial.second.rates[way] / 1e9;
        text << "\n";
    }
    return text.str();
}
