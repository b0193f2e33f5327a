#!/bin/sh
# Prints the version, from its only home.
sed -n 's/#define MXQ_VERSION_STRING "\(.*\)"/\1/p' "$(dirname "$0")/../include/mxq/version.h"
