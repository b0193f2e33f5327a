/* SPDX-License-Identifier: Apache-2.0 */
/* test_fpenv.c -- the caller's floating-point environment: neither used nor changed.
 *
 * Hosts flush subnormals or round otherwise, per thread.  Under every such setting the public
 * functions must give the bytes they give without it, and leave the register as it was: on the
 * calling thread and on those of parallel_for. */
#include <stdlib.h>
#include <string.h>

#include "fpcontrol.h"
#include "oracle_matrix.h"
#include "product.h"
#include "tally.h"
#include "workers.h"

#define ROWS 37
#define COLS 2085 /* a partial block, and several tasks */
#define SIZE ((size_t)ROWS * COLS)

struct setting {
    const char *name;
    uint64_t bits;
};

/* clang-format off */
#if defined(__x86_64__)
#define BASE UINT64_C(0x1F80) /* every exception masked */
static const struct setting settings[] = {
    {"FTZ", BASE | 0x8000},
    {"DAZ", BASE | 0x0040},
    {"FTZ DAZ", BASE | 0x8040},
    {"down", BASE | 0x2000},
    {"up", BASE | 0x4000},
    {"to zero", BASE | 0x6000},
    {"FTZ DAZ to zero", BASE | 0xE040},
    {"every exception unmasked", 0},
    {"every exception unmasked, DAZ, up", 0x4040},
    {"exceptions seen before", BASE | 0x3F},
};
#elif defined(__aarch64__)
static const struct setting settings[] = {
    {"FZ", UINT64_C(1) << 24},
    {"FZ16", UINT64_C(1) << 19},
    {"DN", UINT64_C(1) << 25},
    {"up", UINT64_C(1) << 22},
    {"down", UINT64_C(2) << 22},
    {"to zero", UINT64_C(3) << 22},
    {"FZ DN to zero", UINT64_C(11) << 22},
};
#endif
/* clang-format on */

static uint8_t elements[SIZE], expected_elements[SIZE];
static uint8_t scales[ROWS * (COLS / 32 + 1)], expected_scales[sizeof scales];
static unsigned char x[SIZE * 4], y[SIZE * 4], expected_y[SIZE * 4];

static struct tally tally = {"floating-point environment", 0, 0};
static const struct setting *active;

/* Values of every magnitude: subnormals in, subnormals out, ties. */
static void fill(enum mxq_type type)
{
    struct random r = {42};
    for (size_t i = 0; i < SIZE; i++) {
        uint32_t bits = random_u32(&r);
        if (i / COLS % 4 == 0)
            bits &= 0x80FFFFFF; /* F32 subnormals and the first normals */
        if (i / COLS % 4 == 1)
            bits &= 0xFFF00000; /* few mantissa bits: ties */
        const uint16_t half = (uint16_t)(i / COLS % 4 == 0 ? bits & 0x83FF : bits >> 16);
        if (type == MXQ_F32)
            memcpy(x + 4 * i, &bits, 4);
        else
            memcpy(x + 2 * i, &half, 2);
    }
}

static void check(int ok, const char *what)
{
    tally.cases++;
    if (!ok)
        tally_fail(&tally, "%s under %s, isa %s", what, active ? active->name : "default",
                   mxq_isa());
}

/* Runs in each worker: the host's setting, and whether it is still there at the end. */
static void worker_begin(void *user)
{
    (void)user;
    fpcontrol_set(active->bits);
}

static void worker_end(void *user)
{
    int *changed = user;
    if (fpcontrol_get() != active->bits)
        *changed = 1; /* the only value ever written: a race of equals */
}

static void quantize(const struct mxq_quantized *q, const struct mxq_matrix *wide,
                     const struct mxq_parallel *parallel, enum mxq_scale_mode mode)
{
    struct mxq_quantize_options options = MXQ_QUANTIZE_OPTIONS;
    options.scale_mode = mode;
    options.parallel = parallel;
    check(mxq_quantize(q, wide, &options, NULL) == MXQ_OK, "mxq_quantize fails");
}

