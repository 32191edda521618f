"""What ``gorillad doctor`` says of the history, on a real PostgreSQL."""

import asyncio

import msgspec
import pytest

from gorilla.consensus.disk import DirectoryDisk
from gorilla.consensus.identity import load_or_create, save
from gorilla.daemon import doctor_history
from gorilla.daemon.__main__ import main
from gorilla.domain.limits import FENCING_EPOCH
from gorilla.service.history_records import Beginning, Claim, Gap
from gorilla.storage.history import PostgresHistory
from tests.support.history_api import Past, running_past
from tests.support.history_events import WALL_MS
from tests.support.journals import open_journal, synced
from tests.support.postgres import with_parts

CLUSTER = "c1"
NOWHERE = "127.0.0.1:1"


@pytest.fixture
def node(tmp_path, monkeypatch):
    """The settings and the directory of a node that was stopped; gives what sets one."""
    with DirectoryDisk(tmp_path / "n1") as disk:
        identity = load_or_create(disk, "n1")
        save(disk, msgspec.structs.replace(identity, cluster_id=CLUSTER))
        synced(open_journal(disk, node=identity.node_id), 1, 2)

    def set_(**settings):
        for name, value in settings.items():
            monkeypatch.setenv(f"GORILLA_{name}", value)

    monkeypatch.chdir(tmp_path)
    set_(MEMBERS=f"n1={NOWHERE}/127.0.0.1:2", NODE_DATA_DIR=str(tmp_path), NODE="n1")
    return set_


def begin(url, number, *, gap=0):
    """Begin the history of the cluster, so that its last event is ``number``."""

    async def begun():
        history, claim = PostgresHistory(url), Claim(CLUSTER, 1)
        whole = Beginning(number=number, at_ms=WALL_MS, is_whole=True, fencing_floor=FENCING_EPOCH)
        await history.begin(claim, whole)
        if gap:
            last = number + gap
            await history.skip(
                claim,
                Gap(first_number=number + 1, last_number=last, from_ms=WALL_MS, to_ms=WALL_MS),
            )
        await history.close()

    asyncio.run(begun())


def told(capsys):
    """The lines about the history: grade and text, then the remedy if there is one."""
    lines = capsys.readouterr().out.splitlines()
    first = next(n for n, line in enumerate(lines) if " history: " in line)
    return lines[first:-1]


def test_without_a_database_there_is_nothing_to_be_mended(capsys, node):
    assert main(["doctor"]) == 0

    [line] = told(capsys)
    assert line.startswith("note")
    assert "GORILLA_DATABASE_URL" in line


def test_a_history_that_is_switched_off_is_not_looked_for(capsys, node):
    node(HISTORY_ENABLED="false", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")

    assert main(["doctor"]) == 0

    [line] = told(capsys)
    assert "switched off" in line


def test_a_database_that_can_t_be_reached_is_to_be_mended(capsys, node):
    node(DATABASE_URL="postgresql://gorilla:hushhush@127.0.0.1:1/gorilla")

    assert main(["doctor"]) == 1

    line, remedy = told(capsys)
    assert line.startswith("TROUBLE  history: database gorilla@127.0.0.1:1/gorilla refuses")
    assert "hushhush" not in line
    assert "See that the database runs" in remedy


def test_a_database_that_does_not_answer_is_given_up(capsys, node, database, monkeypatch):
    async def hang(*_):
        await asyncio.Event().wait()

    monkeypatch.setattr(doctor_history, "LOOK_S_MAX", 0.05)
    monkeypatch.setattr(PostgresHistory, "state", hang)
    node(DATABASE_URL=database)

    assert main(["doctor"]) == 1

    line, remedy = told(capsys)
    assert "no answer within" in line
    assert "->" in remedy


def test_a_database_without_the_tables_is_to_be_migrated(capsys, node, empty_database):
    node(DATABASE_URL=empty_database)

    assert main(["doctor"]) == 1

    _, remedy = told(capsys)
    assert "Run gorillad migrate" in remedy


def test_a_user_that_the_database_does_not_know_is_to_be_mended(capsys, node, database):
    node(DATABASE_URL=with_parts(database, username="stranger"))

    assert main(["doctor"]) == 1

    line, remedy = told(capsys)
    assert "GORILLA_DATABASE_URL" in remedy
    assert line.startswith("TROUBLE")


def test_a_history_that_has_not_begun_is_no_trouble(capsys, node, database):
    node(DATABASE_URL=database)

    assert main(["doctor"]) == 0

    [line] = told(capsys)
    assert f"nothing of cluster {CLUSTER}" in line


def test_of_a_node_that_does_not_run_it_tells_the_last_event_and_its_time(capsys, node, database):
    begin(database, 41, gap=1)
    node(DATABASE_URL=database)

    assert main(["doctor"]) == 0

    last, unsettled = told(capsys)
    assert "event 42 of 20" in last
    assert "while the node runs" in last
    assert "after a gap" in unsettled


@pytest.mark.parametrize(("behind_max", "code", "grade"), [(1, 0, "ok"), (0, 1, "TROUBLE")])
async def test_a_node_that_runs_is_asked_how_far_behind_the_history_is(
    capsys, node, database, monkeypatch, behind_max, code, grade
):
    monkeypatch.setattr(doctor_history, "BEHIND_MAX", behind_max)
    await asyncio.to_thread(begin, database, 41)
    async with running_past() as past:
        await past.write()
        await acquired_once(past)
        node(DATABASE_URL=database, MEMBERS=f"n1=127.0.0.1:{past.api.port}/127.0.0.1:2")
        assert await asyncio.to_thread(main, ["doctor"]) == code

    line, *remedy = told(capsys)
    assert line.startswith(f"{grade} ")
    assert line.endswith("; 1 behind")
    assert bool(remedy) is bool(code)


async def test_gaps_are_told(capsys, node, database):
    await asyncio.to_thread(begin, database, 41)
    async with running_past() as past:
        await past.write()
        await acquired_once(past)
        await past.write()
        past.history.gaps.append(Gap(first_number=1, last_number=1, from_ms=0, to_ms=1))
        node(DATABASE_URL=database, MEMBERS=f"n1=127.0.0.1:{past.api.port}/127.0.0.1:2")
        assert await asyncio.to_thread(main, ["doctor"]) == 0

    line, gaps = told(capsys)
    assert line.endswith("; 0 behind")
    assert gaps.endswith("events are missing: 1")


async def acquired_once(past: Past) -> None:
    """One event that the history does not have yet."""
    taken = await past.api.ask("POST", "/api/v1/locks/db", json={"owner": "anna", "timeout": 60})
    assert taken.status == 200
