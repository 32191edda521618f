"""Database URLs: what is accepted, and how one is shown (never with its password)."""

from urllib.parse import unquote

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from gorilla.service.snapshots import StorageUnavailableError

_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
_SECRET_OPTIONS = ("password", "sslpassword", "passfile")


def parse(text: str) -> URL:
    """Read a PostgreSQL URL; any of its usual schemes is driven by psycopg.

    Raises:
        StorageUnavailableError: It can't be read. The message repeats nothing of it, since any
            part may be one of a password that was not escaped.

    """
    wrong = (
        "the database URL can't be read: it looks like"
        " postgresql://user:password@host:5432/gorilla, and @ : / ? # % in the password are"
        " written %40 %3A %2F %3F %23 %25"
    )
    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError):
        # "from None": the original may quote the text.
        raise StorageUnavailableError(wrong) from None
    if url.drivername not in _SCHEMES:
        raise StorageUnavailableError(
            "the database URL is not one of PostgreSQL: it begins with postgresql://"
        )
    if not url.database or "@" in (url.host or ""):
        raise StorageUnavailableError(wrong)
    return url.set(drivername="postgresql+psycopg")


def shown(url: URL) -> str:
    """Return where a URL leads, for messages: user, host, port and database."""
    host = url.host or url.query.get("host") or "localhost"
    port = f":{url.port}" if url.port else ""
    user = f"{url.username}@" if url.username else ""
    return f"{user}{host}{port}/{url.database}"


def scrubbed(text: str, url: URL) -> str:
    """Take every form of the URL's secrets out of a driver's text."""
    hidden = [url.query.get(option) for option in _SECRET_OPTIONS]
    hidden.append(str(url.password) if url.password else None)
    for secret in hidden:
        if isinstance(secret, str) and secret:
            text = text.replace(secret, "***").replace(unquote(secret), "***")
    return text
