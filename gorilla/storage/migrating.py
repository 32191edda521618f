"""The schema's way up and down, from a checkout or from an installed wheel alike.

Blocking: call it from a program's main thread, or beside the event loop.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from gorilla.service.snapshots import ArchiveError, SchemaOutdatedError
from gorilla.storage.engine import LOCK_TIMEOUT_MS, connect_arguments
from gorilla.storage.failures import translated
from gorilla.storage.urls import parse

MIGRATE_LOCK: Final = 0x676F_7269_6C6C_6102
"""Advisory lock that migrations take in turn: the letters "gorilla" and 2."""


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the schema up to ``revision``. Several at once take turns; done twice is done once.

    Raises:
        ArchiveError: The database can't be reached, or is of a later release.

    """
    with _connected(url) as connection:
        if revision == "head" and _ahead(connection):
            raise SchemaOutdatedError(
                "the database is already of a later release of Gorilla: nothing to migrate here"
            )
        _run(lambda config: command.upgrade(config, revision), connection)


def downgrade(url: str, revision: str) -> None:
    """Take the schema down to ``revision`` (``base``: nothing is left, snapshots included).

    Raises:
        ArchiveError: The database can't be reached, or does not know the revision.

    """
    with _connected(url) as connection:
        _run(lambda config: command.downgrade(config, revision), connection)


def current(url: str) -> str | None:
    """Return the database's revision; None when it was never migrated.

    Raises:
        ArchiveError: The database can't be reached.

    """
    with _connected(url) as connection:
        return _current(connection)


def is_current(url: str) -> bool:
    """Whether the database has this release's schema, neither an earlier nor a later one.

    Raises:
        ArchiveError: The database can't be reached.

    """
    return current(url) == head()


def head() -> str:
    """Return this release's revision."""
    found = _scripts().get_current_head()
    assert found is not None, "a release has at least one migration"
    return found


def migrations_directory() -> Path:
    """Find the migrations: inside the installed package, or at the top of a checkout."""
    here = Path(__file__).resolve().parent
    for place in (here / "migrations", here.parent.parent / "migrations"):
        if (place / "env.py").is_file():
            return place
    raise ArchiveError(f"no migrations beside {here}: reinstall gorilla-lock")


def configuration(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration; there is no alembic.ini to keep in step."""
    config = Config()
    config.set_main_option("script_location", str(migrations_directory()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    """Open one connection, in one transaction, alone among all who migrate."""
    parsed = parse(url)
    engine = create_engine(
        parsed,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args=connect_arguments(parsed),
    )
    with translated(parsed), engine.begin() as connection:
        bounds = text("SELECT set_config('lock_timeout', :lock, true)")
        connection.execute(bounds, {"lock": str(LOCK_TIMEOUT_MS)})
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATE_LOCK})
        yield connection


def _run(action: Callable[[Config], None], connection: Connection) -> None:
    try:
        action(configuration(connection))
    except CommandError as error:
        raise ArchiveError(f"migration failed: {str(error).splitlines()[0]}") from error


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _ahead(connection: Connection) -> bool:
    revision = _current(connection)
    return revision is not None and revision not in {
        script.revision for script in _scripts().walk_revisions()
    }


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(configuration())
