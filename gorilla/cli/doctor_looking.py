"""Goes and looks: gathers what the doctor's checks judge. Each address is asked on its own."""

import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from gorilla.cli.at_once import each
from gorilla.cli.cluster_outlook import knowledge
from gorilla.cli.doctor_certificates import certificate_of_server
from gorilla.cli.doctor_evidence import Address, Look
from gorilla.client.blocking import run_now
from gorilla.client.calls.call import Call, read
from gorilla.client.calls.machines import metrics, ready
from gorilla.client.http_urllib3 import BlockingIo
from gorilla.client.ports import AttemptFailed, HttpAnswer
from gorilla.client.settings import ClientSettings
from gorilla.wire.bodies import ClusterBody

ANSWER_S_MAX: Final = 3.0
"""How long an address may take for one answer."""

REQUESTS_OF_BALANCER: Final = 8
"""Requests on connections of their own, to see who answers."""

_OK: Final = 200
_CLOSE: Final = {"Connection": "close"}
_NODE_HEADER: Final = "x-gorilla-node"

T = TypeVar("T")
R = TypeVar("R")


class Looking:
    """Looks at every address of one cluster, at all of them at once."""

    def __init__(self, settings: ClientSettings) -> None:
        """Look with these settings."""
        self.settings = settings
        self._io = BlockingIo(settings)

    def close(self) -> None:
        """Close every connection."""
        self._io.close()

    def first(self) -> list[Address]:
        """Look at every endpoint, and at every member that they tell of."""
        given = each(self.settings.endpoints, self._first_given)
        best = max(
            (one.last.view for one in given if one.last is not None),
            key=knowledge,
            default=None,
        )
        if best is None:
            return given
        urls = [*(one.url for one in given), *(f"http://{one.http}" for one in best.members)]
        places = each(urls, _places)
        known = dict(zip(places, given, strict=False))
        members = dict(zip(places[len(given) :], best.members, strict=True))
        named = [
            msgspec.structs.replace(one, member=None if member is None else member.name)
            for place, one in known.items()
            for member in [_matching(place, members)]
        ]
        missing = [
            (member.name, f"http://{member.http}")
            for member in best.members
            if member.name not in {one.member for one in named}
        ]
        return [*named, *each(missing, lambda pair: self._first(pair[1], member=pair[0]))]

    def again(self, addresses: list[Address]) -> list[Address]:
        """Look a second time at those that answered, and at all that they serve besides."""
        return each(addresses, self._second)

    def _first_given(self, url: str) -> Address:
        return self._first(url, member=None, given=True)

    def _first(self, url: str, *, member: str | None, given: bool = False) -> Address:
        address = Address(url=url, given=given, member=member)
        if url.startswith("https:"):
            certificate = certificate_of_server(url, self.settings, ANSWER_S_MAX)
            address = msgspec.structs.replace(address, certificate=certificate)
        try:
            # The first one opens the connection, so that the others are quick.
            self._look(url)
            return msgspec.structs.replace(address, looks=(self._look(url),))
        except (AttemptFailed, ValueError) as error:
            return msgspec.structs.replace(address, failure=_why(error))

    def _second(self, address: Address) -> Address:
        if not address.looks:
            return address
        try:
            looks = (*address.looks, self._look(address.url))
        except (AttemptFailed, ValueError) as error:
            return msgspec.structs.replace(address, looks=(), failure=_why(error))
        is_ready, unready = self._ready(address.url)
        return msgspec.structs.replace(
            address,
            looks=looks,
            ready=is_ready,
            unready=unready,
            metrics=self._metrics(address.url),
            nodes=self._nodes(address.url),
        )

    def _look(self, url: str) -> Look:
        asked_s, asked_at_s = time.monotonic(), wall_s()
        answer = self._send(url, read("/api/v1/cluster", ClusterBody))
        answered_s, answered_at_s = time.monotonic(), wall_s()
        if answer.status != _OK:
            raise ValueError(f"it answers {answer.status}{_told(answer)}")
        try:
            view = msgspec.json.decode(answer.body, type=ClusterBody)
        except msgspec.MsgspecError as error:
            raise ValueError("its answer is none of Gorilla's") from error
        return Look(
            asked_s=asked_s,
            answered_s=answered_s,
            asked_at_s=asked_at_s,
            answered_at_s=answered_at_s,
            date_s=_date_s(answer.headers.get("date")),
            view=view,
        )

    def _ready(self, url: str) -> tuple[bool | None, str]:
        try:
            answer = self._send(url, ready(verbose=True))
        except AttemptFailed as error:
            return None, str(error)
        return answer.status == _OK, _detail(answer).removeprefix("Not ready: ")

    def _metrics(self, url: str) -> Mapping[str, float] | None:
        try:
            answer = self._send(url, metrics())
        except AttemptFailed:
            return None
        return figures_of(answer.body.decode(errors="replace")) if answer.status == _OK else None

    def _nodes(self, url: str) -> tuple[str, ...]:
        """Return who answers, request by request, each on a connection of its own."""
        call = replace(ready(), headers=_CLOSE)
        found = []
        for _ in range(REQUESTS_OF_BALANCER):
            with suppress(AttemptFailed):
                name = self._send(url, call).headers.get(_NODE_HEADER)
                found += [name] if name else []
        return tuple(found)

    def _send(self, url: str, call: Call[R]) -> HttpAnswer:
        return run_now(self._io.send(url, call, ANSWER_S_MAX))


def figures_of(text: str) -> dict[str, float]:
    """Read the metrics without labels out of the text format of Prometheus."""
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name.startswith("#") or "{" in name:
            continue
        with suppress(ValueError):
            found[name] = float(value)
    return found


def _date_s(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


def _detail(answer: HttpAnswer) -> str:
    try:
        body = msgspec.json.decode(answer.body, type=dict[str, object])
    except msgspec.MsgspecError:
        return f"it answers {answer.status}"
    return str(body.get("detail") or f"it answers {answer.status}")


def _told(answer: HttpAnswer) -> str:
    detail = _detail(answer)
    return "" if detail.startswith("it answers") else f": {detail.rstrip('.')}"


def _why(error: Exception) -> str:
    return (str(error) or type(error).__name__).rstrip(".")


_Place = frozenset[tuple[str, int]]


def _places(url: str) -> _Place:
    """Return every address of a URL's host with the port: names of one host are one place."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = parts.hostname or ""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return frozenset({(host, port)})
    return frozenset({(str(one[4][0]), port) for one in found} | {(host, port)})


def _matching(place: _Place, members: Mapping[_Place, T]) -> T | None:
    return next((member for other, member in members.items() if place & other), None)


def now() -> datetime:
    """Return the moment by this machine's wall clock."""
    return datetime.fromtimestamp(wall_s(), UTC)


def wall_s() -> float:
    """Return the same in seconds since 1970."""
    return time.time_ns() / 1e9
