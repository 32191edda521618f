"""What happened in a run, for the checkers: operations of clients and events of nodes."""

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from typing_extensions import override

from gorilla.domain.commands import Command, Policy
from gorilla.domain.events import Event
from gorilla.domain.outcomes import Outcome, Turn
from tests.support.sim.recorded import Recorded
from tests.support.sim.watch_history import Watching


class Kind(StrEnum):
    """What a client asked."""

    ACQUIRE = "acquire"
    RELEASE = "release"
    RENEW = "renew"
    STATUS = "status"
    LOOK = "look"


class Result(StrEnum):
    """What it was told."""

    GRANTED = "granted"
    """The lock is the caller's (acquire)."""
    RENEWED = "renewed"
    RELEASED = "released"
    HELD = "held"
    """Another holder has it (acquire), or this is the holder (look)."""
    FREE = "free"
    """Nobody holds it (look)."""
    VALID = "valid"
    """The token proves a hold (status)."""
    NOT_FOUND = "not found"
    """The token proves nothing (release, renew, status)."""
    TOO_SHORT = "too short"
    """A renewal that would end the lease earlier: refused."""
    NOT_NOW = "not now"
    """Others come first, or did until the wait was over (acquire): no grant, now or later."""
    DEFINITE = "definite failure"
    """Nothing was done and never will be (503)."""
    UNKNOWN = "unknown"
    """No answer, or one that says so (504): it may take effect, now or later."""
    ALIVE = "alive"
    """The session lives (open, keep)."""
    FORCED = "forced"
    """Whoever held it holds it no more (force)."""
    CONFLICT = "conflict"
    """The key is another request's: no client ever uses one so."""
    RULED = "ruled"
    """The policy is in force (set), or is no more (drop)."""
    HUNG_UP = "hung up"
    """The caller did not wait for the answer and told the node so."""


@dataclass(slots=True, kw_only=True)
class Operation:
    """One request of one client. Times are true seconds."""

    number: int
    client: str
    kind: Kind
    resource: str
    node: str
    invoked_at: float
    certain_until: float = math.inf
    """Request time + timeout on the client's own clock (acquire, renew)."""
    token: str | None = None
    """What it showed (release, renew, status)."""
    returned_at: float = math.inf
    result: Result = Result.UNKNOWN
    effect_by: float = math.inf
    """Without an answer: after this instant it took no effect any more."""
    fencing: int | None = None
    given_token: str | None = None
    """What it got (acquire, renew)."""
    holder: str | None = None
    """Whom the answer names (held)."""
    mark: bytes | None = None
    """Bytes that are in the log when its command is (of a release: or another one like it)."""

    @override
    def __str__(self) -> str:
        answer = f"{self.result}"
        for word in (self.holder, self.fencing, self.given_token):
            answer += f" {word}" if word is not None else ""
        asked = f"{self.kind} {self.resource} {self.token or ''}".strip()
        span = f"[{self.invoked_at:.4f}, {self.returned_at:.4f}]"
        return f"#{self.number} {self.client}@{self.node} {asked} -> {answer} {span}"


class Asked(StrEnum):
    """What a client that queues asked."""

    ACQUIRE = "acquire"
    SEVERAL = "acquire several"
    RELEASE = "release"
    RELEASE_ALL = "release several"
    EXTEND = "extend"
    OPEN = "open session"
    KEEP = "keep session"
    END = "end session"
    FORCE = "force"
    RULE = "set policy"
    DROP = "drop policy"


@dataclass(slots=True, frozen=True)
class Wish:
    """A request, apart from where and when it is sent: asked again, it is the same one."""

    kind: Asked
    locks: tuple[str, ...] = ()
    slots: int = 1
    timeout_ms: int = 0
    wait_ms: int = 0
    session: str = ""
    token: str = ""
    keep_ms: int = 0
    """How long its place is to be kept when the wait is over."""
    key: str = ""
    """Idempotency key; empty: none."""
    prefix: str = ""
    """What the policy rules that is set or dropped."""
    policy: Policy | None = None


@dataclass(slots=True, kw_only=True)
class Ask:
    """One request of a client that queues, shares, counts. Times are true seconds."""

    number: int
    client: str
    wish: Wish
    node: str
    invoked_at: float
    returned_at: float = math.inf
    result: Result = Result.UNKNOWN
    fencing: tuple[int, ...] = ()
    """What it got, in the order of the locks it named."""
    tokens: tuple[str, ...] = ()
    mark: bytes | None = None
    """As of an operation: the secret that its grant would carry."""
    kept_ms: int = 0
    """How long it was told that its place is kept."""
    kept_from: float = 0.0
    """When the answer that says so left the node."""

    @property
    def kind(self) -> Asked:
        """What was asked."""
        return self.wish.kind

    @override
    def __str__(self) -> str:
        wish = self.wish
        words = [f"#{self.number} {self.client}@{self.node} {wish.kind}", *wish.locks]
        words += [f"slots {wish.slots}", f"wait {wish.wait_ms}", f"session {wish.session[:6]}"]
        words += [f"key {wish.key}", f"-> {self.result} {self.fencing}"]
        return " ".join(words) + f" [{self.invoked_at:.4f}, {self.returned_at:.4f}]"


class Looked(StrEnum):
    """What somebody asked who looks at locks, and holds none."""

    SHOW = "show"
    EXPLAIN = "explain"
    LIST = "list"
    CHECK = "check"
    """Whether a fencing token is of a present holder."""


