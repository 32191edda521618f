"""One call, asked until an answer is definite or its time is over. All the logic of retries.

What an attempt came to is one of four: a success; a refusal that is definite; nothing was done, so
it may be asked elsewhere; or nobody knows, so it may be asked again only because every attempt is
the same request under the same idempotency key. Once an attempt was uncertain, a failure is told
as a definite one only when the cluster says it under that key.

Only a problem document of Gorilla's makes a 503 mean that nothing was done: proxies also say 503 of
requests that they had passed on. Whatever else has a status of 500 or more, is garbled, or is cut
off, is uncertain. A change without a key is not asked again then.

A cluster remembers so many keys and no more. When there is no room left, writes go without one
for a while rather than not at all; after an uncertain attempt only a success is definite then.
"""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, NoReturn, TypeVar

import msgspec

from gorilla.client.errors import OutcomeUnknown, Refusal, Unavailable
from gorilla.client.ports import AnswerLost, HttpAnswer, Io, NotSent
from gorilla.client.refusals import UNEXPECTED, raised, refusal_of, stranger
from gorilla.client.settings import ATTEMPT_S, ClientSettings
from gorilla.wire.idempotency import REPLAYED_HEADER
from gorilla.wire.problems import ProblemCode

if TYPE_CHECKING:
    from gorilla.client.calls import Call
    from gorilla.client.endpoints import Endpoints

T = TypeVar("T")

log: Final = logging.getLogger("gorilla.client")

LAST_S: Final = 0.5
LAST_SHARE: Final = 0.1
"""Time that a pause leaves for one more attempt: so many seconds, at most this share of all."""

PAUSE_S_LEAST: Final = 0.001
"""No pause is shorter: without one, and with nodes that refuse at once, time would stand still."""

TOLD_S: Final = 0.1
"""Errors say how long it took when it was longer (seconds)."""

FAULTS_MAX: Final = 3
"""Attempts that may fail within nodes (``internal``) before the call is given up."""

WAIT_S_MIN: Final = 0.001
"""What is left of a wait that is over, so that its end is told as such (seconds)."""

KEPT: Final = frozenset({
    ProblemCode.LOCK_NOT_FOUND,
    ProblemCode.SESSION_NOT_FOUND,
    ProblemCode.NOT_FOUND,
    ProblemCode.LOCK_HELD,
    ProblemCode.NOT_OWNER,
    ProblemCode.TIMEOUT_TOO_SHORT,
    ProblemCode.WAIT_TIMEOUT,
    ProblemCode.DEADLOCK,
    ProblemCode.IDEMPOTENCY_CONFLICT,
    ProblemCode.MODE_CONFLICT,
    ProblemCode.COOLING_DOWN,
    ProblemCode.POLICY_REFUSED,
})  # fmt: skip
"""Refusals that the lock table makes, and remembers under the key: no attempt did anything else."""

KEY_BOUNDS: Final = frozenset({"idempotency_keys_max", "idempotency_keys_bytes_max"})
"""What a cluster that took very many writes of late has no room for: keys, and nothing else."""