static void run_setting(const struct setting *s, const struct mxq_quantized *q,
                        struct mxq_matrix *wide, enum mxq_scale_mode mode)
{
    static int changed;
    struct workers workers = {1, 7, 0, NULL, NULL, NULL};
    struct mxq_parallel parallel = workers_parallel(&workers);
    const uint64_t saved = fpcontrol_get();
    active = s;
    for (unsigned threads = 1; threads <= 3; threads += 2) {
        workers.threads = threads;
        if (threads > 1) {
            workers.begin = worker_begin;
            workers.end = worker_end;
            workers.user = &changed;
        }
        memset(elements, 0xAA, sizeof elements);
        memset(scales, 0xAA, sizeof scales);
        memset(y, 0xAA, sizeof y);
        changed = 0;
        fpcontrol_set(s->bits);
        wide->data = x;
        quantize(q, wide, threads > 1 ? &parallel : NULL, mode);
        wide->data = y;
        const int ok = mxq_dequantize(wide, q, threads > 1 ? &parallel : NULL, NULL) == MXQ_OK;
        const uint64_t after = fpcontrol_get();
        fpcontrol_set(saved);
        check(ok, "mxq_dequantize fails");
        check(after == s->bits, FPCONTROL_NAME " of the caller is changed");
        check(!changed, FPCONTROL_NAME " of a worker is changed");
        check(threads == 1 || workers.tasks > 1, "there is only one task");
        check(!memcmp(elements, expected_elements, sizeof elements), "elements differ");
        check(!memcmp(scales, expected_scales, sizeof scales), "scales differ");
        check(!memcmp(y, expected_y, SIZE * mxq_type_bytes(wide->type)), "values differ");
    }
}

/* The bytes that the contract demands, by the oracle: needs the default environment. */
static void expect(enum mxq_element element, enum mxq_type type, enum mxq_scale_mode mode)
{
    const size_t blocks = COLS / 32 + 1;
    for (size_t row = 0; row < ROWS; row++)
        for (size_t b = 0; b < blocks; b++) {
            const size_t begin = row * COLS + b * 32, left = COLS - b * 32;
            const size_t values = left < 32 ? left : 32;
            uint8_t *scale = expected_scales + row * blocks + b;
            oracle_quantize(element, mode, type, x + begin * mxq_type_bytes(type), values,
                            expected_elements + begin, scale);
            for (size_t i = begin; i < begin + values; i++)
                oracle_store(type, expected_y, i,
                             oracle_unpack(element, type, expected_elements[i], *scale));
        }
}

static void run(enum mxq_element element, enum mxq_type type, enum mxq_scale_mode mode)
{
    const struct mxq_quantized q = {
        {element, MXQ_E8M0, 1, 32}, ROWS, COLS, elements, COLS, scales, COLS / 32 + 1};
    struct mxq_matrix wide = {x, type, ROWS, COLS, COLS};
    fill(type);
    active = NULL;
    quantize(&q, &wide, NULL, mode);
    wide.data = y;
    check(mxq_dequantize(&wide, &q, NULL, NULL) == MXQ_OK, "mxq_dequantize fails");
    expect(element, type, mode);
    check(!memcmp(elements, expected_elements, sizeof elements),
          "elements differ from the oracle's");
    check(!memcmp(scales, expected_scales, sizeof scales), "scales differ from the oracle's");
    check(!memcmp(y, expected_y, SIZE * mxq_type_bytes(type)), "values differ from the oracle's");
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        run_setting(&settings[i], &q, &wide, mode);
}

/* ----------------------------------------- Other formats --------------------------------------- */

/* Codes of fewer bits, and scales that are divided by, rounded at random and measured: the bytes of the oracle
 * under every setting, on this thread. */