@dataclass(slots=True, kw_only=True)
class Look:
    """One question, and what it was told. Times are true seconds."""

    kind: Looked
    lock: str
    """Of a list: the lock after which it begins."""
    owner: str | None
    """From whose side (explain), or whose (list); None: of a newcomer, or anybody's."""
    number: int
    """The fencing token (check), or how many at most (list)."""
    is_stale: bool
    node: str
    invoked_at: float
    index: int = 0
    """What the node had applied when it read."""
    answer: Any = None
    """As the service gave it; None: none came."""


@dataclass(slots=True)
class Hold:
    """A span (true seconds) in which a client relies on a lock that it queued for, or may have."""

    client: str
    session: str
    lock: str
    slots: int
    fencing: int
    since: float
    until: float


@dataclass(slots=True, frozen=True)
class Step:
    """A part of what an entry caused: what time did (no command), or what a command did."""

    command: Command | None
    origin: str
    outcome: Outcome | None
    events: tuple[Event, ...]


@dataclass(slots=True, frozen=True)
class Effects:
    """What an entry caused on the node that applied it first."""

    at: float
    """True seconds."""
    index: int
    now_ms: int
    """Cluster time from this entry on."""
    heard: tuple[str, ...]
    """The origins of its batches."""
    steps: tuple[Step, ...]
    turns: tuple[Turn, ...] = ()


@dataclass(slots=True, frozen=True)
class Led:
    """A node became leader of a term."""

    at: float
    node: str
    term: int
    lacks: tuple[int, ...] = ()
    """Indices applied anywhere in earlier terms that its log does not have, or has otherwise."""


@dataclass(slots=True, frozen=True)
class Voted:
    """A node told a candidate, or everybody of itself, that it has its vote."""

    at: float
    node: str
    term: int
    candidate: str


@dataclass(slots=True, frozen=True)
class Opened:
    """A process opened its journal, and found this term and this vote in it."""

    at: float
    node: str
    term: int
    vote: str | None


@dataclass(slots=True, frozen=True)
class Counted:
    """A leader counts an index as acknowledged by a follower, which has it or not."""

    at: float
    leader: str
    node: str
    term: int
    index: int
    is_there: bool


@dataclass(slots=True, frozen=True)
class Committed:
    """An entry was applied for the first time, and whose logs had it then."""

    at: float
    node: str
    index: int
    term: int
    holders: tuple[str, ...]
    rosters: tuple[tuple[str, ...], ...]
    """The rosters that it may be counted by: the newest one of every log that has it."""


@dataclass(slots=True, frozen=True)
class Changed:
    """A node applied a change of the roster."""

    at: float
    node: str
    index: int
    kind: str
    member: str
    address: str


@dataclass(slots=True, frozen=True)
class Applied:
    """A node applied an entry; ``digest`` is that of its table afterwards."""

    at: float
    node: str
    life: int
    """Which start of the node: 1, 2, 3, …"""
    index: int
    term: int
    payload: bytes
    digest: str


@dataclass(slots=True, frozen=True)
class Loaded:
    """A node took over a snapshot: its own at its start, or the leader's later."""

    at: float
    node: str
    life: int
    index: int
    digest: str


@dataclass(slots=True, frozen=True)
class LogSeen:
    """What a node's journal held: entries by index, each its term and a checksum."""

    at: float
    node: str
    entries: dict[int, tuple[int, int]]


@dataclass(slots=True, frozen=True)
class Standing:
    """A node at the end of the run, long after the last fault."""

    node: str
    up: bool
    applied: int
    digest: str
    roster: tuple[str, ...] = ()
    """Who counts by its log; nothing of a node that is down."""


@dataclass(slots=True)
class History:
    """Everything that the checkers look at."""

    operations: list[Operation] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)
    """Requests of the clients that queue, beside the operations."""
    looks: list[Look] = field(default_factory=list)
    """Questions of those who hold nothing."""
    recorded: Recorded = field(default_factory=Recorded)
    """What is kept in the database."""
    watching: Watching = field(default_factory=Watching)
    holds: list[Hold] = field(default_factory=list)
    effects: list[Effects] = field(default_factory=list)
    """What each entry caused, by index."""
    calm_from: float = math.inf
    """From then on (true seconds) nothing goes wrong, and clients still ask."""
    led: list[Led] = field(default_factory=list)
    votes: list[Voted] = field(default_factory=list)
    opened: list[Opened] = field(default_factory=list)
    counted: list[Counted] = field(default_factory=list)
    commits: list[Committed] = field(default_factory=list)
    changes: list[Changed] = field(default_factory=list)
    applied: list[Applied] = field(default_factory=list)
    loaded: list[Loaded] = field(default_factory=list)
    logs: list[LogSeen] = field(default_factory=list)
    standings: list[Standing] = field(default_factory=list)
    unavailable: list[str] = field(default_factory=list)
    """Resources that nobody could acquire any more at the end."""
    leftovers: list[str] = field(default_factory=list)
    """What was not finished at the end: removed nodes that run on, changes under way for ever."""
    mishaps: list[str] = field(default_factory=list)
    """What no node may do whatever happens: an exception nobody provoked, a bad message."""


@dataclass(slots=True, frozen=True)
class Violation:
    """A promise that a run broke."""

    checker: str
    text: str

    @override
    def __str__(self) -> str:
        return f"{self.checker}: {self.text}"
