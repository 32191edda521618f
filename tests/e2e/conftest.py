"""Fixtures of the tests on real processes."""

from tests.support.postgres import database, empty_database, make_database, postgres_server

__all__ = ["database", "empty_database", "make_database", "postgres_server"]
