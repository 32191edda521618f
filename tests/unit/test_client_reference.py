"""The pages on the client say what the code says."""

import inspect
import re
from pathlib import Path

import pytest

from gorilla.client import Client, LossReason
from gorilla.client.events_blocking import Events
from gorilla.client.locks_blocking import HeldGroup, HeldLock, Lock
from gorilla.client.making_blocking import HeldSession, Session
from gorilla.client.reference import SECTIONS, exported_errors, page
from gorilla.client.reference_reading import described, words_of
from gorilla.client.refusals import KINDS
from tests.support.installing import wanted

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "guides" / "python-client.md").read_text()


def rows(text: str, head: str) -> list[list[str]]:
    """Return the cells of the table that begins with a cell."""
    table = text[text.index(f"\n| {head} |") :].split("\n\n", 1)[0]
    return [
        [cell.strip().strip("`") for cell in line[2:-2].split(" | ")]
        for line in table.strip().splitlines()[2:]
    ]


def test_the_reference_page_is_up_to_date():
    assert (DOCS / "reference" / "client.md").read_text() == page(), "run: make docs"


@pytest.mark.parametrize("kind", [Client, Lock, Events])
def test_everything_that_a_program_may_call_is_on_the_page(kind: type):
    written = page()

    for name, member in inspect.getmembers(kind):
        if not name.startswith("_") and not inspect.isclass(member):
            assert re.search(rf"\w\.{name}\b", written), name


@pytest.mark.parametrize("kind", [HeldLock, HeldGroup, Session, HeldSession])
def test_every_part_of_a_hold_that_is_explained_to_programs_is_on_the_page(kind: type):
    named = {one.title: one.parts for one in SECTIONS}
    own = {name for name, one in vars(kind).items() if inspect.isfunction(one) and name[0] != "_"}

    shown = {name for part in named[kind.__name__] for name in part.names or vars(part.kind)}
    assert own <= shown


def test_every_code_is_on_the_page():
    written = page()

    assert [code.value for code in KINDS if f"`{code.value}`" not in written] == []


def test_the_guide_tells_of_every_error_and_what_it_is_a_kind_of():
    told = {row[0]: row[1] for row in rows(GUIDE, "error")}
    known = {row[0]: row[1] for row in rows(page(), "error")}

    assert set(known) == {kind.__name__ for kind in exported_errors()}
    assert told == {name: base for name, base in known.items() if name != "GorillaError"}


def test_the_guide_tells_only_of_attributes_that_errors_have():
    kinds = {kind.__name__: kind for kind in exported_errors()}

    for name, _, meaning, _ in rows(GUIDE, "error"):
        known = {*dir(kinds[name]), *inspect.signature(kinds[name].__init__).parameters, "wait"}
        assert set(re.findall(r"`([a-z_]+)`", meaning)) <= known, name


def test_the_guide_tells_of_every_reason_for_a_loss():
    assert [row[0] for row in rows(GUIDE, "reason")] == [reason.value for reason in LossReason]


def test_the_guide_counts_the_packages_that_an_installation_brings():
    counted = {
        tuple(re.findall(r"\[(\w+)\]", line[0])): int(line[2].split()[0])
        for line in rows(GUIDE, "installation")
    }

    assert counted == {extras: len(wanted(*extras)) for extras in [(), ("async",), ("cli",)]}


def test_a_docstring_becomes_a_text_and_a_list():
    written = described(
        "Do :meth:`~a.b.this`.\n\nArgs:\n    one: First,\n        and ``more``.\n\n"
        "Raises:\n    LockLost: It is."
    )

    assert written == "\nDo `this`.\n\n- `one`: First, and `more`.\n- raises `LockLost`: It is.\n"
    assert words_of("a :class:`LockLost`") == "a `LockLost`"
