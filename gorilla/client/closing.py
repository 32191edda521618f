"""What a client does before it is closed: one logic for both faces."""

from typing import Final

from gorilla.client.asking import Asker
from gorilla.client.ending import Registered, log
from gorilla.client.errands import ERRAND_S
from gorilla.client.errors import ClosedError, GorillaError, LockLost
from gorilla.client.taking import RELEASE_S

ASKING_S: Final = ERRAND_S + 0.5
"""How long calls that ask for a lock just now are waited for (seconds)."""

LOOK_S: Final = 0.01


async def let_all_go(asker: Asker, registered: Registered) -> None:
    """Release what is held still, and what is given just now, within a bound.

    In another process than the one that holds it nothing is done.
    """
    if registered.is_forked:
        return
    try:
        await _settled(asker, registered)
    except ClosedError:
        log.debug("the client was closed before: what it asked for ends by itself")
    until_s = asker.now_s() + RELEASE_S
    for held in registered.all():
        if asker.now_s() >= until_s:
            log.warning("%s was held when its client was closed: it ends by itself", held.name)
            held.drop()
            continue
        try:
            await held.let_go()
        except LockLost as error:
            log.debug("%s was lost before its client was closed: %s", held.name, error)
        except GorillaError as error:
            log.warning("%s was held when its client was closed: %s", held.name, error)


async def _settled(asker: Asker, registered: Registered) -> None:
    """Wait until nothing is asked for any more, within a bound."""
    until_s = asker.now_s() + ASKING_S
    # Each of these threads or tasks ends within an attempt, and none of them can be told to.
    while registered.is_asking and asker.now_s() < until_s:
        await asker.pause(LOOK_S)
    await registered.errands.settle()
