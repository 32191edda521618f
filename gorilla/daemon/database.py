"""Which database a command works with: the configured one, or the embedded one."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gorilla.config import ClusterConfig
from gorilla.daemon.failures import CommandError

EMBEDDED_DIRECTORY: Final = "postgresql"

NO_DATABASE: Final = (
    "no database is configured, and `gorillad up` has not made one here: set GORILLA_DATABASE_URL "
    "(or database.url)"
)


def embedded_directory(config: ClusterConfig) -> Path:
    """Return where ``gorillad up`` keeps its own PostgreSQL."""
    return Path(config.node.data_dir) / EMBEDDED_DIRECTORY


def embedded_note(config: ClusterConfig) -> str | None:
    """Say where the embedded one keeps its data, if that is not where one would look."""
    link = embedded_directory(config)
    if config.database.url or not link.is_symlink():
        return None
    return f"its data is in {link.resolve()}, which its account may enter; {link} is a link to it"


@contextlib.contextmanager
def database_url(config: ClusterConfig, *, make: bool = False) -> Iterator[str]:
    """Give the URL of the database for as long as the block runs.

    Without a configured one it is the embedded one: as it runs under ``gorillad up``, or started
    for the block.

    Args:
        config: Says which.
        make: Whether to make an embedded one where there is none yet.

    Raises:
        CommandError: There is none.

    """
    if config.database.url:
        yield config.database.url.reveal()
        return
    # Only here: the imports take time that no node should pay.
    from gorilla.storage.embedded import EmbeddedPostgres, running_url  # noqa: PLC0415
    from gorilla.storage.server_account import EmbeddedPostgresInUseError  # noqa: PLC0415

    directory = embedded_directory(config)
    if not make and not (directory / "data").exists():
        raise CommandError(NO_DATABASE)
    server = EmbeddedPostgres(directory)
    try:
        # Not running_url first: a server whose supervisor was killed answers, and is ours to stop.
        url = server.start()
    except EmbeddedPostgresInUseError:
        running = running_url(directory)
        if running is None:
            raise
        url = running
    try:
        yield url
    finally:
        server.stop()
