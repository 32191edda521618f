"""Safe retries: a request under an idempotency key of its client's takes effect at most once."""

import msgspec

from gorilla.domain.commands import Command, Once, Plain


class Key(msgspec.Struct, frozen=True):
    """What the client said a request may be known again by."""

    key: str
    """Its own word, within ``limits``."""
    fingerprint: bytes
    """Of the request as it was sent: another one under the same key is a mistake."""


def once(command: Plain, key: Key | None) -> Command:
    """Return ``command`` so that it is done once under ``key``; as it is without one."""
    return command if key is None else Once(key.key, key.fingerprint, command)
