"""A node that comes into a cluster that there is already: waits, is invited, writes it down."""

import msgspec
import pytest

from gorilla.consensus.formation_actions import Answered, Close, Join, Save, Send
from gorilla.consensus.formation_messages import Accepted, Formed, Invite, encode
from gorilla.consensus.identity import Identity
from gorilla.consensus.peers.handshake import PeerInfo
from tests.support.forming import World, genesis_of, member, stored

NAMES = ("n1", "n2", "n3")
MORE = (*NAMES, "n4")
VOTERS = (member("n1", "one"), member("n2", "two"))


def a_cluster_and_a_newcomer():
    world = World()
    nodes = [world.start(name, NAMES) for name in NAMES]
    world.settle()
    newcomer = world.start("n4", MORE)
    world.settle()
    return world, nodes, newcomer


def invite(inviter, newcomer):
    joiner = member("n4", newcomer.identity.node_id)
    inviter.act(inviter.rules.invite(joiner, inviter.identity.members))


def reasons(process):
    return {one.name: one.reason for one in process.rules.waiting()}


def rules_of(identity, names=("n1", "n2", "n3")):
    rules = World().start(identity.name, names).rules
    rules.identity = identity
    return rules


def info(name, node_id, cluster_id):
    return PeerInfo(name=name, id=node_id, version="1", cluster_id=cluster_id, protocol=1)


def invitation(**changes):
    fields = {"cluster_id": "c", "members": VOTERS, "joiner": member("n3", "three")}
    return encode(Invite(**(fields | changes)))


def test_a_newcomer_waits_and_says_whom_to_ask():
    _, _, newcomer = a_cluster_and_a_newcomer()

    assert newcomer.alive
    assert not stored(newcomer).formed
    assert reasons(newcomer) == {
        "the cluster": "n4 is waiting to be added: it is not a member of cluster cluster-1, which "
        "is there already. Add it at one of its nodes (n1, n2, n3)"
    }


def test_an_invited_newcomer_belongs_to_the_cluster_and_knows_its_members():
    world, nodes, newcomer = a_cluster_and_a_newcomer()

    invite(nodes[1], newcomer)
    world.settle()

    assert newcomer.joined
    identity = stored(newcomer)
    assert identity.joining
    assert (identity.cluster_id, identity.members) == ("cluster-1", stored(nodes[0]).members)
    assert nodes[1].answers == [(identity.node_id, None)]
    assert not any(newcomer.lines)


@pytest.mark.parametrize("steps", range(6))
def test_a_newcomer_that_stops_at_any_step_can_be_invited_again_or_has_come(steps):
    world, nodes, newcomer = a_cluster_and_a_newcomer()
    invite(nodes[0], newcomer)
    world.crash_at = steps
    world.drain()

    world.crash_at = None
    if not newcomer.alive:
        newcomer = world.restart(newcomer)
    world.settle()
    if not stored(newcomer).formed:
        invite(nodes[0], newcomer)
        world.settle()

    assert stored(newcomer).joining
    assert stored(newcomer).cluster_id == "cluster-1"


def test_it_is_on_disk_before_it_is_answered():
    rules = rules_of(Identity(node_id="three", name="n3"))
    rules.linked(info("n1", "one", "c"))
    rules.linked(info("n2", "two", "c"))
    rules.received("two", encode(Formed("c", VOTERS, None)))

    saved, answer, closed, joined = rules.received("one", invitation())

    assert isinstance(saved, Save)
    assert answer == Send("one", encode(Accepted()))
    assert closed == Close("two")
    assert joined == Join(saved.identity)
    assert rules.received("one", invitation()) == [answer]


