"""A real PostgreSQL for tests: one server a test session, a fresh database a test.

A folder's conftest imports the fixtures that its tests ask for.
"""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL, make_url

from gorilla.storage import migrating
from gorilla.storage.embedded import EmbeddedPostgres
from gorilla.storage.snapshots import PostgresSnapshots

FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

_TEMPLATE = "gorilla_migrated"
_numbers = count(1)


@contextmanager
def reachable_directory() -> Iterator[Path]:
    """Make a directory that the server's account can enter (pytest's own can't be, for root)."""
    made = Path(tempfile.mkdtemp(prefix="gorilla-test-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made)


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    """Run one statement in autocommit and return its rows."""
    parsed = make_url(url)
    with psycopg.connect(
        host=str(parsed.host or parsed.query.get("host")),
        user=parsed.username,
        password=None if parsed.password is None else str(parsed.password),
        dbname=parsed.database,
        autocommit=True,
        connect_timeout=10,
    ) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def with_parts(url: str, **parts: str) -> str:
    """Return ``url`` with other ``username``, ``password`` or ``database``."""
    changed: URL = make_url(url).set(**parts)  # type: ignore[arg-type] # only text parts
    return changed.render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    with reachable_directory() as directory:
        server = EmbeddedPostgres(directory / "postgres", settings=FAST)
        url = server.start()
        try:
            execute(url, f"CREATE DATABASE {_TEMPLATE}")
            migrating.upgrade(server.url(_TEMPLATE))
            yield server
        finally:
            server.stop()


@pytest.fixture
def make_database(postgres_server: EmbeddedPostgres) -> Iterator[Callable[[str], str]]:
    """Makes a database from a template and returns its URL; drops it after the test."""
    made: list[str] = []

    def make(template: str) -> str:
        name = f"test_{os.getpid()}_{next(_numbers)}"
        execute(postgres_server.url(), f"CREATE DATABASE {name} TEMPLATE {template}")
        made.append(name)
        return postgres_server.url(name)

    yield make
    for name in made:
        execute(postgres_server.url(), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_database(make_database: Callable[[str], str]) -> str:
    """URL of a database without any table."""
    return make_database("template0")


@pytest.fixture
def database(make_database: Callable[[str], str]) -> str:
    """URL of a database with this release's schema."""
    return make_database(_TEMPLATE)


@pytest.fixture
async def archive(database: str) -> AsyncIterator[PostgresSnapshots]:
    opened = PostgresSnapshots(database)
    yield opened
    await opened.close()
