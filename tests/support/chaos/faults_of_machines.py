"""Wall clocks that jump, disks that fill up, journals that are damaged; and two faults at once."""

import asyncio
import contextlib
from pathlib import Path

from typing_extensions import override

from tests.support.chaos.faults_of_network import IsolatedFollower, Weather
from tests.support.chaos.faults_of_processes import KillAll, KillFollower, KillLeader
from tests.support.chaos.nemesis import LEADER_GAP_S_MAX, Nemesis, until

JUMPS_S = (1.0, -1.0, 60.0, -60.0, 3_600.0, -3_600.0)
FAIL_STOP_CODE = 70
ENDED_S_MAX = 15.0
BETWEEN_S = 0.5
"""From the first of two faults to the second: so the first acts, whatever the second stops."""


class ClockJump(Nemesis):
    """The wall clock of the leader and of another node jumps; strobing, it goes on jumping."""

    name = "wall clock jumps"
    gap_s_max = LEADER_GAP_S_MAX
    strobe_s = 0.0

    @override
    async def start(self) -> None:
        leader = await self.environment.leader()
        self.victims = [leader, self.rng.choice(self.nodes.others(leader))]
        self.clocks = [self.nodes.clocks[name] for name in self.victims]
        self.before = [clock.reads for clock in self.clocks]
        self.seen: set[float] = set()
        self._jumping = asyncio.create_task(self._jump())

    async def _jump(self) -> None:
        while True:
            for clock in self.clocks:
                clock.move(self.rng.choice(JUMPS_S))
            await asyncio.sleep(self.strobe_s or self.hold_s / 2)
            self.seen |= {clock.seen_s for clock in self.clocks}

    @override
    async def proof(self) -> str | None:
        reads = [c.reads - before for c, before in zip(self.clocks, self.before, strict=True)]
        jumps = sorted(self.seen - {0.0})
        acted = jumps and all(reads)
        return f"{self.victims} read {reads} times, saw {jumps} s" if acted else None

    @override
    async def heal(self) -> None:
        self._jumping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._jumping
        for clock in self.clocks:
            clock.move(0.0)


class ClockStrobe(ClockJump):
    name = "wall clock strobes"
    strobe_s = 0.2


class FullDisk(Nemesis):
    """The disk of one node, of the leader as often as not, has no byte left."""

    name = "full disk"
    gap_s_max = LEADER_GAP_S_MAX

    @override
    async def start(self) -> None:
        leader = await self.environment.leader()
        follower = await self.follower()
        self.victim = self.rng.choice([leader, follower])
        await asyncio.to_thread(fill, self.nodes.data(self.victim) / "filler")

    @override
    async def proof(self) -> str | None:
        process = self.nodes.processes[self.victim]
        await until(lambda: process.poll() is not None, ENDED_S_MAX)
        line = (self.nodes.log(self.victim).splitlines() or [""])[-1]
        acted = process.poll() == FAIL_STOP_CODE and "No space left" in line
        return f"{self.victim} ended itself: {line[:200]}" if acted else None

    @override
    async def heal(self) -> None:
        (self.nodes.data(self.victim) / "filler").unlink()
        self.nodes.start(self.victim)


def fill(path: Path) -> None:
    """Leave no byte free; the journal may need room before it says so."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        block = b"x" * (1 << 20)
        while file.write(block) == len(block):
            continue
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
        while True:
            file.write(b"x")


class DamagedJournal(KillFollower):
    """The newest journal file of a node is damaged while the node is down."""

    gap_s_max = None

    @override
    async def start(self) -> None:
        await super().start()
        (name,) = self.victims
        self.path = max(self.nodes.data(name).glob("journal-*.log"))
        self.whole = self.path.read_bytes()
        self.path.write_bytes(self.damaged(self.whole))

    def damaged(self, data: bytes) -> bytes:
        raise AssertionError("damages nothing")


class CutJournal(DamagedJournal):
    """Its last record is torn, as by a power cut: the node mends it and goes on."""

    name = "journal cut"

    @override
    def damaged(self, data: bytes) -> bytes:
        return data + self.rng.randbytes(self.rng.randrange(1, 200))

    @override
    async def proof(self) -> str | None:
        gone = await super().proof()
        changed = self.path.read_bytes() != self.whole
        return f"{gone}, {self.path.name} has a torn end" if gone and changed else None


class FlippedJournal(DamagedJournal):
    """Bits in its middle are flipped: the node refuses it; its file is put back in the end."""

    name = "journal bits flipped"

    @override
    def damaged(self, data: bytes) -> bytes:
        flipped = bytearray(data)
        for _ in range(8):
            flipped[self.rng.randrange(len(data) // 4, len(data) // 2)] ^= 1 << 3
        return bytes(flipped)

    @override
    async def proof(self) -> str | None:
        (name,) = self.victims
        gone = await super().proof()
        self.nodes.start(name)
        process = self.nodes.processes[name]
        has_ended = await until(lambda: process.poll() is not None, ENDED_S_MAX)
        line = (self.nodes.log(name).splitlines() or [""])[-1]
        refused = has_ended and process.returncode != 0 and self.path.name in line
        return f"{gone}, then it refused: {line[:200]}" if gone and refused else None

    @override
    async def heal(self) -> None:
        (name,) = self.victims
        if self.nodes.is_running(name):
            await asyncio.to_thread(self.nodes.kill, name)
        self.path.write_bytes(self.whole)
        await super().heal()


class Sum(Nemesis):
    """Two faults at once; it acted when both did."""

    kinds: tuple[type[Nemesis], type[Nemesis]]
    hold_s = 6.0

    @override
    async def start(self) -> None:
        self.parts = [kind(self.environment, self.rng) for kind in self.kinds]
        for part in self.parts:
            await part.start()
            await asyncio.sleep(BETWEEN_S)

    @override
    async def proof(self) -> str | None:
        proofs = [await part.proof() for part in self.parts]
        return " + ".join(map(str, proofs)) if all(proofs) else None

    @override
    async def heal(self) -> None:
        for part in reversed(self.parts):
            await part.heal()


class KillInWeather(Sum):
    name = "kill leader + delay, loss"
    kinds = (Weather, KillLeader)


class KillUnderJumps(Sum):
    name = "kill leader + clocks strobe"
    kinds = (ClockStrobe, KillLeader)


class ApartUnderJumps(Sum):
    name = "isolate follower + clocks strobe"
    kinds = (IsolatedFollower, ClockStrobe)


class KillAllUnderJumps(Sum):
    """All nodes are killed while clocks jump, and start under other clocks."""

    name = "kill all + clocks strobe"
    hold_s = 1.0
    kinds = (ClockStrobe, KillAll)


ALL: tuple[type[Nemesis], ...] = (
    ClockJump,
    ClockStrobe,
    FullDisk,
    CutJournal,
    FlippedJournal,
    KillInWeather,
    KillUnderJumps,
    ApartUnderJumps,
    KillAllUnderJumps,
)
