"""Which commands may be proposed: the limits that a command must keep to enter the log."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, assert_never

from gorilla.domain import limits
from gorilla.domain.commands import (
    Acquire,
    AcquireAll,
    AskRelease,
    Claim,
    Command,
    DropPolicy,
    EndSession,
    Force,
    KeepSession,
    Leave,
    NoteMembers,
    Once,
    OpenSession,
    Policy,
    Release,
    ReleaseAll,
    Renew,
    RenewAll,
    SetPolicy,
    TakeBack,
)

_TEXTS: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {
        "lock": (1, limits.LOCK_NAME_CHARS_MAX),
        "holder": (1, limits.HOLDER_CHARS_MAX),
        "by": (0, limits.HOLDER_CHARS_MAX),
        "secret": (1, limits.SECRET_CHARS_MAX),
        "new_secret": (1, limits.SECRET_CHARS_MAX),
        "session": (1, limits.SECRET_CHARS_MAX),
        "reason": (0, limits.REASON_CHARS_MAX),
        "prefix": (0, limits.LOCK_NAME_CHARS_MAX),
        "key": (1, limits.KEY_CHARS_MAX),
    }
)
"""Least and most characters of each text, by the name that the commands give it."""


def fault_of(command: Command) -> str | None:  # noqa: C901, PLR0911, PLR0912  one case a command
    """Return which limit ``command`` breaks, as a sentence, or None when it may be proposed."""
    if isinstance(command, Once):
        fault = _texts(key=command.key)
        if not 1 <= len(command.fingerprint) <= limits.FINGERPRINT_BYTES_MAX:
            fault = f"fingerprint must have 1 to {limits.FINGERPRINT_BYTES_MAX} bytes"
        return fault or fault_of(command.command)
    match command:
        case Acquire() | AcquireAll():
            return _ask_fault(command)
        case Release():
            return _texts(lock=command.lock, secret=command.secret)
        case Renew() | RenewAll():
            return _renewal_fault(command)
        case ReleaseAll():
            return _texts(secret=command.secret)
        case TakeBack():
            lock_fault = _texts(lock=command.lock) if command.lock else None
            return lock_fault or _texts(secret=command.secret)
        case Claim() | Leave():
            return _texts(secret=command.secret)
        case OpenSession():
            texts = _texts(session=command.session, holder=command.holder)
            return texts or _ttl_fault(command.ttl_ms) or _metadata_fault(command.metadata)
        case KeepSession() | EndSession():
            return _texts(session=command.session)
        case Force() | AskRelease():
            return _texts(lock=command.lock, reason=command.reason, by=command.by)
        case SetPolicy():
            return _policy_fault(command.policy)
        case DropPolicy():
            return _texts(prefix=command.prefix)
        case NoteMembers():
            if len(command.members) > limits.MEMBERS_NOTED_MAX:
                return f"members must be at most {limits.MEMBERS_NOTED_MAX}"
            return _names_fault("members", command.members)
        case _:
            assert_never(command)


def text_fault(name: str, text: str, chars_max: int, chars_min: int = 1) -> str | None:
    """Return what is wrong with the length of ``text``, or None."""
    if chars_min <= len(text) <= chars_max:
        return None
    return f"{name} must have {chars_min} to {chars_max} characters"


def _ask_fault(command: Acquire | AcquireAll) -> str | None:
    if isinstance(command, Acquire):
        fault = _texts(lock=command.lock)
    else:
        fault = _names_fault("locks", command.locks)
        if not 1 <= len(command.locks) <= limits.LOCKS_AT_ONCE_MAX:
            fault = f"locks must be 1 to {limits.LOCKS_AT_ONCE_MAX}"
        elif len(set(command.locks)) < len(command.locks):
            fault = "locks must be different ones"
    # A suffix is put to the secret of several locks.
    fault = fault or _texts(holder=command.holder, secret=command.secret, reason=command.reason)
    fault = fault or _metadata_fault(command.metadata)
    if fault is None and command.session:
        fault = _texts(session=command.session)
    if fault is None and not (command.session and command.ttl_ms == 0):
        fault = _ttl_fault(command.ttl_ms)
    if fault is None and not 0 <= command.slots <= limits.SLOTS_MAX:
        fault = f"slots must be between 0 and {limits.SLOTS_MAX}"
    if fault is None and not 0 <= command.wait_ms <= limits.WAIT_MS_MAX:
        fault = f"wait_ms must be between 0 and {limits.WAIT_MS_MAX}"
    return fault


def _renewal_fault(command: Renew | RenewAll) -> str | None:
    fault = _texts(secret=command.secret, new_secret=command.new_secret)
    if isinstance(command, Renew):
        fault = fault or _texts(lock=command.lock)
    if command.holder is not None:
        fault = fault or _texts(holder=command.holder)
    return fault or _ttl_fault(command.ttl_ms)


def _policy_fault(policy: Policy) -> str | None:
    fault = _texts(prefix=policy.prefix) or _names_fault("owners", policy.owners)
    if len(policy.owners) > limits.POLICY_OWNERS_MAX:
        fault = f"owners must be at most {limits.POLICY_OWNERS_MAX}"
    if not 0 <= policy.holders_max <= limits.SLOTS_MAX:
        fault = f"holders_max must be between 0 and {limits.SLOTS_MAX}"
    for name, most in (
        ("ttl_ms_max", limits.TTL_MS_MAX),
        ("lifetime_ms_max", limits.TTL_MS_MAX),
        ("wait_ms_max", limits.WAIT_MS_MAX),
        ("gap_ms", limits.TTL_MS_MAX),
    ):
        if not 0 <= getattr(policy, name) <= most:
            fault = f"{name} must be between 0 and {most}"
    return fault


def _ttl_fault(ttl_ms: int) -> str | None:
    if 1 <= ttl_ms <= limits.TTL_MS_MAX:
        return None
    return f"ttl_ms must be between 1 and {limits.TTL_MS_MAX}"


def _metadata_fault(metadata: bytes) -> str | None:
    if len(metadata) > limits.METADATA_BYTES_MAX:
        return f"metadata must have at most {limits.METADATA_BYTES_MAX} bytes"
    return None


def _names_fault(name: str, texts: Iterable[str]) -> str | None:
    faults = (text_fault(name, text, limits.LOCK_NAME_CHARS_MAX) for text in texts)
    return next(filter(None, faults), None)


def _texts(**texts: str) -> str | None:
    for name, text in texts.items():
        least, most = _TEXTS[name]
        if not least <= len(text) <= most:
            return text_fault(name, text, most, least)
    return None
