"""No command ends in a traceback or hangs, whatever is, or is not, at the other end."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import pytest

from gorilla.cli.failures import Exit
from tests.support.cli import DEAD, Ran, gorilla, process
from tests.support.cli_commands import VERBS, arguments_for

DEADLINE_S = 1.0
SLACK_S = 10.0
"""For whatever else happens: a busy machine, a second question."""

AT_A_TIME = 6

LOCAL = {"completion", "context"}
"""Nouns that ask no node."""

OTHERS_PROGRAM = {"gorilla snapshot verify", "gorilla snapshot restore"}
"""They ask no node either: they become gorillad."""

PATIENT = {"gorilla elect"}
"""It goes on trying until Ctrl-C."""

ASKING = [one for one in VERBS if one.id not in OTHERS_PROGRAM | PATIENT]

REPORTING = {"doctor"}
"""What is wrong is its answer, which goes to stdout."""

TOLD = {Exit.UNAVAILABLE, Exit.UNKNOWN, Exit.REFUSED}


@contextlib.contextmanager
def listening(answer: bytes | None) -> Iterator[str]:
    """Listen, and give everybody the same answer; None: accept, read and never answer."""
    kept = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                kept.append(connection)
                if answer is not None:
                    with contextlib.suppress(OSError):
                        connection.recv(65_536)
                        connection.sendall(answer)
                        connection.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in kept:
                connection.close()


def http(status: str, body: str, kind: str = "text/html") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


OTHERS = {
    "silence": None,
    "hanging up": b"",
    "no HTTP": b"220 mail.example ESMTP\r\n",
    "another service": http("404 Not Found", "<html>nginx</html>"),
    "a page of a proxy": http("502 Bad Gateway", "<html>bad gateway</html>"),
    "a page where JSON should be": http("200 OK", "<html>welcome</html>"),
    "other JSON": http("200 OK", "[1, 2]", "application/json"),
}


def check(
    command: click.Command,
    context: click.Context,
    url: str,
    home: Path,
    run: Callable[..., Ran] = gorilla,
) -> None:
    """Run a command, and see that it ends as the reference page says."""
    arguments = arguments_for(command, context, home)
    path = context.command_path.split()[1:]

    ran = run(
        *path, *arguments, "--endpoint", url, "--deadline", str(DEADLINE_S), home=home, text=""
    )

    said = f"gorilla {' '.join([*path, *arguments])}: {ran}"
    assert "Traceback" not in ran.out + ran.err, said
    assert "bug" not in ran.err, said
    assert ran.took_s < DEADLINE_S + SLACK_S, said
    if path[0] in LOCAL:
        assert ran.code in {Exit.OK, Exit.USAGE, Exit.NOT_FOUND}, said
        return
    assert ran.code in TOLD, said
    lines = ran.err.strip().splitlines()
    assert lines, said
    assert lines[-1].startswith("gorilla: ") or path[0] in REPORTING, said
    assert lines[-1].endswith((".", "?")), said


@pytest.mark.parametrize(("command", "context"), ASKING)
def test_a_command_says_that_no_node_can_be_reached(command, context, tmp_path):
    check(command, context, DEAD, tmp_path)


@pytest.mark.parametrize("other", OTHERS)
def test_a_command_says_that_what_answers_is_no_gorilla(other, tmp_path):
    # Mostly they wait for an answer, so several do at a time, each in a process of its own.
    with listening(OTHERS[other]) as url, ThreadPoolExecutor(AT_A_TIME) as pool:
        checks = [pool.submit(check, *one.values, url, tmp_path, process) for one in ASKING]
    for one in checks:
        one.result()
