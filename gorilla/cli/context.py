"""``gorilla context``: the clusters that somebody works with."""

import os
import re
from pathlib import Path
from typing import Final

import click
import msgspec

from gorilla.cli import contexts, contexts_writing as writing
from gorilla.cli.app import Cli
from gorilla.cli.completing import context_names
from gorilla.cli.failures import CommandError, Exit
from gorilla.cli.options import Noun
from gorilla.cli.tables import Cell, Column, Styled, Table
from gorilla.client.settings import endpoint_of

NAME_CHARS_MAX: Final = 100
_TOKEN_CHARS_SHOWN: Final = 4


@click.group(cls=Noun)
def context() -> None:
    """The clusters that you work with, as the config file names them.

    The file is ~/.config/gorilla/config.toml, or wherever GORILLA_CONFIG_FILE says.
    """


def _complete_name(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return context_names(ctx, incomplete)


def _name_checked(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    if not 0 < len(value) <= NAME_CHARS_MAX or re.search(r"[\x00-\x20\x7f]", value):
        raise click.BadParameter("a name has no spaces, and at most 100 characters")
    return value


_NAME: Final = click.argument("name", shell_complete=_complete_name, callback=_name_checked)


@context.command("list", examples=["gorilla context list"])
@click.pass_obj
def list_(cli: Cli, /) -> None:
    """List the contexts; a star marks the current one."""
    path, file = _read()
    data = [
        {"name": name, "current": name == file.current, "endpoints": one.endpoints}
        for name, one in sorted(file.contexts.items())
    ]
    count = cli.out.show_all(
        data,
        [Column(""), Column("NAME", flexible=True), Column("ENDPOINTS", flexible=True)],
        lambda one: [
            Styled("*", "good") if one["current"] else "",
            one["name"],
            ", ".join(one["endpoints"]) or Styled("none", "dim"),
        ],
    )
    if not count:
        cli.out.say(f"{path} has no contexts. Add one: gorilla context add NAME --endpoint URL")


@context.command("use", examples=["gorilla context use prod"])
@_NAME
@click.pass_obj
def use(cli: Cli, /, name: str) -> None:
    """Make a context the current one."""
    path, file = _read()
    _existing(path, file, name)
    writing.save(
        path,
        writing.with_current(_text(path), name),
        msgspec.structs.replace(file, current=name),
    )
    cli.out.say(f"{name} is the current context now.")


@context.command("show", examples=["gorilla context show", "gorilla context show prod -o json"])
@click.argument("name", required=False, shell_complete=_complete_name)
@click.pass_obj
def show(cli: Cli, /, name: str | None) -> None:
    """Show what holds for a command, and where each value comes from.

    NAME is the context to look at, by default the one that commands would use. Tokens are masked.
    """
    if name is not None:
        cli.given.context = name
    settings = cli.settings
    values: dict[str, contexts.Sourced] = {
        "context": contexts.Sourced(settings.context, settings.context_source),
        **settings.values,
    }
    values["token"] = contexts.Sourced(masked(settings.text("token")), values["token"].source)
    rows: list[list[Cell]] = [
        [name, _shown(one.value), Styled(one.source, "dim")] for name, one in values.items()
    ]
    cli.out.show(
        {
            "configFile": str(settings.path),
            "values": {
                name: {"value": one.value, "source": one.source} for name, one in values.items()
            },
        },
        f"Config file: {settings.path}",
        Table(
            [Column("SETTING"), Column("VALUE", flexible=True), Column("FROM", flexible=True)], rows
        ),
    )


@context.command(
    "add",
    examples=[
        "gorilla context add prod --endpoint https://locks.example:4000 --token-file prod.token",
        "gorilla context add test --endpoint http://127.0.0.1:4000 --use",
    ],
)
@_NAME
@click.option("--token-file", type=click.Path(), help="File with the token; its own user reads it.")
@click.option("--use", "make_current", is_flag=True, help="Make it the current one.")
@click.option("--replace", is_flag=True, help="Replace one of that name.")
@click.pass_obj
def add(
    cli: Cli, /, name: str, token_file: str | None, *, make_current: bool, replace: bool
) -> None:
    """Add a context, made of the options --endpoint, --token, --ca-file and so on.

    The first one becomes the current one.
    """
    path, file = _read()
    if name in file.contexts and not replace:
        raise CommandError(f"There is a context {name} already; --replace replaces it.")
    made = _made(cli.given, token_file)
    current = name if make_current or file.current is None else file.current
    wanted = msgspec.structs.replace(writing.changed(file, name, made), current=current)
    text = writing.with_context(writing.without_context(_text(path), name), name, made)
    text = text if current == file.current else writing.with_current(text, current)
    contexts.parsed_config(writing.whole(wanted).encode(), path)
    writing.save(path, text, wanted)
    cli.out.say(
        f"{path} has the context {name}" + (", the current one." if current == name else ".")
    )


@context.command("remove", examples=["gorilla context remove old"])
@_NAME
@click.pass_obj
def remove(cli: Cli, /, name: str) -> None:
    """Take a context out of the config file."""
    path, file = _read()
    _existing(path, file, name)
    wanted = writing.changed(file, name, None)
    text = writing.without_context(_text(path), name)
    if file.current == name:
        wanted = msgspec.structs.replace(wanted, current=None)
        text = writing.with_current(text, None)
    writing.save(path, text, wanted)
    rest = " No context is current now." if file.current == name else ""
    cli.out.say(f"{path} has no context {name} any more.{rest}")


def masked(token: str | None) -> str | None:
    """Return what tells tokens apart and gives none away."""
    if token is None:
        return None
    shown = token[:_TOKEN_CHARS_SHOWN] if len(token) >= 4 * _TOKEN_CHARS_SHOWN else ""
    return f"{shown}…({len(token)} characters)"


def _made(given: contexts.Given, token_file: str | None) -> contexts.Context:
    if not given.endpoints:
        raise CommandError("A context needs at least one --endpoint.")
    if given.token is not None and token_file is not None:
        raise CommandError("Give --token or --token-file, not both.")
    try:
        endpoints = tuple(map(endpoint_of, given.endpoints))
    except ValueError as error:
        raise CommandError(f"{error}.") from error
    return contexts.Context(
        endpoints=endpoints,
        token=given.token,
        token_file=_absolute(token_file),
        ca_file=_absolute(given.ca_file),
        cert_file=_absolute(given.cert_file),
        key_file=_absolute(given.key_file),
        deadline=given.deadline,
        output=given.output,
    )


def _absolute(file: str | None) -> str | None:
    return None if file is None else str(Path(file).expanduser().absolute())


def _read() -> tuple[Path, contexts.ConfigFile]:
    path = contexts.config_path(os.environ)
    return path, contexts.read_config(path)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _existing(path: Path, file: contexts.ConfigFile, name: str) -> None:
    if name not in file.contexts:
        raise CommandError(contexts.no_context(path, name, "given", file), Exit.NOT_FOUND)


def _shown(value: object) -> Cell:
    if value is None:
        return Styled("none", "dim")
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
