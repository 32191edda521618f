"""Every row of the documented API, over a real socket, against one node in memory."""

import pytest

from tests.support.api import running_api
from tests.support.api_cases import CASES, Case


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_documented(case: Case) -> None:
    async with running_api() as api:
        await case(api.session, api.base_url)