static void run_format(const struct mxq_format *format, enum mxq_type type,
                       enum mxq_rounding rounding)
{
    const size_t rows = 5, cols = 300;
    float tensor = 0, expected_tensor = 0;
    struct mxq_statistics statistics = {0}, expected_statistics = {0};
    struct mxq_quantize_options options = MXQ_QUANTIZE_OPTIONS;
    struct mxq_quantized q = {*format, rows,
                              cols,    expected_elements,
                              cols,    expected_scales,
                              80,      format->scale == MXQ_E4M3_SCALE ? &expected_tensor : NULL};
    struct mxq_matrix wide = {x, type, rows, cols, cols};
    fill(type);
    options.nonfinite = MXQ_NONFINITE_CLAMP;
    options.rounding = rounding;
    options.statistics = &expected_statistics;
    memset(expected_elements, 0xAA, sizeof expected_elements);
    memset(expected_scales, 0xAA, sizeof expected_scales);
    oracle_quantize_matrix(&q, &wide, &options);
    wide.data = expected_y;
    oracle_dequantize_matrix(&wide, &q);
    q.elements = elements;
    q.scales = scales;
    q.tensor_scale = q.tensor_scale ? &tensor : NULL;
    options.statistics = &statistics;
    const uint64_t saved = fpcontrol_get();
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        active = &settings[i];
        memset(elements, 0xAA, sizeof elements);
        memset(scales, 0xAA, sizeof scales);
        wide.data = x;
        fpcontrol_set(active->bits);
        int ok = mxq_quantize(&q, &wide, &options, NULL) == MXQ_OK;
        wide.data = y;
        ok &= mxq_dequantize(&wide, &q, NULL, NULL) == MXQ_OK;
        const uint64_t after = fpcontrol_get();
        fpcontrol_set(saved);
        check(ok, "a format fails");
        check(after == active->bits, FPCONTROL_NAME " of the caller is changed by a format");
        check(!memcmp(elements, expected_elements, sizeof elements), "elements of a format differ");
        check(!memcmp(scales, expected_scales, sizeof scales), "scales of a format differ");
        check(!memcmp(&tensor, &expected_tensor, sizeof tensor), "the tensor's scale differs");
        check(!memcmp(&statistics, &expected_statistics, sizeof statistics), "statistics differ");
        check(!memcmp(y, expected_y, rows * cols * mxq_type_bytes(type)),
              "values of a format differ");
    }
}

static void run_formats(void)
{
    static const struct mxq_format formats[] = {
        {MXQ_E2M3, MXQ_E8M0, 1, 32},      {MXQ_E2M1, MXQ_E8M0, 1, 32},
        {MXQ_E3M2, MXQ_E8M0, 128, 128},   {MXQ_MXINT8, MXQ_E8M0, 1, 128},
        {MXQ_E4M3, MXQ_F32_SCALE, 0, 0},  {MXQ_INT8, MXQ_F32_SCALE, 1, 0},
        {MXQ_INT8, MXQ_F16_SCALE, 1, 32}, {MXQ_E5M2, MXQ_BF16_SCALE, 1, 8},
        {MXQ_E2M1, MXQ_E4M3_SCALE, 1, 16}};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        for (int type = 0; type < MXQ_TYPES; type++)
            for (int rounding = MXQ_NEAREST_EVEN; rounding <= MXQ_STOCHASTIC; rounding += 4)
                run_format(&formats[i], (enum mxq_type)type, (enum mxq_rounding)rounding);
}

/* ------------------------------------------- Products ----------------------------------------- */

