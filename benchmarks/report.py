#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the medians of a run of bench_kernels, and their ratios to the limits of the same run."""

import argparse
import collections
import json
import re
import statistics
import sys

SIZES = ("L1", "L2", "LLC", "DRAM")
SPREAD_MARK = 0.05  # rows above it are marked with ~
DRIFT_WARNING = 0.10  # of a limit, between the beginning and the end of the run
WAIT_WARNING = 1.05  # wall time / CPU time of one-thread rows
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
FORMATS_BEGIN, FORMATS_END = "<!-- formats:begin -->", "<!-- formats:end -->"

README_ROWS = (
    ("mxq_quantize_mxfp8_f32", "quantize F32 to MXFP8"),
    ("mxq_quantize_mxfp8_bf16", "quantize BF16 to MXFP8"),
    ("mxq_dequantize_mxfp8_f32", "dequantize MXFP8 to F32"),
    ("mxq_dequantize_mxfp8_bf16", "dequantize MXFP8 to BF16"),
)
README_SIZES = ("L2", "DRAM")
ISA_ORDER = ("avx512", "avx2", "neon", "scalar")


class Row:
    """All repetitions of one row."""

    def __init__(self):
        self.rates = []  # (start in seconds, bytes per second)
        self.waits = []  # wall time / CPU time
        self.limit = None  # name of the limit to compare with
        self.code = None  # the instruction set whose code ran, where it is inherited
        self.skipped = None  # why there are no repetitions

    def add(self, result):
        if result.get("error_occurred"):
            self.skipped = result["error_message"]
            return
        for word in result.get("label", "").split():
            if word.startswith("code="):
                self.code = word[len("code=") :]
            else:
                self.limit = word
        self.rates.append((result["start_seconds"], result["bytes_per_second"]))
        self.waits.append(result["real_time"] / max(result["cpu_time"], 1e-9))

    def median(self):
        return statistics.median(rate for _, rate in self.rates)

    def spread(self):
        """(p75 - p25) / median: one disturbed repetition does not change it."""
        if len(self.rates) < 4:
            return float("inf")
        low, _, high = statistics.quantiles((rate for _, rate in self.rates), n=4)
        return (high - low) / self.median()

    def drift(self):
        """Median of the last third / median of the first third, in time."""
        rates = [rate for _, rate in sorted(self.rates)]
        third = len(rates) // 3
        if not third:
            return 1.0
        return statistics.median(rates[-third:]) / statistics.median(rates[:third])


