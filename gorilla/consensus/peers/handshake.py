"""The handshake between two nodes, without any I/O: messages in, messages and an outcome out.

    dialer                                   acceptor
    hello (who I am, versions, nonce)  -->
                                       <--   challenge (likewise, and the protocol chosen)
    proof                              -->
                                       <--   welcome (with its own proof), or refused
    ready, or refused                  -->

A proof is HMAC-SHA256, keyed by the cluster secret, over a label that names the prover's role and
over everything that both sides said in hello and challenge, nonces included. So a proof can be
neither reflected nor replayed, and nobody can alter who claims what. The acceptor tells nothing
but its name and versions before the dialer has proved itself. Refusals for a reason that only
members may learn carry a proof too.

What this does not do: what follows the handshake is neither encrypted nor signed. That is what TLS
on the connection is for.
"""

import hashlib
import hmac
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal, Protocol, TypeVar

import msgspec
from msgspec import Meta
from typing_extensions import override

from gorilla.config.addresses import Address
from gorilla.config.secrets import Secret
from gorilla.consensus.ports import Message
from gorilla.domain.versions import FIRST_LEVEL

PROTOCOL_MIN: Final = 1
PROTOCOL_MAX: Final = 1
"""The peer protocols that this software speaks."""

NONCE_BYTES: Final = 32
_MAGIC: Final = "gorilla-peer"

_T = TypeVar("_T")

