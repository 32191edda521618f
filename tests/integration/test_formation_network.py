"""First start over real sockets: nodes with empty directories become one cluster."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from gorilla.config.addresses import Address
from gorilla.config.secrets import Secret
from gorilla.consensus.formation import FormationError, FormationOptions, form, roster
from gorilla.consensus.identity import GENESIS_FILE, Identity, load, load_or_create, save
from gorilla.consensus.peers.joining import InviteError
from gorilla.consensus.peers.network import PeerNetwork
from gorilla.service.ports import Member
from tests.support.disks import MemoryDisk, PowerCutError
from tests.support.forming import BytesReader
from tests.support.peers import DEADLINE_S, LOOPBACK, SECRET, Recorder, on_both_loops, options

STATE = bytes(range(256)) * 4_096  # 1 MiB: several chunks


class Machine:
    """A data directory and what runs on it."""

    def __init__(self, town, name, disk=None, listed=None):
        self.town = town
        self.name = name
        self.disk = disk or MemoryDisk()
        self.network = None
        self.forming = None
        self.waiting = []
        self.handler = Recorder()
        self.progress = Recorder()
        self.listed = listed

    def configured(self):
        """What this machine's configuration lists: everybody, or those named."""
        everybody = self.town.configured()
        return tuple(one for one in everybody if self.listed is None or one.name in self.listed)

    async def start(self, *, secret=SECRET, genesis=None):
        identity = load_or_create(self.disk, self.name)
        configured = self.town.members[self.name]
        me = Member(id=identity.node_id, name=self.name, peer=configured.peer, http="")
        port = int(configured.peer.rpartition(":")[2])
        bind = Address(LOOPBACK, 0 if port == 1 else port)
        self.network = PeerNetwork(
            me, identity.cluster_id, secret, self.configured, None, options(bind=bind)
        )
        await self.network.start()
        self.town.members[self.name] = Member(
            id="", name=self.name, peer=str(self.network.address), http=f"{self.name}:4000"
        )
        # As in a configuration file, which has every address before anybody starts.
        await self.town.all_listen()
        self.forming = asyncio.create_task(self.run(identity, genesis))

    async def run(self, identity, genesis):
        formed = await form(
            identity,
            self.disk,
            self.configured(),
            self.network,
            BytesReader(genesis) if genesis else None,
            FormationOptions(progress=lambda waiting: self.progress.note("waiting", waiting)),
        )
        self.network.attach(self.handler)
        return formed

    async def formed(self):
        async with asyncio.timeout(DEADLINE_S):
            return await self.forming

    async def stop(self):
        if self.forming is not None:
            self.forming.cancel()
            await asyncio.wait([self.forming])
        if self.network is not None:
            await self.network.close()


class Town:
    def __init__(self, *names):
        self.members = {
            name: Member(id="", name=name, peer=f"{LOOPBACK}:1", http="") for name in names
        }
        self.machines = []
        self._listening = asyncio.Event()
        self._missing = len(names)

    def configured(self):
        return tuple(self.members.values())

    def machine(self, name, disk=None, listed=None):
        self.machines.append(Machine(self, name, disk, listed))
        return self.machines[-1]

    async def all_listen(self):
        self._missing -= 1
        if self._missing <= 0:
            self._listening.set()
        await self._listening.wait()

    def nobody_else_starts(self):
        self._missing = 0
        self._listening.set()

    async def start(self, *machines, **options):
        await asyncio.gather(*(machine.start(**options) for machine in machines))


@asynccontextmanager
async def town_of(*names):
    town = Town(*names)
    try:
        yield town
    finally:
        await asyncio.gather(*(machine.stop() for machine in town.machines))


async def all_linked(*machines):
    ids = {load(machine.disk).node_id for machine in machines}
    for machine in machines:
        others = ids - {load(machine.disk).node_id}
        handler = machine.handler
        await handler.until(lambda up=handler.up, others=others: set(up()) == others)


@on_both_loops
async def test_three_empty_nodes_form_a_cluster_and_are_linked_as_members():
    async with town_of("n1", "n2", "n3") as town:
        machines = [town.machine(name) for name in town.members]
        await town.start(*machines)

        identities = [await machine.formed() for machine in machines]

        assert len({identity.cluster_id for identity in identities}) == 1
        assert len({identity.members for identity in identities}) == 1
        assert [load(machine.disk.crash()) for machine in machines] == identities
        await all_linked(*machines)
        machines[2].network.send(identities[0].node_id, {"type": "append"})
        machines[2].network.flush()
        handler = machines[0].handler
        await handler.until(lambda: handler.of("received"))
        assert handler.of("received") == [(identities[2].node_id, {"type": "append"})]


