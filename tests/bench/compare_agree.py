#!/usr/bin/env python3
"""compare_agree.py [--limit PERCENT] ONE.json OTHER.json: how far two reports of `vmm compare` differ.

Prints each median of the start, processor, memory, kernel and disk rows that differs by more than the limit (3 %), and
the largest difference. Status 1 when there is one, or when a figure stands in one report only.
"""
import argparse
import json
import sys

GROUPS = ("start", "restart", "cpu", "memory", "kernel", "disk")


def figures(path):
    """The medians by (row, column)."""
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    return {
        (row["name"], column): cell["median"]
        for row in report["rows"]
        if row["name"].split(".")[0] in GROUPS
        for column, cell in row["columns"].items()
        if cell["median"] is not None
    }


def main():
    parser = argparse.ArgumentParser(description="how far two reports of vmm compare differ")
    parser.add_argument("--limit", type=float, default=3, help="percent (3)")
    parser.add_argument("one")
    parser.add_argument("other")
    options = parser.parse_args()
    one, other = figures(options.one), figures(options.other)
    bad, largest = len(one.keys() ^ other.keys()), 0
    for row, column in sorted(one.keys() ^ other.keys()):
        print(f"{row} {column}: in one report only")
    for key in sorted(one.keys() & other.keys()):
        low, high = sorted((one[key], other[key]))
        percent = (high / low - 1) * 100 if low > 0 else 0 if high == low else float("inf")
        largest = max(largest, percent)
        if percent > options.limit:
            bad += 1
            print(f"{key[0]} {key[1]}: {one[key]:g} and {other[key]:g}, {percent:.1f} %")
    print(f"{len(one)} figures, largest difference {largest:.2f} %, {bad} beyond {options.limit:g} %")
    return 1 if bad or not one else 0


sys.exit(main())
