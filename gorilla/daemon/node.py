"""One node: builds its parts from the bottom up, runs them, stops them in reverse."""

import asyncio
import gc
import importlib.metadata
import logging
import os
import random
import secrets
import signal
from pathlib import Path
from typing import Final

import uvloop

from gorilla.api.app import build_app
from gorilla.api.dependencies import ApiDependencies
from gorilla.api.server import ApiServer, ListenError, serve
from gorilla.config import ClusterConfig, MemberConfig
from gorilla.consensus.disk import DirectoryDisk, DiskInUseError
from gorilla.consensus.driver import Driver
from gorilla.consensus.engine import Engine
from gorilla.consensus.formation import FormationError, form, roster
from gorilla.consensus.gate import ConsensusGate, MembershipGate
from gorilla.consensus.identity import Identity, IdentityError, load_or_create
from gorilla.consensus.journal import CorruptJournalError, Journal, JournalFailedError
from gorilla.consensus.library import FailStopError, LibraryMismatchError, check_library
from gorilla.consensus.membership.asking import ClusterChanges
from gorilla.consensus.peers.handshake import require_protection
from gorilla.consensus.peers.network import PeerNetwork, PeerOptions, PortInUseError
from gorilla.consensus.remedies import is_full, told
from gorilla.consensus.restoring import seed_snapshot
from gorilla.consensus.roster import RemovedError
from gorilla.consensus.settings import EngineSettings
from gorilla.consensus.snapshots import (
    CorruptSnapshotError,
    SnapshotError,
    SnapshotFailedError,
    SnapshotStore,
)
from gorilla.daemon.failures import CommandError, Exit
from gorilla.daemon.gauges import Gauges
from gorilla.daemon.serving import Services, build_services, http_limits
from gorilla.dashboard import dashboard_page
from gorilla.domain.versions import ClusterVersionError
from gorilla.observability import Metrics, set_up_logging
from gorilla.service.membership import MembershipService
from gorilla.service.ports import Member
from gorilla.service.time import SystemClock

log = logging.getLogger(__name__)

LEAVE_BALANCER_S: Final = 0.6
"""How long a stopping node goes on serving while ``/_ready`` says no: two checks of a balancer."""

LEAVE_S_MAX: Final = 1.0
"""How long a leader that stops tries to hand its office over."""

LAST_ANSWERS_S: Final = 0.5
"""What answers under way have at least, however little is left of the deadline."""

STARTUP_FAILURES: Final = (
    CorruptJournalError,
    DiskInUseError,
    FailStopError,
    FormationError,
    IdentityError,
    JournalFailedError,
    LibraryMismatchError,
    ListenError,
    OSError,
    PortInUseError,
    SnapshotError,
    ValueError,
)
"""What an operator can mend: told in one line."""


def run_node(config: ClusterConfig, node_name: str) -> int:
    """Run a node until SIGTERM or SIGINT; returns the process's exit code.

    Raises:
        CommandError: It can't start, or could not go on; the message says what to do.

    """
    set_up_logging(config.log.level, config.log.format, node_name)
    try:
        check_library()
        return uvloop.run(NodeProcess(config, config.member(node_name)).run())
    except RemovedError as error:
        raise CommandError(str(error), Exit.REMOVED) from error
    except STARTUP_FAILURES as error:
        raise CommandError(_why(error, config.data_dir(node_name))) from error


def _why(error: Exception, directory: Path) -> str:
    """Say why the node can't start, with the whole path of a file that is to blame."""
    if isinstance(error, CorruptJournalError | CorruptSnapshotError):
        return f"{directory}/{error}"
    if isinstance(error, OSError) and error.filename is not None:
        return told(error)
    return str(error)


