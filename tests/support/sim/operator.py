"""Whoever changes the cluster: adds, removes, replaces and moves members, one change at a time.

It does what the planner and the leader's actor do: it asks whoever leads, lets a newcomer learn
before it counts, hands over before it removes the leader, and asks again when it got no answer.
"""

import functools
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from gorilla.consensus.roster import RosterRefusedError
from gorilla.service.ports import Member

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.sim.node import SimNode
    from tests.support.sim.parts import Process
    from tests.support.sim.world import World

LOOK_EVERY_S = 0.05
HAND_OVER_S_MAX = 1.5
"""How long the successor has to take over; no command is taken meanwhile."""


@dataclass(slots=True)
class Change:
    """One change under way, and how far it is."""

    kind: str
    """``add``, ``rem`` or ``set``."""
    member: Member
    rng: random.Random
    behind_max: int
    """So much of the log a newcomer may lack when it begins to count."""
    is_forced: bool
    """Whether it is made although not enough members are up."""
    next: list["Change"] = field(default_factory=list)
    """What is to be done after it."""
    handing: tuple[str, float] | None = None
    """Which leader was told to hand over, and until when it has time (true seconds)."""


class Operator:
    """Makes the changes that the nemesis asks for."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._change: Change | None = None
        self.touched: frozenset[str] = frozenset()
        """Ids of the members that the change under way is about."""
        self.replaces_the_lost = False
        """Whether it is one that leaves fewer members than count until it is done."""

    @property
    def is_busy(self) -> bool:
        """Whether a change is under way."""
        return self._change is not None

    @property
    def status(self) -> str:
        """Say what is under way."""
        change = self._change
        return "" if change is None else f"{change.kind} {change.member.id} is never done"

    # What the nemesis asks for: each returns whether it is begun

    def add(self, rng: random.Random, like: Member | None = None) -> bool:
        """Let a new node join, with the name and addresses of ``like`` or its own."""
        return not self.is_busy and self._begin(self._adding(rng, like))

    def remove(self, rng: random.Random, victim: str, *, is_forced: bool = False) -> bool:
        """Take a member out for good."""
        node = self._world.nodes.get(victim)
        if self.is_busy or node is None or len(self._world.members()) < 2:
            return False
        return self._begin(self._change_of("rem", node.machine.member, rng, is_forced=is_forced))

    def replace(self, rng: random.Random, victim: str) -> bool:
        """Let a new node learn, take a member out, and let the new one count in its place."""
        node = self._world.nodes.get(victim)
        if self.is_busy or node is None or len(self._world.members()) < 2:
            return False
        old = node.machine.member
        adding = self._adding(rng, old)
        leaving = self._change_of("rem", old, rng, is_forced=True)
        leaving.next = [_anew(adding)]
        learning = _anew(adding)
        learning.kind, learning.next = "learn", [leaving]
        return self._begin(learning)

    def take_back(self, rng: random.Random) -> bool:
        """Ask for a node that was removed, with its old identity: never may that be begun."""
        gone = [one.machine.member for one in self._world.retired]
        leaders = self._world.leaders()
        if self.is_busy or not gone or not leaders:
            return False
        node = rng.choice(leaders)
        node.post(0.0, self._take_back, node, rng.choice(gone))
        return True

    def _take_back(self, node: "SimNode", member: Member) -> None:
        roster = node.process.engine.roster if node.process is not None else None
        if roster is None or not roster.leads or member.id not in self._world.removed():
            return
        if member.id in {one.id for one in roster.members}:
            return  # a leader of the past, to whom it still is one
        for ask in (roster.add_learner, functools.partial(roster.change, "add")):
            try:
                ask(member)
            except RosterRefusedError:
                self._count("removed one refused")
            else:
                self._world.history.mishaps.append(f"{node.id} takes {member.id} back")

    def move(self, rng: random.Random, victim: str) -> bool:
        """Give a member another address."""
        node = self._world.nodes.get(victim)
        if self.is_busy or node is None:
            return False
        machine = node.machine
        peer = f"{machine.member.name}:{rng.randint(1_000, 9_999)}"
        machine.member = msgspec.structs.replace(machine.member, peer=peer)
        return self._begin(self._change_of("set", machine.member, rng))

    def _adding(self, rng: random.Random, like: Member | None) -> Change:
        member = self._world.make_member(like)
        return self._change_of("add", member, rng)

    def _change_of(
        self, kind: str, member: Member, rng: random.Random, *, is_forced: bool = False
    ) -> Change:
        behind_max = rng.choice((0, 3, 1_000))
        return Change(kind, member, rng, behind_max, is_forced or rng.random() < 0.3)

    def _begin(self, change: Change) -> bool:
        self._change = change
        about = [change, *change.next]
        self.touched = frozenset(one.member.id for one in about)
        self.replaces_the_lost = False
        self._world.scheduler.note("CHANGE", change.kind, change.member.id)
        self._world.scheduler.after(0.0, self._look, change)
        return True

    # The change under way

    def _look(self, change: Change) -> None:
        """Ask somebody who thinks that it leads to do what is next."""
        if self._change is not change:
            return
        leaders = [node for node in self._world.leaders() if not node.is_paused]
        if leaders:
            node = change.rng.choice(leaders)
            node.post(0.0, self._ask, change, node)
        self._world.scheduler.after(LOOK_EVERY_S, self._look, change)

    def _ask(self, change: Change, node: "SimNode") -> None:
        process = node.process
        if self._change is not change or process is None or not process.engine.roster.leads:
            return
        steps: dict[str, Callable[[Change, SimNode, Process], bool]] = {
            "add": self._add,
            "learn": self._learn,
            "rem": self._remove,
            "set": self._move,
        }
        try:
            is_done = steps[change.kind](change, node, process)
        except RosterRefusedError as refusal:
            self._world.scheduler.note("refused", node.id, refusal)
            self._count("refused")
            return
        process.driver.wake()
        if is_done:
            self._done(change)

    def _done(self, change: Change) -> None:
        self._world.scheduler.note("CHANGED", change.kind, change.member.id)
        self._count(change.kind)
        self._change = None
        if change.next:
            self._change = change.next[0]
            self._world.scheduler.after(0.0, self._look, self._change)

    def _give_up(self, change: Change) -> None:
        """Leave the last member where it is."""
        self._count("given up")
        for left in change.next:
            if left.kind == "add":
                self._world.retire(self._world.nodes[left.member.id], "not needed")
        self._change = None

    def _count(self, kind: str) -> None:
        self._world.happens(f"change: {kind}")

    def _learn(self, change: Change, node: "SimNode", process: "Process") -> bool:
        """Have the leader teach the newcomer; returns whether it has learned enough."""
        del node
        roster, member = process.engine.roster, change.member
        if member.id not in roster.learners:
            if roster.is_changing:
                raise RosterRefusedError("another change is under way")
            roster.add_learner(member)
            self._world.invite(member, roster.members)
            return False
        return roster.has_nearly_all(member.id, change.behind_max)

    def _add(self, change: Change, node: "SimNode", process: "Process") -> bool:
        """Have the newcomer learn, then count; returns whether it does."""
        roster, member = process.engine.roster, change.member
        if roster.is_in_force("add", member):
            return True
        if member.id not in process.voters() and self._learn(change, node, process):
            roster.change("add", member)
        return False

    def _remove(self, change: Change, node: "SimNode", process: "Process") -> bool:
        roster, member = process.engine.roster, change.member
        if member.id in process.committed_roster().removed:
            return True
        if member.id == node.id:
            self._hand_over(change, node, process)
        elif member.id in process.voters() and self._may_go(change, process):
            roster.change("rem", member)
        return False

    def _move(self, change: Change, node: "SimNode", process: "Process") -> bool:
        del node
        roster, member = process.engine.roster, change.member
        if roster.is_in_force("set", member) or member.id not in process.voters():
            return True
        if not roster.is_changing:
            roster.change("set", member)
        return False

    def _may_go(self, change: Change, process: "Process") -> bool:
        staying = [one for one in process.voters() if one != change.member.id]
        linked = {peer for peer in staying if peer in process.engine._links}
        return change.is_forced or 2 * (len(linked) + 1) > len(staying)

    def _hand_over(self, change: Change, node: "SimNode", process: "Process") -> None:
        """Let another member lead, and the leader go on when none does in time."""
        now = self._world.scheduler.now
        if change.handing is not None and change.handing[0] == node.id:
            if now > change.handing[1]:
                process.engine.roster.keep()
                change.handing = None
            return
        others = [one for one in process.voters() if one != node.id]
        if not others:
            self._give_up(change)
            return
        process.engine.roster.transfer(change.rng.choice(others))
        change.handing = (node.id, now + HAND_OVER_S_MAX)
        self._count("handed over")


def _anew(change: Change) -> Change:
    """Return a change like ``change``, with nothing done of it."""
    return Change(
        change.kind, change.member, change.rng, change.behind_max, is_forced=change.is_forced
    )
