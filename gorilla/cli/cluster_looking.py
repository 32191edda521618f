"""Finds out how the cluster is, soon: whoever there is is asked at once, and answers for itself.

A node tells what it knows without asking another one, also where there is no quorum. What is best
known is what the leader says, which alone knows how far each member is.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from gorilla.cli.at_once import AtOnce
from gorilla.cli.cluster_answers import Answer, Around, best_of
from gorilla.client.blocking import run_now
from gorilla.client.calls import cluster
from gorilla.client.clock import now_s
from gorilla.client.errors import GorillaError, RequestRefused
from gorilla.client.http_urllib3 import BlockingIo
from gorilla.client.ports import AttemptFailed, HttpAnswer
from gorilla.client.refusals import raised, refusal_of, stranger
from gorilla.client.settings import ClientSettings
from gorilla.wire.bodies import ClusterBody

if TYPE_CHECKING:
    from gorilla.cli.app import Cli

ANSWER_S_MAX: Final = 2.0
"""How long an endpoint may take; a cluster is looked at, not waited for."""

MORE_S_MAX: Final = 0.75
"""How long those may take besides that are known from what the endpoints said."""

AFTER_LEADER_S: Final = 0.5
"""How long the others may take once the leader has told."""

LOOKS_MAX: Final = 6
"""How often the endpoints are asked when the leader can't be asked directly: one of them may be a
load balancer, and each of its answers another node's."""

AGAIN_S: Final = 0.5
"""Pause before all are asked again where nobody answered, and somebody waits for that."""

TOLD_S: Final = 0.2
"""How often it is told how far it is."""

_OK: Final = 200


class Looker:
    """Asks nodes how they see their cluster, each once and for itself."""

    def __init__(self, settings: ClientSettings) -> None:
        """Ask as these settings say; nothing is connected to yet."""
        self.endpoints = settings.endpoints
        self.patience_s = settings.deadline_s
        self._io = BlockingIo(settings)

    def ask(self, url: str, timeout_s: float) -> ClusterBody:
        """Ask one address, once.

        Raises:
            AttemptFailed: It did not answer.
            RequestRefused: It answered, and with no view.

        """
        answer = run_now(self._io.send(url, cluster.status(), timeout_s))
        try:
            if answer.status == _OK:
                return msgspec.json.decode(answer.body, type=ClusterBody)
        except msgspec.MsgspecError as error:
            raise raised(stranger(answer)) from error
        raise _refused(answer)

    def close(self) -> None:
        """Close every connection; who is asked just then is asked no more."""
        self._io.close()


def _refused(answer: HttpAnswer) -> RequestRefused:
    return raised(refusal_of(answer) or stranger(answer))


def looker_of(cli: "Cli") -> Looker:
    """Return one that is closed when the command ends."""
    looker = Looker(cli.client().settings)
    cli.at_end(looker.close)
    return looker


def look_around(looker: Looker, tell: Callable[[str], object] = lambda _text: None) -> Around:
    """Ask all endpoints at once, and then those that they tell of, within some seconds.

    Args:
        looker: How to ask.
        tell: Told how far it is, when it takes a while; an empty text at the end.

    """
    within_s = min(ANSWER_S_MAX, looker.patience_s)
    answers = _asked(looker, looker.endpoints, within_s, tell)
    best = best_of(answers)
    if best is not None and best.role != "leader":
        urls = list(_others(answers, best))
        found = _asked(looker, urls, min(MORE_S_MAX, looker.patience_s), tell)
        answers += [one for one in found if _is_news(one, answers)]
    tell("")
    return Around(answers=tuple(_once_each(answers)))


def leaders_view(looker: Looker, pause: Callable[[float], None] = time.sleep) -> ClusterBody:
    """Return the leader's view of the cluster; when it can't be asked, the one that knows most.

    Raises:
        GorillaError: Nobody answered, for as long as the settings let anybody try.

    """
    until_s = now_s() + looker.patience_s
    while True:
        around = look_around(looker)
        if around.best is not None:
            return around.best
        error = around.no_answer()
        if isinstance(error, RequestRefused) or now_s() + AGAIN_S >= until_s:
            raise error
        pause(AGAIN_S)


def _asked(
    looker: Looker, urls: Sequence[str], within_s: float, tell: Callable[[str], object]
) -> list[Answer]:
    """Ask all of them at once; who is late has not answered."""
    began_s = now_s()
    until_s = began_s + within_s
    asking = AtOnce(urls, lambda url: _answer(looker, url, within_s))
    is_led = False
    while asking.left and (left_s := until_s - now_s()) > 0:
        asking.wait(min(left_s, TOLD_S))
        if not is_led and any(one is not None and _leads(one) for one in asking.found):
            is_led = True
            until_s = min(until_s, now_s() + AFTER_LEADER_S)
        if asking.left and now_s() - began_s >= TOLD_S:
            tell(f"Asking: {len(urls) - asking.left} of {len(urls)} answered…")
    late = f"no answer within {now_s() - began_s:.1f} s"
    return [
        one or Answer(url=url, failure=late) for url, one in zip(urls, asking.found, strict=True)
    ]


def _answer(looker: Looker, url: str, timeout_s: float) -> Answer:
    try:
        return Answer(url=url, view=looker.ask(url, timeout_s))
    except AttemptFailed as error:
        return Answer(url=url, failure=str(error))
    except GorillaError as error:
        return Answer(url=url, failure=str(error), error=error)


def _leads(one: Answer) -> bool:
    return one.view is not None and one.view.role == "leader"


def _others(answers: Sequence[Answer], seen: ClusterBody) -> Iterator[str]:
    """Return where else to ask: members that are no endpoints, and what may be a balancer."""
    asked = {one.url for one in answers}
    told = {one.view.node for one in answers if one.view is not None}
    for member in seen.members:
        # It may be an address of a network that this machine is not in.
        url = f"http://{member.http}"
        if member.name not in told and url not in asked:
            yield url
    if seen.leader is not None:
        for one in answers:
            if one.view is not None:
                yield from [one.url] * LOOKS_MAX


def _is_news(one: Answer, answers: Sequence[Answer]) -> bool:
    """Return whether an answer is of an address, or a node, that had none before."""
    if one.view is None:
        return one.url not in {other.url for other in answers}
    return one.view.node not in {other.view.node for other in answers if other.view is not None}


def _once_each(answers: Sequence[Answer]) -> Iterator[Answer]:
    seen = set()
    for one in answers:
        key = (one.url, None if one.view is None else one.view.node)
        if key not in seen:
            seen.add(key)
            yield one
