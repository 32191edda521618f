"""Changes the config file: only the lines that are meant; what people wrote around them stays."""

import json
import os
import re
import tempfile
import tomllib
from pathlib import Path
from typing import Final

import msgspec

from gorilla.cli.contexts import ConfigFile, Context, parsed_config
from gorilla.cli.failures import CommandError, Exit

MODE: Final = 0o600

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_HEADER: Final = re.compile(r"\s*\[")
_CURRENT: Final = re.compile(r"\s*current\s*=")


def with_current(text: str, name: str | None) -> str:
    """Return the file with another current context; None: with none."""
    line = [] if name is None else [f"current = {_quoted(name)}\n"]
    lines = text.splitlines(keepends=True)
    for place, old in enumerate(lines):
        if _HEADER.match(old):
            break
        if _CURRENT.match(old):
            return "".join([*lines[:place], *line, *lines[place + 1 :]]).lstrip("\n")
    gap = ["\n"] if line and lines and lines[0].strip() else []
    return "".join([*line, *gap, *lines])


def with_context(text: str, name: str, context: Context) -> str:
    """Return the file with one context more, at its end."""
    body = "".join(
        f"{field} = {_written(value)}\n"
        for field in context.__struct_fields__
        if (value := getattr(context, field)) not in {None, ()}
    )
    text = text if not text or text.endswith("\n") else text + "\n"
    return f"{text}{chr(10) if text else ''}[contexts.{_key(name)}]\n{body}"


def without_context(text: str, name: str) -> str:
    """Return the file without the table of a context; what stands before the next table stays."""
    kept: list[str] = []
    dropped: list[str] = []
    inside = False
    for line in text.splitlines(keepends=True):
        table = _table_begun(line)
        if table is not None:
            kept += _loose_end(dropped) if inside else []
            inside, dropped = table == {"contexts": {name: {}}}, []
        (dropped if inside else kept).append(line)
    return "".join(kept)


def _table_begun(line: str) -> dict[str, object] | None:
    """Return what the header of a table says by itself; None for any other line."""
    if not _HEADER.match(line):
        return None
    try:
        return tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return None


def _loose_end(lines: list[str]) -> list[str]:
    """Return the blank lines and comments at the end: they are about what comes next."""
    end = len(lines)
    while end and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return lines[end:]


def whole(file: ConfigFile) -> str:
    """Write a config file anew."""
    text = "" if file.current is None else f"current = {_quoted(file.current)}\n"
    for name, context in file.contexts.items():
        text = with_context(text, name, context)
    return text


def save(path: Path, edited: str, wanted: ConfigFile) -> None:
    """Write the file, at once or not at all, for its owner's eyes only.

    Args:
        path: Where it is.
        edited: Its new text.
        wanted: What must be in it; where the edit missed that (the file is written in a way that
            it does not know), it is written anew.

    Raises:
        CommandError: It can't be written; the old one is as it was.

    """
    text = edited if _says(edited, path, wanted) else whole(wanted)
    # A link stays a link, to wherever people keep such files.
    target = path.resolve()
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(target, text.encode())
    except OSError as error:
        why = error.strerror or str(error)
        raise CommandError(f"{path} can't be written: {why}. It is as it was.", Exit.IO) from error


def _replace(target: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, MODE)
            file.write(data)
            file.flush()
            os.fsync(handle)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _says(edited: str, path: Path, wanted: ConfigFile) -> bool:
    try:
        return parsed_config(edited.encode(), path) == wanted
    except CommandError:
        return False


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _quoted(name)


def _written(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_quoted(str(one)) for one in value)}]"
    return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    # A string of JSON is one of TOML, but for one character.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def changed(file: ConfigFile, name: str, context: Context | None) -> ConfigFile:
    """Return the file with a context put in or, None, taken out."""
    contexts = {key: value for key, value in file.contexts.items() if key != name}
    if context is not None:
        contexts[name] = context
    return msgspec.structs.replace(file, contexts=contexts)
