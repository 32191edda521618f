"""The command line of ``gorillad``: what it accepts, and how it refuses."""

import socket
from pathlib import Path

import pytest

from gorilla.daemon.__main__ import main

ROOT = Path(__file__).parents[2]
EXAMPLE = str(ROOT / "cluster.example.toml")
SECRET = "a-secret-of-the-cluster"


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch, tmp_path):
    for name in ("GORILLA_CONFIG", "GORILLA_NODE", "GORILLA_DATABASE_URL", "GORILLA_MEMBERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_check_config_says_what_the_configuration_amounts_to(capsys, monkeypatch):
    monkeypatch.setenv("GORILLA_CLUSTER_SECRET", SECRET)

    assert main(["check-config", "--config", EXAMPLE]) == 0

    told = capsys.readouterr().out
    assert "cluster gorilla, 3 members: n1, n2, n3" in told
    assert "cluster secret: set" in told
    assert SECRET not in told


def test_check_config_notes_an_even_number_of_members(capsys, monkeypatch):
    monkeypatch.setenv("GORILLA_MEMBERS", "n1=127.0.0.1:1/127.0.0.1:2,n2=127.0.0.1:3/127.0.0.1:4")

    assert main(["check-config"]) == 0

    assert "note: 2 members survive no more losses than 1 would" in capsys.readouterr().out


def test_a_wrong_configuration_is_told_line_by_line_with_exit_code_2(capsys, monkeypatch):
    monkeypatch.setenv("GORILLA_LOG_LEVEL", "loud")

    assert main(["check-config", "--config", EXAMPLE]) == 2

    told = capsys.readouterr().err
    assert "GORILLA_LOG_LEVEL = 'loud': write one of debug, info, warning, error" in told
    assert all(line.startswith("gorillad: ") for line in told.splitlines())


def test_an_env_file_gives_way_to_the_environment(capsys, monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("GORILLA_CLUSTER_NAME=of-the-file\nGORILLA_LOG_LEVEL=info\n")
    arguments = ["check-config", "--config", EXAMPLE, "--env-file", ".env"]

    main(arguments)
    monkeypatch.setenv("GORILLA_CLUSTER_NAME", "of-the-environment")
    main(arguments)

    first, second = (line for line in capsys.readouterr().out.splitlines() if "members" in line)
    assert "of-the-file" in first
    assert "of-the-environment" in second


def test_without_a_configuration_the_command_says_how_to_give_one(capsys):
    assert main(["check-config"]) == 2

    assert "no such file; copy cluster.example.toml" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "restore"])
def test_a_node_that_is_no_member_is_refused_with_the_names(capsys, command):
    assert main([command, "--config", EXAMPLE, "--node", "n9"]) == 2

    assert "there is no member n9: there are n1, n2, n3" in capsys.readouterr().err


def test_running_a_node_without_saying_which_is_refused(capsys):
    assert main(["run", "--config", EXAMPLE]) == 2

    assert "name the node with --node or GORILLA_NODE" in capsys.readouterr().err


def test_a_node_whose_port_is_taken_is_refused_before_it_starts(capsys, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("GORILLA_MEMBER_N1_HTTP", f"127.0.0.1:{port}")

        assert main(["run", "--config", EXAMPLE, "--node", "n1"]) == 2

    assert f"127.0.0.1:{port} (http of n1) is in use" in capsys.readouterr().err


def test_snapshots_without_a_database_say_which_setting_is_missing(capsys):
    assert main(["snapshots", "list", "--config", EXAMPLE]) == 1

    assert "set GORILLA_DATABASE_URL" in capsys.readouterr().err


@pytest.mark.parametrize("action", [["list"], ["verify", "latest"]])
def test_a_database_that_cannot_be_reached_is_one_line(capsys, monkeypatch, action):
    monkeypatch.setenv("GORILLA_DATABASE_URL", "postgresql://u:hunter2@127.0.0.1:1/gorilla")

    assert main(["snapshots", *action, "--config", EXAMPLE]) == 1

    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1
    assert "hunter2" not in told


def test_a_snapshot_is_taken_by_a_running_node_only(capsys, monkeypatch):
    monkeypatch.setenv("GORILLA_MEMBERS", "n1=127.0.0.1:1/127.0.0.1:2")

    assert main(["snapshots", "take"]) == 1

    assert "no node answers (n1)" in capsys.readouterr().err


def test_a_restore_is_refused_on_any_but_the_first_member(capsys):
    assert main(["restore", "--config", EXAMPLE, "--node", "n2", "--yes"]) == 2

    assert "restore on n1, the first member listed" in capsys.readouterr().err


def test_a_restore_is_refused_over_the_data_of_a_node(capsys, tmp_path):
    journal = tmp_path / ".gorilla" / "n1" / "journal"
    journal.parent.mkdir(parents=True)
    journal.write_text("all we have")

    assert main(["restore", "--config", EXAMPLE, "--node", "n1", "--yes"]) == 1

    assert "holds the data of a node" in capsys.readouterr().err
    assert journal.read_text() == "all we have"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["snapshots"],
        ["snapshots", "verify", "zero"],
        ["snapshots", "verify", "0"],
        ["snapshots", "list", "--limit", "0"],
        ["restore", "--hold", "-1"],
        ["restore", "--hold", "inf"],
    ],
)
def test_a_wrong_command_line_ends_with_exit_code_2_and_the_usage(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
    assert "usage: gorillad" in capsys.readouterr().err


def test_the_version_is_that_of_the_package(capsys):
    assert main(["version"]) == 0

    assert capsys.readouterr().out.startswith("gorillad ")
