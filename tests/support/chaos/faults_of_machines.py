"""Wall clocks that jump, disks that fill up or fail, journals that are damaged, a dead database."""

import asyncio
import contextlib
from pathlib import Path

from typing_extensions import override

from tests.support.chaos.faults_of_processes import KillFollower
from tests.support.chaos.native import Refuses
from tests.support.chaos.nemesis import FOLLOWER_GAP_S_MAX, LEADER_S_MAX, Nemesis, until

JUMPS_S = (1.0, -1.0, 60.0, -60.0, 3_600.0, -3_600.0)
FAIL_STOP_CODE = 70
ENDED_S_MAX = 15.0
CUT_BYTES_MAX = 2_048
DAMAGED_BYTES_MIN = 4_096
NOTICED_S_MAX = 20.0


class ClockJump(Nemesis):
    """The wall clock of the leader and of another node jumps; strobing, it goes on jumping."""

    name = "wall clock jumps"
    gap_s_max = FOLLOWER_GAP_S_MAX
    strobe_s = 0.0

    @override
    async def start(self) -> None:
        leader = await self.environment.leader()
        self.victims = [leader, self.rng.choice(self.nodes.others(leader))]
        self.shims = [self.nodes.shims[name] for name in self.victims]
        self.before = [shim.reads for shim in self.shims]
        self.seen: set[float] = set()
        self.faults = 0
        self.acts()
        self._jumping = asyncio.create_task(self._jump())

    async def _jump(self) -> None:
        while True:
            for shim in self.shims:
                shim.move(self.rng.choice(JUMPS_S))
                self.faults += 1
            await asyncio.sleep(self.strobe_s or self.hold_s / 4)
            self._look()

    def _look(self) -> None:
        self.seen |= {shim.seen_s for shim in self.shims}

    @override
    async def proof(self) -> str | None:
        self._look()
        reads = [shim.reads - before for shim, before in zip(self.shims, self.before, strict=True)]
        jumps = sorted(self.seen - {0.0})
        told = f"{self.victims} read their wall clock {reads} times and saw {jumps} s"
        return told if jumps and all(reads) else None

    @override
    async def heal(self) -> None:
        self._jumping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._jumping
        for shim in self.shims:
            shim.move(0.0)


class ClockStrobe(ClockJump):
    name = "wall clock strobes"
    strobe_s = 0.2


class BadDisk(Nemesis):
    """The disk of one node, of the leader as often as not, refuses: the node ends itself."""

    gap_s_max = LEADER_S_MAX
    error = ""

    async def spoil(self) -> None:
        raise AssertionError("spoils nothing")

    @override
    async def start(self) -> None:
        leader = await self.environment.leader()
        self.victim = self.rng.choice([leader, self.rng.choice(self.nodes.others(leader))])
        self.before = self.nodes.shims[self.victim].refused
        self.acts()
        await self.spoil()

    @override
    async def proof(self) -> str | None:
        process = self.nodes.processes[self.victim]
        await until(lambda: process.poll() is not None, ENDED_S_MAX)
        line = (self.nodes.log(self.victim).splitlines() or [""])[-1]
        acted = process.poll() == FAIL_STOP_CODE and self.error in line
        return f"{self.victim} ended itself: {line[:160]}" if acted else None

    @override
    async def heal(self) -> None:
        # Whoever did not notice is not given its disk back under its feet.
        if self.nodes.is_running(self.victim):
            await asyncio.to_thread(self.nodes.kill, self.victim)
        (self.nodes.data(self.victim) / "filler").unlink(missing_ok=True)
        self.nodes.shims[self.victim].refuse(Refuses.NOTHING)
        self.nodes.start(self.victim)


class FullDisk(BadDisk):
    name = "full disk"
    error = "No space left"

    @override
    async def spoil(self) -> None:
        await asyncio.to_thread(fill, self.nodes.data(self.victim) / "filler")


class FailingSync(BadDisk):
    """fdatasync says EIO; nothing may be retried as if it had not."""

    name = "sync fails (EIO)"
    error = "Input/output error"
    refuses = Refuses.SYNCS

    @override
    async def spoil(self) -> None:
        self.nodes.shims[self.victim].refuse(self.refuses)

    @override
    async def proof(self) -> str | None:
        told = await super().proof()
        refused = self.nodes.shims[self.victim].refused - self.before
        return f"{refused} calls refused, {told}" if told and refused else None


class ReadOnlyDisk(FailingSync):
    name = "read-only disk"
    error = "Read-only file system"
    refuses = Refuses.WRITES


class BrokenDisk(FailingSync):
    name = "writes fail (EIO)"
    refuses = Refuses.WRITES_BROKEN


