/* SPDX-License-Identifier: Apache-2.0 */
/* column.h -- for the tables: whose code a row runs, family by family.
 *
 * A table defines COLUMN, and kernels of all families are that column's.  Where one family is another column's,
 * the table defines COLUMN_<family>, and does it before it includes this. */
#ifndef MXQ_COLUMN_H
#define MXQ_COLUMN_H

#ifndef COLUMN_amax
#define COLUMN_amax COLUMN
#endif
#ifndef COLUMN_amax_8
#define COLUMN_amax_8 COLUMN
#endif
#ifndef COLUMN_amax_16
#define COLUMN_amax_16 COLUMN
#endif
#ifndef COLUMN_amax_all
#define COLUMN_amax_all COLUMN
#endif
#ifndef COLUMN_scale
#define COLUMN_scale COLUMN
#endif
#ifndef COLUMN_pack
#define COLUMN_pack COLUMN
#endif
#ifndef COLUMN_unpack
#define COLUMN_unpack COLUMN
#endif
#ifndef COLUMN_quantize
#define COLUMN_quantize COLUMN
#endif
#ifndef COLUMN_columns
#define COLUMN_columns COLUMN
#endif
#ifndef COLUMN_mse
#define COLUMN_mse COLUMN
#endif
#ifndef COLUMN_encode
#define COLUMN_encode COLUMN
#endif
#ifndef COLUMN_quotient
#define COLUMN_quotient COLUMN
#endif
#ifndef COLUMN_pack_by
#define COLUMN_pack_by COLUMN
#endif
#ifndef COLUMN_unpack_by
#define COLUMN_unpack_by COLUMN
#endif
#ifndef COLUMN_scale_by
#define COLUMN_scale_by COLUMN
#endif
#ifndef COLUMN_measure
#define COLUMN_measure COLUMN
#endif

#endif