/* Quantizes and packs the values x under a setting: the same bytes as without. */
static void run_packing(const struct setting *s, const struct mxq_matrix *wide)
{
    static uint8_t packed[2][128 + (ROWS / 16 + 1) * (COLS / 32 + 1) * 544];
    const struct mxq_format format = {MXQ_E4M3, MXQ_E8M0, 1, 32};
    const uint64_t saved = fpcontrol_get();
    int failed = 0;
    for (int i = 0; i < 2; i++) {
        fpcontrol_set(i ? s->bits : saved);
        failed |= mxq_pack_matrix(packed[i], sizeof packed[i], &format, wide, NULL, NULL) != MXQ_OK;
    }
    const uint64_t after = fpcontrol_get();
    fpcontrol_set(saved);
    check(!failed, "mxq_pack_matrix fails");
    check(after == s->bits, FPCONTROL_NAME " of the caller is changed by packing");
    check(!memcmp(packed[0], packed[1], sizeof packed[0]), "packed weights differ");
}

/* Multiplies under a setting, on this thread and on others. */
static void run_product(const struct setting *s, const struct product *p,
                        struct product_memory *memory)
{
    static int changed;
    struct workers workers = {3, 11, 0, worker_begin, worker_end, &changed};
    const struct mxq_parallel parallel = workers_parallel(&workers);
    const uint64_t saved = fpcontrol_get();
    active = s;
    changed = 0;
    for (int threads = 1; threads <= 3; threads += 2) {
        fpcontrol_set(s->bits);
        const char *message = product_run(p, memory, threads > 1 ? &parallel : NULL, p->plan.seed);
        const uint64_t after = fpcontrol_get();
        fpcontrol_set(saved);
        tally.cases++;
        if (*message)
            tally_fail(&tally, "%s under %s, isa %s\n    %s", message, s->name, mxq_isa(),
                       product_text(&p->plan));
        check(after == s->bits, FPCONTROL_NAME " of the caller is changed by mxq_matmul");
        check(!changed, FPCONTROL_NAME " of a worker is changed by mxq_matmul");
    }
}

/* Products of few rows and of many, of every kind of x, with sums and results that are subnormal. */
static void run_products(void)
{
    struct random r = {13};
    struct product_memory memory = {.guards[0].map = NULL};
    for (int i = 0; i < 4 * PRODUCT_XS; i++) {
        struct product_plan plan = product_plan(&r);
        struct product p;
        plan.m = i % 2 ? 40 : 3;
        plan.n = 70;
        plan.k = 100;
        plan.x = i % PRODUCT_XS;
        plan.x_compute = plan.x < PRODUCT_X_QUANTIZED ? plan.x_compute : MXQ_X_AS_IS;
        plan.values = i % 4 ? PRODUCT_UNDERFLOW : PRODUCT_WIDE;
        active = NULL;
        product_make(&p, &plan);
        for (size_t s = 0; s < sizeof settings / sizeof *settings; s++)
            run_product(&settings[s], &p, &memory);
        product_free(&p);
    }
    product_memory_free(&memory);
    for (int type = 0; type < MXQ_TYPES; type++)
        for (size_t s = 0; s < sizeof settings / sizeof *settings; s++) {
            const struct mxq_matrix wide = {x, (enum mxq_type)type, ROWS, COLS, COLS};
            fill((enum mxq_type)type);
            active = &settings[s];
            run_packing(&settings[s], &wide);
        }
}

int main(void)
{
    struct mxq_isa_info info;
    for (size_t isa = 0; mxq_isa_at(isa, &info); isa++) {
        if (!info.available) {
            printf("%s: skipped: no %s here\n", info.name, info.missing);
            continue;
        }
        if (mxq_set_isa(info.name) != MXQ_OK)
            tally_fail(&tally, "mxq_set_isa(\"%s\")", info.name);
        for (int e = MXQ_E4M3; e <= MXQ_E5M2; e++)
            for (int type = 0; type < MXQ_TYPES; type++)
                for (int mode = 0; mode < MXQ_SCALE_MODES; mode += 3)
                    run((enum mxq_element)e, (enum mxq_type)type, (enum mxq_scale_mode)mode);
        run_formats();
        run_products();
    }
    return tally_end(&tally);
}
