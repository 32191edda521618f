"""What ``gorilla snapshot`` leaves to ``gorillad``, and what it says where that is not."""

import sys

from gorilla.cli import snapshot
from tests.support.cli import gorilla


def program(directory, name="gorillad"):
    """A program that prints how it was called."""
    path = directory / name
    path.write_text('#!/bin/sh\necho "$@"\nexit 9\n')
    path.chmod(0o755)
    return path


def without_server(monkeypatch, path=""):
    """As on a machine with the command line alone."""
    monkeypatch.setattr(snapshot, "_SERVER_PART", "no_such_package_of_a_server")
    monkeypatch.setenv("PATH", path)


def test_the_program_beside_this_one_is_used_when_the_server_is_installed():
    found = snapshot.gorillad()

    assert found is not None
    assert found.parent == type(found)(sys.executable).parent


def test_another_one_is_looked_for_in_the_path(tmp_path, monkeypatch):
    without_server(monkeypatch, str(tmp_path))
    assert snapshot.gorillad() is None

    made = program(tmp_path)

    assert snapshot.gorillad() == made


def test_without_it_is_said_what_to_run_where(monkeypatch):
    without_server(monkeypatch)

    verify = gorilla("snapshot", "verify", "17", "--config", "cluster.toml", PATH="")
    restore = gorilla("snapshot", "restore", "--node", "n1", "--hold", "1h", "--yes", PATH="")

    assert verify.code == restore.code == 127
    assert verify.err.endswith(
        "On the machine of a node: gorillad snapshots verify --config cluster.toml -- 17\n"
    )
    assert restore.err.endswith("gorillad restore --snapshot latest --node n1 --hold 3600 --yes\n")


def test_sizes_are_told_for_people():
    told = [snapshot._size(count) for count in (0, 1023, 1024, 1536, 5 * 1024**2, 3 * 1024**4)]

    assert told == ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "5.0 MiB", "3072.0 GiB"]
