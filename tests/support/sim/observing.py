"""What is noted of a run while it goes on: the whole cluster seen from outside, for checkers."""

from typing import Any

from tests.support.sim.history import Changed, Committed, Counted, History, Voted
from tests.support.sim.node import Claim, SimNode
from tests.support.sim.scheduler import Scheduler

COMPLETE_BACK = 50
"""A new leader's log is looked at for so many entries that were applied last."""


class Observer:
    """Sees all logs at once, as nobody in the cluster can."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.history = History()
        self.nodes: dict[str, SimNode] = {}
        """Those of the cluster, and those that join it."""
        self.retired: list[SimNode] = []
        """The nodes that are gone for good: removed, or their disks lost."""
        self.applied: dict[int, int] = {}
        """By index, the term of everything that was applied anywhere."""
        self._committed_in: dict[int, int] = {}
        """By index, the term of the node that applied it first: it was committed by then."""
        self.happened: dict[str, int] = {}
        """How often what took place, by kind."""
        self._newest = 0
        self._sizes: dict[int, int] = {}
        self._counted: dict[tuple[str, str], Claim] = {}

    def happens(self, what: str, times: int = 1) -> None:
        """Count something that took place, whoever brought it about."""
        if times:
            self.happened[what] = self.happened.get(what, 0) + times

    def says(self, node: str, peer: str, message: dict[str, Any]) -> None:
        """Take note of a vote that a node tells of."""
        candidate = {"response_vote": peer, "request_vote": node}.get(message["type"])
        if candidate is not None:
            vote = Voted(self.scheduler.now, node, message["term"], candidate)
            self.history.votes.append(vote)

    def counts(self, node: SimNode, peer: str, claim: Claim) -> None:
        """Compare what a leader counts as acknowledged to the log that it is about."""
        follower = self.nodes.get(peer)
        known = self._counted.get((node.id, peer))
        if follower is None or known == claim or follower.is_beyond(claim.term):
            return
        self._counted[node.id, peer] = claim
        is_there = follower.holds(claim.index, claim.entry_term)
        self.history.counted.append(
            Counted(self.scheduler.now, node.id, peer, claim.term, claim.index, is_there)
        )

    def applies(self, node: SimNode, index: int, term: int) -> None:
        """Look who has an entry when it is applied for the first time."""
        if index <= self._newest:
            return
        self._newest = index
        self.applied[index] = term
        self._committed_in[index] = term if node.journal is None else node.journal.getCurrentTerm()
        nodes = [*self.nodes.values(), *self.retired]
        for one in nodes:
            one.look_at_roster()
        holders = [one for one in nodes if one.holds(index, term)]
        self.history.commits.append(
            Committed(
                at=self.scheduler.now,
                node=node.id,
                index=index,
                term=term,
                holders=tuple(one.id for one in holders),
                rosters=tuple({one.voters: None for one in holders}),
            )
        )

    def commits_change(self, changed: Changed) -> None:
        """Take note of a change of the roster that a node applies."""
        self.history.changes.append(changed)
        process = self.nodes[changed.node].process
        if process is not None and changed.index not in self._sizes:
            self._sizes[changed.index] = size = len(process.roster_at(changed.index).members)
            self.happens(f"members then: {size}")

    def led_without(self, node: SimNode, term: int) -> tuple[int, ...]:
        """Return what was committed in earlier terms, as far back as matters, and a leader lacks.

        An entry may be older than the term that commits it: who won its votes before that, and
        counts them late, need not have it.
        """
        newest = list(self._committed_in.items())[-COMPLETE_BACK:]
        wanted = [index for index, committed_in in newest if committed_in < term]
        return tuple(index for index in wanted if not node.holds(index, self.applied[index]))

    def members(self) -> list[str]:
        """Return the ids of all nodes but those that were removed and don't know it yet."""
        removed = self.removed()
        return [one for one in self.nodes if one not in removed]

    def removed(self) -> list[str]:
        """Return the ids of those whose removal is committed."""
        return [change.member for change in self.history.changes if change.kind == "rem"]

    def astray(self) -> list[str]:
        """Return the removed nodes that know no member of today: nobody can tell them any more."""
        removed = self.removed()
        return [
            one.id
            for one in self.nodes.values()
            if one.id in removed and one.is_up and not any(map(one.dials, self.members()))
        ]
