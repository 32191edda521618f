"""Fixtures of the integration tests."""

from tests.support.postgres import (
    archive,
    database,
    empty_database,
    make_database,
    postgres_server,
)

__all__ = ["archive", "database", "empty_database", "make_database", "postgres_server"]
