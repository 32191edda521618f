"""Shows a cluster again and again: on a terminal in place, elsewhere page after page."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from gorilla.cli.cluster_answers import Around, asked_of
from gorilla.cli.cluster_looking import Looker, look_around
from gorilla.cli.cluster_shown import (
    Status,
    Unanswered,
    around_views,
    missing,
    status_of,
)
from gorilla.cli.failures import CommandError, Exit, explained
from gorilla.cli.output import Output
from gorilla.cli.renewing import Renewing
from gorilla.wire.bodies import ClusterBody

INTERVAL_S: Final = 1.0
HEALTHY_S_MAX: Final = 300.0
"""How long ``--watch`` waits for a change to end in a healthy cluster."""

_OTHER_SCREEN: Final = "\x1b[?1049h\x1b[?25l"
_FIRST_SCREEN: Final = "\x1b[?25h\x1b[?1049l"
_FROM_THE_TOP: Final = "\x1b[H"
_REST_OF_LINE: Final = "\x1b[K"
_REST_OF_SCREEN: Final = "\x1b[J"


class Pages:
    """Shows pages of one kind, each in the place of the one before it on a terminal."""

    def __init__(self, out: Output) -> None:
        """Show them on ``out``."""
        self._out = out
        self._in_place = out.form == "table" and out.on_terminal
        self._last = ""
        self._count = 0

    @contextmanager
    def open(self) -> Iterator[None]:
        """Use the terminal's other screen; the last page stays on the first one."""
        if not self._in_place:
            yield
            return
        self._out.write(_OTHER_SCREEN)
        try:
            yield
        finally:
            self._out.write(_FIRST_SCREEN + self._last)
            self._out.flush()

    def show(self, data: Status | Unanswered, text: str) -> None:
        """Show one page."""
        self._count += 1
        if self._out.form != "table":
            self._out.show_next(data, "")
            return
        if self._in_place:
            self._last = text
            lines = text.replace("\n", f"{_REST_OF_LINE}\n")
            self._out.write(f"{_FROM_THE_TOP}{lines}{_REST_OF_SCREEN}")
        else:
            self._out.write(text if self._count == 1 else f"\n{text}")
        self._out.flush()


def watch(looker: Looker, out: Output, interval_s: float) -> int:
    """Show the status of the cluster until Ctrl-C; a cluster that does not answer is told.

    Returns:
        The signal that ended it.

    """
    pages = Pages(out)
    with Renewing(lambda: look_around(looker), interval_s) as renewing, pages.open():
        for around in renewing:
            blocks = ["\n".join(out.laid_out(one)) for one in around_views(around)]
            pages.show(document_of(around), "\n\n".join(blocks) + "\n")
    return renewing.ended_by


def document_of(around: Around) -> Status | Unanswered:
    """Return what programs are shown."""
    if around.best is None:
        sentence = explained(around.no_answer()).sentence
        return Unanswered(unavailable=sentence, asked=asked_of(around.answers))
    return status_of(around.best, around.answers)


def until_healthy(
    looker: Looker,
    out: Output,
    *,
    limit_s: float = HEALTHY_S_MAX,
    pause: Callable[[float], None] = time.sleep,
) -> ClusterBody:
    """Wait until every member is up and near and somebody leads; tell what is missing meanwhile.

    Raises:
        CommandError: It did not come to that in time.

    """
    told, waited_s = "", 0.0
    while True:
        view, lacks = _lacks(looker)
        if view is not None and not lacks:
            out.say("The cluster is healthy.", "good")
            return view
        if waited_s >= limit_s:
            text = f"Not healthy after {limit_s:.0f} s: {lacks}. The change itself is made."
            raise CommandError(text, Exit.CONFLICT)
        if lacks != told:
            out.say(f"Waiting: {lacks}.")
        told = lacks
        pause(INTERVAL_S)
        waited_s += INTERVAL_S


def _lacks(looker: Looker) -> tuple[ClusterBody | None, str]:
    around = look_around(looker)
    if around.best is None:
        return None, explained(around.no_answer()).sentence.rstrip(".")
    return around.best, "; ".join(missing(around.best))
