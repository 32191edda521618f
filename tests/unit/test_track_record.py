"""The track record names tests that exist: a row whose test was renamed proves nothing."""

import re
from pathlib import Path

import pytest

from tests.support.sim.mutants import MUTANTS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "track-record.md").read_text(encoding="utf-8")
TEST = r"`((?:unit|integration|e2e)/\w+\.py)(?: -k (\"[^\"]+\"|\w+))?`"
NAMED = sorted(set(re.findall(TEST, TEXT)))
ROWS = re.findall(r"^\| (H\d+) \|(.*)\|$", TEXT, re.MULTILINE)


@pytest.mark.parametrize(("file", "words"), NAMED)
def test_every_test_that_the_track_record_names_exists(file, words):
    code = (ROOT / "tests" / file).read_text(encoding="utf-8")
    names = re.findall(r"^(?:async )?def (test_\w+)", code, re.MULTILINE)
    for word in words.strip('"').split(" or "):
        assert any(word in name for name in names), word


def test_every_mutant_that_it_names_exists():
    named = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", TEXT))
    assert named
    assert named <= MUTANTS.keys()


def test_every_hazard_has_one_row_with_a_test():
    assert sorted(int(number[1:]) for number, _ in ROWS) == list(range(1, 51))
    assert [number for number, row in ROWS if "test_" not in row] == []
