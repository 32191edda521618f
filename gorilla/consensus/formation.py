"""The first start of a cluster: who its members are is fixed once, by :func:`form`."""

import asyncio
import contextlib
import logging
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from gorilla.consensus.formation_actions import (
    Action,
    Answered,
    Close,
    Fail,
    Join,
    KeepChunk,
    KeepGenesis,
    Save,
    Send,
    ServeChunk,
    Waiting,
)
from gorilla.consensus.formation_messages import Chunk, encode
from gorilla.consensus.formation_rules import GENESIS_BYTES_MAX, Formation
from gorilla.consensus.genesis import GenesisFile, GenesisReader, prepare_genesis
from gorilla.consensus.identity import GENESIS_FILE, Identity, save
from gorilla.consensus.peers.handshake import PeerInfo
from gorilla.consensus.peers.network import FormationLinks
from gorilla.consensus.ports import Disk, Message
from gorilla.service.ports import Member

logger = logging.getLogger(__name__)

REPORT_EVERY_S = 1.0


class FormationError(Exception):
    """This node can't become a member of the cluster; the message says what to do."""


class FormationNetwork(Protocol):
    """What formation needs of :class:`~gorilla.consensus.peers.network.PeerNetwork`."""

    def send(self, peer: str, message: Message) -> None:
        """Send over the link to this peer."""
        ...

    def flush(self) -> None:
        """Hand what was sent to the sockets."""
        ...

    def drop(self, peer: str) -> None:
        """Close the link to this peer."""
        ...

    def enter(self, cluster_id: str, members: Callable[[], Sequence[Member]]) -> None:
        """This node belongs to a cluster from now on."""
        ...

    def serve_formation(self, formation: FormationLinks) -> None:
        """Hand it every link of which one side or the other belongs to no cluster yet."""
        ...


@dataclass(frozen=True)
class FormationOptions:
    """What may differ in tests."""

    genesis_bytes_max: int = GENESIS_BYTES_MAX
    progress: Callable[[tuple[Waiting, ...]], None] | None = None
    """Told whom formation waits for, and why, whenever that changes (looked at every second)."""


def roster(identity: Identity, configured: Sequence[Member]) -> tuple[Member, ...]:
    """Return the first voters of the cluster, with today's addresses where they are configured.

    Nothing else of the configuration counts once the cluster is formed.
    """
    addresses = {member.name: member for member in configured}
    return tuple(
        msgspec.structs.replace(
            member,
            peer=addresses.get(member.name, member).peer,
            http=addresses.get(member.name, member).http,
        )
        for member in identity.members
    )


async def form(
    identity: Identity,
    disk: Disk,
    initial_members: Sequence[Member],
    network: FormationNetwork,
    genesis: GenesisReader | None = None,
    options: FormationOptions | None = None,
) -> Identity:
    """Return this node's identity once it belongs to a cluster; at once when it does already.

    Waits as long as it takes for the other members (cancel it to stop). From then on, and also on
    a node that was formed before, the network answers those that are not yet.

    Args:
        identity: As :func:`~gorilla.consensus.identity.load_or_create` gave it.
        disk: The data directory.
        initial_members: As configured, in order, the coordinator first; ids don't matter.
        network: Started, or about to be.
        genesis: What a new cluster begins with, on the coordinator; also found by itself when it
            lies as ``genesis.snap`` in the data directory.
        options: See :class:`FormationOptions`.

    Raises:
        FormationError: It can't become a member.
        OSError: The disk failed: the node must stop.

    """
    options = options or FormationOptions()
    _require_listed(identity, initial_members)
    ref = None
    if not identity.formed:
        _require_coordinator_for_genesis(identity, disk, initial_members, genesis)
        if identity.name == initial_members[0].name:
            ref = await asyncio.to_thread(prepare_genesis, disk, genesis)
    rules = Formation(
        identity, initial_members, lambda: uuid.uuid4().hex, ref, options.genesis_bytes_max
    )
    run = _Run(rules, disk, initial_members, network)
    network.serve_formation(run)
    if identity.formed:
        assert identity.cluster_id is not None
        members = roster(identity, initial_members)
        network.enter(identity.cluster_id, lambda: members)
        return identity
    run.start()
    try:
        return await _report_until_joined(run, options)
    finally:
        run.stop()


async def _report_until_joined(run: "_Run", options: FormationOptions) -> Identity:
    shown: tuple[Waiting, ...] = ()
    while not run.joined.done():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(run.joined), REPORT_EVERY_S)
        waiting = run.waiting()
        if waiting and waiting != shown and not run.joined.done():
            shown = waiting
            logger.info(
                "waiting for %s", ", ".join(f"{one.name} ({one.reason})" for one in waiting)
            )
            if options.progress is not None:
                options.progress(waiting)
    if options.progress is not None:
        options.progress(())
    return run.joined.result()


