"""Shows a cluster again and again: on a terminal in place, elsewhere page after page."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from gorilla.cli.cluster_looking import leaders_view
from gorilla.cli.cluster_shown import Status, missing, status_of, status_views
from gorilla.cli.failures import CommandError, Exit, explained
from gorilla.cli.output import Output
from gorilla.client.errors import GorillaError
from gorilla.wire.bodies import ClusterBody

if TYPE_CHECKING:
    from gorilla.client import Client

PAGE_S_MAX: Final = 3.0
"""How long a page waits for an answer before it says that there is none (seconds)."""

INTERVAL_S: Final = 1.0
HEALTHY_S_MAX: Final = 300.0
"""How long ``--watch`` waits for a change to end in a healthy cluster."""

_OTHER_SCREEN: Final = "\x1b[?1049h\x1b[?25l"
_FIRST_SCREEN: Final = "\x1b[?25h\x1b[?1049l"
_FROM_THE_TOP: Final = "\x1b[H"
_REST_OF_LINE: Final = "\x1b[K"
_REST_OF_SCREEN: Final = "\x1b[J"


class Unanswered(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What ``-o json`` prints in place of a status when nobody answers."""

    unavailable: str


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


def watch(
    client: "Client",
    out: Output,
    interval_s: float,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Show the status of the cluster until Ctrl-C; a cluster that does not answer is told."""
    pages = Pages(out)
    with pages.open():
        while True:
            pages.show(*_page(client, out))
            pause(interval_s)


def _page(client: "Client", out: Output) -> tuple[Status | Unanswered, str]:
    try:
        view = leaders_view(client)
    except GorillaError as error:
        sentence = explained(error).sentence
        return Unanswered(unavailable=sentence), f"{out.painted(sentence, 'bad')}\n"
    blocks = ["\n".join(out.laid_out(one)) for one in status_views(view)]
    return status_of(view), "\n\n".join(blocks) + "\n"


def until_healthy(
    client: "Client",
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
        view, lacks = _lacks(client)
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


def _lacks(client: "Client") -> tuple[ClusterBody | None, str]:
    try:
        view = leaders_view(client)
    except GorillaError as error:
        return None, explained(error).sentence.rstrip(".")
    return view, "; ".join(missing(view))
