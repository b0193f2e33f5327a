/* SPDX-License-Identifier: Apache-2.0 */
/* test_percentile.c -- mxq_percentile() against sorting. */
#include <fenv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fill.h"
#include "oracle.h"
#include "tally.h"
#include "workers.h"

#define MOST 300000

static int failed;
static unsigned char x[MOST * 4 + 128];
static float sorted[MOST];

static int compare(const void *a, const void *b)
{
    const float left = *(const float *)a, right = *(const float *)b;
    return (left > right) - (left < right);
}

/* Sorts the finite magnitudes of a matrix; returns how many there are. */
static size_t sort(const struct mxq_matrix *m)
{
    size_t count = 0;
    for (size_t row = 0; row < m->rows; row++)
        for (size_t col = 0; col < m->cols; col++) {
            const uint32_t bits = oracle_load(m->type, m->data, row * m->stride + col);
            const uint32_t magnitude = oracle_magnitude(m->type, bits);
            if (magnitude < 0x7F800000)
                memcpy(&sorted[count++], &magnitude, sizeof magnitude);
        }
    qsort(sorted, count, sizeof *sorted, compare);
    return count;
}

/* Percents in steps of 1 / 16: their ranks are exact in integers. */
static size_t rank_of(unsigned sixteenths, size_t count)
{
    return (size_t)((sixteenths * (uint64_t)count + 1599) / 1600);
}

static void test_random(const struct mxq_parallel *parallel)
{
    static const unsigned percents[] = {1, 8, 16, 160, 800, 801, 1440, 1584, 1598, 1599, 1600};
    struct tally t = {"percentiles of random matrices", 0, 0};
    struct random r = {random_hash("percentile")};
    for (int i = 0; i < 150; i++) {
        struct mxq_matrix m = {x, (enum mxq_type)random_below(&r, MXQ_TYPES), 0, 0, 0};
        const enum fill fill = (enum fill)random_below(&r, FILLS);
        m.rows = 1 + random_below(&r, i % 3 ? 9 : 700);
        m.cols = i == 77 ? MOST / m.rows : 1 + random_below(&r, 400);
        m.stride = m.cols + random_below(&r, 3) * (i != 77);
        for (size_t at = 0; at < m.rows * m.stride; at += 32) {
            const struct fill_target target = {m.type, MXQ_E4M3, 127, at / 32};
            fill_block(&r, fill, &target, x + at * mxq_type_bytes(m.type));
        }
        const size_t count = sort(&m);
        for (size_t p = 0; p < sizeof percents / sizeof *percents; p++, t.cases++) {
            float found = -1;
            const enum mxq_status status = mxq_percentile(
                &m, percents[p] / 16.0, &found, random_below(&r, 2) ? parallel : NULL, NULL);
            if (count == 0) {
                if (status != MXQ_ERR_NONFINITE || found != -1)
                    tally_fail(&t, "nothing is finite: status %d", (int)status);
            } else if (status || found != sorted[rank_of(percents[p], count) - 1]) {
                tally_fail(&t, "%zu x %zu of type %d, %s, %u/16 percent: status %d, %a", m.rows,
                           m.cols, (int)m.type, fill_name(fill), percents[p], (int)status,
                           (double)found);
            }
        }
    }
    failed |= tally_end(&t);
}

/* Where percent / 100 * count is, or just is not, an integer, and in another rounding mode. */
static void test_ranks(void)
{
    static const struct {
        double percent;
        size_t count, rank;
    } cases[] = {
        {99.9, 1000, 1000}, /* the double is above 99.9 */
        {99.5, 1000, 995},    {50, 3, 2},        {50, 4, 2},
        {1e-300, 1000, 1},    {100, 1000, 1000}, {0.1, 1000, 2}, /* the double is above 0.1 */
        {0.7, 1000, 7},                                          /* and this one below 0.7 */
        {99.99, 10000, 9999},
    };
    struct tally t = {"ranks", 0, 0};
    for (size_t i = 0; i < 1000 * 10; i++) {
        const float value = (float)(i + 1);
        memcpy(x + 4 * i, &value, 4);
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int mode = 0; mode < 2; mode++, t.cases++) {
            const struct mxq_matrix m = {x, MXQ_F32, 1, cases[i].count, cases[i].count};
            float found = 0;
            fesetround(mode ? FE_UPWARD : FE_TONEAREST);
            const enum mxq_status status = mxq_percentile(&m, cases[i].percent, &found, NULL, NULL);
            fesetround(FE_TONEAREST);
            if (status || found != (float)cases[i].rank)
                tally_fail(&t, "%.17g percent of %zu: %g, not %zu", cases[i].percent,
                           cases[i].count, (double)found, cases[i].rank);
        }
    failed |= tally_end(&t);
}

static void test_errors(void)
{
    struct tally t = {"errors", 0, 0};
    struct mxq_matrix m = {x, MXQ_F32, 2, 3, 3};
    const struct mxq_parallel broken = {NULL, NULL};
    static const double percents[] = {0, -1, 100.0000001, 1000, INFINITY, NAN};
    float found;
    struct mxq_error error;
    for (size_t i = 0; i < sizeof percents / sizeof *percents; i++, t.cases++)
        if (mxq_percentile(&m, percents[i], &found, NULL, &error) != MXQ_ERR_ARGUMENT ||
            !strstr(error.what, "percent must be"))
            tally_fail(&t, "%g percent", percents[i]);
    if (mxq_percentile(NULL, 50, &found, NULL, NULL) != MXQ_ERR_ARGUMENT ||
        mxq_percentile(&m, 50, NULL, NULL, NULL) != MXQ_ERR_ARGUMENT ||
        mxq_percentile(&m, 50, &found, &broken, NULL) != MXQ_ERR_ARGUMENT)
        tally_fail(&t, "null pointers");
    m.stride = 2;
    if (mxq_percentile(&m, 50, &found, NULL, NULL) != MXQ_ERR_SHAPE)
        tally_fail(&t, "a short stride");
    m.rows = 0;
    if (mxq_percentile(&m, 50, &found, NULL, NULL) != MXQ_ERR_SHAPE)
        tally_fail(&t, "an empty matrix");
    t.cases += 5;
    failed |= tally_end(&t);
}

int main(void)
{
    struct workers workers = {3, 1, 0, NULL, NULL, NULL};
    const struct mxq_parallel parallel = workers_parallel(&workers);
    test_random(&parallel);
    test_ranks();
    test_errors();
    return failed;
}
