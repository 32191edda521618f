"""Reads docstrings and signatures out of the code, and writes them for a page.

Docstrings are in the house's way: a text, then ``Args:``, ``Raises:`` and the like. What stands
below a field, as a string of its own, describes it.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Final

LINE_CHARS_MAX: Final = 96
"""What a page shows of a signature without scrolling."""

HEADS: Final = frozenset({"Args:", "Raises:", "Returns:", "Attributes:"})


def signature_of(
    prefix: str, name: str, function: Callable[..., object], *, is_property: bool
) -> str:
    """Return how it is written, without ``self``."""
    source = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(source, ast.FunctionDef)
    arguments = source.args
    for own in (arguments.posonlyargs, arguments.args):
        if own and own[0].arg == "self":
            del own[0]
    returned = "" if source.returns is None else f" -> {ast.unparse(source.returns)}"
    if is_property:
        return _plain(f"{prefix}{name}{returned}")
    if name == "__init__":
        prefix, name, returned = "", function.__qualname__.partition(".")[0], ""
    elif name == "__call__":
        return f"@{prefix.rstrip('.')}  # before a function: every call of it holds the lock"
    words = [_plain(word) for word in _parameters(arguments)]
    line = f"{prefix}{name}({', '.join(words)}){_plain(returned)}"
    if len(line) <= LINE_CHARS_MAX:
        return line
    return (
        f"{prefix}{name}(\n" + "".join(f"    {word},\n" for word in words) + f"){_plain(returned)}"
    )


def _parameters(arguments: ast.arguments) -> Iterator[str]:
    defaults: list[ast.expr | None] = [None] * (len(arguments.args) - len(arguments.defaults))
    for one, default in zip(arguments.args, [*defaults, *arguments.defaults], strict=True):
        yield _parameter(one, default)
    if arguments.vararg is not None:
        yield "*" + _parameter(arguments.vararg, None)
    elif arguments.kwonlyargs:
        yield "*"
    for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(one, default)
    if arguments.kwarg is not None:
        yield "**" + _parameter(arguments.kwarg, None)


def _parameter(one: ast.arg, default: ast.expr | None) -> str:
    kind = "" if one.annotation is None else f": {ast.unparse(one.annotation)}"
    return f"{one.arg}{kind}" + ("" if default is None else f" = {ast.unparse(default)}")


def _plain(text: str) -> str:
    """Leave out what only tools for types want to know."""
    text = re.sub(r"Unpack\[(\w+)\]", r"\1", text).replace("'", "").replace('"', "")
    return re.sub(r"\b(Self|NoReturn)\b", "...", text)


def described(doc: str) -> str:
    """Write a docstring: its words, then a list of its arguments and errors."""
    text, items = taken_apart(doc)
    lines = [f"\n{words_of(text)}\n"] if text.strip() else []
    if items:
        lines.append("\n")
    for kind, name, meaning in items:
        raised = "raises " if kind == "Raises" else ""
        lines.append(f"- {raised}`{name}`: {words_of(meaning)}\n")
    return "".join(lines)


def taken_apart(doc: str) -> tuple[str, list[tuple[str, str, str]]]:
    """Return the text of a docstring, and its items: section, name, meaning."""
    text: list[str] = []
    items: list[tuple[str, str, str]] = []
    section = ""
    for line in doc.splitlines():
        if line in HEADS:
            section = line.rstrip(":")
        elif not section:
            text.append(line)
        elif found := re.match(r"    (\w+): (.*)", line):
            items.append((section, found[1], found[2]))
        elif line.strip():
            kind, name, meaning = items.pop()
            items.append((kind, name, f"{meaning} {line.strip()}"))
    return "\n".join(text).strip(), items


def words_of(text: str) -> str:
    """Write text as Markdown: names are code, wherever they link to."""
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text)
    return text.replace("``", "`")


def fields_of(kind: type) -> Iterator[tuple[str, str]]:
    """Yield the fields that a class adds, each with the string below it."""
    [body] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    name, meaning = "", ""
    for line in body.body:
        if isinstance(line, ast.AnnAssign | ast.Assign):
            if name:
                yield name, meaning
            target = line.target if isinstance(line, ast.AnnAssign) else line.targets[0]
            name, meaning = ast.unparse(target), ""
        elif name and isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant):
            meaning = str(line.value.value)
    yield name, meaning


def row(*cells: str) -> str:
    """Write a row of a table."""
    shown = (" ".join(words_of(cell).split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(shown)} |\n"