LASTING: Final = frozenset({ProblemCode.ARCHIVE_UNAVAILABLE, ProblemCode.NOT_LEADER})
"""What each node says for itself and will say again: all are asked once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(Generic[T]):
    """A success.

    Attributes:
        value: What the answer says.
        sent_s: When the attempt that was answered was sent, on the client's own clock.
        endpoint: Who answered.
        replayed: Whether it is the answer to an earlier attempt, given again.

    """

    value: T
    sent_s: float
    endpoint: str
    replayed: bool = False


async def ask(
    io: Io,
    endpoints: "Endpoints",
    call: "Call[T]",
    deadline_s: float,
    attempt_s: float = ATTEMPT_S,
    *,
    once: bool = False,
) -> Answered[T]:
    """Ask until the answer is definite.

    Args:
        io: How to ask.
        endpoints: Whom.
        call: What.
        deadline_s: How long all of it may take (seconds), apart from the call's own wait.
        attempt_s: How long one attempt may take, likewise.
        once: Ask every endpoint only once.

    Raises:
        RequestRefused: It was refused; nothing was done.
        Unavailable: Nothing was done, and nothing will be.
        OutcomeUnknown: It may have been done, or may be yet.

    """
    asking = _Asking(io, endpoints, call, deadline_s, attempt_s)
    rounds = 0
    while True:
        rounds += 1
        for endpoint in endpoints.order():
            answered = await asking.attempt(endpoint)
            if answered is not None:
                return answered
            if asking.is_too_much:
                break
        if once or asking.is_lasting:
            asking.give_up()
        await asking.pause(endpoints.pause_s(rounds))


class _Asking(Generic[T]):
    """What has become of a call so far."""

    def __init__(
        self,
        io: Io,
        endpoints: "Endpoints",
        call: "Call[T]",
        deadline_s: float,
        attempt_s: float,
    ) -> None:
        self.is_too_much = False
        self._io = io
        self._endpoints = endpoints
        self._call = call
        if call.bare is not None and endpoints.spares_keys(io.now_s()):
            self._call = call.without_key()
        self._attempt_s = attempt_s
        self._wait_s = call.wait_s
        self._started_s = io.now_s()
        self._until_s = self._started_s + deadline_s + call.wait_s
        self._last_s = min(LAST_S, deadline_s * LAST_SHARE)
        self._attempts = 0
        self._faults = 0
        self._uncertain = False
        self._late = 0
        self._last: Refusal | None = None
        self._retry_after_s: float | None = None
        self._troubles: dict[str, str] = {}
        self._lasting_at: set[str] = set()
        self._strangers: set[str] = set()

    @property
    def is_lasting(self) -> bool:
        """Whether every endpoint said what it would say again."""
        return len(self._lasting_at) == len(self._endpoints)

    async def attempt(self, endpoint: str) -> Answered[T] | None:
        """Ask one endpoint once; None: no definite answer, and it may be asked again."""
        now_s = self._io.now_s()
        if now_s >= self._until_s and self._attempts:
            self.give_up()
        wait_left_s = max(0.0, self._wait_s - (now_s - self._started_s))
        if self._attempts and not self._uncertain and self._wait_s:
            # Nobody has the request, so it may become another one that waits for what is left.
            self._call = self._call.shortened(max(WAIT_S_MIN, wait_left_s))
        self._attempts += 1
        # Asked again as it was, a wait may begin anew there, and its answer comes after all of it.
        patience_s = self._wait_s if self._uncertain else wait_left_s
        timeout_s = min(self._until_s - now_s, self._attempt_s + patience_s)
        try:
            answer = await self._io.send(endpoint, self._call, timeout_s)
        except NotSent as error:
            self._failed(endpoint, str(error))
            return None
        except AnswerLost as error:
            self._last = None
            self._lost(endpoint, str(error))
            return None
        return self._judge(endpoint, answer, now_s)

    async def pause(self, seconds: float) -> None:
        """Pause after all endpoints were asked: as long as they say, while there is time."""
        left_s = self._until_s - self._io.now_s() - self._last_s
        if left_s < PAUSE_S_LEAST:
            self.give_up()
        wanted_s = max(seconds, self._retry_after_s or 0.0)
        self._retry_after_s = None
        self.is_too_much = False
        await self._io.pause(max(PAUSE_S_LEAST, min(wanted_s, left_s)))

    def give_up(self) -> NoReturn:
        """Raise what is known by now."""
        took_s = self._io.now_s() - self._started_s
        took = f" after {took_s:.1f} s" if took_s >= TOLD_S else ""
        trouble = "; ".join(f"{endpoint}: {why}" for endpoint, why in self._troubles.items())
        if self._uncertain and self._call.writes:
            raise OutcomeUnknown(
                f"no definite answer{took}, it may have been done ({trouble})",
                self._last,
                self._attempts,
            )
        if self._last is not None and self._is_refusal(self._last):
            raise raised(self._last)
        raise Unavailable(f"no node could do it{took} ({trouble})", self._last, self._attempts)

    def _judge(self, endpoint: str, answer: HttpAnswer, sent_s: float) -> Answered[T] | None:
        if 200 <= answer.status < 300:  # noqa: PLR2004  successes of HTTP
            try:
                value = self._call.decode(answer.body)
            except (msgspec.MsgspecError, ValueError) as error:
                self._last = stranger(answer)
                self._lost(endpoint, f"{self._last.detail} ({error})")
                return None
            self._endpoints.good(endpoint)
            replayed = answer.headers.get(REPLAYED_HEADER.lower()) == "true"
            return Answered(value=value, sent_s=sent_s, endpoint=endpoint, replayed=replayed)
        refusal = refusal_of(answer)
        self._last = refusal or stranger(answer)
        if self._goes_on_without_key(self._last):
            return None
        self._note_retry_after(self._last)
        if refusal is not None and answer.status == 503:  # noqa: PLR2004  nothing was done
            self._failed(endpoint, _words(refusal))
            if refusal.code in LASTING:
                self._lasting_at.add(endpoint)
        elif answer.status >= 500:  # noqa: PLR2004  whatever else failed there
            self._fault(endpoint, self._last)
        elif answer.status == 429:  # noqa: PLR2004  too much of something
            self._too_much(endpoint, self._last)
        else:
            self._refuse(endpoint, self._last)
        return None

    def _goes_on_without_key(self, refusal: Refusal) -> bool:
        """Leave the key out when that is all that the cluster has no room for."""
        bound = refusal.problem.bound if refusal.problem is not None else None
        if self._uncertain or self._call.bare is None or bound not in KEY_BOUNDS:
            return False
        if not self._endpoints.spares_keys(self._io.now_s()):
            log.warning(
                "the cluster remembers no more idempotency keys (%s): writes go without", bound
            )
        self._endpoints.spare_keys(self._io.now_s())
        self._call = self._call.without_key()
        return True

    def _note_retry_after(self, refusal: Refusal) -> None:
        told_s = refusal.retry_after_s
        if told_s is not None:
            known_s = self._retry_after_s
            self._retry_after_s = told_s if known_s is None else min(known_s, told_s)

    def _failed(self, endpoint: str, why: str) -> None:
        """Note that nothing was done there."""
        self._troubles[endpoint] = why
        self._lasting_at.discard(endpoint)
        self._endpoints.failed(endpoint)

    def _lost(self, endpoint: str, why: str) -> None:
        """Note that something may have been done there."""
        self._failed(endpoint, why)
        self._uncertain = True
        self._late += 1
        if not self._call.repeatable:
            self.give_up()

    def _fault(self, endpoint: str, refusal: Refusal) -> None:
        if refusal.code == ProblemCode.INTERNAL:
            self._faults += 1
        self._lost(endpoint, _words(refusal))
        if self._faults >= FAULTS_MAX:
            self.give_up()

    def _too_much(self, endpoint: str, refusal: Refusal) -> None:
        """Ask again after a while, no other endpoint either, unless that is too far off."""
        self.is_too_much = True
        self._troubles[endpoint] = _words(refusal)
        left_s = self._until_s - self._io.now_s() - self._last_s
        if (refusal.retry_after_s or 0.0) > left_s:
            self.give_up()

    def _refuse(self, endpoint: str, refusal: Refusal) -> None:
        if refusal.code == ProblemCode.WAIT_REPLACED and self._late:
            # By an attempt of this very call that was given up, and came late: it is asked again.
            self._late -= 1
            self._failed(endpoint, _words(refusal))
            return
        if refusal.code == UNEXPECTED:
            # Something else is at that address: the others are asked, unless all are so.
            self._strangers.add(endpoint)
            if len(self._strangers) < len(self._endpoints):
                self._failed(endpoint, _words(refusal))
                return
        self._endpoints.good(endpoint)
        self._troubles[endpoint] = _words(refusal)
        if self._uncertain and self._call.writes and not self._is_kept(refusal):
            self.give_up()
        raise raised(msgspec.structs.replace(refusal, lost=self._late))

    def _is_kept(self, refusal: Refusal) -> bool:
        """Return whether a refusal is the one answer that the key stands for."""
        if self._call.key is None:
            return False
        by_policy = refusal.problem is not None and bool(refusal.problem.policy)
        return refusal.code in KEPT or (refusal.code == ProblemCode.FORBIDDEN and by_policy)

    def _is_refusal(self, refusal: Refusal) -> bool:
        """Return whether the last answer of a call that did nothing is what it failed by."""
        return refusal.status == 429 or refusal.code == ProblemCode.INTERNAL  # noqa: PLR2004


def _words(refusal: Refusal) -> str:
    is_ours = refusal.code != UNEXPECTED
    return f"{refusal.code}: {refusal.detail}" if is_ours else refusal.detail


class Asker:
    """How a client asks: its endpoints, its patience, its way to send."""

    def __init__(self, io: Io, endpoints: "Endpoints", settings: ClientSettings) -> None:
        """Ask ``endpoints`` through ``io``, as patiently as ``settings`` say."""
        self.io = io
        self.settings = settings
        self.endpoints = endpoints

    def now_s(self) -> float:
        """Return the client's own time (seconds)."""
        return self.io.now_s()

    async def pause(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ClosedError: The client was closed meanwhile.

        """
        await self.io.pause(seconds)

    async def ask(
        self,
        call: "Call[T]",
        *,
        deadline_s: float | None = None,
        attempt_s: float | None = None,
        endpoint: str | None = None,
    ) -> Answered[T]:
        """Ask until the answer is definite.

        Args:
            call: What.
            deadline_s: How long all of it may take (seconds), apart from the call's own wait; by
                default what the settings say.
            attempt_s: How long one attempt may take, likewise.
            endpoint: Ask this one alone, once; it need not be among the client's.

        Raises:
            RequestRefused: It was refused; nothing was done.
            Unavailable: Nothing was done, and nothing will be.
            OutcomeUnknown: It may have been done, or may be yet.
            ValueError: ``endpoint`` is no URL.

        """
        endpoints = self.endpoints if endpoint is None else self.endpoints.only(endpoint)
        return await ask(
            self.io,
            endpoints,
            call,
            self.settings.deadline_s if deadline_s is None else deadline_s,
            self.settings.attempt_s if attempt_s is None else attempt_s,
            once=endpoint is not None,
        )

    async def value(self, call: "Call[T]", endpoint: str | None = None) -> T:
        """Return what the answer says; as :meth:`ask`."""
        return (await self.ask(call, endpoint=endpoint)).value
