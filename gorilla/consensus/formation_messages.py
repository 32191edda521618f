"""What nodes say to each other while at least one of them belongs to no cluster yet."""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from gorilla.consensus.identity import GenesisRef
from gorilla.consensus.ports import Message
from gorilla.service.ports import Member

CHUNK_BYTES: Final = 256 * 1024
MEMBERS_MAX: Final = 64

Names = Annotated[tuple[Annotated[str, Meta(max_length=255)], ...], Meta(max_length=MEMBERS_MAX)]


class State(msgspec.Struct, frozen=True, kw_only=True, tag="formation.state"):
    """I belong to no cluster; these members are configured here, in this order."""

    names: Names
    promised_to: str | None


class Ask(msgspec.Struct, frozen=True, kw_only=True, tag="formation.ask"):
    """Promise yourself to me (the sender's node id), for a cluster of these members."""

    names: Names


class Promise(msgspec.Struct, frozen=True, tag="formation.promise"):
    """I am yours and nobody else's; it is on disk."""


class Objection(msgspec.Struct, frozen=True, tag="formation.objection"):
    """I don't promise, or don't come, because."""

    text: Annotated[str, Meta(max_length=16_384)]


class Formed(msgspec.Struct, frozen=True, tag="formation.formed"):
    """I belong to this cluster, which was formed with these members, the coordinator first."""

    cluster_id: str
    members: Annotated[tuple[Member, ...], Meta(min_length=1, max_length=MEMBERS_MAX)]
    genesis: GenesisRef | None
    joined: bool = False
    """I was invited to it later: these members are not the first ones, nobody adopts them."""


class Invite(msgspec.Struct, frozen=True, kw_only=True, tag="formation.invite"):
    """Come to my cluster, to be added to its members."""

    cluster_id: str
    members: Annotated[tuple[Member, ...], Meta(min_length=1, max_length=MEMBERS_MAX)]
    """The present ones."""
    joiner: Member
    """Who is meant, and where the others will look for it."""


class Accepted(msgspec.Struct, frozen=True, tag="formation.accepted"):
    """I belong to your cluster from now on; it is on disk."""


class Fetch(msgspec.Struct, frozen=True, tag="formation.fetch"):
    """Send the genesis from this offset (bytes)."""

    offset: int


class Chunk(msgspec.Struct, frozen=True, tag="formation.chunk"):
    """A piece of the genesis."""

    offset: int
    data: Annotated[bytes, Meta(max_length=CHUNK_BYTES)]


FormationMessage = State | Ask | Promise | Objection | Formed | Invite | Accepted | Fetch | Chunk


def encode(body: FormationMessage) -> Message:
    """Return the message as it goes to the network."""
    message: dict[str, Any] = msgspec.to_builtins(body, builtin_types=(bytes,))
    return message


def decode(message: Message) -> FormationMessage | None:
    """Return what came from the network; None when it is nothing of formation's."""
    try:
        body: FormationMessage = msgspec.convert(message, FormationMessage)
    except msgspec.ValidationError:
        return None
    return body
