/* SPDX-License-Identifier: Apache-2.0 */
/* header_test.c -- MXQ_HEADER compiles alone, twice, as strict C99 and C11. */
#include MXQ_HEADER
#include MXQ_HEADER

int main(void)
{
    return MXQ_VERSION_MAJOR < 0;
}
