"""What TAB offers that only the config file or a node knows; quick, and silent when it can't."""

import os

import click

from gorilla.cli import contexts
from gorilla.cli.failures import CommandError


def context_names(_context: click.Context, incomplete: str) -> list[str]:
    """Return the contexts whose names begin so."""
    try:
        file = contexts.read_config(contexts.config_path(os.environ))
    except CommandError:
        return []
    return sorted(name for name in file.contexts if name.startswith(incomplete))
