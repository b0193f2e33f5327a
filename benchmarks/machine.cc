/* SPDX-License-Identifier: Apache-2.0 */
/* machine.cc -- reads sysfs and procfs; what is not there is reported as "unknown". */
#include "machine.h"

#include <algorithm>
#include <benchmark/benchmark.h>
#include <fstream>
#include <string>
#include <sys/utsname.h>
#include <unistd.h>

#include "commit.h"

static constexpr size_t KiB = 1024, MiB = 1024 * KiB;

/* sysfs first: CPUID's own figure for the last level may be that of a whole package. */
static size_t cache_bytes(int level, int sysconf_name)
{
    for (const auto &cache : benchmark::CPUInfo::Get().caches)
        if (cache.level == level && cache.type != "Instruction")
            return static_cast<size_t>(cache.size);
    const long bytes = sysconf(sysconf_name);
    return bytes > 0 ? static_cast<size_t>(bytes) : 0;
}

static size_t physical_memory()
{
    return static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) *
           static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

const working_set *detect_working_sets()
{
    static working_set sets[working_sets];
    size_t l1 = cache_bytes(1, _SC_LEVEL1_DCACHE_SIZE);
    size_t l2 = cache_bytes(2, _SC_LEVEL2_CACHE_SIZE);
    const size_t l3 = cache_bytes(3, _SC_LEVEL3_CACHE_SIZE);
    if (!l1)
        l1 = 32 * KiB;
    if (!l2)
        l2 = 512 * KiB;
    size_t dram = std::clamp(4 * std::max(l2, l3), 256 * MiB, 512 * MiB);
    /* All operands of all rows together take about six times this. */
    dram = std::min(dram, physical_memory() / 16);
    sets[0] = {"L1", l1 / 2};
    sets[1] = {"L2", l2 / 2};
    sets[2] = {"LLC", std::min(l3 / 2, 32 * MiB)};
    sets[3] = {"DRAM", dram};
    return sets;
}

static std::string first_line(const char *path)
{
    std::ifstream file(path);
    std::string line;
    return std::getline(file, line) && !line.empty() ? line : "unknown";
}

/* The value of the first line of /proc/cpuinfo that starts with a key. */
static std::string cpuinfo(const std::string &key)
{
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);)
        if (line.rfind(key, 0) == 0 && line.find(": ") != std::string::npos)
            return line.substr(line.find(": ") + 2);
    return "unknown";
}

/* Virtual machines often name nothing but the vendor: the family and model say more. */
static std::string cpu_model()
{
#if defined(__x86_64__)
    return cpuinfo("model name") + " (family " + cpuinfo("cpu family") + " model " +
           cpuinfo("model\t") + ")";
#else
    return "implementer " + cpuinfo("CPU implementer") + " part " + cpuinfo("CPU part");
#endif
}

static std::string size_text(size_t bytes)
{
    return bytes % MiB ? std::to_string(bytes / KiB) + " KiB"
                       : std::to_string(bytes / MiB) + " MiB";
}

static std::string cache_text()
{
    std::string text;
    for (const auto &cache : benchmark::CPUInfo::Get().caches)
        if (cache.type != "Instruction")
            text += (text.empty() ? "L" : ", L") + std::to_string(cache.level) + " " +
                    size_text(static_cast<size_t>(cache.size)) + "/" +
                    std::to_string(cache.num_sharing) + " CPUs";
    return text.empty() ? "unknown" : text;
}

static std::string working_set_text()
{
    std::string text;
    const working_set *sets = detect_working_sets();
    for (size_t i = 0; i < working_sets; i++)
        text += (i ? ", " : "") + std::string(sets[i].name) + " " +
                (sets[i].bytes ? size_text(sets[i].bytes) : "none");
    return text;
}

void describe_machine()
{
    struct utsname kernel {};
    uname(&kernel);
    benchmark::AddCustomContext("cpu_model", cpu_model());
    benchmark::AddCustomContext("cache_sizes", cache_text());
    benchmark::AddCustomContext("working_sets", working_set_text());
    benchmark::AddCustomContext("kernel", std::string(kernel.sysname) + " " + kernel.release + " " +
                                              kernel.machine);
    benchmark::AddCustomContext(
        "governor", first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"));
    benchmark::AddCustomContext("transparent_huge_pages",
                                first_line("/sys/kernel/mm/transparent_hugepage/enabled") +
                                    ", advised for every operand");
    benchmark::AddCustomContext("compiler", MXQ_COMPILER);
    benchmark::AddCustomContext("git_commit", MXQ_COMMIT);
}
