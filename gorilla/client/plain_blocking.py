"""The calls of the API, one method each; nothing is extended or released by itself."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TypeVar

from typing_extensions import Unpack

from gorilla.client import slices
from gorilla.client.asking import Asker
from gorilla.client.blocking import each_now, run_now
from gorilla.client.calls import Call, groups, history, locks, machines
from gorilla.client.calls.asked import AcquireOptions, fields_of
from gorilla.client.calls.history import HistoryQuery
from gorilla.client.events_blocking import Events
from gorilla.client.events_following import Following
from gorilla.client.paging import Cursor
from gorilla.wire.asking import AcquireAllBody, AcquireBody, AskedHoldersBody, GroupBody
from gorilla.wire.bodies import HealthBody, HeldLockBody, LockBody, LockStateBody, ReadyBody
from gorilla.wire.history import HistoryBody, HoldEntryBody, WaitEntryBody
from gorilla.wire.looking import ExplanationBody, FencingBody, ForcedBody

T = TypeVar("T")


class PlainCalls:
    """Calls on locks, and questions to nodes.

    Every one raises :class:`RequestRefused`, :class:`Unavailable` or :class:`OutcomeUnknown`
    (writes only). ``endpoint`` asks that very node, once. Writes are repeated under one
    idempotency key, a new one unless ``idempotency_key`` names it.
    """

    _asker: Asker

    def _value(self, call: Call[T], endpoint: str | None = None) -> T:
        return run_now(self._asker.value(call, endpoint))

    def acquire(
        self,
        resource: str,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[AcquireOptions],
    ) -> LockBody:
        """Acquire a lock; it is held until it is released, or its timeout is over."""
        body, make = AcquireBody(**fields_of(options)), partial(locks.acquire, resource)
        return run_now(slices.acquire(self._asker, make, body, idempotency_key))

    def release(self, resource: str, token: str, *, idempotency_key: str | None = None) -> None:
        """Release the lock that ``token`` proves."""
        self._value(locks.release(resource, token, idempotency_key))

    def extend(
        self,
        resource: str,
        token: str,
        timeout: float,
        owner: str | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> LockBody:
        """Hold a lock for ``timeout`` seconds from now on; the answer has its new token."""
        return self._value(locks.extend(resource, token, timeout, owner, idempotency_key))

    def status(self, resource: str, token: str) -> LockBody:
        """Return how long the hold that ``token`` proves still lasts."""
        return self._value(locks.status(resource, token))

    def acquire_all(
        self,
        resources: Sequence[str],
        *,
        idempotency_key: str | None = None,
        **options: Unpack[AcquireOptions],
    ) -> GroupBody:
        """Acquire several locks at once: all of them, or none."""
        body = AcquireAllBody(resources=tuple(resources), **fields_of(options))
        return run_now(slices.acquire(self._asker, groups.acquire, body, idempotency_key))

    def extend_group(
        self,
        group: str,
        timeout: float,
        owner: str | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> GroupBody:
        """Hold what is left of a group for ``timeout`` seconds from now on, under new tokens."""
        return self._value(groups.extend(group, timeout, owner, idempotency_key))

    def release_group(self, group: str, *, idempotency_key: str | None = None) -> None:
        """Release what is left of a group."""
        self._value(groups.release(group, idempotency_key))

    def list_locks(
        self,
        prefix: str | None = None,
        owner: str | None = None,
        *,
        page: int | None = None,
        stale: bool = False,
    ) -> Iterator[HeldLockBody]:
        """Yield the held locks in the order of their names, without tokens.

        Args:
            prefix: How the names begin.
            owner: Whose they are.
            page: How many are asked for at a time (100).
            stale: Let each node answer at once from its own copy.

        """
        return each_now(
            Cursor(self._asker, locks.pages(prefix, owner, page, stale=stale), locks.on_page)
        )

    def show(
        self, resource: str, *, stale: bool = False, endpoint: str | None = None
    ) -> LockStateBody:
        """Return who holds a lock and who queues for it."""
        return self._value(locks.show(resource, stale=stale), endpoint)

    def explain(
        self, resource: str, owner: str | None = None, *, stale: bool = False
    ) -> ExplanationBody:
        """Return why ``owner``, or a newcomer, can't have a lock just now."""
        return self._value(locks.explain(resource, owner, stale=stale))

    def force_release(
        self,
        resource: str,
        reason: str,
        by: str | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> ForcedBody:
        """Make all holders of a lock let go; ``reason`` and ``by`` stay on record."""
        return self._value(locks.force(resource, reason, by, idempotency_key))

    def request_release(
        self,
        resource: str,
        owner: str,
        reason: str | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> AskedHoldersBody:
        """Ask the holders of a lock to let go; ``owner`` is who asks. Nothing is ended."""
        return self._value(locks.request_release(resource, owner, reason, idempotency_key))

    def check_fencing(
        self, resource: str, fencing_token: int, *, stale: bool = False
    ) -> FencingBody:
        """Return whether a number is of a present holder."""
        return self._value(locks.check_fencing(resource, fencing_token, stale=stale))

    def history(
        self, *, page: int | None = None, **query: Unpack[HistoryQuery]
    ) -> Iterator[HoldEntryBody | WaitEntryBody]:
        """Yield who held what, or waited in vain, those that began last first.

        Args:
            page: How many are asked for at a time (100).
            query: See :class:`HistoryQuery`.

        """
        return each_now(Cursor(self._asker, history.pages(query, page), history.on_page))

    def history_page(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        **query: Unpack[HistoryQuery],
    ) -> HistoryBody:
        """Return one page of the history, how far it is, and what it lacks."""
        return self._value(history.page(query, limit, cursor))

    def events(
        self,
        prefix: str | None = None,
        owner: str | None = None,
        types: Sequence[str] | None = None,
        after: int | None = None,
        *,
        positions: bool = False,
    ) -> Events:
        """Watch what happens.

        Args:
            prefix: How the locks' names begin.
            owner: Whose holds and waits.
            types: Types of events, like ``acquired``; a gap comes in any case.
            after: Number of the last event that is known; None: from now on.
            positions: Whether a :class:`PositionEventBody` comes when nothing of that happened up
                to an event, for programs that store where they are. ``last_id`` moves without.

        """
        return Events(Following(self._asker, prefix, owner, types, after, positions=positions))

    def ready(self, endpoint: str | None = None, *, leader: bool = False) -> ReadyBody:
        """Return when a node serves requests, with the checks that it made.

        Args:
            endpoint: Which node; None: any.
            leader: Whether it must lead, too.

        Raises:
            Unavailable: It does not; ``problem.checks`` has the checks that it made.

        """
        return self._value(machines.ready(verbose=True, leader=leader), endpoint)

    def health(self, endpoint: str | None = None) -> HealthBody:
        """Return when the process of a node lives."""
        return self._value(machines.health(), endpoint)

    def metrics(self, endpoint: str | None = None) -> str:
        """Return what a node counts, in the text format of Prometheus."""
        return self._value(machines.metrics(), endpoint)
