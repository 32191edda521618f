"""Writes the reference page of the command line from the commands themselves.

``make docs`` runs it; a test compares its output with the page, so that it does not fall behind::

    python -m gorilla.cli.reference
"""

import inspect
import sys
from collections.abc import Iterator, Sequence
from typing import Final

import click

from gorilla.cli.app import PROGRAM, root
from gorilla.cli.failures import Exit
from gorilla.cli.options import GLOBAL_OPTIONS, Verb

HEAD: Final = """\
# The command line

Written from `gorilla/cli/` by `make docs`; change it there.

`pip install 'gorilla-lock[cli]'` brings `gorilla`. Data goes to stdout, talk to stderr: what
`-o json` and `-o yaml` print is what the [API](api-problems.md) answers, in full. Tables are for
people: on a terminal they fit its width, in a pipe every row is one line.

## Where settings come from

What comes first wins, value by value: an option, the environment, the context, the default.
`gorilla context show` says what holds, and where each value comes from. Contexts are in
`~/.config/gorilla/config.toml` (below `XDG_CONFIG_HOME` when that is set; `GORILLA_CONFIG_FILE`
names another file):

```toml
current = "prod"

[contexts.prod]
endpoints = ["https://locks-1.example:4000", "https://locks-2.example:4000"]
token_file = "~/.config/gorilla/prod.token"   # or token = "…"
ca_file = "~/.config/gorilla/ca.pem"
# cert_file, key_file, deadline, output
```

The token and the private key of the `current` context are not used with endpoints that it does not
name; to use them there, name the context with `--context`.

## Global options

They stand before or after the command.

"""

CODES_HEAD: Final = """\
## Exit codes

| code | name | meaning |
| --- | --- | --- |
"""

CODES_TAIL: Final = """\

A command that `gorilla run` started ends it with its own code, or 128 + N when signal N ended it.
A failure is told in a sentence or two on stderr; `GORILLA_DEBUG=1` shows where it came from.

"""


def page() -> str:
    """Return ``docs/reference/cli.md``."""
    parts = [HEAD, _options(GLOBAL_OPTIONS), "\n", CODES_HEAD, *map(_code, Exit), CODES_TAIL]
    context = click.Context(root, info_name=PROGRAM)
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        assert command is not None
        parts += _sections(command, click.Context(command, info_name=name, parent=context), 2)
    return "".join(parts).rstrip("\n") + "\n"


def _code(code: Exit) -> str:
    return f"| {int(code)} | `{code.name}` | {_cell(code.meaning)} |\n"


def _sections(command: click.Command, context: click.Context, depth: int) -> Iterator[str]:
    yield f"{'#' * depth} {context.command_path}\n\n{_text(command)}\n\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            verb = command.get_command(context, name)
            assert verb is not None
            yield from _sections(
                verb, click.Context(verb, info_name=name, parent=context), depth + 1
            )
        return
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"```text\n{context.command_path} {usage}\n```\n\n"
    if table := _options(command.params):
        yield f"{table}\n"
    if command.epilog:
        yield f"{_joined(command.epilog)}\n\n"
    if isinstance(command, Verb) and command.examples:
        yield "```console\n" + "".join(f"$ {line}\n" for line in command.examples) + "```\n\n"


def _text(command: click.Command) -> str:
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    return "\n\n".join(
        part.replace("\b\n", "") if part.startswith("\b") else _joined(part) for part in paragraphs
    )


def _joined(text: str) -> str:
    return " ".join(text.split())


def _options(parameters: Sequence[click.Parameter]) -> str:
    rows = [_row(one) for one in parameters if isinstance(one, click.Option) and not one.hidden]
    return "".join(["| option | meaning |\n| --- | --- |\n", *rows]) if rows else ""


def _row(option: click.Option) -> str:
    context = click.Context(click.Command(PROGRAM))
    record = option.get_help_record(context)
    assert record is not None
    names, meaning = record
    return f"| `{_cell(names)}` | {_cell(meaning)} |\n"


def _cell(text: str) -> str:
    return _joined(text).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(page())
