"""When to campaign and whom to let win: pre-vote and leader stickiness.

A node that was cut off or restarted must not depose a leader that serves its majority (H32). It
asks first whether a majority would vote for it (pre-vote, Ongaro 9.6); nobody says yes, and nobody
votes, while it hears a leader. A leader whose connection breaks is suspected at once: when its
process dies, the cluster need not wait out the election timeout.

All times are those of a :class:`RunningClock`: a pause of this node is no silence of the others.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gorilla.consensus.guards import LogView, heard_since, is_majority, is_up_to_date
from gorilla.consensus.library import RaftCore
from gorilla.consensus.pauses import RunningClock
from gorilla.consensus.ports import Message
from gorilla.consensus.settings import EngineSettings

SUSPECT_DELAY_S: Final = (0.02, 0.15)
"""How long to wait, after the leader's connection broke, before asking for pre-votes (s)."""

AGAIN_S: Final = (0.25, 0.5)
"""How long to wait, while that connection is gone, before asking again (seconds)."""

Tell = Callable[[str, Message], None]


class Election:
    """Campaign control of one node."""

    def __init__(
        self,
        core: RaftCore,
        clock: RunningClock,
        log: LogView,
        rng: random.Random,
        settings: EngineSettings,
        tell: Tell,
    ) -> None:
        """Control ``core``; messages go out through ``tell``."""
        self._core = core
        self._clock = clock
        self._log = log
        self._rng = rng
        self._timeout_s = settings.election_s_min
        self._tell = tell
        self._leader_heard_at = float("-inf")
        self._leader_lost = False
        self._again_at = float("inf")
        self._acked_at: dict[str, float] = {}
        self._acked_really: dict[str, float] = {}
        self._round = rng.getrandbits(48)
        self._granted: set[str] | None = None
        self._asked_in = 0
        """The term in which pre-votes were asked for: in a later one they count for nothing."""
        self.patience_s = 0.0
        """How much longer than others this node waits before it asks for an election."""
        self.forced = False
        """The leader asked this node to take over: no pre-vote, and no stickiness of others."""

    # -- what is heard

    def heard_leader(self, now: float) -> None:
        """Note an append of the present leader."""
        self._leader_heard_at = now
        self._leader_lost = False
        self._again_at = float("inf")
        self._granted = None

    def heard_ack(self, peer: str, now: float) -> None:
        """Note an acknowledgement of this leader's term."""
        self._acked_at[peer] = now
        self._acked_really[peer] = now + self._clock.missed

    def lost_link(self, peer: str, now: float) -> None:
        """Note a broken connection: if it was the leader's, ask around soon."""
        if peer != self._core.leader_id or self._core.leads:
            return
        self._leader_lost = True
        soon = now + self._rng.uniform(*SUSPECT_DELAY_S)
        self._core.election_deadline = min(self._core.election_deadline, soon)

    # -- what follows from it

    def has_quorum(self, now: float, peers: Sequence[str]) -> bool:
        """Return whether this leader heard a majority within the election timeout.

        Here pauses count: after one, a leader takes nothing until it has heard a majority again.
        """
        really = now + self._clock.missed
        return self._is_majority_since(self._acked_really, peers, really - self._timeout_s)

    @staticmethod
    def _is_majority_since(heard: Mapping[str, float], peers: Sequence[str], since: float) -> bool:
        return is_majority(heard_since(heard, peers, since) + 1, len(peers) + 1)

    def leader_alive(self, now: float, peers: Sequence[str]) -> bool:
        """Return whether there is a leader that must not be deposed."""
        if self._core.leads:
            return self._is_majority_since(self._acked_at, peers, now - self._timeout_s)
        return not self._leader_lost and now - self._leader_heard_at < self._timeout_s

    def became_leader(self, now: float, peers: Sequence[str]) -> None:
        """Start the majority's allowance: it just voted."""
        self._acked_at = dict.fromkeys(peers, now)
        self._acked_really = dict.fromkeys(peers, now + self._clock.missed)
        self._granted = None
        self.forced = False

    # -- pre-vote

    @property
    def due(self) -> float:
        """When to ask for an election if nothing is heard (this node's clock, seconds)."""
        return min(self._core.election_deadline, self._again_at) + self.patience_s

    def _hurry(self, now: float) -> None:
        """Ask again soon when the leader's process seems to be dead, should this come to nothing.

        An answer may have been no only because the others had not noticed yet, or votes be split.
        """
        if self._leader_lost:
            self._again_at = now + self._rng.uniform(*AGAIN_S)

    def before_tick(self, now: float, peers: Sequence[str]) -> None:
        """Hold the library's election back until a majority would have it."""
        core = self._core
        if core.leads:
            return
        if core.raftCurrentTerm != self._asked_in:
            self._granted = None
        won = self._granted is not None and is_majority(len(self._granted) + 1, len(peers) + 1)
        if not peers or self.forced:
            core.may_campaign = True
        elif won and not self.leader_alive(now, peers):
            self._granted = None
            self._hurry(now)
            core.election_deadline = 0.0
            core.may_campaign = True
        elif self.due < now:
            self._ask(now, peers)

    def _ask(self, now: float, peers: Sequence[str]) -> None:
        self._round += 1
        self._granted = set()
        self._asked_in = self._core.raftCurrentTerm
        self._core.election_deadline = now + self._core.draw_election_timeout()
        self._hurry(now)
        for peer in peers:
            self._tell(
                peer,
                {
                    "type": "prevote",
                    "round": self._round,
                    "term": self._core.raftCurrentTerm + 1,
                    "last_log_index": self._log.last_index,
                    "last_log_term": self._log.last_term,
                },
            )

    def asked(self, peer: str, message: Message, now: float, peers: Sequence[str]) -> None:
        """Answer a pre-vote request.

        Of two that ask each other at once, one lets the other go first: both would win their
        pre-votes, and split the votes.
        """
        granted = (
            not self.leader_alive(now, peers)
            and message["term"] > self._core.raftCurrentTerm
            and is_up_to_date(self._log, message["last_log_term"], message["last_log_index"])
        )
        if granted and peer > self._core.selfNode.id:
            self._granted = None
        self._tell(
            peer,
            {
                "type": "prevoted",
                "round": message["round"],
                "granted": granted,
                "term": self._core.raftCurrentTerm,
            },
        )

    def answered(self, peer: str, message: Message) -> None:
        """Count an answer to this node's pre-vote request."""
        if self._granted is not None and message["round"] == self._round and message["granted"]:
            self._granted.add(peer)
