"""One operation of the API, ready to be sent to any node, as often as need be.

Answers are read leniently: members of a body that this client does not know are left out, so it
goes on working with a newer cluster.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Final, Generic, TypeVar
from urllib.parse import quote, urlencode

import msgspec

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

KEY_BYTES: Final = 18
"""Random bytes of an idempotency key: 144 bits."""

JSON: Final = "application/json"

Query = Mapping[str, str | int | float | bool | None]

_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """One operation; every attempt of it sends the same bytes.

    Attributes:
        method: Of HTTP.
        path: Percent-encoded, with the query.
        decode: Reads the body of a success. It raises ``msgspec.MsgspecError`` or ``ValueError``
            when that is none.
        body: As it is sent; None: no body.
        key: The Idempotency-Key, which makes it safe to repeat.
        writes: Whether it changes anything.
        repeatable: Whether it may be asked again when nobody knows whether it was done.
        bare: What it is without its key: whether it may be repeated all the same. None: the key is
            the caller's own and stays, or there is none.
        wait_s: How long the node may take on purpose (seconds), on top of an attempt's time.
        with_wait: Returns the same for what is left of its wait (seconds), under another key; None
            when there is none, or when the caller chose the key.
        accept: Media type that is wanted.
        headers: Further headers.

    """

    method: str
    path: str
    decode: Callable[[bytes], T]
    body: bytes | None = None
    key: str | None = None
    writes: bool = False
    repeatable: bool = True
    bare: bool | None = None
    wait_s: float = 0.0
    with_wait: "Callable[[float], Call[T]] | None" = None
    accept: str = JSON
    headers: Mapping[str, str] | None = None

    def shortened(self, left_s: float) -> "Call[T]":
        """Return the same call, with no more than ``left_s`` left of its wait.

        Only where no attempt can have acted: it is another request, under another key.
        """
        return self if self.with_wait is None else self.with_wait(max(0.0, left_s))

    def without_key(self) -> "Call[T]":
        """Return the same call without a key, for a cluster that can't remember any more of them.

        Only where no attempt can have acted, and where ``bare`` says what comes of it.
        """
        shorter = self.with_wait
        return replace(
            self,
            key=None,
            bare=None,
            repeatable=bool(self.bare),
            with_wait=shorter and (lambda left_s: shorter(left_s).without_key()),
        )


def read(path: str, body: type[S], query: Query | None = None) -> "Call[S]":
    """Return a call that changes nothing."""
    return Call(method="GET", path=target(path, query), decode=decoder(body))


def ask(
    path: str, decode: Callable[[bytes], T], body: msgspec.Struct, query: Query | None = None
) -> "Call[T]":
    """Return a call that changes nothing, although it sends a body."""
    return Call(method="POST", path=target(path, query), decode=decode, body=_encode(body))


def write(
    method: str,
    path: str,
    decode: Callable[[bytes], T],
    body: msgspec.Struct | None = None,
    *,
    key: str | None = None,
    query: Query | None = None,
) -> "Call[T]":
    """Return a call that is done once, however often it is asked: it has a key.

    Doing it twice must be like doing it once; else see :func:`never_twice`.
    """
    return Call(
        method=method,
        path=target(path, query),
        decode=decode,
        body=None if body is None else _encode(body),
        key=new_key() if key is None else key,
        bare=True if key is None else None,
        writes=True,
    )


def never_twice(call: "Call[T]") -> "Call[T]":
    """Return the same call, which without its key would do more when it is repeated."""
    return replace(call, bare=None if call.bare is None else False)


def change(
    method: str,
    path: str,
    answer: type[S],
    body: msgspec.Struct | None,
    query: Query | None = None,
) -> "Call[S]":
    """Return a call that has no key: once it may have been done it is not asked again."""
    return Call(
        method=method,
        path=target(path, query),
        decode=decoder(answer),
        body=None if body is None else _encode(body),
        writes=True,
        repeatable=False,
    )


def waiting(make: Callable[[float], "Call[T]"], wait_s: float, *, fixed: bool) -> "Call[T]":
    """Return the call that ``make`` makes of a wait.

    Args:
        make: Returns the call that waits for so long (seconds), each time under a new key.
        wait_s: The whole wait (seconds).
        fixed: Whether there is a key of the caller's own, which stands for this very request.

    """
    call = make(wait_s)
    if not wait_s:
        return call
    shorter = None if fixed else lambda left_s: waiting(make, left_s, fixed=False)
    return replace(call, wait_s=wait_s, with_wait=shorter)


def new_key() -> str:
    """Return an idempotency key that nobody else has."""
    return secrets.token_urlsafe(KEY_BYTES)


@cache
def decoder(body: type[S]) -> Callable[[bytes], S]:
    """Return what reads a body of this shape; members that it does not know are left out."""
    decoder: msgspec.json.Decoder[S] = msgspec.json.Decoder(body)
    return decoder.decode


def nothing(body: bytes) -> None:
    """Read an answer without a body.

    Raises:
        ValueError: There is one.

    """
    if body:
        raise ValueError("the answer has a body where there should be none")


def segment(text: str) -> str:
    """Write a name as one segment of a path; dots alone would be taken for a way up."""
    quoted = quote(text, safe="")
    return quoted.replace(".", "%2E") if quoted in {".", ".."} else quoted


def target(path: str, query: Query | None = None) -> str:
    """Return a path with the parameters that have a value."""
    given = [
        (name, _parameter(value)) for name, value in (query or {}).items() if value is not None
    ]
    return f"{path}?{urlencode(given, quote_via=quote, safe='')}" if given else path


def _parameter(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
