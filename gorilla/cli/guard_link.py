"""What the wrapper of a command and its guard say to each other: lines of JSON over a socket."""

import contextlib
import socket
import threading
from typing import Final, Generic, TypeVar

import msgspec

from gorilla.cli.guard_family import Relative
from gorilla.cli.guard_plan import Why

LINE_BYTES_MAX: Final = 256 * 1024
"""More than any message has."""


class Message(msgspec.Struct, frozen=True, tag=True):
    """Base of all that is said."""


class Start(Message, frozen=True):
    """To the guard: start the command."""

    deadline_s: float
    kill_after_s: float
    margin_s: float
    added: dict[str, str]
    """What its environment has more than that of the guard."""
    waits_for_all: bool = False
    """Whether it is over only when everything that it started has ended too."""


class Extend(Message, frozen=True):
    """To the guard: the lock is surely held until then."""

    deadline_s: float


class End(Message, frozen=True):
    """To the guard: the command must end."""

    why: Why


class Pass(Message, frozen=True):
    """To the guard: a signal for the command."""

    number: int
    to_group: bool


class Started(Message, frozen=True):
    """From the guard: the command runs."""

    pid: int


class NotStarted(Message, frozen=True):
    """From the guard: the command can't be executed, for this reason of the system."""

    number: int


class Ending(Message, frozen=True):
    """From the guard: the command and all that it started were told to end."""

    why: Why


class Stuck(Message, frozen=True):
    """From the guard: these live although they were killed, or may not be killed by us."""

    who: tuple[Relative, ...]


class Ended(Message, frozen=True):
    """From the guard: the command has ended; when ``why`` is given, nothing of it is left."""

    code: int | None
    """What it ended with; None: it was not even started."""
    why: Why | None = None
    rest: tuple[Relative, ...] = ()
    """What it started and left running."""


ToGuard = Start | Extend | End | Pass
FromGuard = Started | NotStarted | Ending | Stuck | Ended
Told = TypeVar("Told", ToGuard, FromGuard)


class Link(Generic[Told]):
    """One end: says anything, and hears messages of its kind."""

    def __init__(self, end: socket.socket, kind: object) -> None:
        """Take one end of a pair of stream sockets; ``kind`` is what is heard."""
        end.setblocking(False)  # noqa: FBT003 - its only argument
        self._end = end
        self._decoder: msgspec.json.Decoder[Told] = msgspec.json.Decoder(kind)
        self._rest = b""
        self._turn = threading.Lock()

    def fileno(self) -> int:
        """Return what becomes readable when something was said, or the other end is gone."""
        return self._end.fileno()

    def say(self, message: Message) -> bool:
        """Send it, and never wait; False when the other end is gone, or does not read."""
        line = msgspec.json.encode(message) + b"\n"
        with self._turn:
            try:
                return self._end.send(line, socket.MSG_DONTWAIT) == len(line)
            except OSError:
                return False

    def hear(self) -> list[Told] | None:
        """Return what was said since; None when the other end is gone and nothing is left."""
        try:
            data = self._end.recv(LINE_BYTES_MAX)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [self._decoder.decode(line) for line in lines]

    def close(self) -> None:
        """Hang up, which the other end hears."""
        with contextlib.suppress(OSError):
            self._end.close()
