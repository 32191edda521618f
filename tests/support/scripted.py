"""Nodes that answer a client as a script says, on virtual time."""

from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec
from typing_extensions import override

from gorilla.client.calls import Call
from gorilla.client.ports import AnswerLost, HttpAnswer, Io, NotSent, Opened, Stream
from gorilla.wire.problems import PROBLEMS, ProblemCode

Outcome = HttpAnswer | NotSent | AnswerLost


class Step(msgspec.Struct, frozen=True):
    """What an attempt comes to, and after how long; longer than its time it is lost."""

    outcome: Outcome
    took_s: float = 0.01
    chunks: tuple[bytes, ...] = ()
    """With 200: what a stream says before it breaks; ``b""`` ends it as it should."""


class Attempted(msgspec.Struct, frozen=True):
    """One attempt."""

    at_s: float
    endpoint: str
    call: Call[Any]
    timeout_s: float

    @property
    def sent(self) -> tuple[object, ...]:
        """Everything that tells the request from others."""
        return (self.call.method, self.call.path, self.call.body, self.call.key)


class ScriptedIo(Io):
    """Gives each attempt its step; after the last one it is the last one again.

    Attributes:
        attempts: What was asked.
        pauses: How long it paused.

    """

    def __init__(self, steps: Iterable[Step | Outcome]) -> None:
        self.attempts: list[Attempted] = []
        self.pauses: list[float] = []
        self._steps = deque(s if isinstance(s, Step) else Step(s) for s in steps)
        self._now_s = 1_000.0

    @override
    def now_s(self) -> float:
        return self._now_s

    def pass_time(self, seconds: float) -> None:
        self._now_s += seconds

    @override
    async def pause(self, seconds: float) -> None:
        assert seconds >= 0
        self.pauses.append(seconds)
        self._now_s += seconds

    @override
    async def send(self, endpoint: str, call: Call[Any], timeout_s: float) -> HttpAnswer:
        return self._step(endpoint, call, timeout_s)[1]

    def _step(self, endpoint: str, call: Call[Any], timeout_s: float) -> tuple[Step, HttpAnswer]:
        assert timeout_s > 0
        self.attempts.append(Attempted(self._now_s, endpoint, call, timeout_s))
        step = self._steps.popleft() if len(self._steps) > 1 else self._steps[0]
        self._now_s += min(step.took_s, timeout_s)
        if step.took_s > timeout_s:
            raise AnswerLost("no answer in time")
        if isinstance(step.outcome, HttpAnswer):
            return step, step.outcome
        raise step.outcome

    @override
    async def open(self, endpoint: str, call: Call[Any], timeout_s: float) -> Opened:
        step, answer = self._step(endpoint, call, timeout_s)
        stream = ScriptedStream(self, step.chunks) if answer.status == 200 else None
        return Opened(answer, stream)


class ScriptedStream(Stream):
    """Says its chunks, then breaks."""

    def __init__(self, io: ScriptedIo, chunks: tuple[bytes, ...]) -> None:
        self._io = io
        self._chunks = deque(chunks)
        self.is_closed = False

    @override
    async def read(self, timeout_s: float) -> bytes:
        if not self._chunks:
            self._io.pass_time(timeout_s)
            raise AnswerLost("silence")
        return self._chunks.popleft()

    @override
    async def close(self) -> None:
        self.is_closed = True


def ok(body: bytes = b"", **headers: str) -> HttpAnswer:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpAnswer(200, told, body)


def problem(
    code: ProblemCode | str,
    status: int | None = None,
    retry_after: int | None = None,
    **extra: object,
) -> HttpAnswer:
    """A problem as nodes write it; a code that there isn't needs a status."""
    if status is None:
        status = PROBLEMS[ProblemCode(code)].status
    body = {
        "type": f"urn:gorilla:problem:{code}",
        "title": "T",
        "status": status,
        "detail": f"about {code}",
        "code": code,
        "errorMessage": f"about {code}",
        "requestId": "r-1",
        **extra,
    }
    headers = {"content-type": "application/problem+json"}
    if retry_after is not None:
        headers["retry-after"] = str(retry_after)
    return HttpAnswer(status, headers, msgspec.json.encode(body))


def page(status: int, text: bytes = b"<html>no</html>", **headers: str) -> HttpAnswer:
    """An answer of something that is no node."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpAnswer(status, {"content-type": "text/html", **told}, text)


def refused() -> NotSent:
    return NotSent("connection refused")


def lost() -> AnswerLost:
    return AnswerLost("the connection broke")
