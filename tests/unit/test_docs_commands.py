"""Every command line of ``gorilla`` in a page names a command and options that there are."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from gorilla.cli.app import PROGRAM, root
from gorilla.cli.options import GLOBAL_OPTIONS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
INLINE = re.compile(r"`(gorilla [^`]+)`")
LINE = re.compile(r"(?m)^(?:\$ |.*\$\(| *)(gorilla [a-z][^\n]*?)(?:\)|$)")
BLOCK = re.compile(r"(?ms)^```(?:console|sh)\n(.*?)^```")


def lines_of(page: Path) -> Iterator[str]:
    text = page.read_text(encoding="utf-8")
    yield from (" ".join(found.split()) for found in INLINE.findall(text))
    for block in BLOCK.findall(text):
        yield from LINE.findall(block.replace("\\\n", " "))


def words_of(line: str) -> list[str]:
    """Return its words up to the command that it runs, or the next one of a pipe."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    words = list(lexer)
    ends = [number for number, word in enumerate(words) if word == "--" or word[:1] in {*"|&;<>"}]
    return words[1 : ends[0] if ends else None]


def mistake_in(line: str) -> str | None:
    """Say what of a command line there is not."""
    command: click.Command = root
    words = words_of(line)
    context = click.Context(root, info_name=PROGRAM)
    while words and isinstance(command, click.Group) and not words[0].startswith("-"):
        name = words.pop(0)
        if name[0] in "…|[" or name.isupper():
            return None
        found = command.get_command(context, name)
        if found is None:
            return f"there is no {name}"
        command = found
    known = {
        name
        for option in [*command.params, *GLOBAL_OPTIONS]
        for name in (*option.opts, *option.secondary_opts)
    } | {"--help", "--version"}
    strange = [word for word in words if word.startswith("-") and word.split("=")[0] not in known]
    return f"there is no {', '.join(strange)}" if strange else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_shows_command_lines_that_there_are(page: Path):
    mistakes = {line: mistake for line in lines_of(page) if (mistake := mistake_in(line))}

    assert mistakes == {}


def test_the_command_lines_of_pages_are_found_and_mistakes_in_them_too():
    found = [line for page in PAGES for line in lines_of(page)]

    assert len(found) > 100
    assert mistake_in("gorilla run x --no-wait -- ./a --strange") is None
    assert mistake_in("gorilla lock list --prefix a | grep --color b") is None
    assert mistake_in("gorilla history --resource x") == "there is no --resource"
    assert mistake_in("gorilla lock lust") == "there is no lust"
