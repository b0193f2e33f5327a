#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times libmxq beside PyTorch and torchao: one thread, one process, the same memory, taking turns.

    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install torch torchao numpy
    ninja -C build-bench && /tmp/peers/bin/python benchmarks/peers.py

They do different work, which the table names:

    cast                 every element is converted alone; nothing is scaled
    amax + scale + cast  MXFP8 proper: a scale per 32 elements, found and applied

All calls go through Python, so the smallest working set is that of L2, where a call still takes many
times what the way into it does.  torchao returns new tensors, the others write into memory that is
there: that is how each is used.  `torch.compile` is what torchao's own documentation advises; without
it, each of its operations is a pass over memory.
"""

import argparse
import ctypes
import json
import re
import statistics
import subprocess
import sys
import time

try:
    import torch
except ImportError:
    sys.exit("peers: needs PyTorch; see --help")

F32, BF16 = 0, 1  # enum mxq_type
TYPES = {torch.float32: F32, torch.bfloat16: BF16}
COLS = 4096


class Format(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("element", "scale", "block_rows", "block_cols")]


class Matrix(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("type", ctypes.c_int),
        ("rows", ctypes.c_size_t),
        ("cols", ctypes.c_size_t),
        ("stride", ctypes.c_size_t),
    ]


class Quantized(ctypes.Structure):
    _fields_ = [
        ("format", Format),
        ("rows", ctypes.c_size_t),
        ("cols", ctypes.c_size_t),
        ("elements", ctypes.c_void_p),
        ("elements_stride", ctypes.c_size_t),
        ("scales", ctypes.c_void_p),
        ("scales_stride", ctypes.c_size_t),
    ]


def matrix(tensor):
    rows, cols = tensor.shape
    return Matrix(tensor.data_ptr(), TYPES[tensor.dtype], rows, cols, cols)


def quantized(elements, scales):
    rows, cols = elements.shape
    mxfp8_e4m3 = Format(0, 0, 1, 32)
    return Quantized(mxfp8_e4m3, rows, cols, elements.data_ptr(), cols, scales.data_ptr(), cols // 32)


class Operands:
    """What every subject of one working set shares."""

    def __init__(self, dtype, working_set):
        elements = working_set // (dtype.itemsize + 1) // COLS * COLS
        rows = elements // COLS
        self.x = (torch.randn(rows, COLS) * 0.02).to(dtype)
        self.y = torch.empty_like(self.x)
        self.codes = torch.empty(rows, COLS, dtype=torch.float8_e4m3fn)
        self.scales = torch.empty(rows, COLS // 32, dtype=torch.uint8)
        self.elements = elements


def subjects(mxq, o):
    """(direction, who, work) -> a call, and a test of its result against mxq's, or None."""
    x, y, q = matrix(o.x), matrix(o.y), quantized(o.codes, o.scales)

    def mxq_quantize():
        assert mxq.mxq_quantize(ctypes.byref(q), ctypes.byref(x), None, None) == 0

    def mxq_dequantize():
        assert mxq.mxq_dequantize(ctypes.byref(y), ctypes.byref(q), None, None) == 0

    mxq_quantize()
    cast, decoded = torch.empty_like(o.codes), torch.empty_like(o.x)
    table = {
        ("quantize", "mxq_quantize", "amax + scale + cast"): (mxq_quantize, None),
        ("quantize", "torch copy_ to float8_e4m3fn", "cast"): (lambda: cast.copy_(o.x), None),
        ("dequantize", "mxq_dequantize", "cast x scale"): (mxq_dequantize, None),
        ("dequantize", "torch copy_ from float8_e4m3fn", "cast"): (lambda: decoded.copy_(o.codes), None),
    }
    add_torchao(table, o)
    return table


def add_torchao(table, o):
    try:
        from torchao.prototype.mx_formats import mx_tensor
        from torchao.prototype.mx_formats.config import ScaleCalculationMode
    except ImportError:
        print("skipped: torchao is not installed", file=sys.stderr)
        return
    e4m3 = torch.float8_e4m3fn
    scales = o.scales.view(torch.float8_e8m0fnu)

    def to_mx(x):
        return mx_tensor.to_mx(x, e4m3, 32, ScaleCalculationMode.RCEIL)

    def from_mx(codes, scales):
        return mx_tensor.to_dtype(codes, scales, e4m3, 32, o.x.dtype)

    def same_bytes(result):
        scale, codes = result
        return torch.equal(scale.view(torch.uint8).reshape(o.scales.shape), o.scales) and torch.equal(
            codes.view(torch.uint8), o.codes.view(torch.uint8)
        )

    compiled_to, compiled_from = torch.compile(to_mx), torch.compile(from_mx)
    table.update(
        {
            ("quantize", "torchao to_mx, eager", "amax + scale + cast"): (lambda: to_mx(o.x), same_bytes),
            ("quantize", "torchao to_mx, compiled", "amax + scale + cast"): (
                lambda: compiled_to(o.x),
                same_bytes,
            ),
            ("dequantize", "torchao to_dtype, eager", "cast x scale"): (
                lambda: from_mx(o.codes, scales),
                lambda y: torch.equal(y, o.y),
            ),
            ("dequantize", "torchao to_dtype, compiled", "cast x scale"): (
                lambda: compiled_from(o.codes, scales),
                lambda y: torch.equal(y, o.y),
            ),
        }
    )


