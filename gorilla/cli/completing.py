"""What TAB offers that only the config file or a node knows; quick, and silent when it can't."""

import itertools
import os
from typing import Final

import click

from gorilla.cli import contexts
from gorilla.cli.failures import CommandError

DEADLINE_S: Final = 1.0
"""Nobody waits longer at a TAB."""

NAMES_MAX: Final = 100


def context_names(_context: click.Context, incomplete: str) -> list[str]:
    """Return the contexts whose names begin so."""
    try:
        file = contexts.read_config(contexts.config_path(os.environ))
    except CommandError:
        return []
    return sorted(name for name in file.contexts if name.startswith(incomplete))


def lock_names(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return locks that are held just now and whose names begin so."""
    from gorilla.cli.app import Cli  # noqa: PLC0415 - app imports the nouns

    cli = context.ensure_object(Cli)
    try:
        with cli.client(deadline_s=DEADLINE_S, attempt_s=DEADLINE_S) as client:
            found = client.list_locks(prefix=incomplete, page=NAMES_MAX, stale=True)
            names = dict.fromkeys(one.resource for one in itertools.islice(found, NAMES_MAX))
    except Exception:  # whatever it is, a TAB is no place to tell of it
        return []
    return list(names)


LOCK: Final = lock_names
"""Completes the name of a lock."""