@on_both_loops
async def test_a_restored_state_is_shipped_to_the_empty_nodes():
    async with town_of("n1", "n2", "n3") as town:
        n1, n2, n3 = (town.machine(name) for name in town.members)
        await asyncio.gather(n1.start(genesis=STATE), n2.start(), n3.start())

        identities = [await machine.formed() for machine in (n1, n2, n3)]

        assert identities[2].genesis.size == len(STATE)
        for machine in (n1, n2, n3):
            assert machine.disk.crash().read(GENESIS_FILE) == STATE


@on_both_loops
async def test_a_state_that_lies_in_the_first_directory_is_found_there():
    async with town_of("n1", "n2") as town:
        disk = MemoryDisk({GENESIS_FILE: STATE})
        machines = [town.machine("n1", disk), town.machine("n2")]
        await town.start(*machines)

        for machine in machines:
            await machine.formed()

        assert machines[1].disk.read(GENESIS_FILE) == STATE


@on_both_loops
async def test_the_progress_names_who_is_missing_and_why_until_all_are_there():
    async with town_of("n1", "n2") as town:
        n1, n2 = town.machine("n1"), town.machine("n2")
        town.nobody_else_starts()
        await n1.start()

        await n1.progress.until(lambda: n1.progress.of("waiting"))

        [(waiting,)] = n1.progress.of("waiting")
        assert [(one.name, one.reason) for one in waiting] == [("n2", "connection refused")]
        await n2.start()
        await n1.formed()
        await n2.formed()
        assert n1.progress.of("waiting")[-1] == ((),)


@on_both_loops
async def test_a_whole_cluster_restarts_at_once_with_what_it_was():
    async with town_of("n1", "n2", "n3") as town:
        machines = [town.machine(name) for name in town.members]
        await town.start(*machines)
        before = [await machine.formed() for machine in machines]
        for machine in machines:
            await machine.stop()

        again = [town.machine(one.name, one.disk.crash()) for one in machines]
        await town.start(*again)

        assert [await machine.formed() for machine in again] == before
        await all_linked(*again)


@on_both_loops
async def test_a_wiped_member_waits_to_be_added_and_the_others_go_on():
    async with town_of("n1", "n2", "n3") as town:
        machines = [town.machine(name) for name in town.members]
        await town.start(*machines)
        for machine in machines:
            await machine.formed()
        await machines[0].stop()

        wiped = town.machine("n1")
        await wiped.start()

        def reasons():
            return [one.reason for (waiting,) in wiped.progress.of("waiting") for one in waiting]

        await wiped.progress.until(lambda: any('with "replaces"' in one for one in reasons()))
        await all_linked(*machines[1:])
        assert not load(wiped.disk).formed


@on_both_loops
async def test_a_member_that_was_away_while_the_others_adopted_is_taught_later():
    async with town_of("n1", "n2", "n3") as town:
        n1, n2, n3 = (town.machine(name) for name in town.members)
        await town.start(n1, n2, n3)
        formed = await n1.formed()
        await n2.formed()
        await n3.formed()
        await n3.stop()
        coordinator, _, third = formed.members
        promised = MemoryDisk()  # as if it had stopped right after its promise
        save(promised, Identity(node_id=third.id, name="n3", promised_to=coordinator.id))

        late = town.machine("n3", promised)
        await late.start()

        assert (await late.formed()).cluster_id == formed.cluster_id
        await all_linked(n1, n2, late)


@on_both_loops
async def test_a_node_with_another_secret_is_waited_for_and_the_reason_is_shown():
    async with town_of("n1", "n2") as town:
        n1, n2 = town.machine("n1"), town.machine("n2")
        await asyncio.gather(n1.start(), n2.start(secret=Secret("something else entirely")))

        for machine, other in ((n1, "n2"), (n2, "n1")):
            await machine.progress.until(lambda of=machine.progress.of: of("waiting"))
            [one] = machine.progress.of("waiting")[-1][0]
            assert one.name == other
            assert "authentication failed" in one.reason


@on_both_loops
async def test_what_can_never_work_is_said_at_once():
    def member(name):
        return Member(id="", name=name, peer="127.0.0.1:1", http="")

    unused = PeerNetwork(member("n2"), None, SECRET, lambda: ())
    n2 = Identity(node_id="two", name="n2")
    with pytest.raises(FormationError, match="not among the members"):
        await form(n2, MemoryDisk(), [member("n1")], unused)
    with pytest.raises(FormationError, match="two members have the same name: n2, n2"):
        await form(n2, MemoryDisk(), [member("n2"), member("n2")], unused)
    both = [member("n1"), member("n2")]
    with pytest.raises(FormationError, match=r"on n2, but a new cluster begins with .* of n1"):
        await form(n2, MemoryDisk(), both, unused, BytesReader(STATE))
    with pytest.raises(FormationError, match="restored on n2"):
        await form(n2, MemoryDisk({GENESIS_FILE: STATE}), both, unused)


