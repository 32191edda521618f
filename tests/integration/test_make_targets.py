"""The commands of the Makefile, as a newcomer meets them. The environment is a stand-in."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEADLINE_S = 30

GORILLAD = """#!{python}
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGTERM}})
print("gorillad", *sys.argv[1:], flush=True)
if sys.argv[1] == "up":
    signal.sigwait({{signal.SIGTERM}})
    print("stopped in order", flush=True)
"""


@pytest.fixture
def tree(tmp_path):
    """A checkout with an environment whose ``gorillad`` only tells its arguments."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    program = tmp_path / ".venv" / "bin" / "gorillad"
    program.parent.mkdir(parents=True)
    program.write_text(GORILLAD.format(python=sys.executable))
    program.chmod(0o755)
    (tmp_path / ".venv" / ".installed").touch()
    return tmp_path


def make(tree, *targets):
    return subprocess.run(
        ["make", *targets],
        cwd=tree,
        env=plain_environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def plain_environment(**changes):
    """Without what a make around this test has set."""
    kept = {k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}
    return {**kept, **changes}


def test_make_alone_lists_every_command_with_what_it_does(tree):
    targets = re.findall(r"(?m)^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text())

    listed = make(tree).stdout

    assert {"run", "ci", "deps", "migrate", "check", "clean"} <= set(targets)
    for target in targets:
        assert re.search(rf"(?m)^  make {re.escape(target)} +\S", listed), target


def test_every_module_that_a_command_runs_is_there():
    modules = re.findall(r"python -m (\S+)", (ROOT / "Makefile").read_text())

    assert len(modules) >= 5
    for module in modules:
        path = ROOT.joinpath(*module.split("."))
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


def test_deps_does_nothing_when_the_environment_is_there(tree):
    again = make(tree, "deps")

    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_deps_are_made_again_when_the_lock_file_has_changed(tree):
    stamp = tree / ".venv" / ".installed"
    os.utime(stamp, (1, 1))

    tried = make(tree, "--dry-run", "deps")

    assert "deploy/deps.sh .venv deploy/lock/dev.txt" in tried.stdout


def test_run_uses_the_example_file_and_no_env_file_where_there_is_none(tree):
    told = make(tree, "--dry-run", "run").stdout

    assert told.splitlines()[-1].split() == [
        ".venv/bin/gorillad",
        "up",
        "--config",
        "cluster.example.toml",
    ]


def test_migrate_reads_the_env_file_when_there_is_one(tree):
    (tree / ".env").touch()

    told = make(tree, "migrate").stdout

    assert told == "gorillad migrate --config cluster.example.toml --env-file .env\n"


def test_a_signal_to_make_run_stops_the_cluster_in_order(tree):
    with subprocess.Popen(
        ["make", "run"],
        cwd=tree,
        env=plain_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("gorillad up")

        running.send_signal(signal.SIGTERM)

        told, _ = running.communicate(timeout=DEADLINE_S)
    assert told == "stopped in order\n"


def fake_python(directory, *, is_new, has_venv):
    """A ``python3`` that answers only what ``deploy/deps.sh`` asks before it does anything."""
    for name in ("python3", "python3.13", "python3.12", "python3.11"):
        path = directory / name
        path.write_text(
            "#!/bin/sh\n"
            f'case "$2" in *version_info*) exit {0 if is_new else 1};; '
            f"*ensurepip*) exit {0 if has_venv else 1};; esac\nexit 9\n"
        )
        path.chmod(0o755)


@pytest.mark.parametrize(
    ("is_new", "has_venv", "expected"),
    [
        (False, True, "Python 3.11 or later is needed"),
        (True, False, "has no venv module (Debian: apt-get install python3-venv)"),
    ],
)
def test_a_python_that_will_not_do_is_told_in_a_line_that_says_what_to_install(
    tmp_path, is_new, has_venv, expected
):
    fake_python(tmp_path, is_new=is_new, has_venv=has_venv)

    tried = subprocess.run(
        [ROOT / "deploy" / "deps.sh", tmp_path / ".venv", ROOT / "deploy" / "lock" / "dev.txt"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )

    assert tried.returncode == 1
    assert expected in tried.stderr
    assert not (tmp_path / ".venv").exists()


def test_ci_says_what_is_missing_where_nothing_can_install_it(tmp_path):
    (tmp_path / "dirname").symlink_to(shutil.which("dirname") or "/usr/bin/dirname")

    tried = subprocess.run(
        ["/bin/sh", ROOT / ".ci" / "run"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )

    assert tried.returncode == 1
    # HAProxy is also looked for where Debian puts it, which may not be on the PATH.
    packages = "make (haproxy )?curl procps util-linux mount gcc libc6-dev zsh fish nodejs chromium"
    wanted = f"no apt-get here to install them: {packages}"
    assert re.search(wanted, tried.stderr), tried.stderr


def test_a_tool_that_the_tests_need_and_is_not_here_is_told_in_one_line(tmp_path):
    for name in ("make", "haproxy", "curl", "ps", "unshare", "mount", "cc", "zsh", "fish", "node"):
        (tmp_path / name).symlink_to("/bin/sh")

    tried = subprocess.run(
        ["/bin/sh", ROOT / "deploy" / "tools.sh", "--or-fail"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )

    assert tried.returncode == 1
    assert tried.stderr == (
        "gorilla: these tests need more than is installed here "
        "(Debian: apt-get install chromium; .ci/run does it)\n"
    )
