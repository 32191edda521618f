"""``gorilla lock``: everything about locks."""

import click

from gorilla.cli import lock_looking, lock_repairing, lock_taking, lock_top, lock_watching
from gorilla.cli.options import Noun


@click.group(cls=Noun)
def lock() -> None:
    """Acquire, release, look at and repair locks.

    To hold a lock for as long as a command runs, use gorilla run.
    """


for _verb in (
    *lock_taking.VERBS,
    *lock_looking.VERBS,
    *lock_repairing.VERBS,
    lock_watching.watch,
    lock_top.top,
):
    lock.add_command(_verb)
