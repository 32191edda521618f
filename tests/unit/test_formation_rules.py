"""The rules of formation, message by message: what is answered, and in which order."""

import msgspec
import pytest

from gorilla.consensus.formation_actions import (
    Close,
    Fail,
    Join,
    KeepChunk,
    KeepGenesis,
    Save,
    Send,
)
from gorilla.consensus.formation_messages import CHUNK_BYTES, Ask, Chunk, Promise, State, encode
from gorilla.consensus.identity import Identity
from gorilla.consensus.peers.handshake import PeerInfo
from tests.support.forming import World, genesis_of, member, stored

NAMES = ("n1", "n2", "n3")
STATE = b"the restored lock table"


@pytest.fixture
def world():
    return World()


def an_adopter():
    """Return rules that have promised, with their coordinator's info and offer of a genesis."""
    world = World()
    coordinator = Identity(
        node_id="one",
        name="n1",
        promised_to="one",
        cluster_id="c",
        members=(member("n1", "one"), member("n2", "two")),
        genesis=genesis_of(STATE),
    )
    adopter = world.start("n2", ("n1", "n2"))
    rules = adopter.rules
    rules.identity = Identity(node_id="two", name="n2", promised_to="one")
    info = PeerInfo(name="n1", id="one", version="1", cluster_id="c", protocol=1)
    rules.linked(info)
    offer = {
        "type": "formation.formed",
        "cluster_id": "c",
        "members": msgspec.to_builtins(coordinator.members),
        "genesis": {"size": len(STATE), "sha256": genesis_of(STATE).sha256},
    }
    return rules, offer


def test_a_damaged_genesis_is_not_adopted():
    rules, offer = an_adopter()
    rules.received("one", offer)

    actions = rules.received("one", encode(Chunk(0, STATE[::-1])))

    assert actions == [Close("one")]
    assert not rules.identity.formed


def test_a_genesis_beyond_the_bound_is_refused():
    rules, offer = an_adopter()
    offer["genesis"]["size"] = 1 << 60

    [failure] = rules.received("one", offer)

    assert isinstance(failure, Fail)
    assert "more than the 17179869184 allowed" in failure.text


def test_a_genesis_longer_than_announced_is_cut_off():
    rules, offer = an_adopter()
    rules.received("one", offer)

    assert rules.received("one", encode(Chunk(0, STATE + b"!"))) == [Close("one")]
    assert not rules.identity.formed


def test_chunks_that_come_twice_late_or_from_another_are_ignored():
    rules, offer = an_adopter()
    rules.received("one", offer)
    keep, _ = rules.received("one", encode(Chunk(0, STATE[:5])))
    assert keep == KeepChunk(0, STATE[:5])

    assert rules.received("one", encode(Chunk(0, STATE[:5]))) == []
    assert rules.received("one", encode(Chunk(9, STATE[9:]))) == []
    actions = rules.received("one", encode(Chunk(5, STATE[5:])))

    assert any(isinstance(action, Save) for action in actions)
    assert rules.identity.cluster_id == "c"


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"type": "formation.bad"},
        {"type": "formation.ask"},
        {"type": "formation.ask", "names": [1]},
        {"type": "formation.chunk", "offset": 0, "data": bytes(CHUNK_BYTES + 1)},
        {"type": "formation.formed", "cluster_id": "c", "members": [], "genesis": None},
    ],
)
def test_a_message_that_makes_no_sense_closes_the_link(message):
    rules, _ = an_adopter()
    assert rules.received("one", message) == [Close("one")]


def test_a_promise_that_nobody_asked_for_counts_for_nothing(world):
    n1 = world.start("n1", ("n1", "n2"))
    n1.rules.linked(PeerInfo(name="n2", id="two", version="1", cluster_id=None, protocol=1))

    assert n1.rules.received("two", encode(Promise())) == []
    actions = n1.rules.received("two", encode(State(names=("n1", "n2"), promised_to=None)))

    assert actions == [Send("two", ask("n1", "n2"))]
    assert not n1.rules.identity.formed


def test_a_cluster_that_was_formed_with_another_directory_is_not_joined():
    rules, offer = an_adopter()
    offer["members"][1]["id"] = "another"

    [failure] = rules.received("one", offer)

    assert isinstance(failure, Fail)
    assert "formed without this data directory of n2" in failure.text


def test_only_a_member_is_served_the_genesis(world):
    n1 = world.start("n1", NAMES)
    n1.rules.linked(PeerInfo(name="n2", id="two", version="1", cluster_id=None, protocol=1))
    fetch = {"type": "formation.fetch", "offset": 0}
    assert n1.rules.received("two", fetch) == [Close("two")]


def test_a_node_teaches_whoever_links_later(world):
    alone = world.start("n1", ("n1",))
    info = PeerInfo(name="n2", id="two", version="1", cluster_id=None, protocol=1)
    [told] = alone.rules.linked(info)
    assert isinstance(told, Send)
    assert told.message["cluster_id"] == stored(alone).cluster_id


def unformed(name, node_id):
    return PeerInfo(name=name, id=node_id, version="1", cluster_id=None, protocol=1)


def ask(*names):
    return encode(Ask(names=names))


def test_a_promise_is_on_disk_before_it_is_given(world):
    rules = world.start("n2", NAMES).rules
    rules.linked(unformed("n1", "one"))

    saved, sent = rules.received("one", ask(*NAMES))

    assert isinstance(saved, Save)
    assert saved.identity.promised_to == "one"
    assert sent == Send("one", encode(Promise()))
    assert rules.received("one", ask(*NAMES)) == [sent]


def test_a_promise_is_never_given_to_a_second_directory_of_the_coordinator(world):
    rules = world.start("n2", NAMES).rules
    rules.linked(unformed("n1", "one"))
    rules.linked(unformed("n1", "another"))
    rules.received("one", ask(*NAMES))

    [objection] = rules.received("another", ask(*NAMES))

    assert objection.message["type"] == "formation.objection"
    assert "n2 has promised itself to another data directory of n1" in objection.message["text"]
    assert rules.identity.promised_to == "one"


@pytest.mark.parametrize(
    ("asker", "names"), [("n1", ("n1", "n2")), ("n1", ("n1", "n3", "n2")), ("n3", NAMES)]
)
def test_a_promise_is_given_to_the_first_listed_for_the_same_list_only(world, asker, names):
    rules = world.start("n2", NAMES).rules
    rules.linked(unformed(asker, "asker"))

    [objection] = rules.received("asker", ask(*names))

    assert objection.message["type"] == "formation.objection"
    assert rules.identity.promised_to is None


def test_a_cluster_is_on_disk_before_anybody_hears_of_it(world):
    rules = world.start("n1", ("n1", "n2")).rules
    rules.linked(unformed("n2", "two"))
    rules.received("two", encode(State(names=("n1", "n2"), promised_to=None)))

    saved, told, joined = rules.received("two", encode(Promise()))

    assert isinstance(saved, Save)
    assert told.message["type"] == "formation.formed"
    assert joined == Join(saved.identity)


def test_a_genesis_is_on_disk_before_the_node_is_a_member():
    rules, offer = an_adopter()
    rules.received("one", offer)

    actions = rules.received("one", encode(Chunk(0, STATE)))

    assert [type(action) for action in actions] == [KeepChunk, KeepGenesis, Save, Close, Join]


def test_only_listed_names_are_kept_among_the_troubles(world):
    n1 = world.start("n1", NAMES)
    for number in range(1_000):
        n1.rules.troubled(f"stranger-{number}", "claims to be somebody")
    assert len(n1.rules._troubles) == 0
