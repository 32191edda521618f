"""The journal against a list, with crashes at every moment: nothing synced is lost or made up.

Planted faults that it finds: no sync of a frame; a new segment used before its header or the
directory is synced; an old one closed before that; a torn frame left in place; a commit index kept
beyond the log; ``durable_index`` not following what is dropped. Those that need a rarer moment are
found in test_journal_recovery.py, which tries every moment.
"""

import contextlib
import random
from copy import deepcopy
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gorilla.consensus.journal import Entry, Journal, JournalFailedError
from tests.support.journals import Killed, kill_at, open_journal
from tests.support.simdisk import SimDisk


@dataclass
class Model:
    """What a journal holds."""

    entries: list[Entry] = field(default_factory=list)
    term: int = 0
    vote: str | None = None
    commit: int = 0

    @property
    def last(self) -> int:
        return self.entries[-1][1] if self.entries else 0

    @staticmethod
    def of(journal: Journal) -> "Model":
        return Model(
            journal[:],
            journal.getCurrentTerm(),
            journal.getVotedForNodeId(),
            journal.getRaftCommitIndex() if len(journal) else 0,
        )

    def seen(self) -> "Model":
        """As the library is told: the commit index is at least 1."""
        return Model(self.entries, self.term, self.vote, max(1, self.commit) if self.entries else 0)


