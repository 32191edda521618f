"""One connection to another node: from its first byte to its end, and never revived."""

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

from typing_extensions import override

from gorilla.consensus.peers.frames import (
    FRAME_BYTES_MAX,
    FrameDecoder,
    FrameError,
    encode_frame,
)
from gorilla.consensus.peers.handshake import (
    DialerHandshake,
    Established,
    Handshake,
    HandshakeError,
    PeerInfo,
    Refused,
)
from gorilla.consensus.ports import Message

PING: Final[Message] = {"type": "peer.ping"}
_PING_FRAME: Final = encode_frame(PING)

LAST_WORDS_S: Final = 1.0
"""How long a closing link may take to hand over what was written (seconds)."""


class LinkOwner(Protocol):
    """Whom a link tells what happens to it. All calls come from the event loop."""

    def opened(self, link: "Link") -> None:
        """The connection is there; nothing is known of the other side."""
        ...

    def established(self, link: "Link") -> None:
        """Both sides know each other."""
        ...

    def received(self, link: "Link", message: Message) -> None:
        """A message came over an established link."""
        ...

    def refused(self, link: "Link", refused: Refused) -> None:
        """The handshake ended in a refusal, by this side or the other; the link closes."""
        ...

    def closed(self, link: "Link", why: str) -> None:
        """It is over: nothing is delivered after this. Called exactly once if ``opened`` was."""
        ...


@dataclass(frozen=True)
class LinkLimits:
    """Bounds of one link."""

    handshake_s: float
    """Deadline for all of the handshake, from the connection on (seconds)."""
    unsent_bytes_max: int
    """Bytes waiting to be sent at which the link is cut."""


class Link(asyncio.Protocol):
    """A connection, its handshake, its frames and its pulse."""

    def __init__(
        self, owner: LinkOwner, handshake: Handshake, limits: LinkLimits, dialled: str | None = None
    ) -> None:
        """Wait for the connection.

        Args:
            owner: Told of everything.
            handshake: This side of it.
            limits: Its bounds.
            dialled: Name of the member that this side called; None when it was called.

        """
        self.dialled = dialled
        self.info: PeerInfo | None = None
        """Set once the link is established."""
        self.generation = 0
        """Set by the owner: later connections have larger ones."""
        self.remote = "?"
        self.is_closed = False
        self.why = ""
        self.settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Resolves when the handshake has ended, one way or the other."""
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Resolves when nothing of the connection is left."""
        self.heard_at = 0.0
        """Event loop time (seconds) of the last byte."""
        self._owner = owner
        self._handshake = handshake
        self._limits = limits
        self._decoder = FrameDecoder()
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._outbox: list[bytes] = []
        self._outbox_bytes = 0
        self._silent_pulses = 0
        self._sent_since_pulse = False

    # asyncio's side.

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        loop = asyncio.get_running_loop()
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        self.remote = _remote(self._transport)
        self.heard_at = loop.time()
        _send_at_once(self._transport)
        self._deadline = loop.call_later(self._limits.handshake_s, self._too_late)
        self._owner.opened(self)
        if not self.is_closed and isinstance(self._handshake, DialerHandshake):
            self._write([self._handshake.start()])

    @override
    def data_received(self, data: bytes) -> None:
        """Take what came."""
        if self.is_closed:
            return
        self._silent_pulses = 0
        self.heard_at = asyncio.get_running_loop().time()
        try:
            for message in self._decoder.messages(data):
                if not self._take(message):
                    return
        except (FrameError, HandshakeError) as error:
            self.close(str(error))

    @override
    def eof_received(self) -> bool:
        """Close: a half-open connection is of no use."""
        return False

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end if this side did not cause it."""
        self.close(f"connection lost: {exc}" if exc else "closed by the other side")
        _resolve(self.gone)

    # The owner's side.

    @property
    def formation(self) -> bool:
        """Whether either side said that it belongs to no cluster yet."""
        assert self.info is not None
        return self._handshake.me.cluster_id is None or self.info.cluster_id is None

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the socket has not taken yet."""
        assert self._transport is not None
        return self._outbox_bytes + self._transport.get_write_buffer_size()

    def send(self, message: Message) -> None:
        """Keep a message for the next :meth:`flush`.

        Raises:
            FrameError: It is too big for a frame; nothing is sent.

        """
        frame = encode_frame(message)
        self._outbox.append(frame)
        self._outbox_bytes += len(frame)

    def flush(self) -> None:
        """Write everything that was sent in one piece; cut a link that does not take it."""
        if self.is_closed or not self._outbox:
            return
        assert self._transport is not None
        if self.unsent_bytes > self._limits.unsent_bytes_max:
            self.close(f"it is too slow: {self.unsent_bytes} bytes wait to be sent", abort=True)
            return
        data = self._outbox[0] if len(self._outbox) == 1 else b"".join(self._outbox)
        self._outbox.clear()
        self._outbox_bytes = 0
        self._sent_since_pulse = True
        self._transport.write(data)

    def pulse(self, pulses_max: int) -> None:
        """Show a sign of life, and want one: so many pulses without a byte end the link.

        Pulses are counted rather than seconds, so that a node that itself stood still for a while
        does not take that for the silence of the others.
        """
        if self.is_closed or self.info is None:
            return
        self._silent_pulses += 1
        if self._silent_pulses > pulses_max:
            self.close("nothing was heard of it for too long", abort=True)
            return
        assert self._transport is not None
        if not self._sent_since_pulse:
            self._transport.write(_PING_FRAME)
        self._sent_since_pulse = False

    def close(self, why: str, *, abort: bool = False) -> None:
        """End the link; what was written still goes out, for a moment, unless ``abort``."""
        if self.is_closed:
            return
        self.is_closed = True
        self.why = why
        self._outbox.clear()
        self._cancel_deadline()
        if self._transport is not None:
            _close_transport(self._transport, abort=abort)
            self._owner.closed(self, why)
        _resolve(self.settled)

    # Inside.

    def _take(self, message: Message) -> bool:
        """Act on one message and return whether there may be another."""
        if self.info is None:
            self._shake_hands(message)
        elif message != PING:
            self._owner.received(self, message)
        return not self.is_closed

    def _shake_hands(self, message: Message) -> None:
        answers = self._handshake.receive(message)
        self._write(answers)
        outcome = self._handshake.outcome
        if isinstance(outcome, Established):
            self._cancel_deadline()
            self._decoder.bytes_max = FRAME_BYTES_MAX
            self.info = outcome.info
            self._owner.established(self)
            _resolve(self.settled)
        elif outcome is not None:
            self._owner.refused(self, outcome)
            self.close(outcome.refusal.text)

    def _write(self, messages: Sequence[Message]) -> None:
        assert self._transport is not None
        for message in messages:
            self._transport.write(encode_frame(message))

    def _too_late(self) -> None:
        self.close("the handshake took too long", abort=True)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _close_transport(transport: asyncio.Transport, *, abort: bool) -> None:
    if abort or transport.get_write_buffer_size() == 0:
        transport.abort()
        return
    transport.close()
    asyncio.get_running_loop().call_later(LAST_WORDS_S, transport.abort)


def _send_at_once(transport: asyncio.Transport) -> None:
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):  # it may be gone already
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _remote(transport: asyncio.Transport) -> str:
    peer = transport.get_extra_info("peername")
    return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "?"
