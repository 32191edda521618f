"""Writes the reference page of the client from its docstrings and signatures.

``make docs`` runs it; a test compares its output with the page, so that it does not fall behind::

    python -m gorilla.client.reference
"""

import inspect
import sys
import types
import typing
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

import gorilla.client
from gorilla.client import errors, refusals, settings
from gorilla.client.areas_blocking import Cluster, Policies, Sessions, Snapshots
from gorilla.client.calls.asked import AcquireOptions
from gorilla.client.calls.cluster import ChangeOptions
from gorilla.client.calls.history import HistoryQuery
from gorilla.client.calls.policies import Rules
from gorilla.client.client_blocking import Client
from gorilla.client.events_blocking import Events
from gorilla.client.fencing import FencingGuard
from gorilla.client.held import GroupView, HeldView, LockView
from gorilla.client.locks_blocking import HeldGroup, HeldLock, Lock
from gorilla.client.making import ClientBase
from gorilla.client.making_blocking import HeldSession, Holds, MakesLocks, Session
from gorilla.client.options import AsyncLockOptions, LockOptions
from gorilla.client.plain_blocking import PlainCalls
from gorilla.client.reference_reading import (
    described,
    fields_of,
    row,
    signature_of,
    taken_apart,
    words_of,
)
from gorilla.client.session_life import SessionBase
from gorilla.client.settings import ClientSettings

HEAD: Final = """\
# The Python client

Written from `gorilla/client/` by `make docs`; change it there. How to work with it:
[the Python client](../guides/python-client.md).

Everything here is of `Client`, which blocks. `AsyncClient` has the same names: `await` its methods,
enter its blocks with `async with`, go through what it lists with `async for`. [What it has
more](#asyncclient).

Every method that asks the cluster may raise `RequestRefused`, `Unavailable` or `OutcomeUnknown`, or
a [kind of them](#errors). Lengths of time are seconds.
"""

ASYNC_TEXT: Final = """\
From `gorilla.client`, with the extra `async`; one client for one event loop. It and what it gives
are called as above with `Async` before the name: `AsyncHeldLock`. Where a thread is spoken of, it
is a task. Locks and elections take one more option:
"""

ANSWERS_TEXT: Final = """\
Answers are the bodies of the API, with names in Python's way (`fencing_token` for `fencingToken`).
A field with `?` is `msgspec.UNSET`, which is false, when it does not apply. What each field means:
`/openapi.json`.
"""

MADE: Final = frozenset({Client, FencingGuard})
"""Classes that programs make; all others come from these."""


class Part(NamedTuple):
    """Some of a class's members, under one heading; ``names`` None: all that are public."""

    kind: type
    names: tuple[str, ...] | None = None


class Section(NamedTuple):
    """A part of the page."""

    title: str
    prefix: str
    parts: tuple[Part, ...]
    options: tuple[type, ...] = ()
    note: str = ""


SECTIONS: Final = (
    Section("Client", "client.", (Part(Client), Part(ClientBase))),
    Section("Locks", "client.", (Part(MakesLocks), Part(Holds)), (LockOptions,)),
    Section("Lock", "lock.", (Part(Lock, ("acquire", "__call__")),)),
    Section(
        "HeldLock",
        "held.",
        (Part(HeldView), Part(LockView), Part(HeldLock)),
        note="`held.owner` is under whom. Every look at it but this one, `lost` and `resource`\n"
        "raises `LockLost` once it is lost, and `ForkedError` in another process.",
    ),
    Section(
        "HeldGroup",
        "held.",
        (Part(HeldGroup), Part(GroupView)),
        note="It has all that a `HeldLock` has; its `fencing_token` is the largest.",
    ),
    Section("Session", "session.", (Part(Session, ("open",)),)),
    Section(
        "HeldSession",
        "session.",
        (
            Part(HeldSession),
            Part(SessionBase, ("id", "number")),
            Part(HeldView, ("lost", "check", "remaining")),
        ),
        note="`lock`, `semaphore` and `locks` are those of a client; what they make lives in it.",
    ),
    Section(
        "Calls of the API", "client.", (Part(PlainCalls),), (AcquireOptions, HistoryQuery)
    ),
    Section("client.sessions", "client.sessions.", (Part(Sessions),)),
    Section("client.policies", "client.policies.", (Part(Policies),), (Rules,)),
    Section("client.cluster", "client.cluster.", (Part(Cluster),), (ChangeOptions,)),
    Section("client.snapshots", "client.snapshots.", (Part(Snapshots),)),
    Section("Events", "events.", (Part(Events),)),
    Section("FencingGuard", "guard.", (Part(FencingGuard),)),
)  # fmt: skip


def page() -> str:
    """Return ``docs/reference/client.md``."""
    parts = [HEAD]
    for section in SECTIONS:
        parts += _section(section)
    parts += [_async(), _settings(), _errors(), _answers()]
    return "".join(parts).rstrip("\n") + "\n"


def _section(section: Section) -> Iterator[str]:
    kinds = {part.kind.__name__: part.kind for part in section.parts}
    is_code = section.title in kinds or section.prefix == f"{section.title}."
    yield f"\n## `{section.title}`\n" if is_code else f"\n## {section.title}\n"
    yield described(inspect.getdoc(kinds.get(section.title, section.parts[0].kind)) or "")
    if section.note:
        yield f"\n{section.note}\n"
    for part in section.parts:
        for name, member in _members(part):
            yield _member(section.prefix, name, member)
    for options in section.options:
        yield _options(options)


