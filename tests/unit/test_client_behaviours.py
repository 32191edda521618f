"""The table of the client's behaviours names its tests, and every one of them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "client-behaviours.md"
FILES = sorted((ROOT / "tests" / "e2e").glob("test_client_*.py"))

NAMED = re.compile(r"`(test_\w+)`")


def every_test() -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for path in FILES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
                "test_"
            ):
                yield node


def rows() -> list[list[str]]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = [line.strip("|").split("|") for line in lines if line.startswith("| ")]
    found = [[cell.strip() for cell in row] for row in cells]
    return [row for row in found if row[0] not in {"behaviour", "---"}]


def test_the_table_and_the_files_name_the_same_tests():
    in_table = [name for row in rows() for name in set(NAMED.findall("|".join(row[2:])))]

    assert sorted(in_table) == sorted(node.name for node in every_test())
    assert len(in_table) > 30


def test_every_row_says_what_is_promised_and_shows_it_on_a_face():
    for row in rows():
        assert len(row) == 4, row
        behaviour, promise, blocking, asynchronous = row
        assert behaviour
        assert promise
        for cell in (blocking, asynchronous):
            assert cell == "-" or NAMED.fullmatch(cell), row
        assert {blocking, asynchronous} != {"-"}


def test_a_test_of_both_columns_runs_on_both_faces():
    """It takes a face as a parameter, or drives both at once."""
    both_at_once = {
        "test_no_lock_is_held_twice_whatever_fails",
        "test_a_double_hold_and_an_old_number_would_be_found",
    }
    parameters = {node.name: {argument.arg for argument in node.args.args} for node in every_test()}
    for _, _, blocking, asynchronous in rows():
        name = (blocking if blocking != "-" else asynchronous).strip("`")
        takes_a_face = bool(parameters[name] & {"face", "program"})
        assert takes_a_face or name in both_at_once or "-" in {blocking, asynchronous}, name
        assert not (takes_a_face and "-" in {blocking, asynchronous}), name
