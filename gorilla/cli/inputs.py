"""What is typed as text and means more: secrets that are elsewhere, values of JSON."""

import os
import sys
from typing import Final

import msgspec

from gorilla.cli.failures import CommandError
from gorilla.wire.fields import TOKEN_CHARS_MAX

TOKEN_VARIABLE: Final = "GORILLA_LOCK_TOKEN"  # noqa: S105 - a name
SESSION_VARIABLE: Final = "GORILLA_SESSION"

_LINE_END_CHARS: Final = 2


def secret(given: str | None, variable: str, what: str) -> str:
    """Return a secret from the command line, from stdin (``-``), or from the environment.

    Args:
        given: What the command line says.
        variable: Where to look when it says nothing.
        what: Its name, for people.

    Raises:
        CommandError: It is nowhere.

    """
    text = given if given is not None else os.environ.get(variable, "")
    found = _line() if text == "-" else text.strip()
    if not found:
        raise CommandError(f"Give {what}: as an argument, with `-` on stdin, or in {variable}.")
    return found


def _line() -> str:
    if sys.stdin is None:
        return ""
    return sys.stdin.readline(TOKEN_CHARS_MAX + _LINE_END_CHARS).strip()


def json_or_text(text: str) -> object:
    """Return the value that JSON says; what is no JSON is text."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
