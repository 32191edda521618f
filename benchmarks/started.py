"""Three real nodes to measure, on the disk where ``make run`` keeps its data."""

import asyncio
import contextlib
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.local_cluster import ROOT
from tests.support.nodes import Nodes


@contextlib.contextmanager
def working_directory() -> Iterator[Path]:
    """A directory on the disk where ``make run`` keeps its data, gone afterwards."""
    parent = ROOT / ".gorilla"
    parent.mkdir(exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix="bench-", dir=parent))
    try:
        yield made
    finally:
        shutil.rmtree(made)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Let Ctrl-C wait: a process that is being started must be known before it can be ended.

    Processes started meanwhile never see it; they are ended by us.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextlib.contextmanager
def started_nodes(directory: Path) -> Iterator[Nodes]:
    nodes = Nodes(directory)
    try:
        say("three nodes start")
        with undisturbed():
            nodes.start()
        asyncio.run(nodes.until_ready())
        yield nodes
    finally:
        nodes.close()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
