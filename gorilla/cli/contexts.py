"""Which cluster is meant, and who asks: options, environment, config file, defaults.

What comes first wins, value by value. ``~/.config/gorilla/config.toml``::

    current = "prod"

    [contexts.prod]
    endpoints = ["https://gorilla-1.example:4000", "https://gorilla-2.example:4000"]
    token_file = "~/.config/gorilla/prod.token"
    ca_file = "~/.config/gorilla/ca.pem"
"""

import difflib
import math
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec

from gorilla.cli.failures import CommandError
from gorilla.cli.times import seconds_of
from gorilla.client.settings import DEADLINE_S, ENDPOINT_DEFAULT

TOKEN_FILE_BYTES_MAX: Final = 65_536

FORMATS: Final = ("table", "json", "yaml")
"""How data may be shown; people's first."""

_READABLE_BY_OTHERS: Final = stat.S_IRGRP | stat.S_IROTH

_T = TypeVar("_T", bound=msgspec.Struct)


class Given(msgspec.Struct):
    """Global options of this command line; those that were not given are empty."""

    endpoints: tuple[str, ...] = ()
    context: str | None = None
    token: str | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    output: str | None = None
    deadline: float | None = None
    no_color: bool = False


class Context(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the config file says of one cluster."""

    endpoints: tuple[str, ...] = ()
    token: str | None = None
    token_file: str | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    deadline: float | None = None
    output: str | None = None


class ConfigFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The config file."""

    current: str | None = None
    contexts: dict[str, Context] = {}


class Sourced(NamedTuple):
    """A value, and where it comes from."""

    value: object
    source: str


class Settings(NamedTuple):
    """What holds for this command line."""

    path: Path
    context: str | None
    context_source: str
    values: dict[str, Sourced]
    warnings: tuple[str, ...]

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The nodes to ask."""
        value = self.values["endpoints"].value
        assert isinstance(value, tuple)
        return value

    @property
    def deadline_s(self) -> float:
        """How long to try at most."""
        value = self.values["deadline"].value
        assert isinstance(value, int | float)
        return float(value)

    def text(self, name: str) -> str | None:
        """Return a value that is text, or nothing."""
        value = self.values[name].value
        return None if value is None else str(value)


def config_path(environ: Mapping[str, str]) -> Path:
    """Return where the config file is, or would be."""
    if named := environ.get("GORILLA_CONFIG_FILE"):
        return Path(named)
    base = environ.get("XDG_CONFIG_HOME", "")
    # The specification of these directories: what is not absolute is ignored.
    if not base.startswith("/"):
        base = _expanded("~/.config")
    return Path(base) / "gorilla" / "config.toml"


def read_config(path: Path) -> ConfigFile:
    """Read the config file; one that does not exist is empty.

    Raises:
        CommandError: It can't be read, or something in it is wrong; file, key and remedy are said.

    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ConfigFile()
    except OSError as error:
        raise CommandError(f"{path} can't be read: {error.strerror}.") from error
    return parsed_config(data, path)


def parsed_config(data: bytes, path: Path) -> ConfigFile:
    """Read what is in the config file; raises what :func:`read_config` does."""
    try:
        document = tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise CommandError(f"{path} is not UTF-8; save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise CommandError(f"{path} is no TOML: {error}.") from error
    tables = document.get("contexts", {})
    if isinstance(tables, dict):
        # One by one: of a dictionary the library does not say where in it something is wrong.
        document["contexts"] = {
            name: _converted(path, table, Context, f"contexts.{name}.")
            for name, table in tables.items()
        }
    found = _converted(path, document, ConfigFile, "")
    for name, context in found.contexts.items():
        _check(path, name, context)
    return found


def _converted(path: Path, table: object, kind: type[_T], where: str) -> _T:
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        known = [field.name for field in msgspec.structs.fields(kind)]
        raise CommandError(f"{path}: {where}{_wrong(str(error), known)}") from error


def _wrong(message: str, known: list[str]) -> str:
    """Say which key is wrong; of one that is not known, which may be meant."""
    what, _, place = message.partition(" - at `$")
    if "unknown field" not in what:
        return f"{place.strip('`.') or 'it'}: {what[:1].lower()}{what[1:]}."
    unknown = what.split("`")[1]
    near = difflib.get_close_matches(unknown, known, 1)
    meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."
    return f"{unknown}: no such key; {meant}"


def _check(path: Path, name: str, context: Context) -> None:
    if context.token is not None and context.token_file is not None:
        raise CommandError(f"{path}: contexts.{name} has token and token_file; take one out.")
    if context.key_file is not None and context.cert_file is None:
        raise CommandError(
            f"{path}: contexts.{name} has key_file and no cert_file; it is of no use."
        )
    if context.deadline is not None and not 0 < context.deadline < math.inf:
        raise CommandError(f"{path}: contexts.{name}.deadline: must be seconds, more than 0.")
    if context.output is not None and context.output not in FORMATS:
        raise CommandError(f"{path}: contexts.{name}.output: must be one of {', '.join(FORMATS)}.")


class _Reading:
    """Looks every value up in its places."""

    def __init__(
        self, given: Given, environ: Mapping[str, str], path: Path, file: ConfigFile
    ) -> None:
        self.given = given
        self.environ = environ
        self.path = path
        self.context_name, self.context_source = self._context_named(file)
        self.context = file.contexts.get(self.context_name or "", Context())
        self.warnings: list[str] = []

    def _context_named(self, file: ConfigFile) -> tuple[str | None, str]:
        for name, source in (
            (self.given.context, "option --context"),
            (self.environ.get("GORILLA_CONTEXT"), "environment GORILLA_CONTEXT"),
            (file.current, "current in the config file"),
        ):
            if name:
                if name not in file.contexts:
                    raise CommandError(no_context(self.path, name, source, file))
                return name, source
        return None, "none"

    def value(self, name: str, default: object) -> Sourced:
        variable = f"GORILLA_{name.upper()}"
        if given := getattr(self.given, name):
            return Sourced(given, f"option --{name.replace('_', '-')}")
        if text := self.environ.get(variable):
            return Sourced(text, f"environment {variable}")
        value = getattr(self.context, name)
        if value is not None:
            value = _expanded(value) if name.endswith("_file") else value
            return Sourced(value, f"context {self.context_name}")
        return Sourced(default, "default")

    def deadline(self) -> Sourced:
        found = self.value("deadline", DEADLINE_S)
        if not isinstance(found.value, str):
            return found
        try:
            seconds = seconds_of(found.value)
        except ValueError as error:
            raise CommandError(f"{found.source}: {error}.") from error
        if seconds <= 0:
            raise CommandError(f"{found.source}: must be more than 0 seconds.")
        return Sourced(seconds, found.source)

    def output(self) -> Sourced:
        found = self.value("output", FORMATS[0])
        if found.value not in FORMATS:
            known = ", ".join(FORMATS)
            raise CommandError(f"{found.source}: {found.value!r}: must be one of {known}.")
        return found

    def endpoints(self) -> Sourced:
        if self.given.endpoints:
            return Sourced(self.given.endpoints, "option --endpoint")
        for variable in ("GORILLA_ENDPOINTS", "GORILLA_ENDPOINT"):
            if text := self.environ.get(variable):
                parts = tuple(part.strip() for part in text.split(",") if part.strip())
                return Sourced(parts, f"environment {variable}")
        if self.context.endpoints:
            return Sourced(self.context.endpoints, f"context {self.context_name}")
        return Sourced((ENDPOINT_DEFAULT,), "default")

    def token(self) -> Sourced:
        found = self.value("token", None)
        if found.source.startswith(("option", "environment")):
            return found
        if named := self.environ.get("GORILLA_TOKEN_FILE"):
            return Sourced(self.read_token(named), f"environment GORILLA_TOKEN_FILE ({named})")
        if found.value is not None:
            self.warn_if_readable(self.path)
            return found
        if self.context.token_file is not None:
            file = _expanded(self.context.token_file)
            return Sourced(self.read_token(file), f"context {self.context_name} ({file})")
        return found

    def read_token(self, file: str) -> str:
        path = Path(file)
        try:
            with path.open("rb") as opened:
                token = opened.read(TOKEN_FILE_BYTES_MAX).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8"
            raise CommandError(f"The token file {path} can't be read: {why}.") from error
        if not token or len(token.split()) != 1:
            raise CommandError(f"The token file {path} must hold one word, the token.")
        self.warn_if_readable(path)
        return token

    def warn_if_readable(self, path: Path) -> None:
        if path.stat().st_mode & _READABLE_BY_OTHERS:
            self.warnings.append(f"{path} holds a token and others can read it: chmod 600 {path}")


def resolved(given: Given, environ: Mapping[str, str]) -> Settings:
    """Find every value's place; option before environment before context before default.

    A context that nobody named but ``current`` does not lend its token or key to endpoints that
    are not its own: ``--endpoint`` of some other cluster must not be sent them.

    Raises:
        CommandError: The config file, a token file or a variable is wrong.

    """
    path = config_path(environ)
    file = read_config(path)
    reading = _Reading(given, environ, path, file)
    endpoints = reading.endpoints()
    if _are_strange(reading, endpoints):
        lent = msgspec.structs.replace(
            reading.context, token=None, token_file=None, cert_file=None, key_file=None
        )
        reading.context = lent
    values = {
        "endpoints": endpoints,
        "token": reading.token(),
        "ca_file": reading.value("ca_file", None),
        "cert_file": reading.value("cert_file", None),
        "key_file": reading.value("key_file", None),
        "output": reading.output(),
        "deadline": reading.deadline(),
    }
    return Settings(
        path, reading.context_name, reading.context_source, values, tuple(reading.warnings)
    )


def _are_strange(reading: _Reading, endpoints: Sourced) -> bool:
    if endpoints.source.startswith(("context", "default")):
        return False
    if not reading.context_source.startswith("current"):
        return False
    assert isinstance(endpoints.value, tuple)
    own = {one.rstrip("/") for one in reading.context.endpoints}
    return not {str(one).rstrip("/") for one in endpoints.value} <= own


def _expanded(file: str) -> str:
    try:
        return str(Path(file).expanduser())
    except RuntimeError:
        # Nobody of that name; or we are nobody, as in some containers. There is no such file.
        return file


def no_context(path: Path, name: str, source: str, file: ConfigFile) -> str:
    """Say that a context is missing, and what to do."""
    near = difflib.get_close_matches(name, file.contexts, 1)
    if near:
        remedy = f"did you mean {near[0]}?"
    elif file.contexts:
        remedy = f"there are {', '.join(sorted(file.contexts))}."
    else:
        remedy = f"add it: gorilla context add {name} --endpoint URL"
    return f"{path} has no context {name} ({source}); {remedy}"
