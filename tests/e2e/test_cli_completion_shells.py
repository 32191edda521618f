"""TAB in a real zsh and a real fish, with the scripts where their pages say that they go."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import DEAD, Terminal, clean, gorilla, process
from tests.support.cli_shell import Shell
from tests.support.real_cluster import running_nodes

pytestmark = pytest.mark.e2e

PROGRAMS = Path(sys.executable).parent
SHELLS = ("zsh", "fish")
NAMES = (
    "orders/1", "orders/2", "reports/weekly", "a b", "db:main", "x*", "q'uote", "c,omma", "ü-name",
    "$HOME", "e=f:g h", r"back\slash", '"quoted"', "~tilde", "#hash",
)  # fmt: skip

ZSHRC = """
fpath=({functions} $fpath)
autoload -Uz compinit
compinit -u -d {dump}
PS1='>> '
unset zle_bracketed_paste
show() {{ print -r -- "<<$BUFFER>>" }}
zle -N show
bindkey '^P' show
"""
CONFIG_FISH = """
function fish_prompt; echo -n '>> '; end
function fish_greeting; end
function show; echo "<<"(commandline)">>"; end
bind \\cp show
"""
"""Ctrl-P tells what stands in the line, whatever the shell does to draw it."""


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """A node with locks of all sorts of names."""
    with running_nodes(tmp_path_factory.mktemp("node"), count=1) as nodes:
        made = Shell(nodes.url("n1"))
        for name in NAMES:
            made.token(name, timeout="1h")
        yield made


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home in which the scripts are installed as they say themselves."""
    made = tmp_path_factory.mktemp("home")
    for name in ("prod", "preview", "test"):
        gorilla("context", "add", name, "--endpoint", "http://a", home=made)
    functions = made / ".zfunc"
    functions.mkdir()
    (functions / "_gorilla").write_text(process("completion", "zsh").out)
    (made / ".zshrc").write_text(ZSHRC.format(functions=functions, dump=made / "dump"))
    completions = made / "fish" / "completions"
    completions.mkdir(parents=True)
    (completions / "gorilla.fish").write_text(process("completion", "fish").out)
    (made / "fish" / "config.fish").write_text(CONFIG_FISH)
    return made


def settings(home: Path) -> dict[str, str]:
    return {
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        "HOME": str(home),
        "ZDOTDIR": str(home),
        "XDG_CONFIG_HOME": str(home),
        "XDG_DATA_HOME": str(home / "data"),
        "LC_ALL": "C.UTF-8",
    }


def check(name: str, home: Path, typed: str, whole: str, **environment: str) -> None:
    """Type, press TAB, and see what stands in the line."""
    program = shutil.which(name)
    assert program is not None, "deploy/tools.sh says what the tests need"
    terminal = Terminal(program, "-i", columns=120, **settings(home), **environment)
    terminal.wait_for(">> ")
    terminal.type(f"{typed}\t\x10")
    terminal.wait_for(re.escape(f"<<{whole}>>"))
    terminal.type("\x15exit\n")
    terminal.end()


@pytest.mark.parametrize("name", SHELLS)
@pytest.mark.parametrize(
    ("typed", "whole"),
    [
        ("gorilla lo", "gorilla lock "),
        ("gorilla hist", "gorilla history "),
        ("gorilla lock rel", "gorilla lock release "),
        ("gorilla lock acquire x --time", "gorilla lock acquire x --timeout "),
        ("gorilla --out", "gorilla --output "),
        ("gorilla -o ya", "gorilla -o yaml "),
        ("gorilla --output=ya", "gorilla --output=yaml "),
        ("gorilla context use te", "gorilla context use test "),
        ("gorilla --context pro", "gorilla --context prod "),
        ("true; gorilla lo", "true; gorilla lock "),
    ],
)
def test_commands_options_and_contexts_are_completed(name, home, typed, whole):
    check(name, home, typed, whole)


@pytest.mark.parametrize("name", SHELLS)
@pytest.mark.parametrize(
    ("typed", "whole"),
    [
        ("show rep", "show reports/weekly "),
        ("show db:", "show db:main "),
        ("show d", "show db:main "),
        ("show a", r"show a\ b "),
        ("show a\\ ", r"show a\ b "),
        ("show 'a ", "show 'a b' "),
        ('show "a ', 'show "a b" '),
        ("show x", r"show x\* "),
        ("show q", r"show q\'uote "),
        ("show c", "show c,omma "),
        ("show ü", "show ü-name "),
        ("show '$", "show '$HOME' "),
        ("show ba", r"show back\\slash "),
        ("list --prefix=rep", "list --prefix=reports/weekly "),
        ("list --prefix rep", "list --prefix reports/weekly "),
    ],
)
def test_names_of_locks_are_completed(name, home, shell, typed, whole):
    check(name, home, f"gorilla lock {typed}", f"gorilla lock {whole}", **shell.environment)


@pytest.mark.parametrize("name", SHELLS)
@pytest.mark.parametrize("name_of_lock", NAMES[2:])
def test_what_is_completed_is_the_name_that_the_command_gets(
    name, home, shell, name_of_lock, tmp_path
):
    """Whatever it is quoted like: the shell itself says what the program is given."""
    beginning = name_of_lock[:1] if name_of_lock.startswith(("ü", "a", "b")) else name_of_lock[:-1]
    terminal = Terminal(
        str(shutil.which(name)), "-i", columns=120, **settings(home), **shell.environment
    )
    terminal.wait_for(">> ")
    quoted = "'" + beginning.replace("\\", "\\\\" if name == "fish" else "\\")
    if "'" in beginning:
        quoted = f'"{beginning}'
    found = tmp_path / "found"
    terminal.type(f"gorilla lock show -o json {quoted}\t> {found}\n")
    terminal.type("exit\n")
    terminal.end()

    assert json.loads(found.read_text())["resource"] == name_of_lock


def fish(home: Path, words: str, **environment: str) -> list[str]:
    """Ask fish what it would offer, without a terminal."""
    done = subprocess.run(
        ["fish", "-c", "complete -C $argv[1]", words],
        capture_output=True,
        text=True,
        env=clean({**settings(home), **environment}, home),
        timeout=20,
        check=True,
    )
    return [line.partition("\t")[0] for line in done.stdout.splitlines()]


def test_fish_is_offered_all_that_there_is_with_a_word_on_it(home, shell):
    assert fish(home, "gorilla lock release orders/", **shell.environment) == [
        "orders/1",
        "orders/2",
    ]
    assert fish(home, "gorilla context use p") == ["preview", "prod"]
    assert fish(home, "gorilla completion ") == ["bash", "zsh", "fish"]
    assert fish(home, "gorilla --ca-file /etc/hostn") == ["/etc/hostname"]


def test_zsh_lists_all_that_there_is_with_a_word_on_it(home, shell):
    for typed, listed in (
        ("gorilla lock release orders/", r"orders/1 +orders/2"),
        ("gorilla context use pr", r"preview +prod"),
        ("gorilla completion ", r"zsh +-- Print the script for zsh"),
    ):
        terminal = Terminal("/bin/zsh", "-i", columns=120, **settings(home), **shell.environment)
        terminal.wait_for(">> ")
        terminal.type(f"{typed}\t")
        terminal.wait_for(listed)
        terminal.type("\x15exit\n")
        terminal.end()


@pytest.mark.parametrize("name", SHELLS)
def test_where_no_node_can_be_reached_nothing_is_offered_and_nothing_said(name, home):
    check(name, home, "gorilla lock show q", "gorilla lock show q", GORILLA_ENDPOINTS=DEAD)
