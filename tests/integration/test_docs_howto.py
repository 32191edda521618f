"""What pages hand to other programs does there what they say: cron, systemd, pipelines, Python.

None of the first three is run: their commands are, with the variables that they would set.
"""

import asyncio
import configparser
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from gorilla.client import Client
from tests.support.api import running_api
from tests.support.pages import blocks_of

pytestmark = pytest.mark.integration

PROGRAMS = Path(sys.executable).parent
RUN_S_MAX = 30.0
REFUSED = 200
PIPELINES = "howto/deploy-pipelines"


@dataclass(frozen=True)
class Place:
    """A machine: what the pages find below ``/srv`` is in a directory, and notes that it ran."""

    directory: Path

    def prepare(self) -> "Place":
        (self.directory / "gorilla").mkdir()
        (self.directory / "gorilla" / "bin").symlink_to(PROGRAMS)
        for name in ("backup.sh", "deploy.sh"):
            script = self.directory / name
            script.write_text(f'#!/bin/sh\necho "{name} $*" >> ran\n')
            script.chmod(0o755)
        return self

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{PROGRAMS}:/usr/bin:/bin", "HOME": str(self.directory)}

    @property
    def ran(self) -> list[str]:
        notes = self.directory / "ran"
        return notes.read_text().splitlines() if notes.exists() else []

    def adapted(self, text: str) -> str:
        return re.sub(r"(?<!\w)/(?:srv|tmp)/", f"{self.directory}/", text)

    def shell(self, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", "-c", command],
            env={**self.environment, **environment},
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=RUN_S_MAX,
            check=False,
        )

    def start(self, command: str, **environment: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["/bin/sh", "-c", command],
            env={**self.environment, **environment},
            cwd=self.directory,
            stderr=subprocess.DEVNULL,
        )

    async def run(self, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(self.shell, command, **environment)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path).prepare()


@pytest.fixture
async def endpoint():
    async with running_api() as api:
        yield api.base_url


async def hold(place: Place, endpoint: str, lock: str) -> None:
    """Let somebody else hold a lock."""
    acquire = f"gorilla lock acquire {lock} --timeout 60 --owner else --quiet"
    assert (await place.run(acquire, GORILLA_ENDPOINTS=endpoint)).returncode == 0


def crontab(page: str, place: Place) -> tuple[dict[str, str], str]:
    """Return the variables that a crontab sets, and its command."""
    [block] = blocks_of(page, "crontab")
    *settings, line = place.adapted(block.code).strip().splitlines()
    *when, command = line.split(maxsplit=5)
    assert len(when) == 5
    return dict(setting.split("=", 1) for setting in settings), command


@pytest.mark.parametrize("page", ["tutorial", "howto/cron"])
async def test_the_line_of_the_crontab_runs_the_job_and_mails_nothing_when_all_is_well(
    page: str, place: Place, endpoint: str
):
    settings, command = crontab(page, place)

    done = await place.run(command, **(settings | {"GORILLA_ENDPOINTS": endpoint}))

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert place.ran == ["backup.sh "]


async def test_cron_mails_nothing_when_another_machine_has_the_lock(place: Place, endpoint: str):
    settings, command = crontab("howto/cron", place)
    await hold(place, endpoint, "cron/backup")

    done = await place.run(command, **(settings | {"GORILLA_ENDPOINTS": endpoint}))

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert place.ran == []


async def test_cron_mails_what_was_said_when_the_job_fails_or_cannot_run(
    place: Place, endpoint: str
):
    settings, command = crontab("howto/cron", place)
    (place.directory / "backup.sh").write_text("#!/bin/sh\necho 'the disk is full' >&2\nexit 5\n")

    failed = await place.run(command, **(settings | {"GORILLA_ENDPOINTS": endpoint}))
    nobody = {"GORILLA_ENDPOINTS": "http://127.0.0.1:1", "GORILLA_DEADLINE": "0.5"}
    dead = await place.run(command, **(settings | nobody))

    assert failed.stdout == "the disk is full\n"
    assert "Nothing was done" in dead.stdout


def unit(place: Place) -> configparser.SectionProxy:
    service, timer = (block.code for block in blocks_of("howto/cron", "ini"))
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]  # as configparser documents
    parsed.read_string(place.adapted(service))
    assert "OnCalendar" in timer
    return parsed["Service"]


async def test_the_service_succeeds_when_it_ran_and_when_it_was_not_its_turn(
    place: Place, endpoint: str
):
    service = unit(place)
    name, _, _ = service["Environment"].partition("=")
    words = shlex.join(shlex.split(service["ExecStart"]))
    environment = {name: endpoint}

    done = await place.run(words, **environment)
    await hold(place, endpoint, "cron/backup")
    refused = await place.run(words, **environment)

    assert done.returncode == 0
    assert refused.returncode == int(service["SuccessExitStatus"]) == REFUSED
    assert place.ran == ["backup.sh "]


def steps() -> list[tuple[str, dict[str, str]]]:
    """Return the commands that deploy, with the variables that their systems set."""
    github, gitlab = (yaml.safe_load(block.code) for block in blocks_of(PIPELINES, "yaml"))
    [ours] = [step["run"] for step in github["jobs"]["deploy"]["steps"] if "name" in step]
    theirs = [line for line in gitlab["deploy"]["script"] if "gorilla run" in line]
    return [
        (ours, {"GITHUB_RUN_ID": "4711", "GITHUB_ACTOR": "anna"}),
        (theirs[0], {"CI_JOB_ID": "4711"}),
    ]


@pytest.mark.parametrize(("step", "variables"), steps(), ids=["github", "gitlab"])
async def test_the_step_of_a_pipeline_deploys_and_tells_others_what_for(
    place: Place, endpoint: str, step: str, variables: dict[str, str]
):
    (place.directory / "deploy.sh").write_text("#!/bin/sh\ngorilla lock show deploy/prod\n")

    done = await place.run(step, GORILLA_ENDPOINTS=endpoint, **variables)

    assert done.returncode == 0, done.stderr
    assert "4711" in done.stdout


async def test_a_step_whose_shell_alone_is_told_to_end_leaves_the_queue(
    place: Place, endpoint: str
):
    step, variables = steps()[0]
    await hold(place, endpoint, "deploy/prod")
    waiting = place.start(f"{step}\necho unreachable", GORILLA_ENDPOINTS=endpoint, **variables)
    show = "gorilla lock show deploy/prod"

    while "4711" not in (await place.run(show, GORILLA_ENDPOINTS=endpoint)).stdout:
        assert waiting.poll() is None
    waiting.terminate()
    code = await asyncio.to_thread(waiting.wait, RUN_S_MAX)
    left = (await place.run(show, GORILLA_ENDPOINTS=endpoint)).stdout

    assert code == 143
    assert "4711" not in left
    assert place.ran == []


async def test_the_program_of_the_readme_backs_up_while_it_holds_the_lock(endpoint: str):
    [block] = blocks_of("../README", "python")
    code, count = re.subn(r'Client\("http[^)]*\)', f'Client("{endpoint}")', block.code)
    told: list[tuple[int, bool]] = []

    def back_up(fencing_token: int) -> None:
        with Client(endpoint) as client:
            told.append((fencing_token, client.show("nightly-backup").held))

    await asyncio.to_thread(exec, code, {"back_up": back_up})

    assert (count, told) == (1, [(1, True)])
