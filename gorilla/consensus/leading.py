"""What a node does as the leader: acknowledgements, offers, read rounds, snapshots for others."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from gorilla.consensus.codec import MemberNode
from gorilla.consensus.election import Election
from gorilla.consensus.guards import AckLedger
from gorilla.consensus.library import FailStopError, GuardedTransport, RaftCore
from gorilla.consensus.offers import Offer, OfferQueue
from gorilla.consensus.ports import Message
from gorilla.consensus.reads import LeaderRounds
from gorilla.consensus.shipping import Shipper
from gorilla.service.ports import Replica

log = logging.getLogger(__name__)

TURN_BYTES_MAX: Final = 8 * 1024 * 1024
"""Commands sent to one follower in one turn, about: a link is cut when too much waits on it."""

Tell = Callable[[str, Message], None]
NodeOf = Callable[[str], MemberNode]


class LeaderSide:
    """The leader's bookkeeping. Idle on a follower, and emptied when leadership is lost."""

    def __init__(
        self,
        core: RaftCore,
        transport: GuardedTransport,
        election: Election,
        shipper: Shipper,
        replica: Replica,
        tell: Tell,
    ) -> None:
        """Work on ``core``; answers go out through ``tell``."""
        self._core = core
        self._transport = transport
        self._election = election
        self._replica = replica
        self._tell = tell
        self._parked: set[str] = set()
        self._turn_bytes: dict[str, int] = {}
        self._paused: dict[str, MemberNode] = {}
        self.shipper = shipper
        self.ledger = AckLedger()
        self.rounds = LeaderRounds()
        self.offers = OfferQueue()
        self.sent = 0
        """Number of the newest append that was sent."""
        self.is_open = False
        """Whether it leads and has applied an entry of its own term: cluster time runs."""
        self.is_leaving = False
        """Whether the node stops: it takes no more offers, and hands its office over."""
        self.successor: MemberNode | None = None
        """Who is asked to take over; None for nobody, or of a node that stops, the furthest."""

    @property
    def _hands_over(self) -> bool:
        return self.is_leaving or self.successor is not None

    # -- role

    def be_patient(self, seconds: float) -> None:
        """Campaign so much later than others."""
        self._election.patience_s = seconds

    def begin(self, term: int, now: float, peers: Sequence[str], node_of: NodeOf) -> None:
        """Take office in ``term``."""
        self.ledger.begin(term)
        self._election.became_leader(now, peers)
        self._unpark_all(node_of)

    def open(self, term: int) -> None:
        """Start to serve: everything of earlier terms is applied."""
        self.is_open = True
        self._replica.lead(term)

    def end(self, node_of: NodeOf) -> None:
        """Leave office: what was taken and not written is refused, which is definite."""
        self.is_open = False
        self.successor = None
        self._replica.follow()
        for offer in self.offers.clear():
            self._refuse(offer.source, offer.number)
        self.rounds.abandon()
        self._unpark_all(node_of)

    # -- what the library sends

    def stamp_append(self, message: Message, applied: int) -> Message | None:
        """Number an append; None when the follower needs a snapshot instead (H1, H36)."""
        if "prevLogIdx" not in message:
            return None
        self.sent += 1
        message["seq"] = self.sent
        message["chain"] = [applied, self._replica.chain_at(applied)]
        return message

    def limit(self, peer: MemberNode, message: Message) -> None:
        """Let a follower that is far behind have the rest in later turns.

        The library would send all of its log at once, and begin again when that breaks the link.
        """
        size = sum(len(command) for command, _, _ in message["entries"])
        self._turn_bytes[peer.id] = total = self._turn_bytes.get(peer.id, 0) + size
        if total >= TURN_BYTES_MAX and peer.id not in self._paused:
            self._paused[peer.id] = peer
            self._transport.unlinked(peer)  # ends the library's loop

    def resume(self) -> None:
        """The turn is over: whoever had enough for one turn may have more in the next."""
        self._turn_bytes.clear()
        while self._paused:
            _, peer = self._paused.popitem()
            if peer.id not in self._parked:
                self._transport.linked(peer)

    def park(self, peer: MemberNode) -> None:
        """Ship a snapshot to ``peer``, which the library takes for disconnected meanwhile."""
        self._parked.add(peer.id)
        self._transport.unlinked(peer)
        if not self.shipper.wants(peer.id):
            raise FailStopError(f"the log starts at {self._core.first_kept_index}, no snapshot")

    def unpark(self, peer: MemberNode) -> None:
        """The library serves ``peer`` from its log again."""
        self.shipper.drop(peer.id)
        if peer.id in self._parked:
            self._parked.discard(peer.id)
            self._transport.linked(peer)

    def lost_link(self, peer: str) -> None:
        """The connection to ``peer`` broke; the engine tells the library."""
        self.shipper.drop(peer)
        self._parked.discard(peer)
        self._paused.pop(peer, None)

    def forget(self, peer: MemberNode) -> None:
        """``peer`` is no member any more: nothing it said counts from now on.

        The library is told that it is linked, as it is: its removal may be overwritten yet.
        """
        self.unpark(peer)
        if self._paused.pop(peer.id, None) is not None:
            self._transport.linked(peer)
        self.rounds.forget(peer.id)

    def _unpark_all(self, node_of: NodeOf) -> None:
        self.shipper.clear()
        for peer in sorted(self._parked):
            self.unpark(node_of(peer))

    # -- what followers say

    def judge_ack(
        self, peer: MemberNode, ack: Message, now: float, *, counts: bool
    ) -> Message | None:
        """Return an acknowledgement as the library may see it, None to drop it.

        One of a node that doesn't count moves only what that node is sent next.
        """
        judged = self.ledger.judge(peer.id, ack, self._core.last_index, self.sent)
        if judged is None:
            return None
        self._election.heard_ack(peer.id, now)
        if counts:
            self.rounds.acked(peer.id, ack["term"], ack["echo"])
        if peer.id in self._parked:
            return self._acked_while_parked(peer, judged)
        return judged

    def _acked_while_parked(self, peer: MemberNode, ack: Message) -> Message:
        if not ack["success"]:
            return sign_of_life()
        if ack["next_node_idx"] > self._core.first_kept_index:
            self.unpark(peer)
            return ack
        self.shipper.passed(peer.id, ack["next_node_idx"] - 1)
        return sign_of_life()

    def installing(self, peer: str, message: Message, now: float) -> Message | None:
        """Take a follower's progress with a snapshot; returns what the library is told."""
        if message["term"] != self.ledger.term:
            return None
        self._election.heard_ack(peer, now)
        self.shipper.acked(peer, message)
        return sign_of_life()

    # -- offers

    def take_offer(self, offer: Offer, now: float, peers: Sequence[str]) -> bool:
        """Take a batch for the log; False when this node can't write it now."""
        if not self.is_open or self._hands_over or not self._election.has_quorum(now, peers):
            return False
        return self.offers.put(offer)

    def answer_offer(self, offer: Offer, now: float, peers: Sequence[str]) -> None:
        """Take a batch, or tell its source that nothing of it was done."""
        if not self.take_offer(offer, now, peers):
            self._refuse(offer.source, offer.number)

    def _refuse(self, source: str | None, number: int) -> None:
        if source is None:
            self._replica.refused(number)
        else:
            self._tell(source, {"type": "refused", "id": number})

    def propose(self) -> None:
        """Write what waits, or a pulse when an expiry is due: at most one entry a turn."""
        if self.is_open:
            payload = self._replica.compose(self.offers.take())
            if payload is not None:
                self._core.commit(payload)

    def hand_over(self) -> None:
        """Ask the successor to take over, once nothing of ours is on its way."""
        core = self._core
        is_idle = not self.offers and core.raftCommitIndex == core.last_index
        if self._hands_over and self.is_open and is_idle:
            core.hand_over(self.successor)

    # -- reads

    def open_round(self) -> None:
        """Start a read round when reads wait and nothing that is due is missing from the state."""
        if self.is_open and self.rounds.waiting and not self._replica.pulse_due():
            self.rounds.open(self.ledger.term, self.sent, self._core.raftCommitIndex)
            self._core.append_soon()


def sign_of_life() -> Message:
    """Make an acknowledgement that only tells the library that the follower lives."""
    return {"type": "next_node_idx", "next_node_idx": 1, "reset": False, "success": False}