@pytest.mark.parametrize(
    ("me", "inviter", "changes", "words"),
    [
        ({}, ("n1", "one", "c"), {"joiner": member("n3", "x")}, "meant for n3 (x)"),
        ({}, ("n1", "one", "c"), {"joiner": member("n4", "three")}, "meant for n4"),
        ({}, ("n1", "one", "d"), {}, "a member of the cluster only"),
        ({}, ("n1", "one", None), {}, "a member of the cluster only"),
        ({}, ("n9", "nine", "c"), {}, "a member of the cluster only"),
        (
            {},
            ("n1", "one", "c"),
            {"members": (*VOTERS, member("n3", "three"))},
            "only as long as it is none itself",
        ),
        ({"promised_to": "one"}, ("n1", "one", "c"), {}, "has promised to form another cluster"),
        (
            {"cluster_id": "d", "members": VOTERS},
            ("n1", "one", "c"),
            {},
            "n3 belongs to cluster d already",
        ),
        (
            {"cluster_id": "c", "members": VOTERS},
            ("n1", "one", "c"),
            {},
            "n3 belongs to cluster c already",
        ),
    ],
)
def test_an_invitation_that_makes_no_sense_is_refused_with_the_reason(me, inviter, changes, words):
    before = Identity(**({"node_id": "three", "name": "n3"} | me))
    rules = rules_of(before)
    rules.linked(info(*inviter))

    [objection] = rules.received(inviter[1], invitation(**changes))

    assert objection.message["type"] == "formation.objection"
    assert words in objection.message["text"]
    assert rules.identity == before


def test_a_node_with_a_restored_snapshot_is_not_drawn_into_another_cluster():
    world = World()
    restored = world.start("n1", ("n1", "n2"), genesis=b"state")
    restored.rules.linked(info("n8", "eight", "c"))
    joiner = member("n1", restored.identity.node_id)

    [objection] = restored.rules.received(
        "eight", invitation(members=(member("n8", "eight"),), joiner=joiner)
    )

    assert "a snapshot was restored on n1" in objection.message["text"]
    assert not restored.identity.formed


def test_the_inviter_hears_of_an_objection():
    world = World()
    alone = world.start("n1", ("n1",))
    alone.rules.linked(info("n3", "three", None))

    answered = alone.rules.received("three", {"type": "formation.objection", "text": "not with me"})

    assert answered == [Answered("three", "not with me")]


def test_a_node_that_was_invited_teaches_nobody_its_members_as_the_first_ones():
    first = (member("n1", "one"), member("n2", "two"), member("n3", "three"))
    joined = rules_of(
        Identity(node_id="four", name="n4", cluster_id="c", members=first, joining=True), MORE
    )
    [told] = joined.linked(info("n3", "three", None))
    late = rules_of(Identity(node_id="three", name="n3", promised_to="one"))
    late.linked(info("n4", "four", "c"))
    late.linked(info("n2", "two", "c"))

    assert late.received("four", told.message) == []
    assert not late.identity.formed

    founder = encode(Formed("c", first, genesis_of(b"state")))
    [fetch] = late.received("two", founder)
    assert fetch.message["type"] == "formation.fetch"


def test_members_of_two_clusters_at_the_listed_addresses_are_told_apart():
    rules = rules_of(Identity(node_id="three", name="n3"))
    for name, node_id, cluster_id in (("n1", "one", "c"), ("n2", "two", "d")):
        rules.linked(info(name, node_id, cluster_id))
        voters = (member(name, node_id),)
        assert rules.received(node_id, encode(Formed(cluster_id, voters, None))) == []

    [waiting] = rules.waiting()

    assert waiting.reason == (
        "n1, n2 belong to different clusters (c, d): correct the list of members of n3"
    )


def test_an_offer_of_a_version_without_invitations_is_understood():
    message = encode(Formed("c", VOTERS, None))
    del message["joined"]
    rules = rules_of(Identity(node_id="three", name="n3"))
    rules.linked(info("n1", "one", "c"))

    assert rules.received("one", msgspec.msgpack.decode(msgspec.msgpack.encode(message))) == []
    assert rules.waiting()[0].name == "the cluster"
