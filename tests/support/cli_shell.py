"""A shell whose commands go to a real API."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cli import Ran, gorilla, started
from tests.support.served import Served, served_api

if TYPE_CHECKING:
    import subprocess


@pytest.fixture
def served() -> Iterator[Served]:
    """A real API with a history."""
    with served_api() as made:
        yield made


@pytest.fixture
def shell(served: Served) -> "Shell":
    """A shell whose commands go to it."""
    return Shell(served.url)


class Shell:
    """Runs commands against an API."""

    def __init__(self, *urls: str) -> None:
        self.environment = {"GORILLA_ENDPOINTS": ",".join(urls), "GORILLA_DEADLINE": "5"}

    def __call__(self, *arguments: str, **more: str) -> Ran:
        return gorilla(*arguments, **self.environment, **more)

    def done(self, *arguments: str, **more: str) -> str:
        ran = self(*arguments, **more)
        assert ran.code == 0, ran
        return ran.out

    def json(self, *arguments: str) -> Any:
        return json.loads(self.done(*arguments, "-o", "json"))

    def token(self, resource: str, *arguments: str, timeout: str = "60") -> str:
        return self.done(
            "lock", "acquire", resource, "--timeout", timeout, "--quiet", *arguments
        ).strip()

    def waiting(self, resource: str, *arguments: str) -> "subprocess.Popen[str]":
        """Start to wait for a lock, and return when the cluster knows of it."""
        before = len(self.json("lock", "show", resource)["waiters"])
        process_ = started(
            "lock", "acquire", resource, "--timeout", "60", "--wait", "60", "--quiet", *arguments,
            **self.environment,
        )  # fmt: skip
        while len(self.json("lock", "show", resource)["waiters"]) == before:
            assert process_.poll() is None, process_.communicate()
        return process_
