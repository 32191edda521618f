"""Who may be linked to whom, and what the refused operator reads."""

import pytest

from gorilla.consensus.peers.admission import decide
from gorilla.consensus.peers.handshake import PeerInfo
from gorilla.service.ports import Member


def member(name, node_id):
    return Member(id=node_id, name=name, peer=f"{name}:4100", http=f"{name}:4000")


def peer(name, node_id, cluster_id="c"):
    return PeerInfo(name=name, id=node_id, version="1", cluster_id=cluster_id, protocol=1)


ME = member("n1", "one")
ROSTER = (ME, member("n2", "two"))
TO_BE = (member("n1", ""), member("n2", ""))


@pytest.mark.parametrize("cluster_id", ["c", None], ids=["formed", "not formed yet"])
def test_a_member_is_admitted_whether_it_was_formed_yet_or_not(cluster_id):
    assert decide(ME, "c", ROSTER, peer("n2", "two", cluster_id)) is None


@pytest.mark.parametrize("cluster_id", ["c", None], ids=["formed", "not formed yet"])
def test_a_node_without_a_cluster_admits_those_listed_whatever_their_id(cluster_id):
    assert decide(ME, None, TO_BE, peer("n2", "any", cluster_id)) is None


@pytest.mark.parametrize(
    ("cluster_id", "roster", "who", "reason", "words"),
    [
        ("c", ROSTER, peer("n3", "two"), "not_a_member", "n3 is not a member"),
        ("c", ROSTER, peer("n2", "two", "d"), "other_cluster", "n1 belongs to cluster c, n2 to"),
        ("c", ROSTER, peer("n1", "one"), "same_name", "both ends of the connection are n1"),
        ("c", ROSTER, peer("n1", "new"), "same_name", "both called n1: stop or rename one"),
        ("c", ROSTER, peer("n2", "one"), "same_name", "copies of one data directory"),
        (None, TO_BE, peer("n3", "three", None), "not_a_member", "correct its list of members"),
        (None, TO_BE, peer("n1", "new", None), "same_name", "both called n1"),
    ],
)
def test_everybody_else_is_refused_for_a_reason_that_says_what_to_do(
    cluster_id, roster, who, reason, words
):
    refusal = decide(ME, cluster_id, roster, who)

    assert refusal is not None
    assert refusal.reason == reason
    assert words in refusal.text


@pytest.mark.parametrize(
    "who",
    [peer("n3", "three"), peer("n2", "new")],
    ids=["a name of its own", "a name that is taken"],
)
def test_a_node_of_the_cluster_that_the_roster_lacks_is_admitted_for_the_roster_may_be_old(who):
    assert decide(ME, "c", ROSTER, who) is None
    assert decide(ME, "c", ROSTER, who, lambda _: False) is None


@pytest.mark.parametrize("name", ["n3", "n2"], ids=["a name of its own", "one that it replaces"])
def test_a_node_that_waits_to_be_added_is_admitted(name):
    assert decide(ME, "c", ROSTER, peer(name, "three", None)) is None


def test_a_node_without_a_cluster_admits_one_of_a_cluster_that_it_does_not_list():
    assert decide(ME, None, TO_BE, peer("n3", "three", "c")) is None


@pytest.mark.parametrize("cluster_id", ["c", None], ids=["formed", "not formed yet"])
@pytest.mark.parametrize("roster", [ROSTER, (ME,)], ids=["roster is old", "roster is new"])
def test_a_removed_member_is_refused_for_ever_and_reads_what_to_do(cluster_id, roster):
    refusal = decide(ME, "c", roster, peer("n2", "two", cluster_id), {"two"}.__contains__)

    assert refusal is not None
    assert refusal.reason == "removed"
    assert "n2 was removed from the cluster" in refusal.text
    assert "start n2 with an empty one, and add it" in refusal.text


def test_a_name_that_was_removed_may_come_again_with_another_directory():
    assert decide(ME, "c", (ME,), peer("n2", "new", None), {"two"}.__contains__) is None