def is_public(name: str, kind: type) -> bool:
    """Whether a member of a class is for programs."""
    return not name.startswith("_") or (name == "__init__" and kind in MADE)


def _members(part: Part) -> Iterator[tuple[str, object]]:
    own = vars(part.kind)
    for name in part.names or own:
        if part.names is None and not is_public(name, part.kind):
            continue
        if isinstance(own[name], types.FunctionType | property):
            yield name, own[name]


def _member(prefix: str, name: str, member: object) -> str:
    function = member.fget if isinstance(member, property) else member
    assert isinstance(function, types.FunctionType)
    shown = signature_of(prefix, name, function, is_property=isinstance(member, property))
    return f"\n```python\n{shown}\n```\n{described(inspect.getdoc(function) or '')}"


def _options(kind: type) -> str:
    rows = "".join(row(f"`{name}`", meaning) for name, meaning in fields_of(kind))
    return (
        f"\n### `{kind.__name__}`\n{described(inspect.getdoc(kind) or '')}\n"
        f"| option | meaning |\n| --- | --- |\n{rows}"
    )


def _async() -> str:
    rows = "".join(row(f"`{name}`", meaning) for name, meaning in fields_of(AsyncLockOptions))
    return f"\n## `AsyncClient`\n\n{ASYNC_TEXT}\n| option | meaning |\n| --- | --- |\n{rows}"


def _settings() -> str:
    variables = {field: name for name, (field, _) in reversed(settings.VARIABLES.items())}
    defaults = ClientSettings()
    text, items = taken_apart(inspect.getdoc(ClientSettings) or "")
    rows = "".join(
        row(
            f"`{name}`",
            f"`{variables[name]}`",
            "`host:pid`" if name == "name" else _default(getattr(defaults, name)),
            meaning,
        )
        for _, name, meaning in items
    )
    head = "| field | variable | default | meaning |\n| --- | --- | --- | --- |\n"
    return f"\n## `ClientSettings`\n\n{words_of(text)}\n\n{head}{rows}"


def _default(value: object) -> str:
    if isinstance(value, tuple):
        return f"`{', '.join(value)}`"
    return "none" if value is None else f"`{value:g}`"


def _errors() -> str:
    rows = "".join(map(_error, exported_errors()))
    reasons = "".join(
        row(f"`{reason.value}`", meaning)
        for reason, (_, meaning) in zip(
            errors.LossReason, fields_of(errors.LossReason), strict=True
        )
    )
    return (
        "\n## Errors\n\nAll of `gorilla.client`. What to do about each: "
        "[the guide](../guides/python-client.md#errors).\n\n"
        "| error | kind of | codes | attributes | meaning |\n"
        f"| --- | --- | --- | --- | --- |\n{rows}"
        f"\nReasons of `LockLost`:\n\n| reason | meaning |\n| --- | --- |\n{reasons}"
    )


def exported_errors() -> list[type[errors.GorillaError]]:
    """Return every error that a program may see, in the order of where it is defined."""
    found = [
        getattr(gorilla.client, name) for name in gorilla.client.__all__ if name != "AsyncClient"
    ]
    kinds = [one for one in found if inspect.isclass(one) and issubclass(one, errors.GorillaError)]
    return sorted(kinds, key=lambda kind: (kind.__module__, inspect.getsourcelines(kind)[1]))


def _error(kind: type[errors.GorillaError]) -> str:
    codes = [f"`{code.value}`" for code, raised in refusals.KINDS.items() if raised is kind]
    # What several have in common may be in a class that nobody catches.
    own, base = [kind], kind.__mro__[1]
    while base.__name__.startswith("_"):
        own.append(base)
        base = base.__mro__[1]
    told = [f"`{name}`" for one in own for name in _attributes(one)]
    doc = (inspect.getdoc(kind) or "").replace("\n\n", " ")
    return row(f"`{kind.__name__}`", f"`{base.__name__}`", ", ".join(codes), ", ".join(told), doc)


def _attributes(kind: type) -> Iterator[str]:
    made = vars(kind).get("__init__")
    if made is not None and kind is not errors.RequestRefused:
        yield from list(inspect.signature(made).parameters)[1:]
    yield from (name for name, one in vars(kind).items() if isinstance(one, property))


def _answers() -> str:
    found: dict[str, type[msgspec.Struct]] = {}
    for section in SECTIONS:
        for part in section.parts:
            for _, member in _members(part):
                function = member.fget if isinstance(member, property) else member
                hints = typing.get_type_hints(function)
                _note_structs(hints.get("return"), found)
    rows = "".join(
        row(f"`{name}`", ", ".join(_field(one) for one in msgspec.structs.fields(kind)))
        for name, kind in sorted(found.items())
    )
    return f"\n## Answers\n\n{ANSWERS_TEXT}\n| body | fields |\n| --- | --- |\n{rows}"


def _field(one: msgspec.structs.FieldInfo) -> str:
    return f"`{one.name}`" + ("?" if one.default is msgspec.UNSET else "")


def _note_structs(hint: object, found: dict[str, type[msgspec.Struct]]) -> None:
    """Note every body that a type is made of, and those that they are made of."""
    if inspect.isclass(hint) and issubclass(hint, msgspec.Struct) and hint.__name__ not in found:
        found[hint.__name__] = hint
        for one in msgspec.structs.fields(hint):
            _note_structs(one.type, found)
    for part in typing.get_args(hint):
        _note_structs(part, found)


if __name__ == "__main__":
    sys.stdout.write(page())