class Run:
    """One JSON file: rows by (what, isa, size, threads)."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        self.context = data["context"]
        self.rows = {}
        for result in data["benchmarks"]:
            if result["run_type"] == "iteration":
                self.rows.setdefault(key(result["run_name"]), Row()).add(result)

    def ratio(self, where, suffix=""):
        """Ratio to the limit of a row, at the same size and threads; None without such a limit."""
        row = self.rows[where]
        _, _, size, threads = where
        limit = self.rows.get((f"{row.limit}{suffix}", self.context["limit_isa"], size, threads))
        return row.median() / limit.median() if limit and limit.rates else None

    def lines(self, is_wanted):
        """(what, isa, threads) of the rows that are wanted, in the order of the program."""
        return list(dict.fromkeys((w, i, t) for w, i, _, t in self.rows if is_wanted(w)))


def key(run_name):
    parts = run_name.split("/")
    threads = next((int(p[len("threads:") :]) for p in parts if p.startswith("threads:")), 1)
    return parts[0], parts[1], parts[2], threads


def is_limit(what):
    return what.startswith("limit_")


def mark(row):
    return "~" if row.spread() > SPREAD_MARK else " "


def cell(run, where):
    row = run.rows.get(where)
    if row is None:
        return ""
    if not row.rates:
        return "skipped"
    text = f"{row.median() / 1e9:7.2f}{mark(row)}"
    if row.limit:
        ratios = (run.ratio(where), run.ratio(where, "_nt"))
        text += " " + "/".join(f"{ratio:4.2f}" for ratio in ratios if ratio)
    return text


def print_table(run, title, is_wanted):
    sizes = [size for size in SIZES if any(where[2] == size for where in run.rows)]
    lines = run.lines(is_wanted)
    if not lines:
        return
    print(f"\n{title:42s}" + "".join(f"{size:>10s}          " for size in sizes).rstrip())
    for what, isa, threads in sorted(lines, key=lambda line: line[2]):
        wheres = [(what, isa, size, threads) for size in sizes]
        inherited = next((run.rows[w].code for w in wheres if w in run.rows and run.rows[w].code), "")
        label = isa + (f" (={inherited})" if inherited else "") + (f" x{threads}" if threads > 1 else "")
        print(f"{what:27s}{label:15s}" + "".join(f"{cell(run, w):20s}" for w in wheres).rstrip())


def sort_rows(run):
    """A run that is interleaved reports rows as they end; the reader wants them by name."""
    order = {isa: i for i, isa in enumerate(ISA_ORDER)}
    run.rows = dict(
        sorted(run.rows.items(), key=lambda item: (item[0][0], order.get(item[0][1], len(order)), item[0][3]))
    )


def machine(run):
    c = run.context
    return (
        f"{c['cpu_model']}, {c['num_cpus']} CPUs, {c['cache_sizes']}; {c['kernel']}; {c['compiler']}; "
        f"commit {c['git_commit']}; {c['date'][:10]}"
    )


def warnings(run):
    skipped = collections.Counter((isa, row.skipped) for (_, isa, _, _), row in run.rows.items() if row.skipped)
    for (isa, reason), rows in skipped.items():
        yield f"skipped: {rows} rows of {isa}: {reason}"
    limits = {where: row.drift() for where, row in run.rows.items() if is_limit(where[0]) and row.rates}
    moved = {where: drift for where, drift in limits.items() if abs(drift - 1) > DRIFT_WARNING}
    if moved:
        worst = max(moved, key=lambda where: abs(moved[where] - 1))
        yield (
            f"noisy: {len(moved)} of {len(limits)} limits moved by more than {DRIFT_WARNING:.0%} between the "
            f"beginning and the end of the run; worst {'/'.join(map(str, worst))}: {moved[worst] - 1:+.0%}"
        )
    waits = [wait for where, row in run.rows.items() if where[3] == 1 for wait in row.waits]
    if waits and statistics.mean(waits) > WAIT_WARNING:
        yield f"noisy: one-thread rows waited for a CPU {statistics.mean(waits) - 1:.0%} of their CPU time"


def print_report(run):
    print(machine(run))
    print(f"working sets: {run.context['working_sets']}; governor: {run.context['governor']}")
    print(
        "GB/s (1e9), read + written, median of all repetitions; then the ratio to the stream of the same mix\n"
        f"with {run.context['limit_isa']} vectors, ordinary / non-temporal stores.  "
        f"~: (p75 - p25) / median is above {SPREAD_MARK:.0%}"
    )
    print_table(run, "limits", is_limit)
    print_table(run, "kernels", lambda what: not is_limit(what) and not what.startswith("mxq_"))
    print_table(run, "public functions", lambda what: what.startswith("mxq_"))
    print()
    for warning in warnings(run):
        print(warning)


def readme_cell(run, where):
    row = run.rows.get(where)
    if row is None or not row.rates:
        return "-"
    ratio = run.ratio(where)
    return f"{row.median() / 1e9:.1f}{mark(row).strip()}" + (f" ({ratio:.2f})" if ratio else "")


def readme_table(run, command):
    isas = list(dict.fromkeys(isa for what, isa, _, _ in run.rows if what == README_ROWS[0][0]))
    columns = [(isa, size) for isa in isas for size in README_SIZES]
    lines = [
        f"`{command}` on {machine(run)}.",
        "",
        "GB/s read + written, one thread; in parentheses the ratio to a stream that moves the same bytes, "
        f"measured in the same run. L2 and DRAM: working sets of {run.context['working_sets']}. "
        "`~`: spread above 5 %.",
        "",
        "| | " + " | ".join(f"{isa} {size}" for isa, size in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for what, title in README_ROWS:
        cells = (readme_cell(run, (what, isa, size, 1)) for isa, size in columns)
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


PUBLIC = re.compile(r"mxq_(quantize|dequantize)_(?:(stochastic|statistics|columns|both)_)?(.+)_(f32|bf16)")


def formats_table(run, command):
    """Every named format from memory: GB/s, and the ratio to the stream of the same mix."""
    isas = [isa for isa in ISA_ORDER if any(i == isa and PUBLIC.fullmatch(w) for w, i, _, _ in run.rows)]
    isas = [isa for isa in isas if isa != "scalar"]
    columns = [(isa, wide) for isa in isas for wide in ("f32", "bf16")]
    found = [PUBLIC.fullmatch(what) for what, _, _, _ in run.rows]
    kinds = list(dict.fromkeys((m[1], m[2], m[3]) for m in found if m))
    kinds.sort(key=lambda kind: (kind[0] == "dequantize", kind[1] or ""))
    lines = [
        f"`{command}` on {machine(run)}.",
        "",
        f"Public functions, one thread, GB/s read + written from memory ({run.context['working_sets'].split(', ')[-1]}); "
        "in parentheses the ratio to the stream of the same mix. A scale over the tensor costs a second read of it, "
        "which is counted. `~`: spread above 5 %.",
        "",
        "| | " + " | ".join(f"{isa} {wide.upper()}" for isa, wide in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for verb, variant, name in kinds:
        cells = (
            readme_cell(run, (f"mxq_{verb}_{variant + '_' if variant else ''}{name}_{wide}", isa, "DRAM", 1))
            for isa, wide in columns
        )
        title = f"{verb} {name}" + (f", {variant}" if variant else "")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_between(path, begin, end, text):
    with open(path, encoding="utf-8") as file:
        document = file.read()
    if document.count(begin) != 1 or document.count(end) != 1:
        sys.exit(f"{path}: needs one {begin} and one {end}")
    head, rest = document.split(begin)
    _, tail = rest.split(end)
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{head}{begin}\n{text}\n{end}{tail}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("json", help="what bench_kernels wrote with --benchmark_out")
    parser.add_argument("--readme", metavar="FILE", help="also write the short table between its markers")
    parser.add_argument("--formats", metavar="FILE", help="also write the table of all formats between its markers")
    parser.add_argument("--command", default="scripts/bench.sh", help="the command to name in that table")
    options = parser.parse_args()
    run = Run(options.json)
    sort_rows(run)
    print_report(run)
    if options.readme:
        write_between(options.readme, BEGIN, END, readme_table(run, options.command))
    if options.formats:
        write_between(options.formats, FORMATS_BEGIN, FORMATS_END, formats_table(run, options.command))


if __name__ == "__main__":
    main()
