#!/bin/sh
# From a fresh Debian 12 to a verified MXFP8 model: installs what is missing, builds, converts the
# bundled model, verifies it and shows the result.  May be run again and again.
set -eu
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }
run() { printf '$ %s\n' "$*"; "$@"; }

say "Install what is missing"
./scripts/packages.sh build

say "Build"
[ -f build/build.ninja ] || meson setup build -Dtests=disabled -Dbenchmarks=disabled >build.log 2>&1 ||
    { cat build.log >&2; exit 1; }
rm -f build.log
ninja -C build | tail -n 1

model=examples/models/tiny
out=build/quickstart/tiny-mxfp8
rm -rf build/quickstart
mkdir -p build/quickstart

say "Convert a real model: byte-level Llama, 0.8 M parameters, BF16"
run build/tools/mxq convert "$model" "$out"

say "Verify it: same bytes again, and the error"
run build/tools/mxq verify "$model" "$out"

say "What is in it now"
run build/tools/mxq inspect "$out"

say "What the model lost: bits per byte of held-out text, as it was, then as it is"
run build/examples/llama/mxq-llama eval "$model" --text "$model/eval.bytes" --windows 16 --weights f32
run build/examples/llama/mxq-llama eval "$out" --text "$model/eval.bytes" --windows 16

say "The kernels behind it"
run build/tools/mxq isa

cat <<END

Next: build/tools/mxq --help, or convert a model of your own:
  build/tools/mxq convert path/to/model path/to/model-mxfp8
END
