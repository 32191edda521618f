"""Acquires a second, latency and processor time of three durable nodes on this machine.

It starts three real nodes with their data in ``.gorilla``, one load process that keeps one request
under way on each connection (the connections go round the nodes), and measures two things:

``acquire``  every request acquires a name that nobody has used: one write each.
``pair``     acquire, then release what was acquired: two writes, counted and timed as one.

How to read the table:

``/s``       acquires, or pairs, that were answered with success, a second.
``p50 …``    time from the request to its answer, in milliseconds, as a client sees it.
``errors``   any other answer, or none. There should be none.
``CPU``      processor seconds of each node for 1,000 of them; ``*`` is the leader. One core gives
             one second a second: 1 / CPU is the most, in thousands, that a node could serve if it
             had a core to itself.
``ceiling``  the same load on one process with the same HTTP server and lock table and nothing
             behind it: no log, no disk, no other nodes.
``ratio``    what of the ceiling three durable nodes reach. On a machine with few cores they, and
             the load, share them; with a core for each process it is well above.

Durable means that an answer comes after an fdatasync on a majority: with one connection, latency is
about one fdatasync of this disk (printed first) and some work, and throughput its inverse. More
connections share each sync. Figures of a busy machine, or of one whose disk lies about
fdatasync (far below 0.1 ms), say little. Compare runs of one machine only.
"""

import argparse
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.load import MODES, WARM_UP_S, Figures
from benchmarks.machine import cpu_s, description, fdatasync_ms
from benchmarks.started import say, started_nodes, undisturbed, working_directory
from tests.support.local_cluster import ROOT
from tests.support.nodes import Nodes

LOAD_S_MAX = 60.0
HEADINGS = ("", "connections", "/s", "p50", "p99", "max", "errors", "CPU", "ceiling /s", "ratio")


def main() -> int:
    """Measure and print; returns the exit code."""
    arguments = parse()
    try:
        with working_directory() as directory:
            measure(arguments.connections, arguments.seconds, directory)
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--connections", type=counts, default=[1, 8, 64], help="of clients, one run each: 1,8,64"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a run (default 5)")
    return parser.parse_args()


def counts(text: str) -> list[int]:
    found = [int(part) for part in text.split(",")]
    if min(found) < 1:
        raise argparse.ArgumentTypeError("must be 1 or more each")
    return found


def measure(connections: list[int], seconds: float, directory: Path) -> None:
    print(f"{description()}; fdatasync {fdatasync_ms(directory):.2f} ms (median)\n", flush=True)
    ceilings = measure_ceiling(connections, seconds)
    rows = [HEADINGS]
    with started_nodes(directory) as nodes:
        for mode in MODES:
            for count in connections:
                say(f"three nodes: {mode}, {count} connections, {seconds:g} s")
                rows.append(row(nodes, mode, count, seconds, ceilings[mode, count]))
    print(table(rows), flush=True)


def measure_ceiling(connections: list[int], seconds: float) -> dict[tuple[str, int], Figures]:
    found = {}
    with ceiling() as address:
        for mode in MODES:
            for count in connections:
                say(f"ceiling: {mode}, {count} connections, {seconds:g} s")
                found[mode, count] = load(mode, count, seconds, [address])
    return found


@contextlib.contextmanager
def child(module: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a module of ours as a process, killed at the end whatever happened."""
    process = None
    try:
        with undisturbed():
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        yield process
    finally:
        if process is not None:
            process.kill()
            process.communicate()


@contextlib.contextmanager
def ceiling() -> Iterator[str]:
    with child("benchmarks.ceiling") as process:
        assert process.stdout is not None
        yield f"127.0.0.1:{int(process.stdout.readline())}"


def load(mode: str, connections: int, seconds: float, addresses: list[str]) -> Figures:
    """Run the load process to its end."""
    with child("benchmarks.load", mode, str(connections), str(seconds), *addresses) as process:
        printed, _ = process.communicate(timeout=seconds + WARM_UP_S + LOAD_S_MAX)
    return Figures(**json.loads(printed))


def row(
    nodes: Nodes, mode: str, connections: int, seconds: float, highest: Figures
) -> tuple[str, ...]:
    addresses = [f"127.0.0.1:{port}" for port in nodes.http.values()]
    before = processor_times(nodes)
    figures = load(mode, connections, seconds, addresses)
    after = processor_times(nodes)
    leader = nodes.leader()
    # The warm-up is in the processor time, and at the same rate in the count.
    thousands = figures.count * (1 + WARM_UP_S / seconds) / 1_000 or 1.0
    cpu = " ".join(
        f"{(after[name] - before[name]) / thousands:.2f}{'*' if name == leader else ''}"
        for name in nodes.names
    )
    rate, ceiling_rate = figures.count / seconds, highest.count / seconds
    return (
        mode,
        str(connections),
        f"{rate:,.0f}",
        *(f"{value:.2f}" for value in (figures.p50_ms, figures.p99_ms, figures.max_ms)),
        str(figures.errors),
        cpu,
        f"{ceiling_rate:,.0f}",
        f"{rate / ceiling_rate:.2f}" if ceiling_rate else "-",
    )


def processor_times(nodes: Nodes) -> dict[str, float]:
    return {name: cpu_s(process.pid) for name, process in nodes.processes.items()}


def table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if position == 0 else cell.rjust(width)
            for position, (cell, width) in enumerate(zip(one, widths, strict=True))
        )
        for one in rows
    )


if __name__ == "__main__":
    sys.exit(main())
