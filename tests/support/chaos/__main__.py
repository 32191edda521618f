"""Faults on real processes: ``python -m tests.support.chaos --minutes 10 --nodes 3``.

It starts itself again in namespaces of its own (mounts, processes, and users unless it is root):
whatever ends it, nothing that it started or mounted is left.
"""

import argparse
import asyncio
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.chaos.catalogue import chosen
from tests.support.chaos.environment import Environment
from tests.support.chaos.report import Report, told
from tests.support.chaos.round import Round

INSIDE = "GORILLA_CHAOS_INSIDE"


def main() -> int:
    """Run what the command line says; 1 when a promise was broken."""
    arguments = _arguments()
    if INSIDE not in os.environ:
        _enter_namespaces()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    directory = Path(tempfile.mkdtemp(prefix="gorilla-chaos-"))
    try:
        return asyncio.run(_run(arguments, directory))
    except KeyboardInterrupt:
        print("chaos: stopped", file=sys.stderr)
        return 130
    finally:
        for disk in directory.glob("data/*"):
            subprocess.run(["umount", "--lazy", str(disk)], check=True)
        shutil.rmtree(directory)


def _enter_namespaces() -> None:
    command = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
    command += ["--mount-proc"] + (["--user", "--map-root-user"] if os.getuid() else [])
    command += ["--", sys.executable, "-m", "tests.support.chaos", *sys.argv[1:]]
    os.execvpe(command[0], command, {**os.environ, INSIDE: "1"})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="in total, over all faults")
    parser.add_argument("--nodes", type=int, default=3, choices=[3, 5])
    parser.add_argument("--nemeses", default="all", help="names with commas between; all")
    parser.add_argument("--seed", default=secrets.token_hex(4), help="chooses faults and victims")
    parser.add_argument("--report", type=Path, default=Path("chaos-report"), help="a directory")
    return parser.parse_args()


async def _run(arguments: argparse.Namespace, directory: Path) -> int:
    kinds = chosen(arguments.nemeses, arguments.nodes)
    about = {"seed": arguments.seed, "nodes": arguments.nodes, "load": os.getloadavg()[0]}
    arguments.report.mkdir(parents=True, exist_ok=True)
    report = Report(arguments.report, about)
    rng = random.Random(arguments.seed)
    environment = Environment(directory, arguments.nodes)
    try:
        await environment.start()
        deadline = time.monotonic() + 60 * arguments.minutes
        order: list[int] = []
        while time.monotonic() < deadline and not report.has_failed:
            order = order or rng.sample(range(len(kinds)), len(kinds))
            number = len(report.verdicts) + 1
            nemesis = kinds[order.pop()](environment, rng)
            seed = f"{arguments.seed}-{number}"
            began = time.monotonic()
            verdict = await Round(environment, nemesis, number, seed).run()
            verdict.took_s = round(time.monotonic() - began, 1)
            report.add(verdict)
            print(told(verdict), flush=True)
    finally:
        environment.close()
        if report.has_failed:
            _keep_evidence(directory, arguments.report)
    print(f"\nseed {arguments.seed}, {arguments.nodes} nodes\n{report.table()}")
    return int(report.has_failed)


def _keep_evidence(directory: Path, target: Path) -> None:
    for path in [*directory.glob("*.log"), directory / "data"]:
        if path.is_dir():
            shutil.copytree(path, target / path.name, dirs_exist_ok=True)
        else:
            shutil.copy(path, target)


if __name__ == "__main__":
    sys.exit(main())
