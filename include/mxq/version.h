/* SPDX-License-Identifier: Apache-2.0 */
/* version.h -- the version of mxq: its only home, read by meson.build and by C alike. */
#ifndef MXQ_VERSION_H
#define MXQ_VERSION_H

#define MXQ_VERSION_MAJOR  0
#define MXQ_VERSION_MINOR  1
#define MXQ_VERSION_PATCH  0
#define MXQ_VERSION_STRING "0.1.0"

#endif
