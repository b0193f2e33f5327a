#!/bin/sh
# The whole test suite: installs what is missing, builds and tests with gcc, with clang, under sanitizers,
# and as AArch64 code under qemu.  May be run again and again.
#
# The last line is `N passed, N failed, N skipped`, counted from what ran.
set -eu
cd "$(dirname "$0")/.."

./scripts/packages.sh test

failures=0
logs=

# configure DIR ARGUMENTS...: sets a build directory up, once.
configure() {
    directory=$1
    shift
    [ -f "$directory/build.ninja" ] || meson setup "$directory" -Dwerror=true "$@"
}

# suite TITLE DIR ARGUMENTS...: builds and tests one configuration; of its tests, those of $only.
only=
suite() {
    title=$1 directory=$2
    shift 2
    printf '\n== %s\n' "$title"
    if configure "$directory" "$@" >"$directory.log" 2>&1 && ninja -C "$directory" >>"$directory.log" 2>&1; then
        rm -f "$directory.log"
        rm -f "$directory"/meson-logs/testlog*.json
        # shellcheck disable=SC2086 # names of tests are words
        meson test -C "$directory" --print-errorlogs $only || failures=1
        logs="$logs $directory/meson-logs"
    else
        tail -n 40 "$directory.log"
        echo "FAILED to build: $title"
        failures=1
        logs="$logs build-failed"
    fi
}

printf '== Format\n'
if git ls-files '*.c' '*.h' '*.cc' 2>/dev/null | xargs -r clang-format --dry-run -Werror; then
    echo "clang-format: clean"
else
    failures=1
    logs="$logs format-failed"
fi

suite "gcc, release" build-gcc
CC=clang CXX=clang++ suite "clang, release" build-clang -Dbenchmarks=disabled -Demulated=disabled
suite "gcc, AddressSanitizer and UndefinedBehaviorSanitizer" build-sanitize \
    -Dbenchmarks=disabled -Demulated=disabled -Db_sanitize=address,undefined -Db_lundef=false \
    -Dbuildtype=debugoptimized
only="matmul fpenv api dispatch" suite "gcc, ThreadSanitizer: what threads share" build-thread \
    -Dbenchmarks=disabled -Dtools=disabled -Demulated=disabled -Dexamples=disabled \
    -Db_sanitize=thread -Db_lundef=false -Dbuildtype=debugoptimized
suite "AArch64 under qemu" build-aarch64 --cross-file cross/aarch64-linux-gnu.ini \
    -Dbenchmarks=disabled -Dtools=disabled

printf '\n'
python3 scripts/count_tests.py $logs || failures=1
exit $failures
