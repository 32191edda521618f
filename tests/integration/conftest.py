"""Fixtures of the integration tests."""

from tests.support.cli_shell import served, shell
from tests.support.postgres import (
    archive,
    database,
    empty_database,
    make_database,
    postgres_server,
)

__all__ = [
    "archive",
    "database",
    "empty_database",
    "make_database",
    "postgres_server",
    "served",
    "shell",
]
