"""How a client reaches its cluster, from arguments or from the environment."""

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from typing_extensions import override

from gorilla.wire.fields import NAME_CHARS_MAX

ENDPOINT_DEFAULT: Final = "http://127.0.0.1:4000"
ENDPOINTS_MAX: Final = 32
DEADLINE_S: Final = 15.0
ATTEMPT_S: Final = 6.0
WAIT_SLICE_S: Final = 45.0
"""Most of what stands between clients and nodes cuts a connection that was silent for a minute."""

PORT_MAX: Final = 65_535

SECRETS: Final = frozenset({"token"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """How a client reaches its cluster, and how patient it is.

    Attributes:
        endpoints: URLs of nodes, or of what stands before them: ``http`` or ``https``, with a path
            if everything is below one.
        token: Sent as ``Authorization: Bearer``.
        ca_file: Certificates that sign the nodes' (PEM); without it those of the system.
        cert_file: The client's own certificate (PEM), where nodes ask for one.
        key_file: Its private key (PEM), when ``cert_file`` does not hold it.
        name: Who asks, for people: the beginning of every owner's name.
        deadline_s: Longest time of a call, with all its attempts (seconds); a wait comes on top.
        attempt_s: Longest time of one attempt (seconds); likewise.
        wait_slice_s: Longest wait of one request (seconds). A longer one is made of several, each
            of which keeps its place in the queue for the next. It is to be shorter than anything in
            between lets a request be silent, which is often a minute.

    """

    endpoints: tuple[str, ...] = (ENDPOINT_DEFAULT,)
    token: str | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    name: str = ""
    deadline_s: float = DEADLINE_S
    attempt_s: float = ATTEMPT_S
    wait_slice_s: float = WAIT_SLICE_S

    def __post_init__(self) -> None:
        """Check every field, and fill in the name.

        Raises:
            ValueError: A value can't be; the message begins with the field's name.

        """
        if not 1 <= len(self.endpoints) <= ENDPOINTS_MAX:
            raise ValueError(f"endpoints: give 1 to {ENDPOINTS_MAX} URLs")
        endpoints = tuple(dict.fromkeys(map(endpoint_of, self.endpoints)))
        object.__setattr__(self, "endpoints", endpoints)
        object.__setattr__(self, "name", _name_of(self.name))
        _check_token(self.token)
        for field in ("ca_file", "cert_file", "key_file"):
            _check_file(field, getattr(self, field))
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file: is of no use without cert_file")
        for field in ("deadline_s", "attempt_s", "wait_slice_s"):
            seconds = getattr(self, field)
            if not (isfinite(seconds) and seconds > 0):
                raise ValueError(f"{field}: must be seconds, more than 0")

    @override
    def __repr__(self) -> str:
        """Show everything but secrets."""
        shown = ", ".join(
            f"{field}={'***' if field in SECRETS and value else repr(value)}"
            for field in self.__dataclass_fields__
            if (value := getattr(self, field)) is not None
        )
        return f"ClientSettings({shown})"

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] = os.environ, **given: object
    ) -> "ClientSettings":
        """Return what ``GORILLA_…`` variables say, and what is given besides.

        They are ``GORILLA_ENDPOINTS`` (URLs, separated by commas) or ``GORILLA_ENDPOINT``,
        ``GORILLA_TOKEN``, ``GORILLA_CA_FILE``, ``GORILLA_CERT_FILE``, ``GORILLA_KEY_FILE``,
        ``GORILLA_CLIENT_NAME``, ``GORILLA_DEADLINE``, ``GORILLA_ATTEMPT`` and
        ``GORILLA_WAIT_SLICE`` (seconds). An empty one counts as not set.

        Args:
            environment: Where to look.
            given: Fields that are not looked up; None stands for those that are.

        Raises:
            ValueError: A value can't be; the message begins with the variable's or field's name.

        """
        fields = {name: value for name, value in given.items() if value is not None}
        for variable, (field, read) in VARIABLES.items():
            text = environment.get(variable, "").strip()
            if text and field not in fields:
                try:
                    fields[field] = read(text)
                except ValueError as error:
                    raise ValueError(f"{variable}: {error}") from error
        return cls(**fields)  # type: ignore[arg-type]  # checked one by one when it is made


def endpoint_of(text: str) -> str:
    """Check the URL of a node; return it without a slash at its end.

    Raises:
        ValueError: It is none.

    """
    url = text.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"endpoints: {text!r} is no URL: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"endpoints: {text!r} must be a URL like {ENDPOINT_DEFAULT}")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError(f"endpoints: {text!r} must have no user, query or fragment")
    if not url.isascii() or not url.isprintable() or " " in url or port == 0:
        raise ValueError(f"endpoints: {text!r} has characters or a port that a URL can't have")
    return url


def own_name() -> str:
    """Return who this process is, for people: ``host:pid``."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _endpoints_of(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _seconds_of(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number of seconds") from None


def _name_of(name: str) -> str:
    name = name or own_name()
    if len(name) > NAME_CHARS_MAX or not name.isprintable():
        raise ValueError(f"name: must have 1 to {NAME_CHARS_MAX} printable characters")
    return name


def _check_token(token: str | None) -> None:
    # What a header can carry; anything else would be cut off, or end the header.
    if token is not None and not (token and token.isascii() and token.isprintable()):
        raise ValueError("token: must be printable ASCII characters")


def _check_file(field: str, path: str | None) -> None:
    if path is not None and not Path(path).is_file():
        raise ValueError(f"{field}: there is no file {path}")


VARIABLES: Final[dict[str, tuple[str, Callable[[str], object]]]] = {
    "GORILLA_ENDPOINTS": ("endpoints", _endpoints_of),
    "GORILLA_ENDPOINT": ("endpoints", _endpoints_of),
    "GORILLA_TOKEN": ("token", str),
    "GORILLA_CA_FILE": ("ca_file", str),
    "GORILLA_CERT_FILE": ("cert_file", str),
    "GORILLA_KEY_FILE": ("key_file", str),
    "GORILLA_CLIENT_NAME": ("name", str),
    "GORILLA_DEADLINE": ("deadline_s", _seconds_of),
    "GORILLA_ATTEMPT": ("attempt_s", _seconds_of),
    "GORILLA_WAIT_SLICE": ("wait_slice_s", _seconds_of),
}
"""Variables of the environment, with the field that each sets."""


def settings_of(endpoints: Sequence[str], **given: object) -> ClientSettings:
    """Return the settings of a client that was given ``endpoints``, or none.

    What is not given comes from the environment.

    Raises:
        ValueError: As :meth:`ClientSettings.from_environment`.

    """
    fields = {"endpoints": tuple(endpoints) or None, **given}
    return ClientSettings.from_environment(os.environ, **fields)
