#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the GEMM tables of a run of bench_gemm as Markdown: speed, its ratio to the limits of the same
seconds, and to what a user would pick instead."""

import argparse
import json
import re
import statistics

from report import machine, write_between

QUIET = 0.85  # of the best probe of the run: below it, somebody else had the machine
FEWEST_QUIET = 3  # repetitions; with fewer, all count, and the number is marked
BEGIN, END = "<!-- gemm:begin -->", "<!-- gemm:end -->"
NAME = re.compile(r"(\w+)/(\w+)/(\d+x\d+)/m:(\d+)/(\w+)/(?:\w+:\d+/)*?threads:(\d+)")
ISAS = ("amx", "avx512bf16", "avx512", "avx2", "neonbf16", "neon", "scalar")


class Repetition:
    """One measurement between two probes of the limits."""

    def __init__(self, result):
        self.flops = result["flops"]
        self.rate = result["flops"] / result["seconds"]
        self.weight_rate = result["weight_bytes"] / result["seconds"]
        self.flops_per_byte = result["flops"] / result["weight_bytes"]
        self.probes = {
            kind: [result[f"{kind}_{when}"] for when in ("before", "after")]
            for kind in ("read", "peak")
            if f"{kind}_before" in result
        }

    def limits(self):
        """Floating-point operations per second that each limit allows."""
        rates = {kind: statistics.mean(probes) for kind, probes in self.probes.items()}
        rates["read"] *= self.flops_per_byte
        return rates

    def limit(self):
        """The one that binds."""
        limits = self.limits()
        kind = min(limits, key=limits.get)
        return kind, limits[kind]


class Row:
    """All repetitions of one product by one library on one instruction set."""

    def __init__(self, what, isa, shape, m, weights, threads):
        self.what, self.isa, self.shape, self.m, self.weights, self.threads = what, isa, shape, m, weights, threads
        self.repetitions = []
        self.label = {}
        self.skipped = None
        self.counted = []  # the repetitions in quiet windows
        self.is_noisy = False

    def add(self, result):
        if result.get("error_occurred"):
            self.skipped = result["error_message"]
            return
        self.label = dict(word.split("=", 1) for word in result.get("label", "").split() if "=" in word)
        self.repetitions.append(Repetition(result))

    def limit_key(self, kind):
        """Probes with the same key measured the same thing."""
        place = (self.shape, self.weights) if kind == "read" else (self.label["code"],)
        return (kind, self.threads) + place

    def choose(self, best):
        def is_quiet(repetition):
            kind, _ = repetition.limit()
            return min(repetition.probes[kind]) >= QUIET * best[self.limit_key(kind)]

        quiet = [r for r in self.repetitions if is_quiet(r)]
        self.is_noisy = len(quiet) < FEWEST_QUIET
        self.counted = self.repetitions if self.is_noisy else quiet

    def rate(self):
        return statistics.median(r.rate for r in self.counted)

    def weight_rate(self):
        return statistics.median(r.weight_rate for r in self.counted)

    def limit_kind(self):
        return statistics.mode(r.limit()[0] for r in self.counted)

    def limit_name(self):
        kind = self.limit_kind()
        key = statistics.median(statistics.mean(r.probes[kind]) for r in self.counted)
        if kind == "read":
            return f"read {key / 1e9:.1f} GB/s"
        return f"{self.label['peak']} {key / 1e9:.0f} GFLOP/s"

    def has_limit(self):
        """A cache's rate was probed with weights of our size only: a peer's are larger."""
        return self.is_ours() or self.weights == "cold" or self.limit_kind() == "peak"

    def of_limit(self):
        return statistics.median(r.rate / r.limit()[1] for r in self.counted)

    def mark(self):
        return "~" if self.is_noisy else ""

    def is_ours(self):
        return self.what.startswith("mxq_")


class Run:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        self.context = data["context"]
        rows = {}
        for result in data["benchmarks"]:
            if result["run_type"] == "iteration":
                what, isa, shape, m, weights, threads = NAME.match(result["run_name"]).groups()
                key = (what, isa, shape, int(m), weights, int(threads))
                rows.setdefault(key, Row(*key)).add(result)
        self.skipped = [row for row in rows.values() if not row.repetitions]
        self.rows = {key: row for key, row in rows.items() if row.repetitions}
        self.best = self.best_probes()
        for row in self.rows.values():
            row.choose(self.best)

    def best_probes(self):
        best = {}
        for row in self.rows.values():
            for repetition in row.repetitions:
                for kind, probes in repetition.probes.items():
                    key = row.limit_key(kind)
                    best[key] = max(best.get(key, 0), *probes)
        return best

    def peers(self, row):
        """What a user of a row's instruction set would pick for the same product."""
        return [
            p
            for p in self.rows.values()
            if not p.is_ours()
            and row.isa in p.label["for"].split(",")
            and (p.shape, p.m, p.weights, p.threads) == (row.shape, row.m, row.weights, row.threads)
        ]

    def places(self):
        """(threads, shape, weights) of the tables, in reading order: cold before warm."""
        places = {(r.threads, r.shape, r.weights) for r in self.rows.values()}
        first = list(dict.fromkeys(r.shape for r in self.rows.values()))
        return sorted(places, key=lambda p: (p[0], p[2], sorted(first, key=shape_order).index(p[1])))


