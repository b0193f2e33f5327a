/* SPDX-License-Identifier: Apache-2.0 */
/* operands.cc -- fills the operands with repetitions of one pattern of 2^20 values: long enough
 * that no predictor learns it, short enough that making it takes no time. */
#include "operands.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <sys/mman.h>
#include <vector>

#include "machine.h"

static constexpr size_t huge_page = size_t{2} << 20;
static constexpr size_t pattern_values = size_t{1} << 20;
static constexpr size_t pattern_blocks = pattern_values / MXQ_BLOCK;

static size_t largest_working_set()
{
    return detect_working_sets()[working_sets - 1].bytes;
}

static unsigned char *map_huge(size_t bytes)
{
    void *map = mmap(nullptr, bytes + huge_page, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) {
        std::perror("mmap");
        std::exit(EXIT_FAILURE);
    }
    const auto address = reinterpret_cast<uintptr_t>(map);
    const auto aligned = (address + huge_page - 1) / huge_page * huge_page;
    auto *start = static_cast<unsigned char *>(map) + (aligned - address);
    madvise(start, bytes, MADV_HUGEPAGE); /* a refusal costs speed, for all rows alike */
    return start;
}

void *operand_memory(size_t bytes)
{
    return map_huge(bytes);
}

template <class Value> static Value *repeat(const std::vector<Value> &pattern, size_t bytes)
{
    unsigned char *start = map_huge(bytes);
    const size_t period = pattern.size() * sizeof(Value);
    for (size_t done = 0; done < bytes; done += period)
        std::memcpy(start + done, pattern.data(), std::min(period, bytes - done));
    return reinterpret_cast<Value *>(start);
}

/* Standard deviation 0.02, as in the weights of a language model. */
static const std::vector<float> &normal_values()
{
    static const std::vector<float> values = [] {
        std::mt19937 generator(1);
        std::normal_distribution<float> normal(0.0F, 0.02F);
        std::vector<float> v(pattern_values);
        for (float &value : v)
            value = normal(generator);
        return v;
    }();
    return values;
}

static uint32_t float_bits(float value)
{
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Truncated: random values need no rounding. */
static uint16_t to_bf16(float value)
{
    return static_cast<uint16_t>(float_bits(value) >> 16);
}

/* Truncated, and zero below 2^-14. */
static uint16_t to_f16(float value)
{
    const uint32_t bits = float_bits(value), sign = bits >> 16 & 0x8000U;
    const uint32_t magnitude = (bits & 0x7FFFFFFFU) >> 13; /* exponent and 10 bits of mantissa */
    const uint32_t rebias = (127 - 15) << 10;
    return static_cast<uint16_t>(magnitude > rebias ? sign | (magnitude - rebias) : sign);
}

template <class Convert> static const void *narrow_values(Convert convert)
{
    std::vector<uint16_t> v(pattern_values);
    std::transform(normal_values().begin(), normal_values().end(), v.begin(), convert);
    return repeat(v, largest_working_set());
}

const void *wide_values(mxq_type type)
{
    static const void *operands[MXQ_TYPES];
    if (!operands[type])
        operands[type] = type == MXQ_F32    ? repeat(normal_values(), largest_working_set())
                         : type == MXQ_BF16 ? narrow_values(to_bf16)
                                            : narrow_values(to_f16);
    return operands[type];
}

struct quantized_pattern {
    std::vector<uint8_t> elements = std::vector<uint8_t>(pattern_values);
    std::vector<uint8_t> scales = std::vector<uint8_t>(pattern_blocks);

    explicit quantized_pattern(mxq_element element)
    {
        const struct mxq_scale_rule rule = mxq_scale_rule(element, MXQ_SCALE_RCEIL);
        mxq_active_kernels()->quantize[element][MXQ_F32](elements.data(), scales.data(),
                                                         normal_values().data(), pattern_blocks,
                                                         &rule, mxq_ahead(MXQ_F32));
    }
};

/* A working set holds each code beside a value of at least two bytes. */
const uint8_t *element_codes(mxq_element element)
{
    static const uint8_t *operands[MXQ_ELEMENTS];
    if (!operands[element])
        operands[element] = repeat(quantized_pattern(element).elements, largest_working_set() / 2);
    return operands[element];
}

const uint8_t *scale_codes(mxq_element element)
{
    static const uint8_t *operands[MXQ_ELEMENTS];
    if (!operands[element])
        operands[element] =
            repeat(quantized_pattern(element).scales, largest_working_set() / MXQ_BLOCK);
    return operands[element];
}

const uint32_t *amax_bits()
{
    static const uint32_t *const operand = [] {
        std::vector<uint32_t> amax(pattern_blocks);
        mxq_active_kernels()->amax[MXQ_F32](amax.data(), normal_values().data(), pattern_blocks, 0);
        return repeat(amax, largest_working_set());
    }();
    return operand;
}

const float *factors()
{
    static const float *const operand =
        repeat(std::vector<float>(pattern_values / 8, 0.01F), largest_working_set() / 2);
    return operand;
}

void *output()
{
    static void *const operand =
        repeat(std::vector<uint8_t>(pattern_values), largest_working_set());
    return operand;
}

/* One scale for each 8 values, of up to 4 bytes, beside values of two bytes at least. */
uint8_t *scale_output()
{
    static uint8_t *const operand =
        repeat(std::vector<uint8_t>(pattern_values), largest_working_set() / 4);
    return operand;
}

uint8_t *element_input()
{
    static uint8_t *const operand =
        repeat(std::vector<uint8_t>(pattern_values), largest_working_set() / 2);
    return operand;
}
