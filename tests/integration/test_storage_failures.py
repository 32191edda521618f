"""What goes wrong with a database is told in one line with a remedy, and never with a password."""

import os
import signal
import socket
import time
from urllib.parse import quote

import pytest

from gorilla.service.snapshots import SchemaOutdatedError, StorageUnavailableError
from gorilla.storage import migrating
from gorilla.storage.embedded import EmbeddedPostgres
from gorilla.storage.snapshots import PostgresSnapshots
from gorilla.storage.urls import parse, scrubbed, shown
from tests.support.postgres import FAST, execute, reachable_directory, with_parts

pytestmark = pytest.mark.integration

PASSWORD = "s3cret/w@rd"


async def ask(url: str) -> None:
    archive = PostgresSnapshots(url)
    try:
        await archive.latest()
    finally:
        await archive.close()


async def refusal(url: str, error: type[Exception] = StorageUnavailableError) -> str:
    """Ask the archive at ``url``; return what its failure says, in which no secret is."""
    with pytest.raises(error) as asked:
        await ask(url)
    said = str(asked.value)
    chain = [said]
    cause: BaseException | None = asked.value.__cause__
    while cause is not None:
        chain.append(str(cause))
        cause = cause.__cause__
    everything = "\n".join(chain)
    assert "\n" not in said
    for secret in (PASSWORD, quote(PASSWORD, safe=""), "s3cret", "w@rd"):
        assert secret not in everything
    return said


@pytest.mark.parametrize(
    "url",
    [
        "mysql://root@localhost/gorilla",
        "not a url",
        "postgresql://localhost",
        f"postgresql://me:{PASSWORD}@localhost/gorilla",
        f"postgresql://me:{PASSWORD}@localhost:port/gorilla",
    ],
)
async def test_a_url_that_can_not_be_read_is_refused_without_repeating_it(url):
    said = await refusal(url)

    assert "postgresql://" in said


async def test_a_port_where_nobody_listens_says_so():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]

        said = await refusal(f"postgresql://me:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/locks")

    assert said == (
        f"database me@127.0.0.1:{port}/locks refuses the connection: is PostgreSQL running there?"
    )


async def test_a_host_that_never_answers_is_given_up():
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(1)
        port = deaf.getsockname()[1]
        started = time.monotonic()

        said = await refusal(f"postgresql://me@127.0.0.1:{port}/locks?connect_timeout=2")

    assert "does not answer in time" in said
    assert time.monotonic() - started < 15


async def test_a_wrong_password_is_told_without_it(database, postgres_server):
    rules = postgres_server.data / "pg_hba.conf"
    rules.write_text("local all guarded scram-sha-256\n" + rules.read_text())
    execute(database, "CREATE ROLE guarded LOGIN PASSWORD 'another'")
    execute(database, "SELECT pg_reload_conf()")
    guarded = with_parts(database, username="guarded")

    wrong = await refusal(with_parts(guarded, password=PASSWORD))
    none = await refusal(guarded)
    in_query = await refusal(f"{guarded}&password={quote(PASSWORD, safe='')}")
    execute(database, "DROP ROLE guarded")

    assert wrong.endswith("refuses the user or password: check GORILLA_DATABASE_URL")
    assert none.endswith("wants a password: set it in GORILLA_DATABASE_URL")
    assert in_query == wrong


async def test_a_database_or_user_that_is_not_there_says_which(database):
    no_database = await refusal(with_parts(database, database="nowhere"))
    no_user = await refusal(with_parts(database, username="nobody-here"))

    assert no_database.endswith("/nowhere has no such database: create it first")
    assert "nobody-here@" in no_user
    assert no_user.endswith("knows no such user: check GORILLA_DATABASE_URL")


async def test_a_database_that_was_never_migrated_says_how_to(empty_database):
    said = await refusal(empty_database, SchemaOutdatedError)

    assert "make migrate" in said


def test_migrating_tells_failures_in_the_same_way():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]

        with pytest.raises(StorageUnavailableError, match="refuses the connection"):
            migrating.upgrade(f"postgresql://127.0.0.1:{port}/locks")


async def test_a_user_without_rights_on_the_tables_says_so(database):
    execute(database, "CREATE ROLE powerless LOGIN")

    said = await refusal(with_parts(database, username="powerless"))
    execute(database, "DROP ROLE powerless")

    assert said.endswith("does not give this user the rights it needs on the tables")


async def test_the_archive_finds_a_restarted_server_by_itself():
    with reachable_directory() as directory:
        server = EmbeddedPostgres(directory / "postgres", settings=FAST)
        migrating.upgrade(server.start())
        archive = PostgresSnapshots(server.url())
        try:
            assert await archive.latest() is None
            server.stop()
            with pytest.raises(StorageUnavailableError):
                await archive.latest()
            server.start()

            found = await archive.latest()
        finally:
            await archive.close()
            server.stop()

    assert found is None


async def test_a_server_that_hangs_does_not_hang_us():
    with reachable_directory() as directory, EmbeddedPostgres(directory / "postgres") as server:
        pid = int((server.data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            said = await refusal(f"{server.url()}&connect_timeout=2")
        finally:
            os.kill(pid, signal.SIGCONT)

    assert "does not answer in time" in said
    assert time.monotonic() - started < 15


def test_secrets_are_taken_out_of_a_drivers_text_in_every_form():
    url = parse(f"postgresql://me:{quote(PASSWORD, safe='')}@db/locks?sslpassword=k%20y")

    text = scrubbed(f"could not use {PASSWORD} with key 'k y' at db", url)

    assert text == "could not use *** with key '***' at db"
    assert shown(url) == "me@db/locks"
