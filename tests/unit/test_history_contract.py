"""The history in memory does what every history must, so that tests may stand on it."""

import pytest

from tests.support.history import MemoryHistory
from tests.support.history_gap_cases import CASES


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_in_memory(case):
    await case(MemoryHistory())
