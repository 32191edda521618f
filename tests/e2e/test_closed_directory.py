"""``make run`` in a clone that only its owner may enter, such as one of root in ``/root``."""

import os
import shutil

import pytest

from gorilla.storage.server_place import PREFIX
from tests.support.local_cluster import running_cluster
from tests.support.postgres import reachable_directory


@pytest.fixture
def closed():
    with reachable_directory() as directory:
        directory.chmod(0o700)
        yield directory
        link = directory / "data" / "postgresql"
        if link.is_symlink() and link.resolve().name.startswith(PREFIX):
            shutil.rmtree(link.resolve())


@pytest.mark.e2e
def test_the_database_of_a_closed_directory_is_made_told_of_and_found_by_every_command(closed):
    link = closed / "data" / "postgresql"

    with running_cluster(closed) as cluster:
        taken = cluster.gorillad("snapshots", "take")
        listed = cluster.gorillad("snapshots", "list")
    listed_offline = cluster.gorillad("snapshots", "list")

    assert (taken.returncode, taken.stderr) == (0, "")
    assert listed.stdout.startswith("ID")
    assert listed_offline.stdout == listed.stdout
    place = link.resolve()
    assert (place / "data" / "PG_VERSION").exists()
    told = [line for line in cluster.lines if f"its data is in {place}," in line]
    if os.geteuid() == 0:
        assert place.name.startswith(PREFIX)
        assert len(told) == 1
    else:
        assert place == link
        assert told == []