class SlowDisk(Nemesis):
    """Each sync of one node, of the leader as often as not, takes 0.3 s. It goes on, slowly."""

    name = "slow disk"
    gap_s_max = LEADER_S_MAX

    @override
    async def start(self) -> None:
        leader = await self.environment.leader()
        self.victim = self.rng.choice([leader, self.rng.choice(self.nodes.others(leader))])
        self.role = "leader" if self.victim == leader else "follower"
        self.before = self.nodes.shims[self.victim].refused
        self.acts()
        self.nodes.shims[self.victim].refuse(Refuses.HASTE)

    @override
    async def proof(self) -> str | None:
        slow = self.nodes.shims[self.victim].refused - self.before
        return f"{slow} slow syncs of {self.victim}, the {self.role}" if slow else None

    @override
    async def heal(self) -> None:
        self.nodes.shims[self.victim].refuse(Refuses.NOTHING)


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

    @override
    async def start(self) -> None:
        await super().start()
        (self.victim,) = self.victims
        self.path = max(self.nodes.data(self.victim).glob("journal-*.log"))
        self.whole = self.path.read_bytes()
        self.path.write_bytes(self.damaged(self.whole))

    def damaged(self, data: bytes) -> bytes:
        raise AssertionError("damages nothing")


class TornJournal(DamagedJournal):
    """Behind its last record is half of another one, as after a power cut: it is cut off."""

    name = "journal torn"

    @override
    def damaged(self, data: bytes) -> bytes:
        return data + self.rng.randbytes(self.rng.randrange(1, 200))

    @override
    async def proof(self) -> str | None:
        gone = await super().proof()
        more = self.path.stat().st_size - len(self.whole)
        return f"{gone}, {self.path.name} is {more:+} bytes" if gone and more else None


class CutJournal(TornJournal):
    """Its last records are gone, though they were acknowledged: the others have them still."""

    name = "journal cut"

    @override
    def damaged(self, data: bytes) -> bytes:
        return data[: -self.rng.randrange(1, min(CUT_BYTES_MAX, len(data) // 2))]


class FlippedJournal(DamagedJournal):
    """Bits in its middle are flipped: the node refuses it; its file is put back in the end."""

    name = "journal bits flipped"

    @override
    def damaged(self, data: bytes) -> bytes:
        flipped = bytearray(data)
        for _ in range(8):
            flipped[self.rng.randrange(len(data) // 4, len(data) // 2)] ^= 1 << 3
        # In so small a file the last frame might be hit: that one is taken for torn and cut off.
        return bytes(flipped) if len(data) >= DAMAGED_BYTES_MIN else data

    @override
    async def proof(self) -> str | None:
        gone = await super().proof()
        if self.path.read_bytes() == self.whole:
            return None
        self.nodes.start(self.victim)
        process = self.nodes.processes[self.victim]
        has_ended = await until(lambda: process.poll() is not None, ENDED_S_MAX)
        line = (self.nodes.log(self.victim).splitlines() or [""])[-1]
        refused = has_ended and process.returncode != 0 and self.path.name in line
        return f"{gone}, then it refused: {line[:160]}" if gone and refused else None

    @override
    async def heal(self) -> None:
        # A node that took the damaged file has gone on since: its past must not come back.
        if not self.nodes.is_running(self.victim):
            self.path.write_bytes(self.whole)
        await super().heal()


class DatabaseDown(Nemesis):
    """PostgreSQL is stopped: locks go on, and the leader says that snapshots fail."""

    name = "database down"
    gap_s_max = FOLLOWER_GAP_S_MAX
    hold_s = 6.0
    needs_database = True

    @override
    async def start(self) -> None:
        self.acts()
        await asyncio.to_thread(self.environment.database.stop)

    @override
    async def proof(self) -> str | None:
        leader = await self.environment.leader()
        deadline = asyncio.get_running_loop().time() + NOTICED_S_MAX
        while asyncio.get_running_loop().time() < deadline:
            text = await asyncio.to_thread(self.nodes.metrics, leader)
            if "\ngorilla_snapshot_failing 1" in text:
                return f"{leader} says that snapshots fail"
            await asyncio.sleep(0.1)
        return None

    @override
    async def heal(self) -> None:
        await asyncio.to_thread(self.environment.database.start)


ALL: tuple[type[Nemesis], ...] = (
    ClockJump,
    ClockStrobe,
    FullDisk,
    FailingSync,
    ReadOnlyDisk,
    BrokenDisk,
    SlowDisk,
    TornJournal,
    CutJournal,
    FlippedJournal,
    DatabaseDown,
)
