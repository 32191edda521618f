"""What nodes say to each other about changes of the cluster."""

from typing import Final

import msgspec

from gorilla.service.ports import Change, ChangeReport

ASK: Final = "change"
ANSWER: Final = "changed"
DRAIN: Final = "drain"
DRAINING: Final = "draining"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A change that the leader is asked for."""

    change: Change
    force: bool
    dry_run: bool
    left_s: float
    """How long whoever asks goes on waiting."""
    resumed: bool = False
    """Whether it was asked for before, and may have been made in part."""
    led_by: str | None = None
    """Member id of the leader that was asked first."""


class Done(msgspec.Struct, frozen=True, tag="done"):
    """It was made; or, for a dry run, this is what it would be."""

    report: ChangeReport


class Moved(msgspec.Struct, frozen=True, tag="moved"):
    """The leader handed over, which is a step of it: the rest is the next leader's."""

    steps: tuple[str, ...]


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """It must not be made."""

    reason: str
    message: str


class NotFound(msgspec.Struct, frozen=True, tag="not_found"):
    """It is about a member that there is not."""

    message: str


class NotLeading(msgspec.Struct, frozen=True, tag="not_leading"):
    """The node that was asked doesn't lead: nothing was done."""


class Unsure(msgspec.Struct, frozen=True, tag="unsure"):
    """It was proposed, and not seen to the end."""


Answer = Done | Moved | Refused | NotFound | NotLeading | Unsure

_encode = msgspec.msgpack.Encoder().encode
_asked = msgspec.msgpack.Decoder(Asked)
_answer = msgspec.msgpack.Decoder(Answer)


def encode(value: Asked | Answer) -> bytes:
    """Encode what goes into a message."""
    return _encode(value)


def decode_asked(data: bytes) -> Asked:
    """Decode what a node asks for.

    Raises:
        msgspec.MsgspecError: A later release asks for something unknown here.

    """
    return _asked.decode(data)


def decode_answer(data: bytes) -> Answer:
    """Decode what the leader answers.

    Raises:
        msgspec.MsgspecError: A later release answers something unknown here.

    """
    answer: Answer = _answer.decode(data)
    return answer
