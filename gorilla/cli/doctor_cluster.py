"""The doctor's checks of the cluster as such: who is up, who leads, who lags. No I/O."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from gorilla.cli.cluster_outlook import is_up
from gorilla.cli.doctor_evidence import Address, Evidence
from gorilla.cli.doctor_findings import Check, Finding, bad, ok, warning
from gorilla.cli.tables import counted
from gorilla.wire.bodies import ClusterBody, MemberBody

LAG_MAX: Final = 1_000
"""Entries that a member may be behind before it is told."""

HISTORY_BEHIND_MAX: Final = 8_192
"""Events that may be missing in the history before it is told."""

_PAIR: Final = 2


def check_cluster(evidence: Evidence) -> Iterator[Finding]:
    """Say all about the cluster."""
    yield from _reachable(evidence)
    view = evidence.best
    if view is None:
        return
    yield from _quorum(view)
    yield from _agreement(evidence)
    yield from _versions(view)
    yield from _ready(evidence)
    yield from _lag(evidence, view)
    yield from _database(view)


def _reachable(evidence: Evidence) -> Iterator[Finding]:
    linked = {one.name for one in evidence.members if is_up(one)}
    reached = {one.answering for one in evidence.reached}
    for one in evidence.addresses:
        if one.looks:
            yield ok(Check.REACHABLE, one.label, f"{one.url} answers in {_answer_ms(one):.1f} ms.")
        elif one.member is None:
            yield bad(
                Check.REACHABLE,
                one.label,
                f"No node answers at {one.url}: {one.failure}.",
                "Start it, mend the way to it, or take it out of the endpoints.",
            )
        elif one.member in linked:
            if one.member in reached:
                continue  # at another address, which is told
            grade = bad if one.given else warning
            yield grade(
                Check.REACHABLE,
                one.label,
                f"{one.url} answers the other members, and not this machine: {one.failure}.",
                "If clients are to reach it, open the way; if not, ask the doctor nearer to it.",
            )
        else:
            yield _down(one)


def _answer_ms(address: Address) -> float:
    return min(look.answered_s - look.asked_s for look in address.looks) * 1e3


def _down(address: Address) -> Finding:
    return bad(
        Check.REACHABLE,
        address.label,
        f"No node answers at {address.url}: {address.failure}.",
        f"Start it, or look at its log: its process may stand still. If its disk is lost: "
        f"gorilla cluster replace {address.member}.",
    )


def _quorum(view: ClusterBody) -> Iterator[Finding]:
    count = len(view.members)
    quorum = count // 2 + 1
    up = sum(map(is_up, view.members))
    about = view.name
    figures = f"{up} of {count} members are up and {quorum} are needed"
    if up < quorum:
        yield bad(
            Check.QUORUM,
            about,
            f"There is no quorum: {figures}, as {view.node} sees it; nothing is answered.",
            "Start the members that are down. If their disks are lost: gorilla snapshot restore.",
        )
    elif view.leader is None:
        yield bad(
            Check.QUORUM,
            about,
            f"No leader is known, though {figures}.",
            "Look again in some seconds; if it stays so, look at the logs of the members.",
        )
    else:
        spare = up - quorum
        more = "no more may fail" if spare == 0 else f"{spare} more may fail"
        yield ok(Check.QUORUM, about, f"{view.leader.name} leads; {figures}, so {more}.")
    yield from _size(about, count)


def _size(about: str, count: int) -> Iterator[Finding]:
    if count == 1:
        text = "It has one member: its disk is the only copy of the locks."
        yield warning(Check.QUORUM, about, text, "Add two members (gorilla cluster add).")
    elif count == _PAIR:
        text = "It has two members, and can't do without either of them."
        yield warning(Check.QUORUM, about, text, "Add a third one (gorilla cluster add).")
    elif count % 2 == 0:
        text = f"Its {count} members tolerate no more losses than {count - 1} would."
        yield warning(Check.QUORUM, about, text, "Add one, or remove one.")


def _agreement(evidence: Evidence) -> Iterator[Finding]:
    seen = [one.last.view for one in evidence.reached if one.last is not None]
    views = [view for view in seen if view.cluster_id]
    if not views:
        return
    found = [*_one_cluster(views), *_one_leader(views), *_one_state(views)]
    if found:
        yield from found
        return
    view = max(views, key=lambda one: one.term)
    told = len({one.node for one in views})
    nodes = "The one node that answers is" if told == 1 else f"{told} nodes are all"
    yield ok(Check.AGREEMENT, view.name, f"{nodes} in term {view.term}.")


def _one_cluster(views: list[ClusterBody]) -> Iterator[Finding]:
    nodes: dict[str, set[str]] = defaultdict(set)
    for view in views:
        nodes[view.cluster_id].add(view.node)
    if len(nodes) > 1:
        parts = " and ".join(", ".join(sorted(names)) for names in nodes.values())
        yield bad(
            Check.AGREEMENT,
            "clusters",
            f"The addresses belong to {len(nodes)} clusters: {parts}.",
            "A lock in one of them says nothing about the other: mend the endpoints.",
        )


def _one_leader(views: list[ClusterBody]) -> Iterator[Finding]:
    newest = max(views, key=lambda view: (view.term, view.leader is not None))
    leaders: dict[int, set[str]] = defaultdict(set)
    for view in views:
        if view.role == "leader":
            leaders[view.term].add(view.node)
        if view.term < newest.term:
            yield warning(
                Check.AGREEMENT,
                view.node,
                f"It is in term {view.term}, and {newest.node} in {newest.term}.",
                "It is cut off from the others, or an election is under way: look again.",
            )
        elif view.leader != newest.leader:
            yield warning(
                Check.AGREEMENT,
                view.node,
                f"It knows {_leader(view)}, and {newest.node} {_leader(newest)}.",
                "Look again in some seconds; if it stays so, look at its log.",
            )
    for term, names in leaders.items():
        if len(names) > 1:
            yield bad(
                Check.AGREEMENT,
                "leaders",
                f"{' and '.join(sorted(names))} say both that they lead term {term}.",
                "This must not be: stop all but one of them, keep their data directories, report.",
            )


def _leader(view: ClusterBody) -> str:
    return "no leader" if view.leader is None else f"{view.leader.name} as the leader"


def _one_state(views: list[ClusterBody]) -> Iterator[Finding]:
    chains: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    for view in views:
        chains[view.cluster_id, view.applied_index].setdefault(view.chain, view.node)
    for (_, index), nodes in chains.items():
        if len(nodes) > 1:
            yield bad(
                Check.AGREEMENT,
                "state",
                f"{' and '.join(sorted(nodes.values()))} applied {index} entries and differ.",
                "This must not be: keep their data directories, and report it with their logs.",
            )


def _versions(view: ClusterBody) -> Iterator[Finding]:
    versions = defaultdict(list)
    for one in view.members:
        if one.version is not None:
            versions[one.version].append(one.name)
    if len(versions) > 1:
        parts = "; ".join(f"{', '.join(names)} {v}" for v, names in sorted(versions.items()))
        yield warning(
            Check.VERSIONS,
            view.name,
            f"An upgrade is not finished: {parts}.",
            "Go on with the next node, or back: docs/operations/upgrading.md.",
        )
    else:
        text = f"Every member that is linked runs {next(iter(versions), view.version)}."
        yield ok(Check.VERSIONS, view.name, text)
    levels = [one.feature_level for one in view.members]
    lowest = min((level for level in levels if level is not None), default=view.cluster_version)
    if None not in levels and lowest > view.cluster_version:
        yield warning(
            Check.VERSIONS,
            view.name,
            f"The cluster version is {view.cluster_version}, and every member supports {lowest}.",
            f"When all is well, finalise the upgrade: set cluster.finalise_level to {lowest}.",
        )


def _ready(evidence: Evidence) -> Iterator[Finding]:
    for one in evidence.nodes:
        if one.last is not None and one.last.view.draining:
            yield warning(
                Check.READY,
                one.label,
                "It is drained: load balancers send it nothing.",
                f"When the work on it is done: gorilla cluster undrain {one.member}.",
            )
        elif one.ready is False:
            yield bad(
                Check.READY,
                one.label,
                f"It is not ready: {one.unready}",
                _until_ready(one),
            )
        elif one.ready:
            yield ok(Check.READY, one.label, "It is ready.")


def _until_ready(address: Address) -> str:
    if address.last is not None and not address.last.view.cluster_id:
        name = address.member
        return f"Take it in: gorilla cluster replace {name} (or add, if it was never a member)."
    return "Wait for it to catch up; if it stays so, look at its log."


def _lag(evidence: Evidence, view: ClusterBody) -> Iterator[Finding]:
    names = {one.name for one in view.members if one.connected}
    found = [finding for one in view.members if one.name in names for finding in _of(one, view)]
    for one in evidence.nodes:
        view_there = None if one.last is None else one.last.view
        if view_there is not None and view_there.cluster_id and not view_there.caught_up:
            behind = view_there.commit_index - view_there.applied_index
            left = f": it has {counted(behind, 'entry', 'entries')} to apply" if behind else ""
            text = f"It has not caught up{left}."
            remedy = "Look again; if it does not get less, its disk or processor is too slow."
            found.append(warning(Check.LAG, one.label, text, remedy))
    yield from found
    if not found and view.role == "leader":
        most = max((one.lag or 0 for one in view.members if one.connected), default=0)
        text = f"No linked member is more than {most} entries behind the leader."
        yield ok(Check.LAG, view.name, text if most else "Every linked member has all entries.")


def _of(one: MemberBody, view: ClusterBody) -> Iterator[Finding]:
    if one.lag is not None and one.lag > LAG_MAX:
        yield warning(
            Check.LAG,
            one.name,
            f"It is {one.lag} entries behind the leader.",
            "Look again; if it does not get less, its disk or network is too slow.",
        )
    if not is_up(one):
        yield warning(
            Check.LAG,
            one.name,
            f"It is linked, and {view.node} has not heard of it for {one.heard or 0:.0f} s.",
            "Its process may stand still: look at its machine.",
        )


def _database(view: ClusterBody) -> Iterator[Finding]:
    snapshots, history = view.snapshots, view.history
    if not snapshots.configured:
        yield warning(
            Check.DATABASE,
            "snapshots",
            "No database is configured: nothing is left when every disk is lost.",
            "Set database.url on every node (docs/operations/backup-and-restore.md).",
        )
    elif snapshots.failing_since is not None:
        yield bad(
            Check.DATABASE,
            "snapshots",
            f"Snapshots can't be stored since {snapshots.failing_since} UTC; locks go on.",
            f"Mend the database, or the way from {view.node} to it: its log says what fails.",
        )
    elif snapshots.stored_at is None:
        text = "No snapshot is stored yet."
        yield warning(Check.DATABASE, "snapshots", text, "Store one: gorilla snapshot create.")
    else:
        yield ok(Check.DATABASE, "snapshots", f"The newest is of {snapshots.stored_at} UTC.")
    if not history.configured:
        return
    if history.failing_since is not None:
        yield bad(
            Check.DATABASE,
            "history",
            f"The history can't be written since {history.failing_since} UTC; locks go on.",
            f"Mend the database, or the way from {view.node} to it: its log says what fails.",
        )
    elif history.behind is not None and history.behind > HISTORY_BEHIND_MAX:
        text = f"{history.behind} events are not in the history yet."
        yield warning(Check.DATABASE, "history", text, "The database is too slow, or was down.")
    else:
        yield ok(Check.DATABASE, "history", "It is written.")
