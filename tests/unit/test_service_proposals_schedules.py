"""Exactly once under any schedule of lost, doubled, refused and late offers and of leaders.

Mutations that it has caught, each made by hand: a refusal that clears every copy; an offer made
again under a fresh number; a definite failure though a copy is about; an origin opened anew though
something is exposed; an offer that was not sent and still counts. (Those of the other rules are
caught by the examples in ``test_service_proposals.py``.)
"""

import asyncio
from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings, strategies as st

from gorilla.domain.commands import Acquire, Batch, Release
from gorilla.domain.events import Acquired, Event
from gorilla.domain.outcomes import Granted
from gorilla.service.errors import NotServedError, OutcomeUnknownError
from gorilla.service.pending import ProposalLimits
from tests.support.service import Fate, Node, VirtualTimeLoop, member, turns

STEPS = st.one_of(
    st.tuples(st.just("submit"), st.floats(0.01, 6.0)),
    st.tuples(st.just("fates"), st.lists(st.sampled_from(Fate), min_size=1, max_size=4)),
    st.tuples(st.just("deliver"), st.randoms(use_true_random=False)),
    st.tuples(st.just("elect"), st.sampled_from("abc")),
    st.tuples(st.just("lose"), st.none()),
    st.tuples(st.just("wait"), st.floats(0.0, 3.0)),
    st.tuples(st.just("cancel"), st.integers(0, 20)),
    st.tuples(st.just("deaf"), st.booleans()),
    st.tuples(st.just("idle"), st.floats(200.0, 900.0)),
)


class Run:
    """One schedule: every command acquires a lock of its own, which is soon released again.

    So a command that is applied a second time makes a second grant.
    """

    def __init__(self) -> None:
        self.node = Node(bounds=ProposalLimits(pending_max=8))
        self.tasks: list[asyncio.Task[object]] = []
        self.grants: Counter[str] = Counter()
        self._releases = 0
        self.node.replica.watch(self._count)

    def _count(self, _index: int, events: Sequence[Event]) -> None:
        self.grants.update(event.lock for event in events if isinstance(event, Acquired))

    async def step(self, kind: str, what: object) -> None:
        await getattr(self, f"_{kind}")(what)
        await turns()
        await self._release_everything()

    async def _release_everything(self) -> None:
        """Free every lock, by batches of another node."""
        leases = self.node.replica.table.leases(limit=100)
        if not leases or self.node.consensus.leader is None:
            return
        self._releases += 1
        commands = tuple(
            (number, Release(lease.lock, lease.secret)) for number, lease in enumerate(leases, 1)
        )
        self.node.consensus.write(Batch(f"other-{self._releases}", 0, True, commands))

    async def _submit(self, within_s: float) -> None:
        lock = f"lock-{len(self.tasks)}"
        command = Acquire(lock, "ann", 3_600_000, f"secret-{lock}")
        deadline_s = self.node.loop.time() + within_s
        self.tasks.append(asyncio.ensure_future(self.node.proposals.submit(command, deadline_s)))

    async def _fates(self, fates: list[Fate]) -> None:
        self.node.consensus.fates.extend(fates)

    async def _deliver(self, random) -> None:
        self.node.consensus.deliver_delayed(random.shuffle)

    async def _elect(self, name: str) -> None:
        self.node.consensus.elect(member(name))

    async def _lose(self, _: None) -> None:
        self.node.consensus.lose_leader()

    async def _wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _cancel(self, index: int) -> None:
        if index < len(self.tasks):
            self.tasks[index].cancel()

    async def _deaf(self, is_deaf: bool) -> None:
        self.node.is_deaf = is_deaf

    async def _idle(self, seconds: float) -> None:
        # No copy is on its way for minutes: what is about arrives first, if there is a leader.
        self.node.consensus.fates.clear()
        if self.tasks:
            await asyncio.wait(self.tasks)
        self.node.consensus.deliver_delayed()
        await turns()
        await asyncio.sleep(seconds)

    async def finish(self) -> None:
        """Wait for every answer, then let everything that is about arrive."""
        if self.tasks:
            await asyncio.wait(self.tasks)
        self.node.consensus.elect()
        self.node.consensus.deliver_delayed()
        await turns()

    async def check(self) -> None:
        answers = await asyncio.gather(*self.tasks, return_exceptions=True)
        for index, answer in enumerate(answers):
            grants = self.grants[f"lock-{index}"]
            assert grants <= 1, f"command {index} was applied {grants} times"
            match answer:
                case NotServedError():
                    assert grants == 0, f"command {index} was applied in spite of {answer!r}"
                case Granted():
                    assert answer.is_new
                    assert grants == 1
                case _:
                    assert isinstance(answer, OutcomeUnknownError | asyncio.CancelledError)
        proposals = self.node.proposals
        assert proposals.pending == 0
        assert not proposals._offers
        assert not proposals._queue
        assert not proposals._exposed
        assert set(proposals._agenda._due_s) <= {0}


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_no_schedule_applies_a_command_twice_or_fails_one_definitely_that_was_applied(steps):
    async def scenario() -> None:
        run = Run()
        for kind, what in steps:
            await run.step(kind, what)
        await run.finish()
        await run.check()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(scenario())
