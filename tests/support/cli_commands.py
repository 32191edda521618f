"""All commands of the command line, and command lines for each."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from gorilla.cli.app import PROGRAM, root
from gorilla.cli.options import Seconds


def commands(
    command: click.Command = root, context: click.Context | None = None
) -> Iterator[tuple[click.Command, click.Context]]:
    """Yield every command with its context."""
    context = context or click.Context(command, info_name=PROGRAM)
    yield command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, click.Context(found, info_name=name, parent=context))


COMMANDS = list(commands())
VERBS = [
    pytest.param(command, context, id=context.command_path)
    for command, context in COMMANDS
    if not isinstance(command, click.Group)
]

USUAL = {"resource": "a", "token": "some-token", "session_id": "some-session", "command": "true"}
"""Arguments that need not be given and usually are, and those that are no mere name."""


ONE_OF_THESE = {
    "gorilla policy set": ["--no-rules"],
    "gorilla cluster policy set": ["--no-rules"],
    "gorilla cluster move": ["--peer", "127.0.0.1:1"],
}
"""Options of which at least one is wanted."""


def arguments_for(command: click.Command, context: click.Context, directory: Path) -> list[str]:
    """Return arguments and options without which the command would be wrong usage."""
    options = list(ONE_OF_THESE.get(context.command_path, ()))
    positional: list[str] = []
    for parameter in command.params:
        name = str(parameter.name)
        if isinstance(parameter, click.Argument):
            if parameter.required or name in USUAL:
                positional.append(_value(parameter, directory))
        elif name == "yes":
            options.append("--yes")
        elif name == "timeout" or parameter.required:
            options += [parameter.opts[0], _value(parameter, directory)]
    return [*options, *positional]


def _value(parameter: click.Parameter, directory: Path) -> str:
    if isinstance(parameter.type, Seconds):
        return "5"
    if isinstance(parameter.type, click.Choice):
        return str(parameter.type.choices[0])
    if isinstance(parameter.type, click.types.IntParamType):
        return "1"
    if isinstance(parameter.type, click.Path):
        file = directory / "file"
        file.touch()
        return str(file)
    return USUAL.get(str(parameter.name), "x")
