"""The history in a real PostgreSQL."""

import pytest

from gorilla.storage.history import PostgresHistory
from tests.support.history_gap_cases import CASES

pytestmark = pytest.mark.integration


@pytest.fixture
async def history(database):
    opened = PostgresHistory(database)
    yield opened
    await opened.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_in_postgresql(history, case):
    await case(history)
