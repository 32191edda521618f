"""From what psycopg and SQLAlchemy raise to one line that says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, TimeoutError as PoolTimeoutError

from gorilla.service.snapshots import (
    ArchiveError,
    SchemaOutdatedError,
    StorageUnavailableError,
)
from gorilla.storage.urls import scrubbed, shown

# Failures to connect carry no SQLSTATE, only libpq's words (the server's language is C or English
# in every deployment we ship; other words fall through to the driver's own line).
_WORDS: Final = (
    ("password authentication failed", "refuses the user or password: check GORILLA_DATABASE_URL"),
    ("no password supplied", "wants a password: set it in GORILLA_DATABASE_URL"),
    ("no pg_hba.conf entry", "does not let this host in: see pg_hba.conf on the server"),
    ("too many clients", "has no connection left: raise max_connections or close some"),
    ("the database system is", "is starting or stopping: it is tried again"),
    ("connection refused", "refuses the connection: is PostgreSQL running there?"),
    ("no such file", "has no socket there: is PostgreSQL running?"),
    ("timeout", "does not answer in time: is it reachable from here?"),
    ("could not translate host name", "has a host name that can't be resolved"),
    ("failed to resolve host", "has a host name that can't be resolved"),
    ("name or service not known", "has a host name that can't be resolved"),
)
_STATES: Final = {
    "28P01": "refuses the user or password: check GORILLA_DATABASE_URL",
    "3D000": "has no such database: create it first",
    "42501": "does not give this user the rights it needs on the tables",
    "53100": "has no disk space left",
    "57014": "took longer than its statement timeout",
    "55P03": "is waiting for a lock that another connection keeps",
}
_NO_SUCH_SCHEMA: Final = frozenset({"42P01", "42703", "3F000"})


@contextmanager
def translated(url: URL) -> Iterator[None]:
    """Raise :class:`ArchiveError` for whatever the driver raises inside."""
    try:
        yield
    except TimeoutError as error:
        raise StorageUnavailableError(f"database {shown(url)} does not answer in time") from error
    except (SQLAlchemyError, psycopg.Error, OSError) as error:
        raise explain(error, url) from error


def explain(error: Exception, url: URL) -> ArchiveError:
    """Return the one-line error of our own for one of the driver's."""
    where = f"database {shown(url)}"
    if isinstance(error, PoolTimeoutError):
        return StorageUnavailableError(f"{where}: every connection of this node is busy")
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    state = getattr(cause, "sqlstate", None)
    if state in _NO_SUCH_SCHEMA:
        return SchemaOutdatedError(
            f"{where} lacks this release's tables: run `make migrate` (or `gorillad migrate`)"
        )
    text = str(cause)
    told = _STATES.get(state or "") or _in_words(text)
    if told is not None:
        return StorageUnavailableError(f"{where} {told}")
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return StorageUnavailableError(f"{where}: {scrubbed(first, url) or type(cause).__name__}")


def _in_words(text: str) -> str | None:
    low = text.lower()
    if 'database "' in low and "does not exist" in low:
        return _STATES["3D000"]
    if 'role "' in low and "does not exist" in low:
        return "knows no such user: check GORILLA_DATABASE_URL"
    return next((told for words, told in _WORDS if words in low), None)
