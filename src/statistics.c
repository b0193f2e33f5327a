/* SPDX-License-Identifier: Apache-2.0 */
/* statistics.c -- what follows from the sums of a quantization. */
#include <math.h>

#include "mxq/mxq.h"

double mxq_sqnr(const struct mxq_statistics *s)
{
    return s->sum_ee == 0 ? (double)INFINITY : 10 * log10(s->sum_xx / s->sum_ee);
}

double mxq_cosine(const struct mxq_statistics *s)
{
    const double norms = sqrt(s->sum_xx) * sqrt(s->sum_yy);
    if (norms > 0) /* 2 x y = x^2 + y^2 - (x - y)^2 */
        return (s->sum_xx + s->sum_yy - s->sum_ee) / 2 / norms;
    return s->sum_xx == 0 && s->sum_yy == 0 ? 1 : 0;
}

void mxq_statistics_add(struct mxq_statistics *sum, const struct mxq_statistics *more)
{
    sum->values += more->values;
    sum->saturated += more->saturated;
    sum->flushed += more->flushed;
    sum->nonfinite += more->nonfinite;
    sum->sum_xx += more->sum_xx;
    sum->sum_yy += more->sum_yy;
    sum->sum_ee += more->sum_ee;
    sum->max_error = fmax(sum->max_error, more->max_error);
    sum->amax = fmax(sum->amax, more->amax);
}
