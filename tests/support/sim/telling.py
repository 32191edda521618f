"""Small histories, written by hand: what the tests of the checkers feed them."""

from collections.abc import Callable, Iterator
from typing import Any

from tests.support.sim.history import Applied, History, Kind, Operation, Result

Check = Callable[[History], Iterator[str]]


def applied(node: str, index: int, *, life: int = 1, **changed: Any) -> Applied:
    values: dict[str, Any] = {
        "term": 1,
        "payload": b"x",
        "digest": f"d{index}",
        "at": float(index),
    } | changed
    return Applied(node=node, life=life, index=index, **values)


class Told:
    """Builds operations one after the other; each is answered before the next is asked."""

    def __init__(self) -> None:
        self.history = History()
        self.now = 0.0

    def add(self, client: str, kind: Kind, result: Result, **values: Any) -> Operation:
        at = values.pop("at", self.now)
        took = values.pop("took", 1.0)
        returned_at = values.pop("returned_at", at + took)
        operation = Operation(
            number=len(self.history.operations),
            client=client,
            kind=kind,
            resource=values.pop("resource", "r"),
            node="n0",
            invoked_at=at,
            result=result,
            **values,
        )
        if result is not Result.UNKNOWN:
            operation.returned_at = returned_at
        self.history.operations.append(operation)
        self.now = max(self.now, at + took + 0.1)
        return operation

    def grant(self, client: str, number: int, token: str, until: float, **more: Any) -> Operation:
        return self.add(
            client,
            Kind.ACQUIRE,
            Result.GRANTED,
            fencing=number,
            given_token=token,
            certain_until=until,
            **more,
        )

    def show(self, client: str, kind: Kind, token: str, result: Result, **more: Any) -> Operation:
        return self.add(client, kind, result, token=token, **more)

    def look(self, holder: str | None, number: int | None = None, **more: Any) -> Operation:
        if holder is None:
            return self.add("watcher", Kind.LOOK, Result.FREE, **more)
        return self.add("watcher", Kind.LOOK, Result.HELD, holder=holder, fencing=number, **more)


def objections(check: Check, history: History) -> list[str]:
    return list(check(history))
