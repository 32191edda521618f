"""What each kind of peer message does: the guards decide, the library or a side acts."""

import logging
from collections.abc import Callable, Mapping

from gorilla.consensus.codec import MemberNode
from gorilla.consensus.election import Election
from gorilla.consensus.following import FollowerSide
from gorilla.consensus.guards import VoteBox, learn_term
from gorilla.consensus.leading import LeaderSide
from gorilla.consensus.library import FailStopError, RaftCore
from gorilla.consensus.offers import Offer
from gorilla.consensus.ports import Message
from gorilla.consensus.reads import PendingReads
from gorilla.consensus.roster import RemovedError
from gorilla.consensus.voters import Voters
from gorilla.service.ports import Member, ReadPoint

log = logging.getLogger(__name__)

Tell = Callable[[str, Message], None]
ToLibrary = Callable[[MemberNode, Message], None]
Handler = Callable[[MemberNode, Message], None]


class Inbox:
    """Dispatches the messages of authenticated peers."""

    def __init__(  # noqa: PLR0913  it joins the sides of a node
        self,
        core: RaftCore,
        election: Election,
        leading: LeaderSide,
        following: FollowerSide,
        reads: PendingReads,
        *,
        now: Callable[[], float],
        voters: Voters,
        learners: Mapping[str, Member],
        others: Mapping[str, Callable[[str, Message], None]],
        tell: Tell,
        to_library: ToLibrary,
        on_refused: Callable[[int], None],
    ) -> None:
        """Answer through ``tell``, hand what passes the guards to ``to_library``."""
        self._core = core
        self._election = election
        self._leading = leading
        self._following = following
        self._reads = reads
        self._now = now
        self._voters = voters
        self._learners = learners
        self._others = others
        self._tell = tell
        self._to_library = to_library
        self._on_refused = on_refused
        self._votes = VoteBox()
        self._handlers: dict[str, Handler] = {
            "append_entries": self._append,
            "install": self._install,
            "next_node_idx": self._ack,
            "installing": self._installing,
            "request_vote": self._vote_request,
            "response_vote": self._vote,
            "prevote": self._prevote,
            "prevoted": self._prevoted,
            "stale": self._stale,
            "timeout_now": self._timeout_now,
            "removed": self._removed,
            "offer": self._offer,
            "refused": self._refused,
            "read": self._read,
            "read_reply": self._read_reply,
        }

    def handle(self, peer: MemberNode, message: Message) -> None:
        """Act on one message."""
        handler = self._handlers.get(message["type"])
        if handler is not None:
            handler(peer, message)
        elif (other := self._others.get(message["type"])) is not None:
            other(peer.id, message)
        else:
            log.warning("%s sent a message of unknown type %r", peer.id, message["type"])

    # -- from a leader

    def _is_behind(self, peer: MemberNode, message: Message) -> bool:
        """Tell a peer of an earlier term that its time is over (H33)."""
        term = self._core.raftCurrentTerm
        if message["term"] >= term:
            return False
        self._tell(peer.id, {"type": "stale", "term": term})
        return True

    def _from_leader(self, peer: MemberNode, message: Message) -> bool:
        if self._is_behind(peer, message):
            return False
        same_term = message["term"] == self._core.raftCurrentTerm
        if same_term and self._core.leads:
            raise FailStopError(
                f"{peer.id} leads term {message['term']} too: two leaders in a term"
            )
        self._election.heard_leader(self._now())
        return True

    def _append(self, peer: MemberNode, message: Message) -> None:
        if self._from_leader(peer, message):
            self._following.append(peer, message)

    def _install(self, peer: MemberNode, message: Message) -> None:
        if self._from_leader(peer, message):
            self._following.install(peer, message)

    def _timeout_now(self, peer: MemberNode, message: Message) -> None:
        is_leaders = (
            message["term"] == self._core.raftCurrentTerm and peer.id == self._core.leader_id
        )
        if is_leaders and self._voters.counts_me:
            self._election.forced = True
            self._to_library(peer, message)

    def _removed(self, peer: MemberNode, message: Message) -> None:
        raise RemovedError(
            f"this node was removed from the cluster (log index {message['index']}, says {peer.id})"
        )

    # -- to a leader

    def _is_served(self, peer: str) -> bool:
        """Return whether ``peer`` gets the log from this node: a voter, or one that learns."""
        if not self._core.leads:
            return False
        return peer in self._voters.members or peer in self._learners

    def _ack(self, peer: MemberNode, message: Message) -> None:
        if message["term"] > self._core.raftCurrentTerm:
            self._stale(peer, message)
        elif self._is_served(peer.id):
            counts = peer.id in self._voters.members
            ack = self._leading.judge_ack(peer, message, self._now(), counts=counts)
            if ack is not None:
                self._to_library(peer, ack)

    def _installing(self, peer: MemberNode, message: Message) -> None:
        if self._is_served(peer.id):
            sign = self._leading.installing(peer.id, message, self._now())
            if sign is not None:
                self._to_library(peer, sign)

    def _offer(self, peer: MemberNode, message: Message) -> None:
        offer = Offer(peer.id, message["id"], message["batch"])
        self._leading.answer_offer(offer, self._now(), self._voters.ids)

    def _read(self, peer: MemberNode, message: Message) -> None:
        number = message["id"]

        def confirm(point: ReadPoint | None) -> None:
            answer = None if point is None else [point.index, point.now_ms]
            self._tell(peer.id, {"type": "read_reply", "id": number, "point": answer})

        if self._leading.is_open:
            self._leading.rounds.ask(confirm)
        else:
            confirm(None)

    # -- answers to what this node asked

    def _refused(self, _peer: MemberNode, message: Message) -> None:
        self._on_refused(message["id"])

    def _read_reply(self, _peer: MemberNode, message: Message) -> None:
        point = message["point"]
        self._reads.answered(message["id"], None if point is None else ReadPoint(*point))

    # -- elections

    # A node that is no member by its own log votes like all: whether that counts is decided by the
    # candidate's log, which may be ahead. A cluster of one that grows could not do without it.

    def _vote_request(self, peer: MemberNode, message: Message) -> None:
        if self._is_behind(peer, message):
            return
        alive = self._election.leader_alive(self._now(), self._voters.ids)
        if message["forced"] or not alive:
            self._to_library(peer, message)

    def _vote(self, peer: MemberNode, message: Message) -> None:
        is_for_now = message["term"] == self._core.raftCurrentTerm and peer.id in self._voters.ids
        if is_for_now and self._votes.take(peer.id, message["term"]):
            self._to_library(peer, message)

    def _prevote(self, peer: MemberNode, message: Message) -> None:
        self._election.asked(peer.id, message, self._now(), self._voters.ids)

    def _prevoted(self, peer: MemberNode, message: Message) -> None:
        if message["term"] > self._core.raftCurrentTerm:
            self._stale(peer, message)
        elif peer.id in self._voters.ids:
            self._election.answered(peer.id, message)

    def _stale(self, peer: MemberNode, message: Message) -> None:
        """Adopt a later term, voting for nobody (H33)."""
        if message["term"] > self._core.raftCurrentTerm:
            self._to_library(peer, learn_term(message["term"]))
