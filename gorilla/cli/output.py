"""Where everything goes that a command says: data to stdout, talk to stderr."""

import errno
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TextIO

import msgspec

from gorilla.cli.failures import CommandError, Exit, OutputClosed
from gorilla.cli.tables import Cell, Column, Table, View, cut, laid_out, painted, visible

WIDTH_DEFAULT: Final = 80
ROWS_AT_ONCE: Final = 500
"""Rows of a long list that are laid out together."""

CLEAR_LINE: Final = "\r\x1b[K"

_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")


class Output:
    """What a command shows, as people or programs want it."""

    def __init__(
        self,
        form: str = "table",
        *,
        color: bool | None = None,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
    ) -> None:
        """Take the streams.

        Args:
            form: How data is shown, a name of ``contexts.FORMATS``.
            color: Whether text is coloured; None: on a terminal, unless NO_COLOR is set.
            stdout: Where data goes; None: wherever ``sys.stdout`` leads just then.
            stderr: Where talk goes; likewise.

        """
        self.form = form
        self._color = color
        self._stdout = stdout
        self._stderr = stderr
        self._unheard = False
        self._is_passing = False

    @property
    def stdout(self) -> TextIO:
        """Where data goes.

        Raises:
            CommandError: The process was started without one (``>&-``).

        """
        stream = self._stdout or sys.stdout
        if stream is None:
            raise CommandError("There is no standard output to write to.", Exit.IO)
        return stream

    @property
    def on_terminal(self) -> bool:
        """Whether data is read by a person at a terminal."""
        return self.stdout.isatty()

    @property
    def color(self) -> bool:
        """Whether data is coloured."""
        return self._colored(self.stdout)

    @property
    def width(self) -> int:
        """Cells of a line of prose."""
        return terminal_width(self.stdout) if self.on_terminal else WIDTH_DEFAULT

    def show(self, data: object, *views: View) -> None:
        """Show data: the views of it to people, all of it to programs.

        Args:
            data: A body of the wire, or what is made of lists, dictionaries and such bodies.
            views: What ``-o table`` shows, one below the other; an empty line between.

        """
        if self.form == "json":
            self.write(msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n")
        elif self.form == "yaml":
            self.write(_yaml(msgspec.to_builtins(_plain(data))))
        else:
            blocks = ["\n".join(self.laid_out(view)) for view in views]
            self.write("\n\n".join(block for block in blocks if block) + "\n" if blocks else "")

    def show_all(
        self,
        items: Iterable[Any],
        columns: Sequence[Column],
        row_of: Callable[[Any], Sequence[Cell]],
    ) -> int:
        """Show a list that may be long as it comes in, and return how many there were.

        Args:
            items: Bodies of the wire.
            columns: Of ``-o table``.
            row_of: Makes the cells of one item.

        """
        if self.form == "json":
            return self._json_list(items)
        if self.form == "yaml":
            return self._yaml_list(items)
        count = 0
        rows: list[Sequence[Cell]] = []
        for count, item in enumerate(items, start=1):
            rows.append(row_of(item))
            if len(rows) == ROWS_AT_ONCE:
                self._rows(columns, rows, first=count == ROWS_AT_ONCE)
                rows = []
        if rows:
            self._rows(columns, rows, first=count <= ROWS_AT_ONCE)
        return count

    def show_next(self, data: object, line: str) -> None:
        """Show one of things that come in for as long as somebody looks; at once.

        Args:
            data: A body of the wire: one line of JSON, or one document of YAML.
            line: What ``-o table`` shows, already laid out.

        """
        if self.form == "json":
            self.write(msgspec.json.encode(data).decode() + "\n")
        elif self.form == "yaml":
            self.write("---\n" + _yaml(msgspec.to_builtins(_plain(data))))
        else:
            self.write(line + "\n")
        self.flush()

    def say(self, text: str, style: str = "") -> None:
        """Tell a person something that is not data."""
        stream = self._stderr or sys.stderr
        if stream is None or self._unheard:
            return
        color = self._colored(stream)
        width = terminal_width(stream) if stream.isatty() else None
        lines = (painted(line, style, color=color) for line in laid_out(text, width))
        try:
            stream.write("\n".join(lines) + "\n")
            stream.flush()
        except OSError:
            # Nobody listens; what is said to nobody fails nothing.
            self._unheard = True

    def remark(self, text: str) -> None:
        """Tell a person at a terminal what goes on; a log needs none of it."""
        stream = self._stderr or sys.stderr
        if stream is not None and stream.isatty():
            self.say(text, "dim")

    def passing(self, text: str) -> None:
        """Tell a person at a terminal how far it is: in one line, in the place of the last one.

        Args:
            text: What is told; nothing: the line goes.

        """
        stream = self._stderr or sys.stderr
        if stream is None or not stream.isatty() or self._unheard or not (text or self._is_passing):
            return
        self._is_passing = bool(text)
        shown = cut(visible(text), terminal_width(stream) - 1)
        try:
            stream.write(f"{CLEAR_LINE}{painted(shown, 'dim', color=self._colored(stream))}")
            stream.flush()
        except OSError:
            self._unheard = True

    def warn(self, text: str) -> None:
        """Tell a person what is wrong and does not stop the command."""
        self.say(f"gorilla: warning: {text}", "warn")

    def laid_out(self, view: View) -> list[str]:
        """Return the lines of a view as they fit here; in a pipe a row, or a fact, is one line."""
        wide = WIDTH_DEFAULT if isinstance(view, str) else None
        return laid_out(view, self.width if self.on_terminal else wide, color=self.color)

    def painted(self, text: str, style: str) -> str:
        """Return data in a colour where there are colours."""
        return painted(text, style, color=self.color)

    def write(self, text: str) -> None:
        """Write data as it is.

        Raises:
            OutputClosed: Whoever read it went away.
            CommandError: It can't be written.

        """
        stream = self.stdout
        try:
            stream.write(_encodable(text, stream, json=self.form == "json"))
        except (OSError, ValueError) as error:
            raise unwritable(error) from error

    def flush(self) -> None:
        """See to it that data is out; raises what :meth:`write` does."""
        try:
            self.stdout.flush()
        except (OSError, ValueError) as error:
            raise unwritable(error) from error

    def _rows(self, columns: Sequence[Column], rows: list[Sequence[Cell]], *, first: bool) -> None:
        lines = self.laid_out(Table(columns, rows))
        self.write("\n".join(lines if first else lines[1:]) + "\n")

    def _json_list(self, items: Iterable[object]) -> int:
        count = 0
        self.write("[")
        for count, item in enumerate(items, start=1):
            text = msgspec.json.format(msgspec.json.encode(item), indent=2).decode()
            self.write((",\n  " if count > 1 else "\n  ") + text.replace("\n", "\n  "))
        self.write("\n]\n" if count else "]\n")
        return count

    def _yaml_list(self, items: Iterable[object]) -> int:
        count = 0
        for item in items:
            count += 1
            self.write(_yaml([msgspec.to_builtins(_plain(item))]))
        if not count:
            self.write("[]\n")
        return count

    def _colored(self, stream: TextIO) -> bool:
        if self._color is not None:
            return self._color
        return (
            stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        )


def terminal_width(stream: TextIO | None = None) -> int:
    """Return how many cells a line of the terminal has: of COLUMNS, of a stream, else the usual."""
    try:
        told = int(os.environ.get("COLUMNS", ""))
    except ValueError:
        told = 0
    if told > 0:
        return told
    try:
        wide = os.get_terminal_size((stream or sys.__stdout__ or sys.stdout).fileno()).columns
    except (OSError, ValueError, AttributeError):
        # No terminal, no file at all, or nothing there.
        return WIDTH_DEFAULT
    return wide or WIDTH_DEFAULT


def unwritable(error: Exception) -> Exception:
    """Return what to raise when stdout can't be written."""
    if isinstance(error, BrokenPipeError) or getattr(error, "errno", 0) == errno.EPIPE:
        return OutputClosed()
    why = getattr(error, "strerror", None) or str(error)
    return CommandError(f"The output can't be written: {why}.", Exit.IO)


def close_quietly() -> None:
    """Point stdout nowhere, so that the interpreter's last flush has nothing to complain of."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
    finally:
        os.close(nowhere)


def _plain(data: object) -> object:
    """Return data with what is JSON already decoded: YAML has no other way to say it."""
    return msgspec.json.decode(msgspec.json.encode(data))


def _yaml(data: object) -> str:
    import yaml  # noqa: PLC0415 - most commands need none

    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=1 << 20, indent=2))


def _encodable(text: str, stream: TextIO, *, json: bool) -> str:
    """Escape what the encoding of the stream lacks; JSON stays JSON."""
    encoding = stream.encoding or "utf-8"
    if text.isascii() or encoding.lower().replace("-", "") == "utf8":
        return text
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        if json:
            return _NOT_ASCII.sub(_json_escape, text)
        return text.encode("ascii", "backslashreplace").decode()
    return text


def _json_escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
