"""Below a directory that only root may enter, the embedded PostgreSQL finds a place by itself."""

import os
import pwd
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from gorilla.storage.embedded import EmbeddedPostgres
from gorilla.storage.server_account import EmbeddedPostgresError
from gorilla.storage.server_place import PREFIX, settle
from gorilla.storage.server_programs import WHEEL
from tests.support.postgres import FAST, execute, reachable_directory

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
STRANGER = pwd.struct_passwd(("x", "x", 12_345, 12_345, "", "/", "/bin/sh"))
"""Somebody who may not enter what is ours alone."""


@pytest.fixture
def parent():
    """Stands for ``/var/lib``."""
    with reachable_directory() as made:
        yield made


@pytest.fixture
def closed():
    """A directory that only we may enter, such as ``/root``."""
    with reachable_directory() as made:
        made.chmod(0o700)
        yield made


def place_for(directory, *parents):
    return settle(directory / ".gorilla" / "postgresql", STRANGER, parents)


def test_the_server_runs_for_root_below_a_directory_closed_to_its_account(
    closed, parent, monkeypatch
):
    spec = find_spec(WHEEL)
    installed = Path(spec.submodule_search_locations[0])
    for name in (WHEEL, f"{WHEEL}.libs"):
        (closed / name).symlink_to(installed.with_name(name))
    monkeypatch.syspath_prepend(closed)
    wanted = closed / ".gorilla" / "postgresql"
    first, second = (EmbeddedPostgres(wanted, settings=FAST, parents=[parent]) for _ in range(2))

    execute(first.start(), "CREATE TABLE kept AS SELECT 7 AS n")
    used = Path(execute(first.url(), "SHOW data_directory")[0][0])
    first.stop()
    rows = execute(second.start(), "SELECT n FROM kept")
    second.stop()

    assert rows == [(7,)]
    if os.geteuid() == 0:
        assert wanted.is_symlink()
        assert used.parent.parent == parent
    else:
        assert not wanted.is_symlink()
        assert used.parent == wanted
    left = {path.name for path in used.parent.iterdir()}
    assert left - {"linked-from"} == {"data", "lock", "server.log"}


def test_a_directory_that_the_account_can_enter_is_used_as_it_is(parent):
    wanted = parent / ".gorilla" / "postgresql"

    found = settle(wanted, STRANGER, [parent])

    assert found == wanted
    assert not wanted.is_symlink()


def test_a_place_is_open_to_the_account_and_found_again(closed, parent):
    first = place_for(closed, parent)

    again = place_for(closed, parent)

    assert again == first == (closed / ".gorilla" / "postgresql").resolve()
    assert first.parent == parent
    assert first.stat().st_mode & 0o777 == 0o711


def test_when_the_link_is_removed_the_next_database_is_a_new_one(closed, parent):
    first = place_for(closed, parent)
    shutil.rmtree(closed / ".gorilla")

    second = place_for(closed, parent)

    assert second != first
    assert list(second.iterdir()) == [second / "linked-from"]


def test_a_place_that_was_removed_is_replaced_and_not_made_again(closed, parent):
    first = place_for(closed, parent)
    shutil.rmtree(first)

    second = place_for(closed, parent)

    assert second != first
    assert not first.exists()


def test_a_tree_that_was_moved_keeps_its_place_and_a_copied_one_gets_its_own(closed, parent):
    first = place_for(closed / "a", parent)
    (closed / "a").rename(closed / "b")

    moved = place_for(closed / "b", parent)
    shutil.copytree(closed / "b", closed / "c", symlinks=True)
    copied = place_for(closed / "c", parent)

    assert moved == first
    assert copied != first
    assert place_for(closed / "b", parent) == first


def test_the_next_parent_is_tried_when_one_will_not_do(closed, parent):
    unreachable = closed / "inner"
    unreachable.mkdir()

    found = place_for(closed, closed / "missing", unreachable, parent)

    assert found.parent == parent
    assert list(unreachable.iterdir()) == []


def test_without_any_place_the_refusal_says_in_one_line_what_to_do(closed):
    with pytest.raises(EmbeddedPostgresError, match="run as another user") as refused:
        place_for(closed, closed / "missing")

    assert "GORILLA_DATABASE_URL" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_data_that_is_there_already_and_a_link_of_somebody_are_left_alone(closed, parent):
    own = closed / "own"
    (own / ".gorilla" / "postgresql" / "data").mkdir(parents=True)
    linked = closed / "linked"
    (linked / ".gorilla").mkdir(parents=True)
    (linked / ".gorilla" / "postgresql").symlink_to(closed / "target")

    for tree in (own, linked):
        with pytest.raises(EmbeddedPostgresError, match=f"may not enter {closed},"):
            place_for(tree, parent)

    assert (own / ".gorilla" / "postgresql" / "data").is_dir()
    assert (linked / ".gorilla" / "postgresql").readlink() == closed / "target"
    assert list(parent.iterdir()) == []


def make_clean(tree):
    shutil.copy(ROOT / "Makefile", tree)
    subprocess.run(["make", "clean"], cwd=tree, check=True, capture_output=True, timeout=30)


def test_make_clean_removes_the_place_but_not_that_of_the_tree_it_was_copied_from(closed, parent):
    place = place_for(closed / "a", parent)
    shutil.copytree(closed / "a", closed / "copy", symlinks=True)

    make_clean(closed / "copy")
    kept = place.exists()
    make_clean(closed / "a")

    assert kept
    assert not place.exists()
    assert not (closed / "a" / ".gorilla").exists()


def test_make_clean_leaves_what_somebody_linked_to(closed, parent):
    theirs = parent / f"{PREFIX}theirs"
    theirs.mkdir()
    (closed / ".gorilla").mkdir()
    (closed / ".gorilla" / "postgresql").symlink_to(theirs)

    make_clean(closed)

    assert theirs.exists()
