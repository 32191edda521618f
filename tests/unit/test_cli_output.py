"""Data goes to stdout, whole; talk to stderr; and what can't be written is said."""

import io
import json
import os
import subprocess
import sys

import pytest
import yaml

from gorilla.cli.failures import CommandError, Exit, OutputClosed
from gorilla.cli.output import ROWS_AT_ONCE, Output
from gorilla.cli.tables import Column, Facts, Table
from gorilla.wire.bodies import HealthBody
from tests.support.cli import PROGRAM, clean, process


class Stream(io.TextIOWrapper):
    """A stream of some encoding, at a terminal or not."""

    def __init__(self, *, tty: bool = False, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding, newline="")
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty

    @property
    def text(self) -> str:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode(self.encoding)


def outputs(form: str = "table", **of_stream) -> tuple[Output, Stream, Stream]:
    out, err = Stream(**of_stream), Stream(**of_stream)
    return Output(form, stdout=out, stderr=err), out, err


DATA = {"name": "Grüße", "long": "x" * 300, "raw": HealthBody()}


def test_json_and_yaml_are_never_cut():
    as_json, out, _ = outputs("json", tty=True)
    as_yaml, other, _ = outputs("yaml", tty=True)

    as_json.show(DATA, Facts([("name", "a")]))
    as_yaml.show(DATA, Facts([("name", "a")]))

    expected = {**DATA, "raw": {"status": "ok"}}
    assert json.loads(out.text) == expected
    assert yaml.safe_load(other.text) == expected


def test_in_a_pipe_a_fact_is_one_line_however_long():
    output, out, _ = outputs()

    output.show(DATA, Facts([("name", "x" * 300)]))

    assert out.text == f"name  {'x' * 300}\n"


def test_a_table_is_what_people_see_and_views_stand_apart():
    output, out, _ = outputs()

    output.show(DATA, Facts([("name", "a")]), Table([Column("B")], [[1]]))

    assert out.text == "name  a\n\nB\n1\n"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_list_is_one_document_however_long(count):
    columns, rows = [Column("N", right=True)], [{"n": number} for number in range(count)]
    shown = {}
    for form in ("table", "json", "yaml"):
        output, out, _ = outputs(form)
        assert output.show_all(iter(rows), columns, lambda one: [one["n"]]) == count
        shown[form] = out.text

    assert json.loads(shown["json"]) == rows
    assert yaml.safe_load(shown["yaml"]) == rows
    assert shown["table"].split() == (["N", *map(str, range(count))] if count else [])


def test_a_long_list_has_its_titles_once():
    output, out, _ = outputs()

    output.show_all(iter(range(2 * ROWS_AT_ONCE + 1)), [Column("N")], lambda one: [one])

    lines = out.text.split()
    assert lines == ["N", *map(str, range(2 * ROWS_AT_ONCE + 1))]


def test_things_that_come_one_by_one_are_a_line_or_a_document_each():
    shown = {}
    for form in ("table", "json", "yaml"):
        output, out, _ = outputs(form)
        output.show_next({"a": 1}, "one")
        output.show_next({"a": 2}, "two")
        shown[form] = out.text

    assert shown["table"] == "one\ntwo\n"
    assert [json.loads(line) for line in shown["json"].splitlines()] == [{"a": 1}, {"a": 2}]
    assert list(yaml.safe_load_all(shown["yaml"])) == [{"a": 1}, {"a": 2}]


def test_talk_goes_to_stderr_and_a_remark_to_a_terminal_only():
    output, out, err = outputs()
    at_terminal, _, screen = outputs(tty=True)

    output.say("said")
    output.warn("careful")
    output.remark("by the way")
    at_terminal.remark("by the way")

    assert (out.text, err.text) == ("", "said\ngorilla: warning: careful\n")
    assert "by the way" in screen.text


def test_colours_are_for_terminals_and_can_be_switched_off(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal, _, _ = outputs(tty=True)
    pipe, _, _ = outputs()

    assert (terminal.color, pipe.color) == (True, False)
    assert Output(color=False, stdout=Stream(tty=True)).color is False
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.color is False
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert terminal.color is False


def test_what_an_encoding_lacks_is_escaped_and_json_stays_json():
    as_json, out, _ = outputs("json", encoding="ascii")
    table, other, _ = outputs(encoding="ascii")

    as_json.show({"name": "Grüße 🦍"})
    table.show({}, "Grüße 🦍")

    assert json.loads(out.text) == {"name": "Grüße 🦍"}
    assert other.text == "Gr\\xfc\\xdfe \\U0001f98d\n"


class Broken(Stream):
    """A stream that can't be written to."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self._error = error

    def write(self, _text: str) -> int:
        raise self._error


def test_a_reader_who_went_away_is_no_failure_of_ours_and_a_full_disk_is_told():
    gone = Output(stdout=Broken(BrokenPipeError(32, "Broken pipe")))
    full = Output(stdout=Broken(OSError(28, "No space left on device")))

    with pytest.raises(OutputClosed):
        gone.write("a")
    with pytest.raises(CommandError, match="No space left on device") as raised:
        full.write("a")
    assert raised.value.code is Exit.IO


def test_when_nobody_hears_what_is_said_the_command_goes_on():
    output = Output(stderr=Broken(BrokenPipeError(32, "Broken pipe")))

    output.say("a")
    output.say("b")

    assert output.form == "table"


def test_a_full_disk_ends_a_command_with_a_sentence():
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            [*PROGRAM, "completion", "bash"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=clean({}),
            check=False,
        )

    assert done.returncode == Exit.IO
    assert done.stderr == "gorilla: The output can't be written: No space left on device.\n"


def test_a_closed_stdout_ends_a_command_with_a_sentence():
    script = f"exec {' '.join(PROGRAM)} completion bash >&-"
    done = subprocess.run(
        ["/bin/sh", "-c", script], capture_output=True, text=True, env=clean({}), check=False
    )

    assert done.returncode == Exit.IO
    assert done.stderr == "gorilla: There is no standard output to write to.\n"


def test_a_reader_who_closes_early_ends_a_command_without_a_word():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        done = subprocess.run(
            [*PROGRAM, "completion", "bash"],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            env=clean({}),
            check=False,
        )

    assert (done.returncode, done.stderr) == (Exit.CLOSED_PIPE, "")


def test_help_into_a_closed_pipe_says_nothing_either():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        done = subprocess.run(
            [*PROGRAM, "lock", "--help"],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            env=clean({}),
            check=False,
        )

    assert (done.returncode, done.stderr) == (Exit.CLOSED_PIPE, "")


def test_the_program_runs_where_there_is_no_utf_8():
    ran = process("--help", LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0")

    assert (ran.code, ran.err) == (0, "")
    assert sys.stdout is not None
