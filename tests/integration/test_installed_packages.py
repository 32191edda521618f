"""The wheel as it is installed: what each extra brings, and what is said where one is missing."""

import asyncio
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.api import NODE_NAME, running_api
from tests.support.installing import built_wheel, environment_with

pytestmark = pytest.mark.integration

RUN_S_MAX = 30.0

LOCK = """
from gorilla.client import Client, LockHeld

with Client() as client, client.lock("installed", timeout=10) as held:
    assert held.remaining() > 5
    try:
        client.lock("installed", owner="another", timeout=10).acquire()
    except LockHeld as refused:
        assert refused.holder.owner == held.owner
        print(held.resource, held.fencing_token)
"""

LOCK_ASYNC = """
import asyncio

from gorilla.client import AsyncClient


async def main():
    async with AsyncClient() as client, client.lock("installed", timeout=10) as held:
        print(held.resource, held.fencing_token)


asyncio.run(main())
"""


@dataclass(frozen=True)
class Installed:
    """A virtual environment that has nothing but what was installed into it."""

    programs: Path

    def run(self, program: str, *arguments: str, **environment: str) -> tuple[int, str, str]:
        ran = subprocess.run(
            [self.programs / program, *arguments],
            env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **environment},
            cwd=self.programs.parent,
            capture_output=True,
            text=True,
            timeout=RUN_S_MAX,
            check=False,
        )
        return ran.returncode, ran.stdout, ran.stderr

    async def ask(self, program: str, *arguments: str) -> tuple[int, str, str]:
        """Run it while a node is there to be asked."""
        async with running_api() as api:
            endpoint = {"GORILLA_ENDPOINTS": api.base_url}
            return await asyncio.to_thread(self.run, program, *arguments, **endpoint)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return built_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def client_alone(wheel: Path, tmp_path_factory) -> Installed:
    return Installed(environment_with(wheel, tmp_path_factory.mktemp("alone") / "venv"))


@pytest.fixture(scope="module")
def command_line(wheel: Path, tmp_path_factory) -> Installed:
    return Installed(environment_with(wheel, tmp_path_factory.mktemp("cli") / "venv", "cli"))


async def test_the_client_alone_takes_locks_with_three_packages(client_alone: Installed):
    packages = client_alone.run(
        "python", "-c",
        "from importlib.metadata import distributions\n"
        "print(*sorted(one.name for one in distributions()))",
    )  # fmt: skip

    assert packages[1].split() == ["gorilla-lock", "msgspec", "typing_extensions", "urllib3"]
    assert await client_alone.ask("python", "-c", LOCK) == (0, "installed 1\n", "")


def test_what_an_async_client_lacks_is_said_when_it_is_imported(client_alone: Installed):
    code, _, err = client_alone.run("python", "-c", "from gorilla.client import AsyncClient")

    assert code == 1
    assert err.splitlines()[-1] == (
        "ModuleNotFoundError: AsyncClient needs aiohttp: pip install 'gorilla-lock[async]'"
    )


@pytest.mark.parametrize(
    ("program", "arguments", "extra", "package"),
    [
        ("gorilla", ("lock", "list"), "cli", "click"),
        ("gorilla", ("--version",), "cli", "click"),
        ("gorillad", ("version",), "server", "aiohttp"),
    ],
)
def test_a_program_without_its_extra_says_in_one_sentence_what_to_install(
    client_alone: Installed, program: str, arguments: tuple[str, ...], extra: str, package: str
):
    assert client_alone.run(program, *arguments) == (
        2,
        "",
        f"{program}: {package} is not installed: pip install 'gorilla-lock[{extra}]'\n",
    )


async def test_the_async_extra_brings_what_an_async_client_needs(wheel: Path, tmp_path: Path):
    installed = Installed(environment_with(wheel, tmp_path / "venv", "async"))

    assert await installed.ask("python", "-c", LOCK_ASYNC) == (0, "installed 1\n", "")


async def test_the_command_line_runs_with_the_cli_extra_alone(command_line: Installed):
    code, out, err = await command_line.ask(
        "gorilla", "run", "installed", "--no-wait", "--", "sh", "-c", "echo $GORILLA_FENCING_TOKEN"
    )

    assert (code, out, err) == (0, "1\n", "")


@pytest.mark.parametrize("form", ["table", "json", "yaml"])
async def test_every_form_of_output_needs_the_cli_extra_alone(command_line: Installed, form: str):
    code, out, err = await command_line.ask("gorilla", "cluster", "status", "-o", form)

    assert (code, err) == (0, "")
    assert NODE_NAME in out
