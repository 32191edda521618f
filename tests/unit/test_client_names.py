"""Names are looked up, and connected to, within a bound, however long the resolver takes."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from gorilla.client.names import Names, connected


class Resolver:
    """Stands in for the system's; it says nothing before it may."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may_answer = threading.Event()
        self.asked: list[str] = []
        self.addresses = ["127.0.0.1"]
        self._system = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self)

    def __call__(self, host: str, port: int, **how: Any) -> list[Any]:
        if how.get("flags"):
            return self._system(host, port, **how)
        self.asked.append(host)
        assert self.may_answer.wait(10)
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [one for name in self.addresses for one in self._system(name, port, **how)]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    made = Resolver(monkeypatch)
    yield made
    made.may_answer.set()


@contextmanager
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_resolver_that_says_nothing_is_not_waited_for_and_asked_once_at_a_time(resolver):
    names = Names()
    began_s = time.monotonic()

    for _ in range(3):
        with pytest.raises(TimeoutError, match=r"about the name node\.example"):
            names.addresses("node.example", 4000, 0.05)

    assert time.monotonic() - began_s < 5
    assert resolver.asked == ["node.example"]
    resolver.may_answer.set()
    assert names.addresses("node.example", 4000, 5)[0][4] == ("127.0.0.1", 4000)


def test_all_who_wait_for_a_name_get_its_addresses(resolver):
    names = Names()
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(names.addresses, "node.example", 1, 10) for _ in range(4)]
        resolver.may_answer.set()
        found = [one.result() for one in waiting]

    assert len({str(one) for one in found}) == 1


def test_a_name_that_nobody_has_is_an_error_each_time(resolver):
    resolver.addresses = []
    resolver.may_answer.set()
    names = Names()

    for _ in range(2):
        with pytest.raises(socket.gaierror):
            names.addresses("node.example", 4000, 5)
    assert len(resolver.asked) == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_is_no_name(resolver, host):
    [address] = Names().addresses(host, 4000, 0.0)

    assert address[4][:2] == (host, 4000)
    assert resolver.asked == []


def test_the_next_address_is_tried_when_one_refuses(resolver):
    resolver.addresses = ["127.0.0.2", "127.0.0.1"]
    resolver.may_answer.set()
    with listening() as port:
        made = connected(Names(), "node.example", port, [], 5)
        assert made.getpeername() == ("127.0.0.1", port)
        made.close()


def test_addresses_share_the_time_that_there_is(resolver):
    """The first two take no connection: their queues are full."""
    resolver.addresses = ["127.0.0.2", "127.0.0.3", "127.0.0.1"]
    resolver.may_answer.set()
    full, filling = [], []
    with listening() as port:
        for address in resolver.addresses[:2]:
            server = socket.socket()
            server.bind((address, port))
            server.listen(0)
            full.append(server)
            for _ in range(4):
                one = socket.socket()
                one.setblocking(False)
                one.connect_ex((address, port))
                filling.append(one)
        began_s = time.monotonic()
        made = connected(Names(), "node.example", port, [], 0.9)

        assert made.getpeername() == ("127.0.0.1", port)
        assert 0.3 <= time.monotonic() - began_s < 3
    for one in (made, *full, *filling):
        one.close()


def test_when_no_address_can_be_connected_to_the_last_error_is_told(resolver):
    resolver.addresses = ["127.0.0.2", "127.0.0.3"]
    resolver.may_answer.set()
    with listening() as port, pytest.raises(ConnectionRefusedError):
        connected(Names(), "node.example", port, [], 5)
