"""One idempotency key, one effect.

By the log: a key has one grant (or one session) at most, and once it has an answer it is given
that answer again and nothing is done. A wait whose place another request took has its answer, too:
it waited in vain. By the clients: all who are granted something under a key
have the same numbers and tokens, and no key is told to be another request's.
"""

from collections.abc import Iterator

from gorilla.domain.commands import Acquire, AcquireAll, Claim, Once
from gorilla.domain.events import Left, LeftEvent
from gorilla.domain.key_memory import NOT_KEPT
from gorilla.domain.outcomes import (
    Granted,
    GrantedAll,
    Outcome,
    Queued,
    Renewed,
    Replayed,
    SessionAlive,
    TimedOut,
)
from tests.support.sim.history import History, Result
from tests.support.sim.lock_log import Scene, plain, scenes


def check(history: History) -> Iterator[str]:
    """Yield every key that had two effects, or two answers."""
    answers: dict[str, object] = {}
    keys: dict[int, str] = {}
    for scene in scenes(history):
        if isinstance(scene.event, LeftEvent):
            wait = scene.state.waits.get(scene.event.ticket)
            if wait is not None and wait.key and scene.event.why is Left.TIMEOUT:
                answers[wait.key] = _essence(TimedOut(0))
        elif scene.event is None and scene.step is not None:
            if key := _superseded(scene, keys):
                answers[key] = _essence(TimedOut(0))
            yield from _answered(scene, answers)
    yield from _by_clients(history)


def _superseded(scene: Scene, keys: dict[int, str]) -> str:
    """Return the key of the wait that a step of another key took the place of, if one had any.

    ``keys`` are those of all waits before the step, by ticket; they follow it.
    """
    assert scene.step is not None
    command, outcome = scene.step.command, scene.step.outcome
    if command is None or not isinstance(plain(command), Acquire | AcquireAll):
        return ""
    own = command.key if isinstance(command, Once) else ""
    if isinstance(outcome, Queued):
        key, keys[outcome.ticket] = keys.get(outcome.ticket, ""), own
    else:
        key = "" if scene.granted is None else scene.granted.key
    return key if key != own else ""


def _answered(scene: Scene, answers: dict[str, object]) -> Iterator[str]:
    assert scene.step is not None
    outcome, command = scene.step.outcome, scene.step.command
    if scene.granted is not None and scene.granted.key and isinstance(command, Claim):
        key = scene.granted.key
        if key in answers:
            yield f"at {scene.entry.index} key {key} had {answers[key]} and has {outcome}"
        answers[key] = _essence(outcome)
    if not isinstance(command, Once) or outcome is None or isinstance(outcome, NOT_KEPT):
        return
    known, essence = answers.get(command.key), _essence(outcome)
    if isinstance(outcome, Replayed):
        if known != _essence(outcome.outcome):
            yield f"at {scene.entry.index} key {command.key} had {known}, told is {outcome}"
    elif known is not None:
        yield f"at {scene.entry.index} key {command.key} had {known} and has {outcome}"
    elif not isinstance(outcome, Queued):
        answers[command.key] = essence


def _essence(outcome: Outcome | None) -> object:
    """Return what of an outcome stays the same when it is given again."""
    match outcome:
        case Granted(lease=lease) | Renewed(lease=lease):
            return (type(outcome).__name__, lease.fencing_token, lease.secret)
        case GrantedAll(leases=leases):
            return ("GrantedAll", *((one.fencing_token, one.secret) for one in leases))
        case SessionAlive(session=session):
            return ("SessionAlive", session.id)
        case TimedOut():
            return ("TimedOut",)
    return (type(outcome).__name__, outcome)


def _by_clients(history: History) -> Iterator[str]:
    first: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {}
    for ask in history.asks:
        if ask.result is Result.CONFLICT:
            yield f"a key of its own is told to be another's: {ask}"
        if ask.wish.key and ask.result in {Result.GRANTED, Result.RENEWED}:
            got = (ask.fencing, ask.tokens)
            if first.setdefault(ask.wish.key, got) != got:
                yield f"one key, two grants: {ask}, and before {first[ask.wish.key]}"
