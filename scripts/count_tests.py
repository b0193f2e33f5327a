#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the results of Meson test logs: prints what failed or was skipped, then one line of sums."""
import glob
import json
import sys

OK = {"OK", "EXPECTEDFAIL"}
SKIPPED = {"SKIP"}


def main() -> int:
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for log in sys.argv[1:]:
        files = glob.glob(f"{log}/testlog*.json")
        if not files:  # a configuration that did not build, or a format check that failed
            counts["failed"] += 1
            print(f"FAILED: {log}")
        for path in files:
            for line in open(path, encoding="utf-8"):
                test = json.loads(line)
                result = test["result"]
                kind = "passed" if result in OK else "skipped" if result in SKIPPED else "failed"
                counts[kind] += 1
                if kind != "passed":
                    print(f"{result}: {log.split('/')[0]}: {test['name']}")
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**counts))
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
