"""Loads the targets of scripts/bench in interleaved slices and prints what came out."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
STREAM_CHUNKS = 100
# What each slice asks of bench_load.
LOADS = {
    "busy": ["--connections", "64"],
    "single": ["--connections", "1"],
    "streams": ["--connections", "200", "--stream-chunks", str(STREAM_CHUNKS)],
}
# Which target is divided by which, and how many digits that is worth.
RATIOS = [
    ("figw", "nginx", 2),
    ("figw-limits", "figw", 2),
    ("figw", "figw-before", 2),
    ("figw-metrics", "figw-quiet", 3),
    ("figw-logs", "figw-quiet", 3),
]


class Target:
    """A server, with the process whose children do its work, if it has any."""

    def __init__(self, text):
        self.name, self.address, self.stream_address, pid, *key = text.split(",")
        self.pid = int(pid)
        self.key = key[0] if key else None
        self.slices = defaultdict(list)

    def pids(self):
        tasks = Path(f"/proc/{self.pid}/task").glob("*/children")
        return [self.pid] + [int(child) for task in tasks for child in task.read_text().split()]

    def cpu_seconds(self):
        """User and system time of all its processes so far."""
        total = 0
        for pid in self.pids():
            # The name in parentheses may contain spaces.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS_PER_SECOND

    def peak_mib(self):
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    total += int(line.split()[1])
        return total / 1024

    def measure(self, options, load):
        address = self.stream_address if load == "streams" else self.address
        command = [options.load, "--target", address, "--seconds", str(options.seconds)]
        if self.key:
            command += ["--key", self.key]
        before = self.cpu_seconds()
        done = subprocess.run(command + LOADS[load], stdout=subprocess.PIPE, check=True)
        result = json.loads(done.stdout)
        used = self.cpu_seconds() - before
        if result["errors"] or not result["answered"]:
            messages = result["error_messages"] or "no answers"
            sys.exit(f"bench: {self.name}, {load}: wrong answers: {messages}")
        result["cpu_us"] = used / result["total"] * 1e6
        self.slices[load].append(result)

    def median(self, load, *path):
        """The median over the rounds of one figure."""
        figures = []
        for figure in self.slices[load]:
            for key in path:
                figure = figure[key]
            figures.append(figure)
        return statistics.median(figures)


def summary(target, direct):
    """The columns of the table, by name."""
    added = None
    if direct and direct is not target:
        alone = direct.median("single", "latency_us", "p50")
        added = target.median("single", "latency_us", "p50") - alone
    return {
        "requests/s, 64 connections": target.median("busy", "per_second"),
        "p50 µs": target.median("busy", "latency_us", "p50"),
        "p99 µs": target.median("busy", "latency_us", "p99"),
        "CPU µs/request": target.median("busy", "cpu_us"),
        "added at the median, 1 connection, µs": added,
        "streams/s, 200 × 100 chunks": target.median("streams", "per_second"),
        "CPU µs/stream": target.median("streams", "cpu_us"),
        "peak memory MiB": target.peak_mib(),
    }


def row(name, cells, digits):
    shown = ["–" if cell is None else f"{cell:,.{digits}f}" for cell in cells]
    return f"| {name} | {' | '.join(shown)} |"


def table(targets):
    direct = next((target for target in targets if target.name == "direct"), None)
    summaries = {target.name: summary(target, direct) for target in targets}
    columns = list(next(iter(summaries.values())))
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    lines += [row(name, figures.values(), 0) for name, figures in summaries.items()]
    for name, base, digits in RATIOS:
        if name in summaries and base in summaries:
            one, other = summaries[name], summaries[base]
            ratios = [one[c] / other[c] if one[c] and other[c] else None for c in columns]
            lines.append(row(f"{name} ÷ {base}", ratios, digits))
    return "\n".join(lines)


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--load", required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--target", action="append", type=Target, required=True)
    options = parser.parse_args()
    for number in range(1, options.rounds + 1):
        # Each in turn is the first: what one has left to its database is written while the next is measured.
        first = number % len(options.target)
        for load in LOADS:
            for target in options.target[first:] + options.target[:first]:
                print(f"bench: round {number}: {load}, {target.name}", file=sys.stderr)
                target.measure(options, load)
    print(table(options.target))
    print(
        f"\n{os.cpu_count()} cores ({processor()}), shared with the load and the back end; "
        f"median of {options.rounds} rounds of {options.seconds:g} s; bodies of 1 kB. "
        "CPU and memory are those of the gateway; in the direct row, of the back end."
    )


if __name__ == "__main__":
    main()
