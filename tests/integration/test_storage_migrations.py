"""The schema's way up and down, and that tables.py says what the migrations made."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from gorilla.service.snapshots import ArchiveError, SchemaOutdatedError
from gorilla.storage import migrating
from gorilla.storage.tables import metadata
from tests.support.postgres import execute

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]


SNAPSHOTS = {"snapshots", "snapshot_pieces", "restores"}
HISTORY = {"history_cursors", "history_gaps", "history_holds", "history_waits"}


def tables(url: str) -> set[str]:
    rows = execute(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {str(row[0]) for row in rows}


def test_up_and_down_and_up_again_from_empty(empty_database):
    url = empty_database

    assert migrating.current(url) is None
    migrating.upgrade(url)
    assert migrating.is_current(url)
    assert tables(url) == {"alembic_version"} | SNAPSHOTS | HISTORY

    migrating.downgrade(url, "base")
    assert migrating.current(url) is None
    assert not migrating.is_current(url)
    assert tables(url) == {"alembic_version"}

    migrating.upgrade(url)
    assert migrating.current(url) == migrating.head()


def test_the_history_is_added_to_a_database_that_has_snapshots_and_goes_without_them(
    empty_database,
):
    migrating.upgrade(empty_database, "0001")
    execute(
        empty_database,
        "INSERT INTO restores (snapshot_id, cluster_id, node, hold_ms, fencing_floor)"
        " VALUES (1, 'c1', 'n1', 0, 5)",
    )

    migrating.upgrade(empty_database)
    after = tables(empty_database)
    migrating.downgrade(empty_database, "0001")

    assert after == {"alembic_version"} | SNAPSHOTS | HISTORY
    assert tables(empty_database) == {"alembic_version"} | SNAPSHOTS
    assert execute(empty_database, "SELECT fencing_floor FROM restores") == [(5,)]


def test_migrating_twice_changes_nothing(database):
    migrating.upgrade(database)

    assert migrating.is_current(database)


def test_nodes_that_migrate_at_once_take_turns(empty_database):
    with ThreadPoolExecutor(4) as pool:
        results = [pool.submit(migrating.upgrade, empty_database) for _ in range(4)]
        errors = [result.exception(timeout=60) for result in results]

    assert errors == [None] * 4
    assert migrating.is_current(empty_database)


def test_the_migrated_schema_is_what_the_tables_say(database):
    engine = create_engine(database, poolclass=NullPool)
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)

        differences = compare_metadata(context, metadata)

    assert differences == []


def test_a_database_of_a_later_release_is_left_alone(database):
    execute(database, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(SchemaOutdatedError, match="of a later release"):
        migrating.upgrade(database)

    assert migrating.current(database) == "9999"
    assert not migrating.is_current(database)


def test_an_unknown_revision_is_refused_in_one_line(database):
    with pytest.raises(ArchiveError, match="migration failed") as refused:
        migrating.downgrade(database, "nowhere")

    assert "\n" not in str(refused.value)
    assert migrating.is_current(database)


def test_an_installed_package_finds_its_own_migrations(tmp_path, empty_database):
    # As the wheel lays it out: the migrations inside gorilla/storage, no checkout around it.
    shutil.copytree(ROOT / "gorilla", tmp_path / "gorilla")
    shutil.copytree(ROOT / "migrations", tmp_path / "gorilla" / "storage" / "migrations")
    code = (
        "import sys; from gorilla.storage import migrating;"
        "print(migrating.migrations_directory()); migrating.upgrade(sys.argv[1])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, empty_database],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stdout.strip() == str(tmp_path / "gorilla" / "storage" / "migrations")
    assert migrating.is_current(empty_database)
