"""The frame of the command line: options, help, what is loaded, how it ends."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from gorilla.cli import reference
from gorilla.cli.app import NOUNS, root
from gorilla.cli.failures import Exit
from gorilla.cli.options import GLOBAL_OPTIONS, Noun, Verb
from tests.support.cli import DEAD, PROGRAM, Terminal, at_terminal, clean, gorilla, process
from tests.support.cli_commands import COMMANDS, VERBS

ROOT = Path(__file__).parents[2]


def test_global_options_stand_before_or_after_the_noun_and_the_last_counts(tmp_path):
    before = gorilla("--deadline", "5", "context", "show", "-o", "yaml", home=tmp_path)
    between = gorilla("-o", "json", "context", "--deadline", "5", "show", "-o", "yaml")
    twice = gorilla("--deadline", "9", "context", "show", "--deadline", "5", "-o", "yaml")

    assert before.out == between.out.replace("/nonexistent", str(tmp_path))
    assert "value: 5\n    source: option --deadline" in twice.out


@pytest.mark.parametrize(("command", "context"), VERBS)
def test_every_command_has_help_with_an_example_that_can_be_run(command, context):
    assert isinstance(command, Verb)
    assert command.help, "say what it does"
    assert command.examples, "show it"
    assert all(option.help for option in command.params if isinstance(option, click.Option))
    name = context.command_path.split()[-1]
    assert any(name in line.split() for line in command.examples)


@pytest.mark.parametrize(("command", "context"), VERBS)
def test_every_example_is_a_command_line_that_is_understood(command, context):
    for line in command.examples:
        if "gorilla " not in line:
            continue
        command_line = line.partition("gorilla ")[2].rstrip(")").partition(" > ")[0]
        words = shlex.split(command_line, comments=True)
        parent = click.Context(root, info_name="gorilla")
        found: click.Command = root
        while isinstance(found, click.Group):
            # Global options may stand before the noun.
            found = found.get_command(parent, words.pop(0))
            assert found is not None, line
        with found.make_context(context.info_name, words, parent=parent) as made:
            assert made.command is found, line


@pytest.mark.parametrize(("command", "context"), VERBS)
def test_no_argument_of_a_command_is_taken_for_a_global_option(command, context):
    names = [one.name for one in command.get_params(context)]
    options = [name for one in command.get_params(context) for name in one.opts]

    assert len(set(names)) == len(names)
    assert len(set(options)) == len(options)


@pytest.mark.parametrize(("command", "context"), VERBS)
def test_help_fits_eighty_columns_and_shows_the_examples(command, context):
    shown = gorilla(*context.command_path.split()[1:], "--help")

    assert (shown.code, shown.err) == (0, "")
    assert "Examples:" in shown.out
    body = shown.out.partition("Examples:")[0]
    assert max(map(len, body.splitlines())) <= 80


def test_each_noun_is_told_of_in_the_list_and_is_a_noun_or_a_command():
    for name, place in NOUNS.items():
        found = root.get_command(click.Context(root), name)

        assert isinstance(found, Noun | Verb), name
        assert place.text.endswith("."), name


def test_without_a_command_the_help_is_shown_and_that_is_wrong_usage():
    nothing, noun = gorilla(), gorilla("lock")

    assert (nothing.code, noun.code, nothing.out, noun.out) == (Exit.USAGE, Exit.USAGE, "", "")
    assert nothing.err.startswith("Usage: gorilla")
    assert "acquire" in noun.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nonsense",), "No such command 'nonsense'. See: gorilla --help"),
        (("lock", "lst"), "No such command 'lst'. Did you mean 'list'? See: gorilla lock --help"),
        (("lock", "show"), "Missing argument 'RESOURCE'. See: gorilla lock show --help"),
        (
            ("lock", "list", "--limit", "0"),
            "Invalid value for '--limit': 0 is not in the range x>=1. See: gorilla lock list",
        ),
        (("--deadline", "0", "lock", "list"), "must be more than 0 seconds."),
        (("lock", "acquire", "a", "--timeout", "soon"), "'soon' is no length of time"),
        (("history", "--at", "noon"), "'noon' is no time; say 2025-05-04T03:12:00"),
        (("-o", "xml", "lock", "list"), "'xml' is not one of 'table', 'json', 'yaml'."),
    ],
)
def test_a_wrong_command_line_is_a_sentence_that_says_where_help_is(arguments, said):
    ran = gorilla(*arguments)

    assert (ran.code, ran.out) == (Exit.USAGE, "")
    assert said in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        ("lock", "release", "a", "{}"),
        ("lock", "extend", "a", "{}", "--timeout", "5"),
        ("lock", "extend", "--timeout", "5", "--group", "{}"),
        ("lock", "status", "a", "{}", "-o", "json"),
        ("session", "end", "{}"),
        ("lock", "acquire", "a", "--session", "{}"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("secret", ["-qoh8lM90p1Wf3RUUpmQxv", "--8lM90p1Wf3RUUpmQxv_-.1"])
def test_a_secret_that_begins_with_a_dash_is_no_option(command, secret):
    arguments = [part.format(secret) for part in command]

    ran = gorilla(*arguments, "--endpoint", DEAD, "--deadline", "1")

    assert ran.code == Exit.UNAVAILABLE, ran


def test_the_version_is_told():
    assert gorilla("--version").out.startswith("gorilla 0.")


def test_help_loads_nothing_that_it_does_not_need():
    script = (
        "import sys\nfrom gorilla.cli.app import root\n"
        "try:\n    root.main(['lock', '--help'])\n"
        "finally:\n    print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=clean({}), check=True
    )
    loaded = set(done.stderr.split())

    assert loaded.isdisjoint({"yaml", "aiohttp", "rich.console", "rich.table"})
    assert "gorilla.cli.cluster" not in loaded


def test_an_error_of_ours_is_told_as_a_bug_and_its_trace_on_demand():
    script = (
        "import click, sys\nfrom gorilla.cli.app import root\n"
        "@root.command()\ndef broken():\n    raise ZeroDivisionError('oops')\n"
        "root.main(['broken'])"
    )

    plain = process(python=("-c", script))
    traced = process(python=("-c", script), GORILLA_DEBUG="1")

    assert (plain.code, traced.code) == (Exit.SOFTWARE, Exit.SOFTWARE)
    assert plain.err == (
        "gorilla: This is a bug: ZeroDivisionError: oops. GORILLA_DEBUG=1 shows where.\n"
    )
    assert "Traceback" in traced.err


def test_a_question_that_nobody_can_answer_is_refused_before_anything_is_asked():
    ran = gorilla("lock", "force-release", "a", "--reason", "r", "--endpoint", DEAD)

    assert (ran.code, ran.took_s < 5) == (Exit.USAGE, True)
    assert ran.sentence == "This wants a yes and nobody is here to ask: give --yes."


def test_a_failure_is_red_on_a_terminal_and_plain_where_that_is_not_wanted():
    command = ("lock", "list", "--endpoint", DEAD, "--deadline", "1")
    red, plain = Terminal(*command), Terminal(*command, "--no-color")
    by_name = Terminal(*command, NO_COLOR="1")

    codes = [terminal.end() for terminal in (red, plain, by_name)]

    assert codes == [Exit.UNAVAILABLE] * 3
    assert "\x1b[31mgorilla: No node" in red.raw
    assert "\x1b" not in plain.raw + by_name.raw
    assert max(map(len, red.text.splitlines())) <= 80


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_help_fits_the_terminal(columns):
    shown = at_terminal("--help", columns=columns)

    assert "Who held what, when" in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= min(columns, 100)


def test_the_reference_page_is_up_to_date():
    page = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")

    assert page == reference.page(), "run: make docs"


def test_the_reference_page_has_every_command_option_and_exit_code():
    page = reference.page()

    for command, context in COMMANDS[1:]:
        assert f"# {context.command_path}\n" in page
        for option in command.params:
            if isinstance(option, click.Option):
                assert f"`{option.opts[0]}" in page
    for option in GLOBAL_OPTIONS:
        assert option.opts[0] in page
    for code in Exit:
        assert f"| {int(code)} | `{code.name}` |" in page


def test_the_program_is_the_same_by_its_name_and_by_its_module():
    name = Path(sys.executable).with_name("gorilla")
    done = subprocess.run(
        [name, "--version"], capture_output=True, text=True, env=clean({}), check=False
    )

    assert (done.returncode, done.stdout) == (0, process("--version").out)
    assert PROGRAM[0] == sys.executable
    assert os.access(name, os.X_OK)
