"""TAB in a real bash completes commands, options, contexts and the names of locks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import DEAD, Terminal, clean, gorilla, process
from tests.support.cli_shell import Shell
from tests.support.real_cluster import running_nodes

pytestmark = pytest.mark.e2e

PROGRAMS = Path(sys.executable).parent


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """A node with locks of all sorts of names."""
    with running_nodes(tmp_path_factory.mktemp("node"), count=1) as nodes:
        made = Shell(nodes.url("n1"))
        for name in ("orders/1", "orders/2", "reports/weekly", "a b", "db:main", "x*"):
            made.token(name)
        yield made


@pytest.fixture
def home(tmp_path):
    gorilla("context", "add", "prod", "--endpoint", "http://a", home=tmp_path)
    gorilla("context", "add", "preview", "--endpoint", "http://b", home=tmp_path)
    gorilla("context", "add", "test", "--endpoint", "http://c", home=tmp_path)
    return tmp_path


def bash(home: Path, *lines: str, **environment: str) -> Terminal:
    """Start an interactive bash with completion for ``gorilla``; its prompt is ``>>``."""
    rc = home / "bashrc"
    script = process("completion", "bash").out
    rc.write_text(f"{script}\nPS1='>> '\nbind 'set enable-bracketed-paste off'\n")
    path = f"{PROGRAMS}:{os.environ['PATH']}"
    terminal = Terminal(
        "/bin/bash", "--noprofile", "--rcfile", str(rc), "-i", columns=120,
        PATH=path, XDG_CONFIG_HOME=str(home), **environment,
    )  # fmt: skip
    terminal.wait_for(">> ")
    for line in lines:
        terminal.type(line)
    return terminal


def completed(home: Path, typed: str, whole: str, **environment: str) -> str:
    """Type, press TAB, wait until the line reads so; return all that is on the screen."""
    terminal = bash(home, f"{typed}\t", **environment)
    terminal.wait_for(whole)
    terminal.type("\x15exit\n")
    terminal.end()
    return terminal.text


@pytest.mark.parametrize(
    ("typed", "whole"),
    [
        ("gorilla hist", "gorilla history "),
        ("gorilla lock rel", "gorilla lock release "),
        ("gorilla lock acquire x --time", "gorilla lock acquire x --timeout "),
        ("gorilla --out", "gorilla --output "),
        ("gorilla -o ya", "gorilla -o yaml "),
        ("gorilla context use te", "gorilla context use test "),
        ("gorilla --context pro", "gorilla --context prod "),
    ],
)
def test_commands_options_and_contexts_are_completed(home, typed, whole):
    assert whole in completed(home, typed, whole)


@pytest.mark.parametrize(
    ("typed", "whole"),
    [
        ("gorilla lock show rep", "gorilla lock show reports/weekly "),
        ("gorilla lock release orders/", r"orders/1 +orders/2"),
        ("gorilla history rep", "gorilla history reports/weekly "),
        ("gorilla lock show db:", "gorilla lock show db:main "),
        ("gorilla lock show d", "gorilla lock show db:main "),
        ("gorilla lock show a", r"gorilla lock show a\\ b "),
        ("gorilla lock show 'a ", "gorilla lock show 'a b' "),
        ("gorilla lock show x", r"gorilla lock show x\\\* "),
        ("gorilla -o json lock show rep", "gorilla -o json lock show reports/weekly "),
        ("gorilla lock list --prefix=rep", "gorilla lock list --prefix=reports/weekly "),
    ],
)
def test_names_of_locks_are_completed(home, shell, typed, whole):
    typed_twice = f"{typed}\t" if "+" in whole else typed

    assert completed(home, typed_twice, whole, **shell.environment)


def offered(words: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Ask for completions as the script does."""
    return subprocess.run(
        [PROGRAMS / "gorilla"],
        capture_output=True,
        text=True,
        env=clean(
            {
                "_GORILLA_COMPLETE": "bash_complete",
                "GORILLA_COMPLETED_LINE": words,
                **environment,
            },
            home,
        ),
        timeout=20,
        check=False,
    )


def test_where_no_node_can_be_reached_nothing_is_offered_and_nothing_said(home):
    done = offered("gorilla lock show o", home, GORILLA_ENDPOINTS=DEAD)

    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def test_a_wrong_config_file_is_no_matter_at_a_tab(tmp_path):
    config = tmp_path / "gorilla" / "config.toml"
    config.parent.mkdir()
    config.write_text("current = ")

    for words in ("gorilla --context p", "gorilla lock show o", "gorilla context use t"):
        done = offered(words, tmp_path)
        assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_the_script_says_how_to_install_it(shell_name):
    ran = process("completion", shell_name)

    assert (ran.code, ran.err) == (0, "")
    assert "# To install it:\n#   mkdir -p ~/." in ran.out
    assert f"{shell_name}_complete" in ran.out
    assert f"gorilla completion {shell_name} > " in ran.out
