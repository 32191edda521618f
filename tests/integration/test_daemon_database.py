"""Which server a command gets without a configured database, and who stops it."""

import subprocess
import sys

import pytest

from gorilla.config import load_config
from gorilla.daemon.database import database_url, embedded_directory, embedded_note
from gorilla.daemon.failures import CommandError
from gorilla.storage.embedded import EmbeddedPostgres, running_url
from tests.support.postgres import FAST, execute, reachable_directory

pytestmark = pytest.mark.integration

START_AND_DIE = (
    "import os, sys; from pathlib import Path; from gorilla.storage.embedded import *;"
    "EmbeddedPostgres(Path(sys.argv[1])).start(); os._exit(9)"
)


@pytest.fixture
def config():
    with reachable_directory() as directory:
        yield load_config(
            None,
            {
                "GORILLA_NODE_DATA_DIR": str(directory / "data"),
                "GORILLA_MEMBERS": "n1=127.0.0.1:4000/127.0.0.1:4100",
            },
        )


def test_a_command_uses_the_server_of_another_process_and_leaves_it_running(config):
    directory = embedded_directory(config)
    with EmbeddedPostgres(directory, settings=FAST) as server:
        with database_url(config) as url:
            rows = execute(url, "SELECT 1")

        assert rows == [(1,)]
        assert running_url(directory) == url == server.url()


def test_a_server_whose_supervisor_was_killed_is_stopped_at_the_end_of_the_next_command(config):
    directory = embedded_directory(config)
    killed = subprocess.run(
        [sys.executable, "-c", START_AND_DIE, directory], check=False, timeout=60
    )
    left = running_url(directory)

    with database_url(config) as url:
        rows = execute(url, "SELECT 1")

    assert killed.returncode == 9
    assert left == url
    assert rows == [(1,)]
    assert running_url(directory) is None


def test_a_command_that_reads_does_not_make_a_database(config):
    with pytest.raises(CommandError, match="no database is configured"), database_url(config):
        pass

    assert not embedded_directory(config).exists()


def test_where_the_data_is_gets_told_only_when_it_is_elsewhere(config, tmp_path):
    link = embedded_directory(config)
    link.mkdir(parents=True)
    here = embedded_note(config)
    link.rmdir()
    link.symlink_to(tmp_path)

    elsewhere = embedded_note(config)

    assert here is None
    assert str(tmp_path) in elsewhere
    assert str(link) in elsewhere
