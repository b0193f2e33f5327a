#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times `mxq convert` of a generated BF16 model file against `cp` of the same file.

The source is in the page cache before anything is timed.  The commands take turns, so that each sees
the same noise; every one writes a new file.  `mxq convert` flushes its output to the disk before it
gives it its name, `cp` does not: `cp + fsync` is the copy that ends in the same state.  On a RAM disk
(--dir /dev/shm) the two are the same.

Speed counts the bytes of the source file, as a user does; the ratio is to `cp`, higher is better.
"""

import argparse
import array
import json
import os
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time

with open("/proc/self/comm", encoding="utf-8") as comm:
    THIS_PROCESS = comm.read().strip()

HIDDEN, INTERMEDIATE = 4096, 11008  # the layers of Llama-7B
LAYER = {
    "self_attn.q_proj": (HIDDEN, HIDDEN),
    "self_attn.k_proj": (HIDDEN, HIDDEN),
    "self_attn.v_proj": (HIDDEN, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.gate_proj": (INTERMEDIATE, HIDDEN),
    "mlp.up_proj": (INTERMEDIATE, HIDDEN),
    "mlp.down_proj": (HIDDEN, INTERMEDIATE),
}


def tensors_of(total_bytes):
    """Names and shapes of whole linear layers, until the file has about total_bytes."""
    tensors, done, layer = {}, 0, 0
    while True:
        for name, (rows, cols) in LAYER.items():
            if done + 2 * rows * cols > total_bytes and tensors:
                return tensors
            tensors[f"model.layers.{layer}.{name}.weight"] = (rows, cols)
            done += 2 * rows * cols
        layer += 1


def bf16_pattern(values=1 << 20):
    """Normally distributed BF16 values, little-endian; truncated, which random values may be."""
    generate = random.Random(1).gauss
    words = array.array("I", array.array("f", (generate(0, 0.02) for _ in range(values))).tobytes())
    halves = array.array("H", (word >> 16 for word in words))
    if sys.byteorder == "big":
        halves.byteswap()
    return halves.tobytes()


def write_model(path, total_bytes):
    header, offset = {}, 0
    for name, shape in tensors_of(total_bytes).items():
        end = offset + 2 * shape[0] * shape[1]
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pattern = bf16_pattern()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for done in range(0, offset, len(pattern)):
            file.write(pattern[: offset - done])
    return os.path.getsize(path)


def read_into_cache(path):
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 24):
            pass


def watch_memory(child):
    """Peak resident bytes until the child ends.  Not ru_maxrss, which counts this interpreter's own
    pages from before the child's exec."""
    peak = 0
    while child.poll() is None:
        try:
            with open(f"/proc/{child.pid}/status", encoding="utf-8") as file:
                lines = dict(line.split(":", 1) for line in file)
            if lines["Name"].strip() != THIS_PROCESS:  # it has begun
                peak = max(peak, int(lines["VmHWM"].split()[0]) * 1024)
        except (OSError, KeyError):  # it has ended
            pass
        time.sleep(0.001)
    return peak


def run(command, watched):
    """Seconds, and the peak resident bytes when watched: watching takes time."""
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = watch_memory(child) if watched else 0
    status = child.wait()
    seconds = time.perf_counter() - start
    if status:
        sys.exit(f"{' '.join(command)}: exit status {status}")
    return seconds, peak


def cp(source, target, watched, flush):
    seconds, peak = run(["cp", "--reflink=never", source, target], watched)
    if flush:
        start = time.perf_counter()
        file = os.open(target, os.O_RDONLY)
        os.fsync(file)
        os.close(file)
        seconds += time.perf_counter() - start
    return seconds, peak


def subjects(options, source, target):
    def convert(threads):
        command = [options.mxq, "convert", source, target, "--threads", str(threads), "--quiet"]
        return lambda watched: run(command + options.convert, watched)

    table = {
        "cp": lambda watched: cp(source, target, watched, flush=False),
        "cp + fsync": lambda watched: cp(source, target, watched, flush=True),
    }
    for threads in options.threads:
        table[f"mxq convert --threads {threads}"] = convert(threads)
    return table


def remove(path):
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.unlink(path)


def measure(options, folder):
    source, target = os.path.join(folder, "model.safetensors"), os.path.join(folder, "out.safetensors")
    source_bytes = write_model(source, options.mib << 20)
    os.sync()  # the source's own write-back must not run beside what is timed
    seconds_of, peak_of = {}, {}
    for repetition in range(options.repetitions + 1):
        for name, call in subjects(options, source, target).items():
            remove(target)
            os.sync()
            read_into_cache(source)
            seconds, peak = call(watched=repetition == 0)
            if repetition:  # the first round warms up, and watches memory
                seconds_of.setdefault(name, []).append(seconds)
            else:
                peak_of[name] = peak
    return source_bytes, seconds_of, peak_of


def summarize(source_bytes, seconds_of, peak_of):
    medians = {name: statistics.median(seconds) for name, seconds in seconds_of.items()}
    rows = {}
    for name, seconds in seconds_of.items():
        low, _, high = statistics.quantiles(seconds, n=4)
        rows[name] = {
            "seconds": medians[name],
            "spread": (high - low) / medians[name],
            "source_bytes_per_second": source_bytes / medians[name],
            "ratio_to_cp": medians["cp"] / medians[name],
            "ratio_to_cp_fsync": medians["cp + fsync"] / medians[name],
            "peak_resident_bytes": peak_of[name],
        }
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mxq", default="build/tools/mxq", help="the tool (%(default)s)")
    parser.add_argument("--mib", type=int, default=1024, help="size of the source (%(default)s)")
    parser.add_argument("--repetitions", type=int, default=7, help="timed rounds (%(default)s)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="(1 2)")
    parser.add_argument("--dir", help="where the files go (the system's temporary folder)")
    parser.add_argument("--json", metavar="FILE", help="also write the results there")
    parser.add_argument("convert", nargs="*", help="after --: more options of mxq convert")
    options = parser.parse_args()
    if not os.access(options.mxq, os.X_OK):
        sys.exit(f"bench_convert: {options.mxq} is not there: build the tool, or name it with --mxq")
    if options.repetitions < 2:
        sys.exit("bench_convert: a median with a spread needs --repetitions 2 or more")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="mxq-bench-", dir=options.dir) as folder:
        source_bytes, seconds_of, peak_of = measure(options, folder)
    rows = summarize(source_bytes, seconds_of, peak_of)
    print(f"{source_bytes / 2**20:.0f} MiB of BF16, {options.repetitions} rounds, load average {load:.2f} before")
    print(f"{'':26s}{'seconds':>9s}{'spread':>8s}{'GB/s':>8s}{'/ cp':>7s}{'/ cp+fsync':>12s}{'peak MiB':>10s}")
    for name, row in rows.items():
        print(
            f"{name:26s}{row['seconds']:9.3f}{row['spread']:8.0%}{row['source_bytes_per_second'] / 1e9:8.2f}"
            f"{row['ratio_to_cp']:7.2f}{row['ratio_to_cp_fsync']:12.2f}{row['peak_resident_bytes'] / 2**20:10.1f}"
        )
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"source_bytes": source_bytes, "load_average": load, "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
