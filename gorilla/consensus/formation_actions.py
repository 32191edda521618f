"""What formation decides to do, and the sentences that it says to the operator."""

from dataclasses import dataclass

from gorilla.consensus.formation_messages import Formed
from gorilla.consensus.identity import Identity
from gorilla.consensus.ports import Message
from gorilla.consensus.remedies import MAKE_ANEW


@dataclass(frozen=True)
class Send:
    """Send to the peer with this id."""

    peer: str
    message: Message


@dataclass(frozen=True)
class Save:
    """Make this identity durable."""

    identity: Identity


@dataclass(frozen=True)
class KeepChunk:
    """Append to the partial genesis; ``offset`` 0 begins a new one."""

    offset: int
    data: bytes


@dataclass(frozen=True)
class KeepGenesis:
    """The partial genesis is complete and verified: make it durable under its name."""


@dataclass(frozen=True)
class ServeChunk:
    """Read from the genesis and send to the peer."""

    peer: str
    offset: int


@dataclass(frozen=True)
class Close:
    """Close the link to the peer."""

    peer: str


@dataclass(frozen=True)
class Join:
    """This node is a member now: leave formation."""

    identity: Identity


@dataclass(frozen=True)
class Fail:
    """This node can't become a member; a human has to do what the sentence says."""

    text: str


@dataclass(frozen=True)
class Answered:
    """The peer answered an invitation: it comes, or it objects for this reason."""

    peer: str
    objection: str | None


Action = Send | Save | KeepChunk | KeepGenesis | ServeChunk | Close | Join | Fail | Answered


@dataclass(frozen=True)
class Waiting:
    """A member that formation waits for, and why."""

    name: str
    reason: str


def bound_to_another(name: str, coordinator: str) -> str:
    """Say that a directory of the coordinator is missing which a member is bound to."""
    return (
        f"{name} has promised itself to another data directory of {coordinator}. Start "
        f"{coordinator} with that one; if it is lost, empty the data directory of {name} (it holds "
        f"nothing yet) and start it again"
    )


def bound_elsewhere(identity: Identity) -> str:
    """Say that this coordinator has itself promised to follow another."""
    return (
        f"it has promised itself to another coordinator ({identity.promised_to}) under an earlier "
        f"configuration; empty its data directory (it holds nothing yet) and start it again"
    )


def lists_differ(theirs: tuple[str, ...], ours: tuple[str, ...]) -> str:
    """Say that two nodes are configured with different members."""
    return (
        f"it lists the members {', '.join(theirs)}, this node lists {', '.join(ours)}: they must "
        f"be the same, in the same order"
    )


def not_in(formed: Formed, me: Identity) -> str:
    """Say that the cluster was formed without this directory."""
    return (
        f"a cluster ({formed.cluster_id}) was formed without this data directory of {me.name}: "
        f"bring back the directory that is a member, or remove {me.name} from the cluster and add "
        f"it again with an empty one"
    )


def forgotten(formed: Formed, me: Identity) -> str:
    """Say that this directory was a member already and does not know it any more."""
    return (
        f"{me.name} is a member of cluster {formed.cluster_id}, but its data directory does not "
        f"remember it: an older copy was brought back. Bring back the latest; where it is lost, "
        f"{MAKE_ANEW}"
    )


def too_big(size: int, bytes_max: int) -> str:
    """Say that the genesis exceeds its bound (bytes)."""
    return (
        f"the state that the cluster begins with has {size} bytes, more than the {bytes_max} "
        f"allowed here"
    )