Label = Annotated[str, Meta(pattern=r"\A[!-~]{1,255}\Z")]
Nonce = Annotated[bytes, Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
Proof = Annotated[bytes, Meta(min_length=32, max_length=32)]


class Reason(StrEnum):
    """Why a node refuses another. Never renamed: other versions read it."""

    AUTHENTICATION_FAILED = "authentication_failed"
    PROTOCOL = "protocol"
    NOT_A_MEMBER = "not_a_member"
    OTHER_CLUSTER = "other_cluster"
    SAME_NAME = "same_name"
    WRONG_PEER = "wrong_peer"
    REMOVED = "removed"
    STARTING = "starting"


_TOLD_TO_ANYONE: Final = frozenset({Reason.AUTHENTICATION_FAILED, Reason.PROTOCOL})

AUTHENTICATION_FAILED_TEXT: Final = "authentication failed"


class HandshakeError(Exception):
    """The other side does not follow the handshake: not a node of ours, or one that is broken."""


class Speaker(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says of itself. Unknown fields of later versions are left alone."""

    name: Label
    id: Label
    version: Label
    """Of its software."""
    cluster_id: Label | None = None
    """None before the cluster was formed."""
    protocol_min: Annotated[int, Meta(ge=1)] = PROTOCOL_MIN
    protocol_max: Annotated[int, Meta(ge=1)] = PROTOCOL_MAX
    level: Annotated[int, Meta(ge=1)] = FIRST_LEVEL
    """The highest feature level that it supports (``gorilla.domain.versions``)."""


class PeerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The other side of a link, as it proved."""

    name: str
    id: str
    version: str
    cluster_id: str | None
    protocol: int
    """The one that this link speaks."""
    level: int = FIRST_LEVEL
    """The highest feature level that the peer supports."""


@dataclass(frozen=True)
class Refusal:
    """A reason code and the sentence for the operator."""

    reason: str
    text: str


@dataclass(frozen=True)
class Established:
    """Both sides know each other: messages may flow."""

    info: PeerInfo


@dataclass(frozen=True)
class Refused:
    """There will be no link. ``by_peer`` tells who refused whom; ``peer_name`` may be a lie."""

    refusal: Refusal
    by_peer: bool
    peer_name: str | None


Admit = Callable[[PeerInfo], Refusal | None]
"""Decides about a peer that has proved to know the secret; None admits it."""


class _Hello(Speaker, frozen=True, kw_only=True):
    magic: Literal["gorilla-peer"]
    nonce: Nonce


class _Challenge(_Hello, frozen=True, kw_only=True):
    protocol: int


class _Proof(msgspec.Struct, frozen=True):
    proof: Proof


class _RefusedBody(msgspec.Struct, frozen=True):
    reason: Annotated[str, Meta(max_length=64)]
    text: Annotated[str, Meta(max_length=1_024)]
    proof: Proof | None = None


class Handshake(Protocol):
    """What a connection needs of either side."""

    outcome: Established | Refused | None
    """None while it goes on. Once set, the messages returned along with it are the last ones."""
    me: Speaker
    """What this side says of itself."""

    def receive(self, message: Message) -> Sequence[Message]:
        """Take a message and return what to answer.

        Raises:
            HandshakeError: It makes no sense here.

        """
        ...


class _Side(ABC):
    """What dialer and acceptor share: proofs, refusals, the order of messages."""

    _role: ClassVar[str]
    _other_role: ClassVar[str]

    def __init__(self, me: Speaker, secret: Secret, admit: Admit) -> None:
        self.outcome: Established | Refused | None = None
        self.me = me
        self._secret = secret
        self._admit = admit
        self._awaited = ""
        self._said: list[Message] = []
        self._peer: _Hello | None = None

    def receive(self, message: Message) -> Sequence[Message]:
        """Take a message and return what to answer (see :class:`Handshake`)."""
        if self.outcome is not None:
            raise HandshakeError("a message after the end of the handshake")
        kind = message.get("type")
        if kind == "refused":
            self._take_refusal(message)
            return ()
        if kind != self._awaited:
            raise HandshakeError(f"expected {self._awaited!r}, got {str(kind)[:40]!r}")
        return self._take(message)

    @abstractmethod
    def _take(self, message: Message) -> Sequence[Message]: ...

    def _speak(self, kind: str, **more: int) -> Message:
        message: Message = {
            "type": kind,
            "magic": _MAGIC,
            **msgspec.to_builtins(self.me),
            "nonce": secrets.token_bytes(NONCE_BYTES),
            **more,
        }
        self._said.append(message)
        return message

    def _prove(self, role: str, *more: str) -> bytes:
        """Sign the role and all that was said so far with the secret."""
        signed = msgspec.msgpack.encode([f"gorilla peer handshake: {role}", self._said, more])
        return hmac.digest(self._secret.reveal().encode(), signed, hashlib.sha256)

    def _proved(self, proof: bytes, role: str, *more: str) -> bool:
        return hmac.compare_digest(proof, self._prove(role, *more))

    def _refuse(self, reason: str, text: str) -> Sequence[Message]:
        name = self._peer.name if self._peer else None
        self.outcome = Refused(Refusal(reason, text), by_peer=False, peer_name=name)
        message: Message = {"type": "refused", "reason": str(reason), "text": text}
        if reason not in _TOLD_TO_ANYONE:
            message["proof"] = self._prove(f"{self._role} refuses", str(reason), text)
        return (message,)

    def _refuse_stranger(self) -> Sequence[Message]:
        return self._refuse(Reason.AUTHENTICATION_FAILED, AUTHENTICATION_FAILED_TEXT)

    def _take_refusal(self, message: Message) -> None:
        body = _convert(message, _RefusedBody)
        role = f"{self._other_role} refuses"
        proved = body.proof is not None and self._proved(body.proof, role, body.reason, body.text)
        if proved or body.reason == Reason.PROTOCOL:
            printable = "".join(char if char.isprintable() else "?" for char in body.text)
            refusal = Refusal(body.reason, printable)
        else:
            # An unproved reason may be anybody's: what is sure is that there is no trust.
            refusal = Refusal(Reason.AUTHENTICATION_FAILED, AUTHENTICATION_FAILED_TEXT)
        name = self._peer.name if self._peer else None
        self.outcome = Refused(refusal, by_peer=True, peer_name=name)


class DialerHandshake(_Side):
    """The side that opened the connection."""

    _role = "dialer"
    _other_role = "acceptor"

    def __init__(self, me: Speaker, secret: Secret, admit: Admit) -> None:
        """Begin; :meth:`start` gives the first message."""
        super().__init__(me, secret, admit)
        self._protocol = 0

    def start(self) -> Message:
        """Return the message that opens the handshake."""
        self._awaited = "challenge"
        return self._speak("hello")

    @override
    def _take(self, message: Message) -> Sequence[Message]:
        if self._awaited == "challenge":
            return self._answer_challenge(message)
        return self._take_welcome(message)

    def _answer_challenge(self, message: Message) -> Sequence[Message]:
        challenge = _convert(message, _Challenge)
        if not self.me.protocol_min <= challenge.protocol <= self.me.protocol_max:
            raise HandshakeError(f"it chose protocol {challenge.protocol}, which was not offered")
        self._said.append(message)
        self._peer = challenge
        self._protocol = challenge.protocol
        self._awaited = "welcome"
        return ({"type": "proof", "proof": self._prove(self._role)},)

    def _take_welcome(self, message: Message) -> Sequence[Message]:
        assert self._peer is not None
        if not self._proved(_convert(message, _Proof).proof, self._other_role):
            return self._refuse_stranger()
        info = _info(self._peer, self._protocol)
        refusal = self._admit(info)
        if refusal is not None:
            return self._refuse(refusal.reason, refusal.text)
        self.outcome = Established(info)
        return ({"type": "ready"},)


class AcceptorHandshake(_Side):
    """The side that was called."""

    _role = "acceptor"
    _other_role = "dialer"

    def __init__(self, me: Speaker, secret: Secret, admit: Admit) -> None:
        """Begin; the other side speaks first."""
        super().__init__(me, secret, admit)
        self._awaited = "hello"
        self._info: PeerInfo | None = None

    @override
    def _take(self, message: Message) -> Sequence[Message]:
        if self._awaited == "hello":
            return self._answer_hello(message)
        if self._awaited == "proof":
            return self._answer_proof(message)
        assert self._info is not None
        self.outcome = Established(self._info)
        return ()

    def _answer_hello(self, message: Message) -> Sequence[Message]:
        hello = _convert(message, _Hello)
        self._said.append(message)
        self._peer = hello
        protocol = min(hello.protocol_max, self.me.protocol_max)
        if protocol < max(hello.protocol_min, self.me.protocol_min):
            return self._refuse(Reason.PROTOCOL, _no_common_protocol(self.me, hello))
        self._awaited = "proof"
        self._info = _info(hello, protocol)
        return (self._speak("challenge", protocol=protocol),)

    def _answer_proof(self, message: Message) -> Sequence[Message]:
        assert self._info is not None
        if not self._proved(_convert(message, _Proof).proof, self._other_role):
            return self._refuse_stranger()
        refusal = self._admit(self._info)
        if refusal is not None:
            return self._refuse(refusal.reason, refusal.text)
        self._awaited = "ready"
        return ({"type": "welcome", "proof": self._prove(self._role)},)


def require_protection(secret: Secret, bind_host: str) -> None:
    """Refuse to listen to other machines without a cluster secret.

    Raises:
        ValueError: There is no secret and ``bind_host`` is not on the loopback interface.

    """
    if not secret and not Address(bind_host, 0).is_loopback:
        raise ValueError(
            f"without a cluster secret the peer port may listen on this machine only, "
            f"not on {bind_host or 'every address'}: set cluster.secret (the same on every node), "
            f"or bind it to 127.0.0.1"
        )


def _info(peer: _Hello, protocol: int) -> PeerInfo:
    return PeerInfo(
        name=peer.name,
        id=peer.id,
        version=peer.version,
        cluster_id=peer.cluster_id,
        protocol=protocol,
        level=peer.level,
    )


def _no_common_protocol(acceptor: Speaker, dialer: Speaker) -> str:
    older, newer = sorted((acceptor, dialer), key=lambda speaker: speaker.protocol_max)
    return (
        f"no common peer protocol: {older.name} (Gorilla {older.version}) speaks "
        f"{older.protocol_min} to {older.protocol_max}, {newer.name} (Gorilla {newer.version}) "
        f"speaks {newer.protocol_min} to {newer.protocol_max}; upgrade {older.name} first"
    )


def _convert(message: Message, kind: type[_T]) -> _T:
    try:
        return msgspec.convert(message, kind)
    except msgspec.ValidationError as error:
        raise HandshakeError(f"a malformed {message.get('type')!r}: {error}") from error