def shape_order(shape):
    n, k = map(int, shape.split("x"))
    return n * k, -n


def isa_order(row):
    return ISAS.index(row.isa) if row.isa in ISAS else len(ISAS)


def table(header, lines):
    yield "| " + " | ".join(header) + " |"
    yield "|---" + "|---:" * (len(header) - 1) + "|"
    for line in lines:
        yield "| " + " | ".join(line) + " |"


def title(place):
    threads, shape, weights = place
    what = "weights from memory" if weights == "cold" else "one copy of the weights, in the cache"
    return f"{shape}, {threads} thread{'s' if threads > 1 else ''}, {what}:"


def compact(run, place):
    """One line for each m: every instruction set, every peer, and the best of both."""
    threads, shape, weights = place
    rows = [
        r
        for r in run.rows.values()
        if (r.threads, r.shape, r.weights) == place and (r.what == "mxq_bf16" or not r.is_ours())
    ]
    columns = sorted({(not r.is_ours(), isa_order(r), r.what, r.isa) for r in rows})
    by_name = {(r.what, r.isa, r.m): r for r in rows}
    lines = []
    for m in sorted({r.m for r in rows}):
        cells = [str(m)]
        for is_peer, _, what, isa in columns:
            row = by_name.get((what, isa, m))
            cells.append("-" if row is None else f"{row.rate() / 1e9:.1f}{row.mark()}" +
                         ("" if is_peer else f" ({row.of_limit():.2f})"))
        ours = [r for r in rows if r.m == m and r.is_ours()]
        peers = [r for r in rows if r.m == m and not r.is_ours()]
        if ours and peers:
            cells.append(f"{max(r.rate() for r in ours) / max(r.rate() for r in peers):.2f}")
        else:
            cells.append("-")
        lines.append(cells)
    names = [f"{what.replace('_', ' ')}, {isa}" if is_peer else isa for is_peer, _, what, isa in columns]
    return [title(place), "", *table(["M", *names, "best / best peer"], lines)]


FORMAT = re.compile(r"mxq_(bf16|int8)_(\w+)")


def formats(run, place):
    """One line for each other format and m: speed, the ratio to the limit, and to MXFP8 weights."""
    rows = [r for r in run.rows.values() if (r.threads, r.shape, r.weights) == place and FORMAT.fullmatch(r.what)]
    if not rows:
        return []
    isas = sorted({(isa_order(r), r.isa) for r in rows})
    by_name = {(r.what, r.m, r.isa): r for r in rows}
    lines = []
    for what, m in sorted({(r.what, r.m) for r in rows}):
        x, w = FORMAT.fullmatch(what).groups()
        cells = [w.replace("_", "-"), x, str(m)]
        for _, isa in isas:
            row = by_name.get((what, m, isa))
            base = run.rows.get(("mxq_bf16", isa, place[1], m, place[2], place[0]))
            cells.append("-" if row is None else f"{row.rate() / 1e9:.1f}{row.mark()} ({row.of_limit():.2f})" +
                         (f", {row.rate() / base.rate():.2f}" if base else ""))
        lines.append(cells)
    header = ["weights", "x", "M", *(isa for _, isa in isas)]
    return [
        "Other formats, " + title(place)[:-1] + "; GFLOP/s, the ratio to the limit, and to MXFP8 weights with BF16 x:",
        "",
        *table(header, lines),
    ]


