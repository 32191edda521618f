"""Clusters as a node tells them to its callers, for tests of what is made of it."""

import threading
from typing import Any

from gorilla.client.ports import AttemptFailed, NotSent
from gorilla.wire.bodies import (
    ClusterBody,
    HistoryHealthBody,
    LeaderBody,
    MemberBody,
    SnapshotHealthBody,
)
from gorilla.wire.membership import ChangeReportBody, RosterMemberBody


def address(name: str, port: int = 4000) -> str:
    return f"127.0.0.{name.removeprefix('n')}:{port}"


def member(name: str, **changes: Any) -> MemberBody:
    fields: dict[str, Any] = {
        "id": f"id-{name}",
        "name": name,
        "http": address(name),
        "peer": address(name, 4100),
        "role": "follower",
        "connected": True,
        "match_index": 100,
        "lag": 0,
        "heard": 0.05,
        "version": "1.0.0",
        "feature_level": 1,
    }
    return MemberBody(**{**fields, **changes})


def view(
    count: int = 3,
    *,
    node: str = "n1",
    leader: str | None = "n1",
    down: tuple[str, ...] = (),
    members: dict[str, dict[str, Any]] | None = None,
    **changes: Any,
) -> ClusterBody:
    """A cluster of ``count`` members as ``node`` sees it; ``members`` changes single ones."""
    more = members or {}
    listed = [
        member(
            name,
            **{
                "role": "leader" if name == leader else "unknown" if name in down else "follower",
                "connected": name not in down,
                **more.get(name, {}),
            },
        )
        for name in (f"n{number}" for number in range(1, count + 1))
    ]
    fields: dict[str, Any] = {
        "cluster_id": "c1",
        "name": "shop",
        "node": node,
        "role": "leader" if node == leader else "follower",
        "term": 7,
        "leader": None
        if leader is None
        else LeaderBody(id=f"id-{leader}", name=leader, http=address(leader)),
        "commit_index": 100,
        "applied_index": 100,
        "last_index": 100,
        "snapshot_index": 0,
        "caught_up": True,
        "draining": False,
        "held": 0,
        "waiting": 0,
        "sessions": 0,
        "fencing_counter": 41,
        "chain": "ab",
        "uptime": 60.0,
        "version": "1.0.0",
        "snapshots": SnapshotHealthBody(
            configured=True, stored_at="2025-05-04T10:11:12", failing_since=None
        ),
        "history": HistoryHealthBody(configured=True, behind=0, failing_since=None),
        "members": tuple(listed),
    }
    return ClusterBody(**{**fields, **changes})


def report(*names: str, steps: tuple[str, ...] = (), done: bool = False) -> ChangeReportBody:
    """What a change of the cluster to these members answers."""
    quorum = len(names) // 2 + 1
    return ChangeReportBody(
        done=done,
        steps=steps,
        members=tuple(
            RosterMemberBody(
                id=f"id-{name}", name=name, http=address(name), peer=address(name, 4100)
            )
            for name in names
        ),
        quorum=quorum,
        tolerates=len(names) - quorum,
    )


class Looks:
    """Stands for a looker: addresses answer what they were told to, the balancer this in turn.

    An answer that is an exception is raised; ``SILENCE`` is none at all.
    """

    SILENCE = object()

    def __init__(self, *answers: Any, **by_name: Any) -> None:
        self.endpoints: tuple[str, ...] = ("http://balancer:4000",) if answers else ()
        self.endpoints += tuple(f"http://{address(name)}" for name in by_name)
        self.patience_s = 0.4
        self.asked: list[str] = []
        self._answers = list(answers)
        self._by_url = {f"http://{address(name)}": one for name, one in by_name.items()}
        self._guard = threading.Lock()
        self._is_over = threading.Event()

    def only(self, *names: str) -> "Looks":
        """Give these to whoever asks; the others are found out of what they say."""
        self.endpoints = tuple(f"http://{address(name)}" for name in names)
        return self

    def ask(self, url: str, timeout_s: float) -> ClusterBody:
        with self._guard:
            self.asked.append(url)
            found = self._by_url.get(url, NotSent("connection refused"))
            if url == "http://balancer:4000":
                found = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if found is self.SILENCE:
            # Longer than allowed: nobody may rely on it.
            self._is_over.wait(20 * timeout_s)
            found = AttemptFailed("no answer in time")
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, ClusterBody)
        return found

    def close(self) -> None:
        self._is_over.set()
