"""House rules that no linter knows. What a review says twice becomes a line here.

Limits are ratchets: lower them freely, raise one only with a decision record in docs/adr/.
"""

import ast
import functools
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from gorilla.service.errors import ChangeRefusal
from gorilla.wire.problems import PROBLEMS, ProblemCode

ROOT = Path(__file__).parents[1]
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

SKIPPED_DIRECTORIES = {".git", ".venv", ".gorilla", ".hypothesis", "dist", "build"}
TEXT_SUFFIXES = {
    ".cfg", ".css", ".example", ".html", ".in", ".js", ".md", ".mako", ".py", ".pyi", ".service",
    ".sh", ".sql", ".toml", ".txt", ".yaml", ".yml", "",
}  # fmt: skip

# Whole words: the same thing has one name (docs/glossary.md), and what is not said plainly goes.
BANNED_WORDS = {
    r"master|slave": "leader, follower",
    r"mutex": "lock",
    r"blacklist|whitelist": "say what is refused, what is allowed",
    r"simply|obviously|just works": "leave it out",
    r"Manager|Helper|Utils?": "name a type after what it is",
    r"pytest\.mark\.skip|pytest\.skip|skipif": "a test runs, or is deleted",
    r"NotImplementedError": "nothing unfinished is committed",
}
UNNUMBERED_MARK = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b(?!\(#\d+\))")
# Home directories and scratch places of somebody's machine; /tmp itself is a place of POSIX.
MACHINE_PATH = re.compile(r"(?<![\w.~>-])/(?:home|root|Users|work|opt|mnt)/[\w.]")
SILENT_EXCEPT = re.compile(r"except[^:\n]*:\s*(?:#[^\n]*)?\n?\s*(?:pass|\.\.\.)\s*$", re.MULTILINE)

ROOMS = {
    "api", "cli", "client", "config", "consensus", "daemon", "dashboard", "domain",
    "observability", "service", "storage", "wire",
}  # fmt: skip


@functools.cache
def files() -> tuple[Path, ...]:
    found = []
    for directory, below, names in os.walk(ROOT):
        below[:] = sorted(name for name in below if not is_skipped(name))
        paths = (Path(directory, name) for name in sorted(names) if name != ".env")
        found += [path for path in paths if path.suffix in TEXT_SUFFIXES]
    return tuple(found)


def is_skipped(directory: str) -> bool:
    return directory in SKIPPED_DIRECTORIES or directory.endswith(("cache", "cache__", ".egg-info"))


@functools.cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def python_files(*tops: str) -> Iterator[Path]:
    for path in files():
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in tops:
            yield path


def named(path: Path, line: int | None = None) -> str:
    return f"{path.relative_to(ROOT)}" + (f":{line}" if line else "")


def lines_with(pattern: re.Pattern[str], paths: Iterable[Path]) -> list[str]:
    own = Path(__file__)
    return [
        f"{named(path, number)} {line.strip()[:80]}"
        for path in paths
        if path != own
        for number, line in enumerate(text_of(path).splitlines(), start=1)
        if pattern.search(line)
    ]


def test_no_file_of_code_has_more_lines_than_fit_in_a_head():
    tops = ("gorilla", "tests", "migrations", "benchmarks")

    long = [
        f"{named(path)} {count}"
        for path in python_files(*tops)
        if (count := len(text_of(path).splitlines())) > FILE_LINES_MAX
    ]

    assert long == []


def test_no_function_is_longer_than_a_page():
    long = []
    for path in python_files("gorilla", "tests", "benchmarks"):
        for node in ast.walk(ast.parse(text_of(path))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                count = node.end_lineno - node.lineno + 1
                if count > FUNCTION_LINES_MAX:
                    long.append(f"{named(path, node.lineno)} {node.name} {count}")

    assert long == []


@pytest.mark.parametrize("word", BANNED_WORDS)
def test_a_word_that_we_do_not_use_stands_nowhere_in_the_code(word):
    pattern = re.compile(rf"\b(?:{word})\b")

    found = lines_with(pattern, python_files("gorilla", "tests", "migrations", "benchmarks"))

    assert found == [], f"say instead: {BANNED_WORDS[word]}"


def test_unfinished_work_carries_the_number_of_an_issue():
    assert lines_with(UNNUMBERED_MARK, files()) == []


def test_no_path_of_somebodys_machine_is_in_the_tree():
    assert lines_with(MACHINE_PATH, files()) == []


def test_no_exception_is_swallowed_without_a_word():
    found = [named(path) for path in python_files("gorilla") if SILENT_EXCEPT.search(text_of(path))]

    assert found == []


def test_every_noqa_and_type_ignore_names_its_rule():
    blanket = re.compile(r"#\s*(?:noqa(?!: [A-Z])|type:\s*ignore(?!\[))")

    assert lines_with(blanket, python_files("gorilla", "tests", "migrations", "benchmarks")) == []


def test_lock_files_hold_versions_and_hashes_and_the_address_of_no_host():
    locks = sorted((ROOT / "deploy" / "lock").glob("*.txt"))

    assert [path.name for path in locks] == ["dev.txt", "runtime.txt"]
    for path in locks:
        text = text_of(path)
        assert not re.search(r"https?://|--(?:extra-)?index-url|--find-links|file:", text), path
        pinned = re.findall(r"(?m)^([a-z0-9][a-z0-9._-]*)==", text)
        hashed = re.findall(r"(?m)^[a-z0-9][a-z0-9._-]*==[^\n]*\\\n    --hash=sha256:", text)
        assert len(pinned) == len(hashed) > 20


def test_every_room_exists_and_every_room_is_known():
    found = {
        path.stem
        for path in (ROOT / "gorilla").iterdir()
        if (path / "__init__.py").is_file() or (path.suffix == ".py" and path.stem != "__init__")
    }

    assert found == ROOMS


def test_every_problem_code_has_a_row_in_the_reference_with_its_status():
    page = (ROOT / "docs" / "reference" / "api-problems.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"(?m)^\| `(\w+)` \| (\d{3}) \|", page))

    assert rows == {code.value: str(PROBLEMS[code].status) for code in ProblemCode}


def test_every_link_between_pages_leads_somewhere():
    broken = [
        f"{named(path)} -> {target}"
        for path in files()
        if path.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text_of(path))
        if "://" not in target and not (path.parent / target).exists()
    ]

    assert broken == []


def test_every_decision_record_says_its_four_parts():
    records = sorted((ROOT / "docs" / "adr").glob("0*.md"))

    assert len(records) >= 9
    for path in records:
        headings = re.findall(r"(?m)^## (.+)$", text_of(path))
        assert headings == ["Context", "Decision", "Consequences", "What would change our mind"]


def test_the_page_on_members_has_every_reason_to_refuse_a_change():
    page = (ROOT / "docs" / "operations" / "membership.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([a-z_]+)` \|", page, re.MULTILINE) == [
        one.value for one in ChangeRefusal
    ]