class NodeProcess:
    """The composition of one node."""

    def __init__(self, config: ClusterConfig, member: MemberConfig) -> None:
        """Compose ``member`` of the cluster that ``config`` describes."""
        self._config = config
        self._member = member
        self._version = importlib.metadata.version("gorilla-lock")
        self._clock = SystemClock()
        self._metrics = Metrics(member.name, self._version)
        self._stop = asyncio.Event()

    async def run(self) -> int:
        """Start, serve, stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        require_protection(self._config.cluster_secret, self._member.peer_bind.host)
        with self._disk() as disk:
            await self._run_on(disk)
        return Exit.DONE

    def _disk(self) -> DirectoryDisk:
        directory = self._config.data_dir(self._member.name)
        try:
            return DirectoryDisk(directory)
        except OSError as error:
            why = f"{told(error)}{_or_elsewhere(directory, error)}"
            raise CommandError(f"the data directory can't be used: {why}") from error

    async def _run_on(self, disk: DirectoryDisk) -> None:
        identity = load_or_create(disk, self._member.name)
        # The journal is there before the cluster is formed, so a formed node without one lost it.
        journal = self._open_journal(disk, identity)
        me = _member(self._member, identity.node_id)
        gate, membership_gate = ConsensusGate(me), MembershipGate()
        membership = MembershipService(membership_gate, asyncio.get_running_loop())
        services = build_services(
            self._config, self._member.name, gate, self._clock, self._version, _fail_stop
        )
        network = self._network(me, identity)
        server = await self._serve(services, membership)
        gauges = Gauges(
            self._metrics,
            gate,
            services,
            lambda: server.connections,
            disk.free_bytes,
        )
        try:
            await network.start()
            identity = await self._formed(identity, disk, network)
            if self._stop.is_set():
                return
            driver, changes = self._drive(identity, disk, journal, services, network, gauges)
            gate.open(driver)
            membership_gate.open(changes)
            gauges.start()
            background = asyncio.gather(
                services.keeper.run(self._stop),
                services.history.writer.run(self._stop),
                services.upgrading.run(self._stop),
                services.noting.run(self._stop),
                changes.run(self._stop),
            )
            await self._stop.wait()
            membership.stop()
            await self._leave(services, driver, server, background)
            await driver.finish(self._config.node.stop_deadline_s)
        finally:
            gauges.stop()
            services.feed.end_all()
            # Nothing, where it was stopped in order.
            await server.close(self._config.node.stop_deadline_s)
            await services.close()
            await network.close()
            journal._destroy()  # noqa: SLF001  the library's name for closing
        log.info("stopped")

    # -- parts

    def _open_journal(self, disk: DirectoryDisk, identity: Identity) -> Journal:
        sizes = self._config.journal
        journal = Journal.open(
            disk,
            node=identity.node_id,
            retain_entries=sizes.retain_entries,
            retain_bytes=sizes.retain_mib * 1024 * 1024,
            segment_bytes=sizes.segment_mib * 1024 * 1024,
            must_exist=identity.formed,
            on_sync=self._metrics.observe_sync,
        )
        if journal.recovered.bytes_cut:
            log.warning("the journal's unfinished end was cut: %s", journal.recovered)
        return journal

    def _network(self, me: Member, identity: Identity) -> PeerNetwork:
        configured = self._configured()
        options = PeerOptions(bind=self._member.peer_bind, version=self._version)
        return PeerNetwork(
            me,
            identity.cluster_id,
            self._config.cluster_secret,
            lambda: configured,
            options=options,
        )

    def _configured(self) -> tuple[Member, ...]:
        return tuple(_member(member, "") for member in self._config.members)

    async def _formed(
        self, identity: Identity, disk: DirectoryDisk, network: PeerNetwork
    ) -> Identity:
        forming = asyncio.ensure_future(form(identity, disk, self._configured(), network))
        stopped = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait((forming, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if forming.done():
            return forming.result()
        forming.cancel()
        return identity

    def _drive(
        self,
        identity: Identity,
        disk: DirectoryDisk,
        journal: Journal,
        services: Services,
        network: PeerNetwork,
        gauges: Gauges,
    ) -> tuple[Driver, ClusterChanges]:
        assert identity.cluster_id is not None
        store = SnapshotStore(disk)
        if seed_snapshot(disk, store, identity):
            log.info("the cluster begins with a restored snapshot")
        drivers: list[Driver] = []  # the engine is built first, and its driver offloads for it
        engine = Engine(
            me=identity.node_id,
            members=roster(identity, self._configured()),
            joining=_member(self._member, identity.node_id) if identity.joining else None,
            cluster_id=identity.cluster_id,
            settings=_engine_settings(self._config),
            replica=services.replica,
            journal=journal,
            snapshots=store,
            wire=network,
            monotonic=self._clock.monotonic,
            random=random.Random(secrets.randbits(64)),  # noqa: S311  election timeouts
            offload=lambda work, done: drivers[0].offload(work, done),  # noqa: PLW0108  not there yet
        )
        engine.on_role = gauges.count_candidacy
        driver = Driver(
            engine,
            on_change=services.proposals.poke,
            on_failure=_fail_stop,
            heard_s=network.heard_s,
        )
        drivers.append(driver)
        gauges.watch_journal(journal)
        network.follow_roster(lambda: engine.roster.members, engine.roster.is_removed)
        changes = ClusterChanges(
            engine,
            driver,
            network.newcomers,
            random.Random(secrets.randbits(64)),  # noqa: S311  numbers, not secrets
            on_drain=services.cluster.drain,
        )
        network.attach(driver)
        driver.start()
        # What is alive now stays alive: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        return driver, changes

    async def _serve(self, services: Services, membership: MembershipService) -> ApiServer:
        api = build_app(
            ApiDependencies(
                node=self._member.name,
                version=self._version,
                locks=services.locks,
                history=services.history.service,
                repairs=services.repairs,
                sessions=services.sessions,
                policies=services.policies,
                cluster=services.cluster,
                registry=self._metrics.registry,
                dashboard=dashboard_page(),
                snapshots=services.snapshots,
                membership=membership,
                feed=services.feed,
                limits=http_limits(self._config),
            )
        )
        bind = self._member.http_bind
        server = await serve(api, bind.host, bind.port)
        log.info("serving %s, as %s of the cluster", self._member.http, self._member.name)
        return server

    # -- the end

    async def _leave(
        self,
        services: Services,
        driver: Driver,
        server: ApiServer,
        background: asyncio.Future[tuple[None, None, None, None, None]],
    ) -> None:
        """Stop so that no client notices."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._config.node.stop_deadline_s
        log.info("stopping: /_ready says no from now on")
        services.cluster.start_draining()
        # The balancer needs a moment to notice; until then requests are served as ever.
        await _elapsed(LEAVE_BALANCER_S)
        services.feed.end_all()
        await driver.leave(min(deadline_s, loop.time() + LEAVE_S_MAX))
        server.stop_listening()
        services.locks.waits.drain()
        await services.proposals.drain(max(0.0, deadline_s - loop.time()))
        # Consensus runs on meanwhile: reads that are under way need it for their answer.
        await server.close(max(LAST_ANSWERS_S, deadline_s - loop.time()))
        await asyncio.wait((background,), timeout=max(0.1, deadline_s - loop.time()))
        background.cancel()


