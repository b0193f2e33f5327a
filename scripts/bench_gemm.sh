#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds and runs the GEMM benchmark beside OpenBLAS and oneDNN, and prints its tables.
set -eu

usage() {
    cat <<'USAGE'
Usage: scripts/bench_gemm.sh [options]

  --quick             M = 1, 8, 32, 512 of 4096x4096, one thread: about a minute
  --isa LIST          only these instruction sets, such as avx512,avx2, and their peers
  --format LIST       also weights in these formats, such as mxfp4,int8-channel
  --m LIST            rows of x: 1,4,8,16,32,128,512
  --shape LIST        N x K of the weights: 4096x4096,11008x4096,4096x11008
  --threads LIST      1,all
  --no-peers          mxq alone
  --repetitions N     how often each product is measured (11; with --quick 5)
  --out FILE          where the raw JSON goes (build-bench/gemm.json)
  --readme            also write the tables of docs/performance.md
  -h, --help

All rows take about a quarter of an hour and, with peers, 6 GiB of memory.

Examples
  scripts/bench_gemm.sh --quick
  scripts/bench_gemm.sh --isa avx2 --m 1,512 --shape 4096x4096 --threads 1
USAGE
}

fail() {
    echo "bench_gemm.sh: $*" >&2
    exit 2
}

cd "$(dirname "$0")/.."
build=${MXQ_BENCH_BUILD:-build-bench}
out=$build/gemm.json
document=
command=scripts/bench_gemm.sh
options=

while [ $# -gt 0 ]; do
    command="$command $1"
    case $1 in
    --quick) options="$options --quick" ;;
    --no-peers) options="$options --peers=no" ;;
    --isa | --format | --m | --shape | --threads | --repetitions | --out)
        [ $# -ge 2 ] || fail "$1 needs a value"
        case $1 in
        --out) out=$2 ;;
        --repetitions) options="$options --benchmark_repetitions=$2" ;;
        *) options="$options $1=$2" ;;
        esac
        command="$command $2"
        shift
        ;;
    --readme) document=docs/performance.md ;;
    -h | --help)
        usage
        exit
        ;;
    *) fail "unknown option $1 (--help lists them)" ;;
    esac
    shift
done

if [ ! -f "$build/build.ninja" ]; then
    ./scripts/packages.sh bench
    meson setup "$build" --buildtype=release -Dbenchmarks=enabled -Dtests=disabled -Dtools=disabled
fi
ninja -C "$build"

echo "load average before: $(cut -d' ' -f1-3 /proc/loadavg)" >&2
progress=0
[ ! -t 2 ] || progress=1
# shellcheck disable=SC2086 # the options are words
"$build/benchmarks/bench_gemm" $options --benchmark_out="$out" --benchmark_out_format=json |
    awk -v progress=$progress '/_median/ && progress { printf "\r%d rows", ++rows > "/dev/stderr" }
        END { if (rows) print "" > "/dev/stderr" }'

python3 benchmarks/gemm_report.py "$out" ${document:+--readme "$document"} --command "$command"
echo
echo "raw results: $out"