class JournalMachine(RuleBasedStateMachine):
    """One member's journal through many lives."""

    @initialize(
        segment_bytes=st.sampled_from([150, 400, 100_000]), retain=st.sampled_from([0, 2, 50])
    )
    def start(self, segment_bytes: int, retain: int) -> None:
        self.disk = SimDisk()
        self.settings = {"segment_bytes": segment_bytes, "retain_entries": retain}
        self.retain = retain
        self.journal = open_journal(self.disk, **self.settings)
        self.model = Model()
        self.durable = Model()
        self.promised_term = 0
        self.serial = 0

    # -- what the library does

    @rule(count=st.integers(1, 5), size=st.sampled_from([0, 7, 90]), newer=st.booleans())
    def add(self, count: int, size: int, newer: bool) -> None:
        if newer:
            self.set_term(1, None)
        for _ in range(count):
            index = self.model.last + 1
            term = max(self.model.term, self.model.entries[-1][2] if self.model.entries else 0)
            self.serial += 1
            command = f"{self.serial}".encode() + bytes(size)
            self.journal.add(command, index, term)
            self.model.entries.append((command, index, term))

    @precondition(lambda self: len(self.model.entries) > 1)
    @rule(share=st.floats(0, 1))
    def drop_from(self, share: float) -> None:
        position = 1 + int(share * (len(self.model.entries) - 1))
        self.journal.deleteEntriesFrom(position)
        del self.model.entries[position:]
        self.model.commit = min(self.model.commit, self.model.last)

    @precondition(lambda self: len(self.model.entries) > 1)
    @rule(share=st.floats(0, 1, exclude_max=True))
    def drop_to(self, share: float) -> None:
        position = int(share * len(self.model.entries))
        self.journal.deleteEntriesTo(position)
        del self.model.entries[: max(0, position - self.retain)]

    @rule(ahead=st.integers(-3, 40))
    def install(self, ahead: int) -> None:
        """A snapshot replaces the log, as the library does it."""
        index = max(2, self.model.last + ahead)
        self.journal.clear()
        self.model.entries.clear()
        for each in ((b"previous", index - 1, self.model.term), (b"last", index, self.model.term)):
            self.journal.add(*each)
            self.model.entries.append(each)
        self.model.commit = 0

    @rule(step=st.integers(0, 2), vote=st.sampled_from([None, "n1", "n2"]))
    def set_term(self, step: int, vote: str | None) -> None:
        if step == 0 and self.model.vote is not None:
            vote = self.model.vote
        self.model.term += step
        self.model.vote = vote
        self.journal.setCurrentTerm(self.model.term, vote)

    @rule(beyond=st.integers(-4, 2))
    def commit(self, beyond: int) -> None:
        index = max(0, self.model.last + beyond)
        self.journal.setRaftCommitIndex(index)
        self.model.commit = min(index, self.model.last)

    @rule()
    def second_passes(self) -> None:
        self.journal.onOneSecondTimer()

    @rule()
    def sync(self) -> None:
        wrote = self.journal.dirty
        self.journal.sync()
        if wrote:
            self.synced()

    # -- what happens to it

    @rule(power=st.booleans(), seed=st.integers(0, 2**16))
    def crash(self, power: bool, seed: int) -> None:
        self.disk.crash(random.Random(seed), power=power)
        self.reopen([self.durable])

    @rule(moment=st.integers(0, 25), power=st.booleans(), seed=st.integers(0, 2**16))
    def crash_in_sync(self, moment: int, power: bool, seed: int) -> None:
        before, wrote = self.durable, self.journal.dirty
        kill_at(self.disk, moment)
        try:
            self.journal.sync()
            possible = [deepcopy(self.model) if wrote else before]
        except Killed:
            possible = [before, deepcopy(self.model)]
        self.disk.crash(random.Random(seed), power=power)
        self.reopen(possible)

    @rule(moment=st.integers(0, 12), power=st.booleans(), seed=st.integers(0, 2**16))
    def crash_in_recovery(self, moment: int, power: bool, seed: int) -> None:
        rng = random.Random(seed)
        self.disk.crash(rng, power=power)
        kill_at(self.disk, moment)
        with contextlib.suppress(Killed):
            open_journal(self.disk, **self.settings, must_exist=True)
        self.disk.crash(rng, power=power)
        self.reopen([self.durable])

    @rule(operation=st.sampled_from(["write", "sync", "sync_directory"]), nth=st.integers(1, 4))
    def disk_fails(self, operation: str, nth: int) -> None:
        before, wrote = self.durable, self.journal.dirty
        self.disk.fail_at(operation, nth)
        try:
            self.journal.sync()
            possible = [deepcopy(self.model) if wrote else before]
        except JournalFailedError:
            possible = [before, deepcopy(self.model)]
            with pytest.raises(JournalFailedError):
                self.journal.sync()
        self.disk.crash(random.Random(nth), power=True)
        self.reopen(possible)

    @rule()
    def restart_in_order(self) -> None:
        if self.journal.dirty:
            self.synced()
        self.journal._destroy()
        self.disk.crash(random.Random(0), power=False)
        self.reopen([self.durable])

    # -- what must hold

    def synced(self) -> None:
        self.durable = deepcopy(self.model)
        self.promised_term = self.model.term

    def reopen(self, possible: list[Model]) -> None:
        self.journal = open_journal(self.disk, **self.settings, must_exist=True)
        found = Model.of(self.journal)
        assert found in [model.seen() for model in possible]
        assert found.term >= self.promised_term
        self.model = deepcopy(next(model for model in possible if model.seen() == found))
        self.synced()
        assert self.journal.durable_index == self.model.last

    @invariant()
    def view_is_the_model(self) -> None:
        assert Model.of(self.journal) == self.model.seen()
        assert len(self.journal) == len(self.model.entries)
        assert self.journal.last_index == self.model.last
        assert self.journal.bytes_held == sum(len(entry[0]) for entry in self.model.entries)
        if self.model.entries:
            assert self.journal.first_index == self.model.entries[0][1]
            assert self.journal[-1] == self.model.entries[-1]

    @invariant()
    def durable_index_is_never_too_large(self) -> None:
        durable = set(self.durable.entries)
        for entry in self.model.entries:
            if entry[1] <= self.journal.durable_index:
                assert entry in durable


JournalMachine.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestJournalAgainstAList = JournalMachine.TestCase
