"""Who this data directory is, once and for all: ``identity.json``.

A vote given and an entry acknowledged bind the disk that remembers them, not an address. So each
data directory has an id of its own, made before it speaks to anybody, and that id is the member.
"""

import uuid
import zlib
from collections.abc import Collection
from typing import Final

import msgspec

from gorilla.consensus.ports import Disk, Readable
from gorilla.consensus.remedies import MAKE_ANEW, START_LATER
from gorilla.service.ports import Member

IDENTITY_FILE: Final = "identity.json"
GENESIS_FILE: Final = "genesis.snap"
PART_SUFFIX: Final = ".part"
FORMAT: Final = 1

_MAY_STAND_ALONE: Final = frozenset(
    {GENESIS_FILE, GENESIS_FILE + PART_SUFFIX, IDENTITY_FILE + PART_SUFFIX}
)


class IdentityError(Exception):
    """The data directory must not be used as it is; the message says what to do.

    Attributes:
        problem: What is wrong.
        remedy: What the operator does about it; empty where the problem says it.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        """Say both."""
        super().__init__(f"{problem}. {remedy}" if remedy else problem)
        self.problem = problem
        self.remedy = remedy


class GenesisRef(msgspec.Struct, frozen=True, kw_only=True):
    """The state that the cluster began with, when it was not empty: a restored snapshot."""

    size: int
    """Bytes."""
    sha256: str
    """In hexadecimal."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """One data directory. What is set in it never changes afterwards."""

    node_id: str
    """Random, in hexadecimal: the member id."""
    name: str
    promised_to: str | None = None
    """The coordinator (its node id) that may form a cluster with this node; no other may."""
    cluster_id: str | None = None
    members: tuple[Member, ...] = ()
    """The first voters of the cluster, the coordinator first; empty before it was formed. Of a
    node that was invited: the voters at that time, itself not among them."""
    genesis: GenesisRef | None = None
    joining: bool = False
    """Whether it was invited to a cluster that there was already. Until its log says that it is a
    member, it asks for no votes."""

    @property
    def formed(self) -> bool:
        """Whether it belongs to a cluster."""
        return self.cluster_id is not None


class _File(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    crc32: int = 0
    identity: msgspec.Raw = msgspec.Raw()


def load_or_create(disk: Disk, name: str, harmless: Collection[str] = ()) -> Identity:
    """Return the identity of a data directory; a new one, durable, when it is empty.

    Args:
        disk: The data directory.
        name: The configured name of this node.
        harmless: Names of files that an empty directory may hold (a lock file, say).

    Raises:
        IdentityError: It can't be read, belongs to a node of another name, or is missing while
            the directory holds other files.
        OSError: The disk fails.

    """
    names = disk.names()
    if IDENTITY_FILE in names:
        identity = load(disk)
        _require_name(identity, name)
        return identity
    others = sorted(set(names) - _MAY_STAND_ALONE - set(harmless))
    if others:
        raise IdentityError(
            f"the data directory has no {IDENTITY_FILE} but other files ({', '.join(others[:5])}): "
            f"it lost its identity, so it can't be trusted to remember its votes. Bring back the "
            f"whole directory; where it is lost, {MAKE_ANEW}"
        )
    identity = Identity(node_id=uuid.uuid4().hex, name=name)
    save(disk, identity)
    return identity


def load(disk: Readable) -> Identity:
    """Read the identity.

    Raises:
        IdentityError: It can't be read.
        OSError: The disk fails.

    """
    try:
        file = msgspec.json.decode(disk.read(IDENTITY_FILE), type=_File)
    except (msgspec.MsgspecError, ValueError) as error:
        raise _unreadable(str(error)) from error
    if file.format != FORMAT:
        raise IdentityError(
            f"{IDENTITY_FILE} has format {file.format}, this Gorilla reads format {FORMAT}",
            START_LATER,
        )
    if zlib.crc32(file.identity) != file.crc32:
        raise _unreadable("its checksum does not match")
    try:
        return msgspec.json.decode(file.identity, type=Identity)
    except (msgspec.MsgspecError, ValueError) as error:
        raise _unreadable(str(error)) from error


def save(disk: Disk, identity: Identity) -> None:
    """Make ``identity`` durable, in one step: a crash leaves the old one or the new one.

    Raises:
        IdentityError: It would change what is fixed for good.
        OSError: The disk fails; what is on it is then unknown, and the node must stop.

    """
    if IDENTITY_FILE in disk.names():
        _require_succession(load(disk), identity)
    body = msgspec.json.encode(identity)
    file = _File(format=FORMAT, crc32=zlib.crc32(body), identity=msgspec.Raw(body))
    part = IDENTITY_FILE + PART_SUFFIX
    if part in disk.names():
        disk.remove(part)
    handle = disk.append(part)
    try:
        handle.write(msgspec.json.encode(file) + b"\n")
        handle.sync()
    finally:
        handle.close()
    disk.rename(part, IDENTITY_FILE)
    disk.sync_directory()


def _require_name(identity: Identity, name: str) -> None:
    if identity.name != name:
        raise IdentityError(
            f"this data directory belongs to node {identity.name}, but this node is configured as "
            f"{name}: correct the node's name or its data directory"
        )


def _require_succession(old: Identity, new: Identity) -> None:
    fixed = [
        field
        for field in new.__struct_fields__
        if getattr(old, field) not in (None, (), False, getattr(new, field))
    ]
    if old.formed and new.joining and not old.joining:
        fixed.append("joining")
    if old.formed and old.genesis != new.genesis:
        fixed.append("genesis")
    if fixed:
        raise IdentityError(f"{', '.join(fixed)} of a data directory can't be changed")


def _unreadable(why: str) -> IdentityError:
    return IdentityError(
        f"{IDENTITY_FILE} can't be read: {why}",
        f"Bring it back from a copy of this very directory; if there is none, {MAKE_ANEW}",
    )