def _or_elsewhere(directory: Path, error: OSError) -> str:
    """Another place is a remedy only for a node that has none yet: it would be another member."""
    if is_full(error) or _was_used(directory):
        return ""
    return ", or set node.data_dir (GORILLA_NODE_DATA_DIR) to a place that it may write to"


def _was_used(directory: Path) -> bool:
    try:
        return any(directory.iterdir())
    except FileNotFoundError:
        return False
    except OSError:
        return True


async def _elapsed(seconds: float) -> None:
    """Wait for a length of time that is itself the condition."""
    passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(seconds, passed.set_result, None)
    await passed


def _member(member: MemberConfig, member_id: str) -> Member:
    return Member(id=member_id, name=member.name, peer=member.peer, http=member.http)


def _engine_settings(config: ClusterConfig) -> EngineSettings:
    timing = config.consensus
    return EngineSettings(
        heartbeat_s=timing.heartbeat_interval_ms / 1000,
        election_s_min=timing.election_timeout_ms_min / 1000,
        election_s_max=timing.election_timeout_ms_max / 1000,
        fallback_s=timing.leader_fallback_ms / 1000,
        compact_entries=config.journal.compact_entries,
    )


def _fail_stop(error: BaseException) -> None:
    """End the process at once: going on could break a promise (docs/adr/0004)."""
    code = Exit.STOPPED_ITSELF
    if isinstance(error, JournalFailedError | SnapshotFailedError | CorruptSnapshotError):
        # The disk, not the program: where in the program it was noticed helps nobody.
        log.critical("this node stops itself: %s", error)
    elif isinstance(error, OSError) and error.filename is not None:
        log.critical("this node stops itself: %s", told(error))
    elif isinstance(error, RemovedError):
        log.critical("this node stops for good: %s", error)
        code = Exit.REMOVED
    elif isinstance(error, ClusterVersionError):
        log.critical("this node stops itself: %s", error)
    else:
        log.critical("this node stops itself: %s", error, exc_info=error)
    logging.shutdown()
    os._exit(code)