@on_both_loops
async def test_a_disk_that_fails_ends_formation():
    async with town_of("n1", "n2") as town:
        disk = MemoryDisk()
        load_or_create(disk, "n1")
        disk.cut_after = disk.steps
        n1, n2 = town.machine("n1", disk), town.machine("n2")
        await town.start(n1, n2)

        with pytest.raises(PowerCutError):
            await n1.formed()

        assert not load(disk.crash()).formed


NAMES = ("n1", "n2", "n3")


async def a_cluster_and_a_newcomer(town):
    founders = [town.machine(name, listed=NAMES) for name in NAMES]
    await town.start(*founders)
    for machine in founders:
        await machine.formed()
    town.members["n4"] = Member(id="", name="n4", peer=f"{LOOPBACK}:1", http="")
    newcomer = town.machine("n4")
    await newcomer.start()
    await newcomer.progress.until(
        lambda: "(n1, n2, n3)" in str(newcomer.progress.of("waiting")[-1:])
    )
    return founders, newcomer


async def invite(inviter, newcomer, **changes):
    identity = load(newcomer.disk)
    peer = str(newcomer.network.address)
    joiner = Member(**({"id": identity.node_id, "name": "n4", "peer": peer, "http": ""} | changes))
    deadline_s = asyncio.get_running_loop().time() + DEADLINE_S
    members = load(inviter.disk).members
    await inviter.network.newcomers.invite(joiner, members, deadline_s)


@on_both_loops
async def test_a_newcomer_waits_is_invited_and_linked_with_everybody():
    async with town_of(*NAMES) as town:
        founders, newcomer = await a_cluster_and_a_newcomer(town)
        found = founders[1].network.newcomers.unformed("n4")
        assert (found.id, found.cluster_id) == (load(newcomer.disk).node_id, None)
        assert founders[1].network.newcomers.unformed("n3") is None

        await invite(founders[1], newcomer)

        assert load(newcomer.disk.crash()).joining
        identity = await newcomer.formed()
        assert identity.cluster_id == load(founders[0].disk).cluster_id
        await all_linked(*founders, newcomer)
        assert founders[1].network.newcomers.unformed("n4").cluster_id == identity.cluster_id
        await invite(founders[1], newcomer)


@on_both_loops
async def test_whoever_invites_hears_why_it_comes_to_nothing():
    async with town_of(*NAMES) as town:
        founders, newcomer = await a_cluster_and_a_newcomer(town)

        with pytest.raises(InviteError, match="does not come: the invitation is meant for n5"):
            await invite(founders[0], newcomer, name="n5")
        with pytest.raises(InviteError, match="n4 is not linked with n1: start it"):
            await invite(founders[0], newcomer, id="somebody else")
        inviting = asyncio.ensure_future(invite(founders[0], newcomer))
        network, newcomer_id = founders[0].network, load(newcomer.disk).node_id
        asyncio.get_running_loop().call_soon(network.drop, newcomer_id)  # once it is sent
        with pytest.raises(InviteError, match="the link was lost before it answered"):
            await inviting


@on_both_loops
async def test_a_newcomer_is_found_where_it_is_said_to_be_though_it_does_not_list_the_leader():
    async with town_of(*NAMES) as town:
        founders, _ = await a_cluster_and_a_newcomer(town)
        town.members["n5"] = Member(id="", name="n5", peer=f"{LOOPBACK}:1", http="")
        town.members["n0"] = Member(id="", name="n0", peer=f"{LOOPBACK}:1", http="")
        newcomer = town.machine("n0", listed=("n5", "n0"))
        await newcomer.start()

        founders[2].network.newcomers.dial((town.members["n0"],))

        await newcomer.progress.until(
            lambda: "waiting to be added" in str(newcomer.progress.of("waiting")[-1:])
        )
        assert founders[2].network.newcomers.unformed("n0") is not None


def test_only_the_addresses_of_members_follow_the_configuration():
    fixed = (
        Member(id="one", name="n1", peer="old:1", http="old:2"),
        Member(id="two", name="n2", peer="old:3", http="old:4"),
    )
    identity = Identity(node_id="one", name="n1", cluster_id="c", members=fixed)
    configured = [
        Member(id="", name="n3", peer="new:5", http="new:6"),
        Member(id="", name="n2", peer="new:3", http="new:4"),
    ]

    assert roster(identity, configured) == (
        fixed[0],
        Member(id="two", name="n2", peer="new:3", http="new:4"),
    )