def seconds(call, calls):
    """CPU time of this thread, the only one that works: a neighbour's turn is not counted."""
    start = time.thread_time()
    for _ in range(calls):
        call()
    return (time.thread_time() - start) / calls


def measure(table, repetitions):
    calls = {}
    for subject, (call, _) in table.items():
        try:
            call()  # compiles
            calls[subject] = max(1, int(0.02 / max(seconds(call, 1), 1e-9)))
        except Exception as error:  # a compiler that lacks a type raises one of its own
            reason = str(error).strip().splitlines() or [type(error).__name__]
            print(f"skipped: {subject[1]}: {reason[0]}", file=sys.stderr)
    times = {subject: [] for subject in calls}
    for _ in range(repetitions):
        for subject in times:
            call, _ = table[subject]
            call()  # its operands into the caches
            times[subject].append(seconds(call, calls[subject]))
    return times


def equality(table, subject):
    call, is_equal = table[subject]
    if is_equal is None:
        return ""
    with torch.no_grad():
        return "same bytes as mxq" if is_equal(call()) else "DIFFERS from mxq"


def describe(bench_kernels):
    """The machine's facts and working sets, as bench_kernels finds them."""
    command = [bench_kernels, "--benchmark_filter=^limit_read/scalar/L1$", "--benchmark_repetitions=1"]
    output = subprocess.run(
        command + ["--benchmark_format=json"], check=True, capture_output=True, text=True
    ).stdout
    context = json.loads(output)["context"]
    units = {"KiB": 1 << 10, "MiB": 1 << 20}
    sets = re.findall(r"(\w+) (\d+) ([KM]iB)", context["working_sets"])
    return context, {name: int(size) * units[unit] for name, size, unit in sets}


def load_library(path, isa):
    mxq = ctypes.CDLL(path)
    mxq.mxq_isa.restype = ctypes.c_char_p
    if isa and mxq.mxq_set_isa(isa.encode()):
        sys.exit(f"peers: {isa} is unknown or not available on this machine")
    return mxq


def print_results(table, times, o, title):
    print(f"\n{title}")
    for subject, runs in times.items():
        direction, who, work = subject
        median = statistics.median(runs)
        low, _, high = statistics.quantiles(runs, n=4)
        scale_bytes = 1 / 32 if "scale" in work else 0
        gigabytes = o.elements * (o.x.dtype.itemsize + 1 + scale_bytes) / 1e9
        mark = "~" if (high - low) / median > 0.05 else " "
        print(
            f"  {direction:11s}{who:33s}{work:20s}{gigabytes / median:8.2f}{mark} GB/s"
            f"{o.elements / median / 1e9:8.3f} Gelem/s  {equality(table, subject)}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build-bench", help="build folder (%(default)s)")
    parser.add_argument("--isa", help="mxq's instruction set (the best)")
    parser.add_argument("--repetitions", type=int, default=11, help="(%(default)s)")
    parser.add_argument("--sets", nargs="+", default=["L2", "LLC", "DRAM"], help="working sets (%(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    mxq = load_library(f"{options.build}/src/libmxq.so", options.isa)
    context, sets = describe(f"{options.build}/benchmarks/bench_kernels")
    print(f"{context['cpu_model']}, {context['cache_sizes']}; {context['compiler']}; commit {context['git_commit']}")
    print(
        f"mxq on {mxq.mxq_isa().decode()}; torch {torch.__version__} on "
        f"{torch.backends.cpu.get_cpu_capability()}; one thread; load average {context['load_avg'][0]:.2f}"
    )
    print("medians; GB/s read + written; ~: (p75 - p25) / median above 5 %")
    for dtype in TYPES:
        for name in options.sets:
            o = Operands(dtype, sets[name])
            table = subjects(mxq, o)
            times = measure(table, options.repetitions)
            print_results(table, times, o, f"{str(dtype)[6:]} <-> E4M3, {name} ({sets[name] >> 10} KiB)")


if __name__ == "__main__":
    main()
