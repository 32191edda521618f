"""The Idempotency-Key header: what it may be, and how a request is known again."""

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from gorilla.wire.fields import FieldRuleError

HEADER: Final = "Idempotency-Key"
REPLAYED_HEADER: Final = "Idempotency-Replayed"

KEY_CHARS_MAX: Final = 255
KEY_PATTERN: Final = r"^[ -~]*$"

_FINGERPRINT_BYTES: Final = 16

_encode_sorted = msgspec.json.Encoder(order="sorted").encode


def key_of(text: str) -> str:
    """Check an idempotency key: 1 to 255 printable ASCII characters."""
    if not (0 < len(text) <= KEY_CHARS_MAX and text.isascii() and text.isprintable()):
        raise FieldRuleError(f"must have 1 to {KEY_CHARS_MAX} printable ASCII characters")
    return text


def fingerprint_of(
    method: str, path: Sequence[str], query: Mapping[str, Sequence[str]], body: bytes
) -> bytes:
    """Return what tells a request from others.

    Args:
        method: Of the request.
        path: Its segments, decoded.
        query: Its parameters, decoded.
        body: As it arrived: an object in JSON, or nothing. Spaces and the order of members make
            no difference.

    """
    what = [method, list(path), {name: list(values) for name, values in query.items()}]
    digest = blake2b(_encode_sorted(what), digest_size=_FINGERPRINT_BYTES)
    digest.update(_canonical(body))
    return digest.digest()


def _canonical(body: bytes) -> bytes:
    """Return JSON in one of the many ways to write it; what can't be read, as it is."""
    try:
        return _encode_sorted(json.loads(body, parse_int=_as_written, parse_float=_as_written))
    except (ValueError, RecursionError):
        return body


def _as_written(number: str) -> msgspec.Raw:
    """Keep a number's own text: no reader may round it."""
    return msgspec.Raw(number.encode())
