/* SPDX-License-Identifier: Apache-2.0 */
/* expect_isa.c -- fails unless the library picks the named instruction set and computes with it.
 *
 * A child process for tests: MXQ_ISA is read once, and other CPU models need an emulator. */
#include <stdio.h>
#include <string.h>

#include "mxq/mxq.h"

static int quantizes(void)
{
    float x[64], y[64];
    uint8_t elements[64], scales[2];
    const struct mxq_quantized q = {mxq_mxfp8_e4m3, 1, 64, elements, 64, scales, 2};
    struct mxq_matrix matrix = {x, MXQ_F32, 1, 64, 64};
    for (int i = 0; i < 64; i++)
        x[i] = (float)(i % 16);
    if (mxq_quantize(&q, &matrix, NULL, NULL) != MXQ_OK)
        return 0;
    matrix.data = y;
    return mxq_dequantize(&matrix, &q, NULL, NULL) == MXQ_OK && !memcmp(x, y, sizeof x);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s ISA\n", argv[0]);
        return 2;
    }
    printf("active: %s, expected: %s\n", mxq_isa(), argv[1]);
    if (strcmp(mxq_isa(), argv[1]))
        return 1;
    if (!quantizes()) {
        printf("FAIL: integers up to 15 must come back unchanged\n");
        return 1;
    }
    return 0;
}
