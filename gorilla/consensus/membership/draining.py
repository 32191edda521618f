"""Which members an operator wants to take no requests and not to lead.

It is each node's own word, told to the others over the links, and it ends with the process: nobody
finds a node that refuses to work because of something that was said a month ago.
"""

import logging
from collections.abc import Callable

from gorilla.consensus.membership.messages import DRAIN, DRAINING
from gorilla.consensus.ports import Message

log = logging.getLogger(__name__)


class Draining:
    """Whether this node drains, and what the others said of themselves."""

    def __init__(
        self,
        tell: Callable[[str, Message], None],
        others: set[str],
        on_change: Callable[[bool], None],
    ) -> None:
        """Begin without.

        Args:
            tell: Sends a message to a member.
            others: Gets the ids of the linked members that drain.
            on_change: Told when this node begins or ends to drain.

        """
        self._tell = tell
        self._linked: set[str] = set()
        self._on_change = on_change
        self.mine = False
        self.others = others

    def set(self, *, draining: bool) -> None:
        """Begin or end to drain, and say so."""
        if draining == self.mine:
            return
        self.mine = draining
        log.info("an operator %s this node", "drains" if draining else "ended draining")
        self._on_change(draining)
        for peer in sorted(self._linked):
            self._say(peer)

    def ask(self, peer: str, *, draining: bool) -> None:
        """Tell a member to begin or to end."""
        self._tell(peer, {"type": DRAIN, "on": draining})

    def connected(self, peer: str) -> None:
        """There is a new link: its other end knows nothing yet."""
        self._linked.add(peer)
        if self.mine:
            self._say(peer)

    def disconnected(self, peer: str) -> None:
        """The link is gone; the process at its other end may be, too."""
        self._linked.discard(peer)
        self.others.discard(peer)

    def asked(self, _peer: str, message: Message) -> None:
        """A member tells this node to begin or to end."""
        self.set(draining=bool(message["on"]))

    def said(self, peer: str, message: Message) -> None:
        """A member says whether it drains."""
        (self.others.add if message["on"] else self.others.discard)(peer)

    def _say(self, peer: str) -> None:
        self._tell(peer, {"type": DRAINING, "on": self.mine})
