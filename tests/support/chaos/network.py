"""Namespaces and the switch between them, with a rule for every ordered pair of places."""

import ctypes
import itertools
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.support.chaos.native import SharedFile, compiled

PLACES_MAX = 16
RULE_BYTES = 48
CLONE_NEWNET = 0x40000000
CLIENTS = "clients"


class Network:
    """One namespace for every node and one for the clients. Unnamed: they end with the switch."""

    def __init__(self, directory: Path, nodes: list[str]) -> None:
        """Start the switch; raises RuntimeError when this machine does not allow it."""
        self.places = {name: at for at, name in enumerate([*nodes, CLIENTS])}
        self._rules = SharedFile(directory / "rules", RULE_BYTES * PLACES_MAX * PLACES_MAX)
        command = [str(compiled("switch", directory)), str(self._rules.path), str(len(self.places))]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        told = self._process.stdout.readline().split()
        if told[:1] != ["ready"]:
            raise RuntimeError("this machine allows no network namespaces with tun devices")
        spaces = zip(self.places, told[2:], strict=True)
        self.spaces = {name: f"/proc/{told[1]}/fd/{number}" for name, number in spaces}

    def address(self, place: str) -> str:
        return f"10.99.0.{self.places[place] + 1}"

    def enter_clients(self) -> None:
        """Move this thread, and all that it starts, to where the clients are."""
        libc = ctypes.CDLL(None, use_errno=True)
        space = os.open(self.spaces[CLIENTS], os.O_RDONLY)
        try:
            if libc.setns(space, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(space)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    # -- rules

    def set(
        self,
        pairs: Iterable[tuple[str, str]],
        *,
        drop: float = 0.0,
        delay_s: float = 0.0,
        jitter_s: float = 0.0,
    ) -> None:
        """Rule what happens from each first place to its second; jitter reorders."""
        for one, two in pairs:
            values = (int(drop * 1e6), int(delay_s * 1e6), int(jitter_s * 1e6))
            self._rules.put("III", self._at(one, two), *values)

    def heal(self) -> None:
        self.set(itertools.permutations(self.places, 2))

    def counters(self, pairs: Iterable[tuple[str, str]]) -> dict[str, int]:
        """Sum over ``pairs``: packets passed, dropped, delayed and overtaken by later ones."""
        rows = [self._rules.get("QQQQ", self._at(one, two) + 16) for one, two in pairs]
        names = ("passed", "dropped", "delayed", "overtaken")
        return dict(zip(names, map(sum, zip(*rows, strict=True)), strict=True))

    def _at(self, one: str, two: str) -> int:
        return RULE_BYTES * (PLACES_MAX * self.places[one] + self.places[two])
