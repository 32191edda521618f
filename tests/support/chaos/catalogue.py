"""All faults by name."""

from tests.support.chaos import (
    faults_of_machines as machines,
    faults_of_members as members,
    faults_of_network as network,
    faults_of_processes as processes,
    sums,
)
from tests.support.chaos.nemesis import Nemesis

ALL: tuple[type[Nemesis], ...] = (
    *processes.ALL,
    *network.ALL,
    *machines.ALL,
    *sums.ALL,
    *members.ALL,
)


def chosen(names: str, nodes: int) -> list[type[Nemesis]]:
    """Return those named (``all``, or names with commas between) that so many nodes can have."""
    by_name = {one.name: one for one in ALL}
    wanted = list(by_name) if names == "all" else [name.strip() for name in names.split(",")]
    unknown = [name for name in wanted if name not in by_name]
    if unknown:
        raise SystemExit(f"chaos: no fault {unknown[0]!r}; there are: {', '.join(by_name)}")
    found = [by_name[name] for name in wanted if by_name[name].nodes_min <= nodes]
    if not found:
        raise SystemExit(f"chaos: {names} needs more than {nodes} nodes")
    return found
