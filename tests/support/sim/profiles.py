"""What a run is made of: how long, how many, and what goes wrong how often."""

from dataclasses import dataclass, field, replace

from gorilla.domain.limits import EVENTS_REMEMBERED_MAX

Weights = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A kind of run. Times are true simulated seconds."""

    name: str
    nodes: int = 3
    duration_s: float = 10.0
    """How long there are clients and faults."""
    settle_s_max: float = 20.0
    """How long the cluster may take afterwards until everything is as it should be."""
    clients: int = 5
    resources: int = 3
    reads: float = 0.15
    """Share of questions among the requests of clients."""
    think_s: float = 0.06
    """Average pause of a client between an answer and its next request."""
    timeouts_s: tuple[float, float] = (0.3, 2.0)
    """Lease timeouts that clients ask for, shortest and longest."""
    faults: Weights = field(default_factory=dict)
    fault_gap_s: float = 0.9
    """Average time between two faults."""
    slow: float = 0.02
    """Share of peer messages that are much slower than the rest."""
    slow_s: float = 0.6
    append_bytes: int = 2_500
    """Size of one append between peers; an entry is at most half as large."""
    patience_s: tuple[float, float] = (0.6, 2.5)
    """How long a client waits for an answer before it gives up on it, shortest and longest."""
    calm_s: float = 0.0
    """How long clients go on when the faults are over; more than 0: they are those that queue,
    share and count (see ``queueing``)."""
    rulers: int = 0
    """Who set policies and drop them until the faults are over."""
    inspectors: int = 0
    """Who look at locks, and ask holders to let go, until clients stop."""
    waits_s: tuple[float, float] | None = None
    """How long clients queue for a lock, shortest and longest; None: they ask only once."""
    is_searched: bool = True
    """Whether an order of all answers is searched; not where most requests are given up."""
    restart_s: float = 0.8
    """Average time until a process that died is started again."""
    compact_after: int = 100_000
    """Entries applied since the last snapshot before a new one is made."""
    retain: int = 100
    """Entries that stay in the log behind a snapshot."""
    rotate_bytes: int = 4_000
    """Size at which the journal begins a new file."""
    is_recorded: bool = False
    """Whether who held what is kept in a database, which has faults of its own."""
    events_kept: tuple[int, ...] = (4_096,)
    """How many events the log of a node keeps: each machine has one of these."""
    events_remembered: int = EVENTS_REMEMBERED_MAX
    """How many events are part of the state, and of a snapshot."""
    watchers: int = 0
    """Who watch events, at any node."""
    is_upgraded: bool = False
    """Whether nodes change between two releases, one of which has commands unknown to the other."""
    chunk_bytes: int = 256 * 1024
    """Size of the pieces in which a snapshot is shipped."""


_PARTITIONS: Weights = {"partition": 3, "one_way": 2, "isolate_leader": 2, "reset": 2}
_CRASHES: Weights = {"crash": 2, "crash_leader": 2, "crash_all": 0.3, "kill_at_disk": 3, "pause": 1}
_POWER: Weights = {"power": 2, "power_all": 1, "power_at_disk": 3, "crash_leader": 1}
_LINKS: Weights = {"bridge": 2, "ring": 1, "flapping": 2, "storm": 1}
_MEMBERS: Weights = {
    "member_resize": 6,
    "member_add": 1,
    "member_remove": 1,
    "member_replace": 3,
    "member_lose": 2,
    "member_move": 1,
    "member_return": 1,
    "transfer_to": 2,
}
_OTHERS: Weights = {
    "pause_leader": 1,
    "slow_disk": 1,
    "full_disk": 1,
    "disk_error": 1,
    "step_wall": 1,
    "slew": 1,
    "transfer": 1,
    "offers_twice": 1,
}

_CHURN: Weights = {"member_resize": 3, "member_replace": 1, "member_move": 0.5, "compact": 1}

_SMALL = Profile(name="", compact_after=12, retain=4, rotate_bytes=1_200, chunk_bytes=512)

_QUEUEING = Profile(
    name="queueing",  # shared, counted and several locks, sessions, keys, hang-ups
    faults=_PARTITIONS | _CRASHES | _POWER | {"pause_leader": 1, "transfer": 1, "compact": 1},
    waits_s=(0.2, 6.0),
    calm_s=3.0,
    clients=9,
    rulers=1,
    inspectors=2,
    resources=4,
    compact_after=12,
    retain=3,
    chunk_bytes=512,
    is_searched=False,
)

_DATABASE: Weights = {
    "database_away": 3,
    "database_hung": 2,
    "database_slow": 2,
    "database_cut": 3,
}

_RECORDING = replace(
    _QUEUEING,
    name="recording",  # who held what, in a database that fails; logs that forget soon
    faults=_PARTITIONS | _CRASHES | _POWER | _DATABASE | {"pause_leader": 2, "transfer": 2},
    fault_gap_s=0.6,
    events_kept=(20, 25, 60, 4_096),
    is_recorded=True,
)

_BASE = (
    Profile(name="calm", slow=0.0, duration_s=6.0),
    Profile(name="crash", faults=_CRASHES),
    Profile(name="partition", faults=_PARTITIONS | {"pause": 1}, slow=0.05, slow_s=1.0),
    Profile(name="power", faults=_POWER, compact_after=40, retain=10, rotate_bytes=1_500),
    replace(
        _SMALL,
        name="snapshots",
        faults={"crash": 2, "crash_leader": 1, "isolate_leader": 2, "partition": 1, "reset": 1},
    ),
    replace(
        _SMALL,
        name="everything",
        faults=_PARTITIONS | _LINKS | _CRASHES | _POWER | _OTHERS | _CHURN,
        fault_gap_s=0.7,
        slow=0.05,
        slow_s=1.2,
    ),
    Profile(
        name="waiting",  # who queues is served in order, or told, whatever fails
        faults=_PARTITIONS | _CRASHES | _POWER | {"pause_leader": 1, "reset": 1},
        waits_s=(0.2, 6.0),
        clients=8,
        resources=2,
        compact_after=12,
        retain=3,
    ),
    _QUEUEING,
    replace(
        _QUEUEING,
        name="queueing_churn",  # the same, while members come and go and hand over
        faults=_MEMBERS
        | {"crash": 2, "crash_leader": 1, "partition": 1, "isolate_leader": 1}
        | {"transfer": 2, "compact": 1},
        fault_gap_s=0.5,
        restart_s=0.5,
    ),
    _RECORDING,
    replace(
        _RECORDING,
        name="late_writes",  # leaders that stand still while they write, and write when others lead
        faults={"database_old_writer": 4, "compact": 1},
        fault_gap_s=5.0,
        duration_s=16.0,
        events_kept=(20, 25),
    ),
    replace(
        _QUEUEING,
        name="watching",  # who watches events: logs that forget soon, and nodes that get snapshots
        faults=_PARTITIONS
        | _CRASHES
        | _POWER
        | {"member_resize": 2, "member_replace": 1, "transfer": 1, "pause_leader": 1, "compact": 2}
        | {"drain": 1, "stop": 3},
        fault_gap_s=0.6,
        restart_s=0.5,
        clients=7,
        inspectors=1,
        watchers=6,
        events_kept=(15, 40, 4_096),
        events_remembered=10,
    ),
    Profile(
        name="backlog",  # long tails of the log that nobody has committed, in many appends
        faults={"isolate_leader": 3, "one_way": 2, "partition": 2, "crash_leader": 2, "reset": 2},
        fault_gap_s=1.2,
        clients=16,
        resources=6,
        think_s=0.03,
        patience_s=(0.05, 0.3),
        is_searched=False,
        slow=0.04,
        slow_s=1.5,
        append_bytes=800,
    ),
    Profile(
        name="elections",  # voters that die and come back while the votes are counted
        faults={"crash_leader": 3, "kill_at_disk": 4, "crash": 2, "isolate_leader": 1, "reset": 2},
        fault_gap_s=0.35,
        restart_s=0.08,
        compact_after=6,
        retain=1,
        rotate_bytes=150,
    ),
    Profile(
        name="reads",  # leaders that don't know yet that they are none
        faults={"isolate_leader": 3, "pause_leader": 2, "reset": 1},
        fault_gap_s=2.0,
        clients=8,
        reads=0.6,
    ),
    Profile(
        name="drift",  # long leases on clocks that run apart; little else happens
        duration_s=60.0,
        timeouts_s=(5.0, 30.0),
        clients=4,
        resources=2,
        think_s=0.8,
        faults={"step_wall": 2, "slew": 1, "pause_leader": 1, "crash_leader": 1, "transfer": 1},
        fault_gap_s=7.0,
    ),
    Profile(
        name="handover",  # leaders that give their place away, and offers that come twice
        faults={"transfer": 4, "offers_twice": 3, "crash_leader": 1, "reset": 1, "pause_leader": 1},
        fault_gap_s=0.6,
        clients=8,
    ),
    Profile(
        name="disks",  # full, slow and failing ones; little room between two compactions
        faults={"full_disk": 3, "disk_error": 2, "slow_disk": 3, "power": 1, "crash_leader": 1},
        compact_after=20,
        retain=4,
        rotate_bytes=1_200,
    ),
    replace(
        _SMALL,
        name="members",  # who counts changes all the time, and nodes lag behind
        duration_s=14.0,
        faults=_MEMBERS | {"crash": 2, "crash_leader": 2, "partition": 2, "isolate_leader": 2},
        fault_gap_s=0.5,
        restart_s=0.5,
    ),
    replace(
        _SMALL,
        name="member_storm",  # the same, with everything else
        duration_s=14.0,
        faults={kind: 5 * weight for kind, weight in _MEMBERS.items()}
        | _PARTITIONS
        | _LINKS
        | _CRASHES
        | _POWER
        | {"compact": 4, "pause_leader": 1},
        fault_gap_s=0.3,
        restart_s=0.4,
    ),
    Profile(
        name="links",  # every cut that is not a plain one
        faults=_LINKS | {"one_way": 1, "isolate_leader": 1, "compact": 1},
        compact_after=40,
        retain=10,
    ),
    Profile(
        name="versions",  # nodes that are upgraded one by one, and rolled back
        faults={"upgrade": 6, "roll_back": 2, "finalise": 1, "crash_leader": 1, "partition": 1},
        fault_gap_s=0.5,
        restart_s=0.3,
        compact_after=40,
        retain=10,
        is_upgraded=True,
    ),
    Profile(
        name="late_acks",  # acknowledgements that a leader gets in a leadership later
        nodes=5,
        duration_s=14.0,
        faults={"late_acks": 1},
        fault_gap_s=2.5,
        clients=10,
        resources=6,
        think_s=0.03,
        patience_s=(0.05, 0.3),
        is_searched=False,
        append_bytes=800,
    ),
)

PROFILES: dict[str, Profile] = {profile.name: profile for profile in _BASE} | {
    f"{profile.name}5": replace(profile, name=f"{profile.name}5", nodes=5)
    for profile in _BASE
    if profile.name not in {"drift", "late_acks", "late_writes"}
}
