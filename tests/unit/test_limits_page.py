"""The page of limits names every bound of the state, with the value that nodes run with."""

import re
from pathlib import Path

import msgspec

from gorilla.domain.limits import BOUNDS

PAGE = Path(__file__).parents[2] / "docs/reference/limits.md"


def test_the_page_has_every_bound_and_no_other():
    rows = re.findall(r"^\| `(\w+)` \| ([0-9,]+) \|", PAGE.read_text(), re.MULTILINE)

    assert {name: int(value.replace(",", "")) for name, value in rows} == msgspec.structs.asdict(
        BOUNDS
    )
