#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds and runs the benchmarks, and prints medians and ratios to the machine's limits.
set -eu

usage() {
    cat <<'USAGE'
Usage: scripts/bench.sh [options]

  --quick          fewer kernels, L2 and memory only: about a minute (all: under ten)
  --isa NAME       only the kernels of one instruction set
  --filter REGEX   only the kernels whose name matches; limits are always measured
  --out FILE       where the raw JSON goes (build-bench/bench.json)
  --readme         also write README.md's table
  --formats        the public functions for every format, from memory, and docs/performance.md's table
                   of them: some minutes
  -h, --help

Examples
  scripts/bench.sh --quick
  scripts/bench.sh --isa avx2 --filter '^quantize'
USAGE
}

fail() {
    echo "bench.sh: $*" >&2
    exit 2
}

cd "$(dirname "$0")/.."
build=build-bench
out=$build/bench.json
readme=
formats=
command=scripts/bench.sh
set_of_rows=
filter=

while [ $# -gt 0 ]; do
    case $1 in
    --quick) set_of_rows="$set_of_rows --quick" ;;
    --isa | --filter | --out)
        [ $# -ge 2 ] || fail "$1 needs a value"
        case $1 in
        --isa) set_of_rows="$set_of_rows --isa=$2" ;;
        --filter) filter=$2 ;;
        --out) out=$2 ;;
        esac
        command="$command $1"
        shift
        ;;
    --readme) readme=README.md ;;
    --formats) formats=docs/performance.md ;;
    -h | --help)
        usage
        exit
        ;;
    *) fail "unknown option $1 (--help lists them)" ;;
    esac
    command="$command $1"
    shift
done

if [ ! -f $build/build.ninja ]; then
    ./scripts/packages.sh bench
    meson setup $build --buildtype=release -Dbenchmarks=enabled -Dtests=disabled -Dtools=disabled
fi
ninja -C $build

# From memory, rows of one thread: the streams, and the public functions.
memory_rows='^limit_[0-9:]+/[a-z0-9]+/DRAM$|^mxq_.*_(f32|bf16)/[a-z0-9]+/DRAM$'
if [ -n "$formats" ]; then
    pattern=$memory_rows
else
    pattern=${filter:+"^limit_|$filter"}
fi

echo "load average before: $(cut -d' ' -f1-3 /proc/loadavg)" >&2
progress=0
[ ! -t 2 ] || progress=1
# shellcheck disable=SC2086 # the options are words
$build/benchmarks/bench_kernels $set_of_rows ${pattern:+"--benchmark_filter=$pattern"} \
    --benchmark_out="$out" --benchmark_out_format=json |
    awk -v progress=$progress '/_median/ && progress { printf "\r%d rows", ++rows > "/dev/stderr" }
        END { if (rows) print "" > "/dev/stderr" }'

python3 benchmarks/report.py "$out" --command "$command" ${readme:+--readme "$readme"} \
    ${formats:+--formats "$formats"}
echo "raw results: $out"