def _require_listed(identity: Identity, members: Sequence[Member]) -> None:
    names = [member.name for member in members]
    if len(set(names)) != len(names):
        raise FormationError(f"two members have the same name: {', '.join(names)}")
    if not identity.formed and identity.name not in names:
        raise FormationError(
            f"this node is {identity.name}, which is not among the members ({', '.join(names)})"
        )


def _require_coordinator_for_genesis(
    identity: Identity, disk: Disk, members: Sequence[Member], genesis: GenesisReader | None
) -> None:
    first = members[0].name
    # A node that has promised may have fetched its genesis and stopped before it joined.
    lies_here = GENESIS_FILE in disk.names() and identity.promised_to is None
    if identity.name != first and (genesis is not None or lies_here):
        raise FormationError(
            f"a snapshot was restored on {identity.name}, but a new cluster begins with the state "
            f"of {first}, the first member listed: restore it there, and empty the data directory "
            f"of {identity.name}"
        )


class _Run:
    """Does what the rules decide, over a real disk and network."""

    def __init__(
        self,
        rules: Formation,
        disk: Disk,
        configured: Sequence[Member],
        network: FormationNetwork,
    ) -> None:
        self.joined: asyncio.Future[Identity] = asyncio.get_running_loop().create_future()
        self._rules = rules
        self._disk = disk
        self._configured = configured
        self._network = network
        self._genesis = GenesisFile(disk)
        self._pending: deque[Action] = deque()
        self._invited: dict[str, asyncio.Future[str | None]] = {}
        self._busy = False

    def start(self) -> None:
        self._do(self._rules.start())

    def stop(self) -> None:
        """Nobody waits any more. A node that has joined goes on to answer the others."""
        self.joined.cancel()
        self._genesis.close()

    def waiting(self) -> tuple[Waiting, ...]:
        return self._rules.waiting()

    def linked(self, info: PeerInfo) -> None:
        self._do(self._rules.linked(info))

    def unlinked(self, peer: str) -> None:
        self._do(self._rules.unlinked(peer))
        self._answered(peer, "the link was lost before it answered")

    def received(self, peer: str, message: Message) -> None:
        self._do(self._rules.received(peer, message))

    def refused(self, name: str, reason: str, text: str) -> None:
        self._do(self._rules.refused(name, reason, text))

    def troubled(self, name: str, reason: str) -> None:
        self._rules.troubled(name, reason)

    def invite(self, joiner: Member, members: Sequence[Member]) -> asyncio.Future[str | None]:
        answer = self._invited.get(joiner.id)
        if answer is None:
            answer = asyncio.get_running_loop().create_future()
            self._invited[joiner.id] = answer
            self._do(self._rules.invite(joiner, members))
        return answer

    def _answered(self, peer: str, objection: str | None) -> None:
        answer = self._invited.pop(peer, None)
        if answer is not None and not answer.done():
            answer.set_result(objection)

    def _do(self, actions: Sequence[Action]) -> None:
        """Do the actions in their order, after those that an earlier event asked for."""
        self._pending.extend(actions)
        if self._busy:
            return  # called from inside an action (a closed link, say): the loop below goes on
        self._busy = True
        try:
            while self._pending and not self._failed():
                self._do_one(self._pending.popleft())
        except Exception as error:
            if self.joined.done():
                raise  # serving others; the event loop's exception handler hears of it
            self.joined.set_exception(error)
        finally:
            self._busy = False
        self._network.flush()

    def _failed(self) -> bool:
        return self.joined.done() and (
            self.joined.cancelled() or self.joined.exception() is not None
        )

    def _do_one(self, action: Action) -> None:
        match action:
            case Send():
                self._network.send(action.peer, action.message)
            case Close():
                self._network.flush()
                self._network.drop(action.peer)
            case Save():
                save(self._disk, action.identity)
            case KeepChunk() | KeepGenesis() | ServeChunk():
                self._do_with_genesis(action)
            case Answered():
                self._answered(action.peer, action.objection)
            case Join() | Fail():
                self._end(action)

    def _do_with_genesis(self, action: KeepChunk | KeepGenesis | ServeChunk) -> None:
        match action:
            case KeepChunk():
                self._genesis.keep(action.offset, action.data)
            case KeepGenesis():
                self._genesis.finish()
            case ServeChunk():
                chunk = Chunk(action.offset, self._genesis.read(action.offset))
                self._network.send(action.peer, encode(chunk))

    def _end(self, action: Join | Fail) -> None:
        if isinstance(action, Fail):
            raise FormationError(action.text)
        identity = action.identity
        assert identity.cluster_id is not None
        members = roster(identity, self._configured)
        logger.info(
            "member %s of cluster %s (%s)",
            identity.name,
            identity.cluster_id,
            ", ".join(member.name for member in members),
        )
        self._network.flush()
        self._network.enter(identity.cluster_id, lambda: members)
        self.joined.set_result(identity)
