"""``.env`` files."""

import pytest

from gorilla.config import ConfigError, read_env_file


def test_an_env_file_is_read_as_shells_write_it(tmp_path):
    path = tmp_path / ".env"
    path.write_text(
        "# a comment\n"
        "\n"
        "GORILLA_LOG_LEVEL=debug\n"
        "export GORILLA_NODE = n1\n"
        "GORILLA_DATABASE_URL='postgresql://u:p#w@h/d'  \n"
        'GORILLA_CLUSTER_NAME="a b"\n'
        "GORILLA_LOG_FORMAT=text # for people\n"
        "EMPTY=\n"
    )

    assert read_env_file(path) == {
        "GORILLA_LOG_LEVEL": "debug",
        "GORILLA_NODE": "n1",
        "GORILLA_DATABASE_URL": "postgresql://u:p#w@h/d",
        "GORILLA_CLUSTER_NAME": "a b",
        "GORILLA_LOG_FORMAT": "text",
        "EMPTY": "",
    }


def test_a_line_that_is_no_assignment_is_refused_without_repeating_it(tmp_path):
    path = tmp_path / ".env"
    path.write_text("GORILLA_LOG_LEVEL=info\nhunter2\n")

    with pytest.raises(ConfigError, match="line 2: is no assignment") as caught:
        read_env_file(path)

    assert "hunter2" not in str(caught.value)


def test_an_env_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match="can't be read"):
        read_env_file(tmp_path / ".env")
