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
from tests.support.chaos.planted import BUGS
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
    parser.add_argument("--plant", choices=BUGS, help="switch one safeguard of the nodes off")
    return parser.parse_args()


async def _run(arguments: argparse.Namespace, directory: Path) -> int:
    kinds = chosen(arguments.nemeses, arguments.nodes)
    about = {"seed": arguments.seed, "nodes": arguments.nodes, "load": os.getloadavg()[0]}
    arguments.report.mkdir(parents=True, exist_ok=True)
    report = Report(arguments.report, about)
    rng = random.Random(arguments.seed)
    with_database = any(kind.needs_database for kind in kinds)
    environment = Environment(directory, arguments.nodes, with_database=with_database)
    if arguments.plant:
        environment.nodes.program = ["tests.support.chaos.planted", arguments.plant]
    kinds = [kind for kind in kinds if environment.has_database or not kind.needs_database]
    try:
        await environment.start()
        deadline = time.monotonic() + 60 * arguments.minutes
        order: list[int] = []
        while time.monotonic() < deadline and not report.is_unsafe:
            order = order or rng.sample(range(len(kinds)), len(kinds))
            number = len(report.verdicts) + 1
            nemesis = kinds[order.pop()](environment, rng)
            verdict = await Round(environment, nemesis, number, f"{arguments.seed}-{number}").run()
            report.add(verdict)
            print(told(verdict), flush=True)
            if verdict.violations:
                _keep_logs(directory, arguments.report / f"round-{number}")
        if report.is_unsafe:
            environment.nodes.close()
            shutil.copytree(directory / "data", arguments.report / "data", dirs_exist_ok=True)
    finally:
        environment.close()
        if sys.exc_info()[0] is not None:
            _keep_logs(directory, arguments.report / "logs")
    print(f"\nseed {arguments.seed}, {arguments.nodes} nodes\n{report.table()}")
    return int(report.has_failed)


def _keep_logs(directory: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in directory.glob("*.log"):
        shutil.copy(path, target)


if __name__ == "__main__":
    sys.exit(main())