def detail_line(run, row):
    peers = sorted(run.peers(row), key=lambda p: p.what)
    one = run.rows.get((row.what, row.isa, row.shape, row.m, row.weights, 1))
    scaling = f"{row.rate() / one.rate():.2f}" if one and row.threads > 1 else ""
    return [
        row.isa,
        row.what.split("_")[1],
        row.shape,
        row.weights,
        str(row.m),
        f"{row.rate() / 1e9:.1f}{row.mark()}",
        f"{row.weight_rate() / 1e9:.2f}",
        row.limit_name() if row.has_limit() else "-",
        f"{row.of_limit():.2f}" if row.has_limit() else "-",
        ", ".join(f"{row.rate() / p.rate():.2f} {p.what.replace('_', ' ')}{p.mark()}" for p in peers) or "-",
        scaling or "-",
    ]


def details(run, is_peer):
    rows = [r for r in run.rows.values() if r.is_ours() != is_peer]
    rows.sort(key=lambda r: (r.threads, isa_order(r), r.what, shape_order(r.shape), r.weights, r.m))
    header = ["ISA", "x", "N x K", "weights", "M", "GFLOP/s", "weights GB/s", "limit", "of it"]
    for threads in sorted({r.threads for r in rows}):
        yield f"\n{'Peers' if is_peer else 'mxq_matmul'}, {threads} thread{'s' if threads > 1 else ''}:\n"
        lines = (detail_line(run, r) for r in rows if r.threads == threads)
        if is_peer:
            chosen = [r for r in rows if r.threads == threads]
            lines = ([*line[:9], r.label.get("impl", "")] for line, r in zip(lines, chosen))
            yield from table([*header, "implementation"], lines)
        else:
            yield from table([*header, "times as fast as", "over 1 thread"], lines)


def notes(run):
    noisy = [r for r in run.rows.values() if r.is_noisy]
    yield (
        f"`~`: fewer than {FEWEST_QUIET} repetitions had the binding limit at {QUIET:.0%} or more of its best in the "
        f"run before and after; {len(noisy)} of {len(run.rows)} rows. Other numbers are medians of the repetitions "
        "that had."
    )
    if run.context.get("not_available", "none") != "none":
        yield f"Not available here: {run.context['not_available']}."
    for row in run.skipped:
        yield f"Skipped: {row.what}/{row.isa}/{row.shape}/m:{row.m}/threads:{row.threads}: {row.skipped}."


def compact_report(run, command):
    lines = [
        f"`{command}` on {machine(run)}.",
        "",
        "GFLOP/s of x BF16 times w MXFP8 E4M3 to F32; in parentheses the ratio to the limit of the same seconds: the "
        "lesser of reading the packed weights and the multipliers' peak. GB/s of weights are GFLOP/s times "
        f"{33 / 32:.3f} / 2M. Integer kernels count their products in the same way.",
    ]
    for place in run.places():
        lines += ["", *compact(run, place)]
        if chosen := formats(run, place):
            lines += ["", *chosen]
    lines += ["", *notes(run)]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("json", help="what bench_gemm wrote with --benchmark_out")
    parser.add_argument("--readme", metavar="FILE", help=f"also write the compact tables between {BEGIN} and {END}")
    parser.add_argument("--command", default="scripts/bench_gemm.sh", help="the command to name there")
    options = parser.parse_args()
    run = Run(options.json)
    short = compact_report(run, options.command)
    print(short)
    for is_peer in (False, True):
        print("\n".join(details(run, is_peer)))
    if options.readme:
        write_between(options.readme, BEGIN, END, short)


if __name__ == "__main__":
    main()
