/* SPDX-License-Identifier: Apache-2.0 */
/* profile.c -- what other producers do, as options: one line each. */
#include <string.h>

#include "matrix.h"

/* The formats that a line is about. */
enum scheme { MX, NVFP4, FP8_BLOCK, Q8_0 };

#define ALL_MX  (1u << MXQ_E4M3 | 1u << MXQ_E5M2 | 1u << MXQ_E3M2 | 1u << MXQ_E2M3 | 1u << MXQ_E2M1)
#define ONLY(e) (1u << (e))

struct profile {
    const char *name;
    enum scheme scheme;
    unsigned elements; /* a bit for each */
    enum mxq_scale_mode scale_mode;
    enum mxq_rounding rounding;
    float amax_floor;
    int reciprocal;
    int unsigned_zero;
    int positive_scale;
};

/* clang-format off */
static const struct profile profiles[] = {
    {"ocp",                MX,        ALL_MX | ONLY(MXQ_MXINT8),       MXQ_SCALE_FLOOR,   MXQ_NEAREST_EVEN, 0,     0, 0, 0},
    {"nvidia",             MX,        ALL_MX & ~ONLY(MXQ_E2M1),        MXQ_SCALE_RCEIL,   MXQ_NEAREST_EVEN, 0,     0, 0, 0},
    {"nvidia",             MX,        ONLY(MXQ_E2M1),                  MXQ_SCALE_RCEIL,   MXQ_NEAREST_ZERO, 0,     0, 0, 0},
    {"nvidia",             NVFP4,     ONLY(MXQ_E2M1),                  MXQ_SCALE_DEFAULT, MXQ_NEAREST_EVEN, 0,     0, 0, 1},
    {"torchao-floor",      MX,        ALL_MX,                          MXQ_SCALE_FLOOR,   MXQ_NEAREST_EVEN, 0,     0, 0, 0},
    {"compressed-tensors", MX,        ONLY(MXQ_E4M3) | ONLY(MXQ_E2M1), MXQ_SCALE_CT,      MXQ_NEAREST_EVEN, 0,     0, 0, 0},
    {"compressed-tensors", MX,        ONLY(MXQ_E2M3),                  MXQ_SCALE_EVEN,    MXQ_NEAREST_EVEN, 0,     0, 0, 0},
    {"ggml",               MX,        ONLY(MXQ_E2M1),                  MXQ_SCALE_FLOOR,   MXQ_NEAREST_ZERO, 0,     0, 1, 0},
    {"ggml",               Q8_0,      ONLY(MXQ_INT8),                  MXQ_SCALE_DEFAULT, MXQ_NEAREST_AWAY, 0,     1, 0, 0},
    {"deepseek",           FP8_BLOCK, ONLY(MXQ_E4M3),                  MXQ_SCALE_DEFAULT, MXQ_NEAREST_EVEN, 1e-4f, 0, 0, 0},
};
/* clang-format on */
#define PROFILES (sizeof profiles / sizeof *profiles)

static int is_scheme(const struct mxq_format *f, enum scheme scheme)
{
    switch (scheme) {
    case MX:
        return f->scale == MXQ_E8M0 && f->block_rows == 1 && f->block_cols == 32;
    case NVFP4:
        return f->scale == MXQ_E4M3_SCALE;
    case FP8_BLOCK:
        return f->scale == MXQ_F32_SCALE && f->block_cols == 128;
    case Q8_0:
        return f->scale == MXQ_F16_SCALE && f->block_rows == 1 && f->block_cols == 32;
    }
    return 0;
}

const char *mxq_profile_at(size_t index)
{
    for (size_t i = 0; i < PROFILES; i++) {
        if (i && !strcmp(profiles[i - 1].name, profiles[i].name))
            continue;
        if (index-- == 0)
            return profiles[i].name;
    }
    return NULL;
}

enum mxq_status mxq_profile_options(const char *name, const struct mxq_format *format,
                                    struct mxq_quantize_options *options, struct mxq_error *error)
{
    static const char supported[] =
        "profiles are ocp (MX formats), nvidia (MX but INT8, NVFP4), torchao-floor (MX but INT8), "
        "compressed-tensors (MXFP8 E4M3, MXFP6 E2M3, MXFP4), ggml (MXFP4; INT8 with F16 scales on "
        "1x32), deepseek (E4M3 with F32 scales on 128x128 or 1x128)";
    if (!name || !format || !options)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "name, format and options must not be null");
    if (options->struct_bytes != sizeof *options)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "options.struct_bytes must be their sizeof");
    if (!mxq_format_is_supported(format))
        return mxq_fail(error, MXQ_ERR_FORMAT, mxq_supported_formats);
    for (size_t i = 0; i < PROFILES; i++) {
        const struct profile *p = &profiles[i];
        if (strcmp(p->name, name) != 0 || !is_scheme(format, p->scheme) ||
            !(p->elements >> format->element & 1))
            continue;
        options->scale_mode = p->scale_mode;
        options->rounding = p->rounding;
        options->overflow = MXQ_OVERFLOW_SATURATE;
        options->amax_floor = p->amax_floor;
        options->reciprocal = p->reciprocal;
        options->unsigned_zero = p->unsigned_zero;
        options->positive_scale = p->positive_scale;
        return MXQ_OK;
    }
    return mxq_fail(error, MXQ_ERR_FORMAT, supported);
}
