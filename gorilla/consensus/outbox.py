"""What a turn sends, in the order that keeps its promises."""

from typing import Final

from gorilla.consensus.guards import coalesce
from gorilla.consensus.journal import Journal
from gorilla.consensus.ports import Message, Wire

PROMISES: Final = frozenset(("next_node_idx", "request_vote", "response_vote", "installing"))
"""Messages that speak of this node's log, term or vote: they leave after the sync."""


class Outbox:
    """Keeps messages until the turn's end."""

    def __init__(self, wire: Wire, journal: Journal) -> None:
        """Send over ``wire``; promises only when ``journal`` is durable."""
        self._wire = wire
        self._journal = journal
        self._messages: list[tuple[str, Message]] = []

    def put(self, peer: str, message: Message) -> None:
        """Keep a message for ``peer``."""
        self._messages.append((peer, message))

    def flush(self) -> None:
        """Send appends, then make durable what the rest promises, then send the rest.

        Followers write an entry while this node does (Ongaro, Raft dissertation 10.2.1): the
        leader counts itself only at the next turn, after its own sync.
        """
        messages, self._messages = self._messages, []
        promises = []
        for peer, message in coalesce(messages):
            if message["type"] in PROMISES:
                promises.append((peer, message))
            else:
                self._wire.send(peer, message)
        self._wire.flush()
        self._journal.sync()
        for peer, message in promises:
            self._wire.send(peer, message)
        if promises:
            self._wire.flush()
