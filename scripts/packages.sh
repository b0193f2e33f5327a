#!/bin/sh
# Installs the Debian packages that are missing.  usage: packages.sh build|test|bench
#
# One list for each purpose, so that a command installs no more than it needs.
set -eu

build="gcc libc6-dev meson ninja-build pkg-config libjansson-dev libpthreadpool-dev git"
test="$build g++ clang clang-format libclang-rt-14-dev libomp-14-dev libcmocka-dev libsimde-dev
  binutils python3 qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
bench="$build g++ libbenchmark-dev libopenblas-dev libdnnl-dev libgomp1 python3"

case "${1:-}" in
build) wanted=$build ;;
test) wanted=$test ;;
bench) wanted=$bench ;;
*)
    echo "usage: packages.sh build|test|bench" >&2
    exit 2
    ;;
esac

if ! command -v dpkg-query >/dev/null; then
    echo "packages.sh: not a Debian system; please install the equivalents of:" $wanted >&2
    exit 0
fi

missing=
for package in $wanted; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

echo "Installing:$missing"
if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null; then
    as_root=sudo
else
    echo "packages.sh: needs root or sudo to install:$missing" >&2
    exit 1
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { $as_root apt-get update &&
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "packages.sh: apt-get could not install:$missing" >&2
    exit 1
fi
