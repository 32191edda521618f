"""Looks names of machines up within a bound, and connects to one of their addresses in time.

The system's resolver has no deadline: without a network it may take half a minute, and whoever
extends a lock can't wait for that.
"""

import socket
import threading
from typing import Final

from gorilla.client import clock

CONNECT_S_LEAST: Final = 0.001

Address = tuple[
    socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int]
]
Option = tuple[int, int, int | bytes]


class _Lookup:
    """One question to the resolver, and its answer; any number of threads may wait for it."""

    def __init__(self) -> None:
        self.is_done = threading.Event()
        self.found: list[Address] = []
        self.error: OSError | None = None


class Names:
    """The names that a client asks for; each is asked for once at a time."""

    def __init__(self) -> None:
        """Begin with no question."""
        self._guard = threading.Lock()
        self._lookups: dict[tuple[str, int], _Lookup] = {}

    def addresses(self, host: str, port: int, timeout_s: float) -> list[Address]:
        """Return the addresses of a host.

        Raises:
            TimeoutError: The resolver did not answer in time.
            OSError: There is no such name.

        """
        try:
            # An address needs no resolver.
            return _ask(host, port, socket.AI_NUMERICHOST)
        except socket.gaierror:
            lookup = self._lookup(host, port)
        if not lookup.is_done.wait(timeout_s):
            raise TimeoutError(f"no answer about the name {host}")
        if lookup.error is not None:
            raise type(lookup.error)(*lookup.error.args)
        return lookup.found

    def _lookup(self, host: str, port: int) -> _Lookup:
        key = (host, port)
        with self._guard:
            lookup = self._lookups.get(key)
            if lookup is not None:
                return lookup
            lookup = self._lookups[key] = _Lookup()
        try:
            asking = threading.Thread(
                target=self._run, args=(key, lookup), name="gorilla-names", daemon=True
            )
            asking.start()
        except BaseException:
            self._forget(key)
            raise
        return lookup

    def _run(self, key: tuple[str, int], lookup: _Lookup) -> None:
        try:
            lookup.found = _ask(*key)
        except OSError as error:
            lookup.error = error
        except UnicodeError as error:
            lookup.error = socket.gaierror(socket.EAI_NONAME, f"{error}")
        finally:
            self._forget(key)
            lookup.is_done.set()

    def _forget(self, key: tuple[str, int]) -> None:
        with self._guard:
            self._lookups.pop(key, None)


def connected(
    names: Names, host: str, port: int, options: list[Option], timeout_s: float
) -> socket.socket:
    """Connect to the first address of a host that can be connected to.

    Raises:
        OSError: There is none, or not in time.

    """
    until_s = clock.now_s() + timeout_s
    addresses = names.addresses(host, port, timeout_s)
    failure: OSError = socket.gaierror(socket.EAI_NONAME, "the name has no address")
    for number, address in enumerate(addresses):
        left_s = (until_s - clock.now_s()) / (len(addresses) - number)
        try:
            return _connect(address, options, max(CONNECT_S_LEAST, left_s))
        except OSError as error:
            failure = error
    raise failure


def _connect(address: Address, options: list[Option], timeout_s: float) -> socket.socket:
    family, kind, protocol, _, place = address
    made = socket.socket(family, kind, protocol)
    try:
        for option in options:
            made.setsockopt(*option)
        made.settimeout(timeout_s)
        made.connect(place)
    except BaseException:
        made.close()
        raise
    return made


def _ask(host: str, port: int, flags: int = 0) -> list[Address]:
    # The resolver may give an address that it can't write as text; nobody can connect there.
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [address for address in found if isinstance(address[4][0], str)]  # type: ignore[misc]
