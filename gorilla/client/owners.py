"""Under which owner a client asks, and what it holds by now.

The cluster takes a second request of one owner for a retry: it gets the same lock. So those who
must exclude each other need owners of their own: every thread, or task, of every client has one. It
is the same for all its locks, because the cluster finds deadlocks between owners.
"""

import asyncio
import itertools
import os
import secrets
import threading
from typing import Final, Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

from gorilla.client.errands import Errands
from gorilla.client.errors import AlreadyHeld, ForkedError
from gorilla.wire.fields import NAME_CHARS_MAX

_RANDOM_BYTES: Final = 5


class Holding(Protocol):
    """What is held."""

    @property
    def lost(self) -> object | None:
        """Why it is lost, or None."""


H = TypeVar("H", bound=Holding)


class Owners:
    """Names of the actors of one client."""

    def __init__(self, name: str) -> None:
        """Begin with none.

        Args:
            name: Of the program, for people; made unique.

        """
        unique = f"/{secrets.token_hex(_RANDOM_BYTES)}"
        self._name = name[: NAME_CHARS_MAX - len(unique) - 12] + unique
        self._numbers = itertools.count(1)
        self._thread = threading.local()
        self._tasks: WeakKeyDictionary[asyncio.Task[object], str] = WeakKeyDictionary()

    def of_thread(self) -> str:
        """Return the owner that this thread asks under."""
        owner: str | None = getattr(self._thread, "owner", None)
        if owner is None:
            owner = self._thread.owner = self.another()
        return owner

    def of_task(self) -> str:
        """Return the owner that this task of asyncio asks under."""
        task = asyncio.current_task()
        if task is None:
            return self.another()
        owner = self._tasks.get(task)
        if owner is None:
            owner = self._tasks[task] = self.another()
        return owner

    def another(self) -> str:
        """Return an owner that nobody else has."""
        return f"{self._name}.{next(self._numbers)}"


class Registry(Generic[H]):
    """What a client holds by now: it asks for nothing twice under one owner.

    It keeps nothing alive: what the program forgot to release is not held on its account.

    Attributes:
        errands: Sees to what interrupted calls leave behind.

    """

    def __init__(self, errands: Errands) -> None:
        """Begin with nothing."""
        self.errands = errands
        self._pid = os.getpid()
        self._guard = threading.Lock()
        self._asked: set[tuple[str, str]] = set()
        self._held: WeakValueDictionary[tuple[str, str], H] = WeakValueDictionary()
        self._nameless: WeakSet[H] = WeakSet()

    def reserve(self, resources: tuple[str, ...], owner: str) -> None:
        """Note what is asked for.

        Raises:
            AlreadyHeld: The owner has it already, or asks for it just now.
            ForkedError: In another process; the guard may be held for ever there.

        """
        if self.is_forked:
            raise ForkedError
        keys = [(resource, owner) for resource in resources]
        with self._guard:
            for key in keys:
                held = self._held.get(key)
                if key in self._asked or (held is not None and held.lost is None):
                    raise AlreadyHeld(*key)
            self._asked.update(keys)

    def fill(self, resources: tuple[str, ...], owner: str, held: H | None) -> None:
        """Note what was given; None: nothing was."""
        with self._guard:
            for resource in resources:
                self._asked.discard((resource, owner))
                if held is not None:
                    self._held[resource, owner] = held
            if held is not None and not resources:
                self._nameless.add(held)

    @property
    def is_forked(self) -> bool:
        """Whether this is another process than the one that holds."""
        return os.getpid() != self._pid

    @property
    def is_asking(self) -> bool:
        """Whether something is asked for just now."""
        return bool(self._asked)

    def forget(self, resources: tuple[str, ...], owner: str, held: H) -> None:
        """Note that ``held`` is held no more."""
        with self._guard:
            for resource in resources:
                if self._held.get((resource, owner)) is held:
                    del self._held[resource, owner]
            self._nameless.discard(held)

    def all(self) -> list[H]:
        """Return everything that is held, each once; sessions after what may live in them."""
        with self._guard:
            held = [*self._held.values(), *self._nameless]
        return list({id(one): one for one in held}.values())
