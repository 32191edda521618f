"""The handshake: who gets in, who is told what, and which tricks fail."""

from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, strategies as st

from gorilla.config.secrets import Secret
from gorilla.consensus.peers.handshake import (
    AcceptorHandshake,
    DialerHandshake,
    Established,
    HandshakeError,
    Reason,
    Refusal,
    Refused,
    Speaker,
    require_protection,
)

SECRET = Secret("correct horse battery staple")
N1 = Speaker(name="n1", id="id-of-n1", version="1.0.0", cluster_id="c")
N2 = Speaker(name="n2", id="id-of-n2", version="1.1.0", cluster_id="c")
STRANGE_TEXT = Refusal(Reason.NOT_A_MEMBER, "n2 is not a member")


def admit_all(_peer):
    return None


def refuse_all(_peer):
    return STRANGE_TEXT


def make_dialer(me=N2, secret=SECRET, admit=admit_all):
    return DialerHandshake(me, secret, admit)


def make_acceptor(me=N1, secret=SECRET, admit=admit_all):
    return AcceptorHandshake(me, secret, admit)


def over_the_wire(message):
    return msgspec.msgpack.decode(msgspec.msgpack.encode(message))


@dataclass
class Talk:
    """What each side sent."""

    by_dialer: list = field(default_factory=list)
    by_acceptor: list = field(default_factory=list)


def converse(dialer, acceptor):
    talk = Talk()
    to_acceptor, to_dialer = [dialer.start()], []
    while to_acceptor or to_dialer:
        while to_acceptor:
            talk.by_dialer.append(message := over_the_wire(to_acceptor.pop(0)))
            to_dialer.extend(acceptor.receive(message))
        while to_dialer:
            talk.by_acceptor.append(message := over_the_wire(to_dialer.pop(0)))
            to_acceptor.extend(dialer.receive(message))
    return talk


def test_two_nodes_with_the_same_secret_learn_who_the_other_is():
    dialer, acceptor = make_dialer(), make_acceptor()

    talk = converse(dialer, acceptor)

    assert isinstance(dialer.outcome, Established)
    assert isinstance(acceptor.outcome, Established)
    assert (dialer.outcome.info.name, dialer.outcome.info.id) == ("n1", "id-of-n1")
    assert (acceptor.outcome.info.name, acceptor.outcome.info.version) == ("n2", "1.1.0")
    assert acceptor.outcome.info.cluster_id == "c"
    assert [message["type"] for message in talk.by_dialer] == ["hello", "proof", "ready"]
    assert [message["type"] for message in talk.by_acceptor] == ["challenge", "welcome"]


def test_the_secret_never_travels():
    talk = converse(make_dialer(), make_acceptor())

    sent = msgspec.msgpack.encode([talk.by_dialer, talk.by_acceptor])
    assert SECRET.reveal().encode() not in sent


def test_nodes_without_a_secret_find_each_other():
    dialer, acceptor = make_dialer(secret=Secret()), make_acceptor(secret=Secret())

    converse(dialer, acceptor)

    assert isinstance(dialer.outcome, Established)
    assert isinstance(acceptor.outcome, Established)


@pytest.mark.parametrize("wrong", [Secret("another secret"), Secret()])
def test_a_dialer_with_a_wrong_secret_is_told_only_that_authentication_failed(wrong):
    dialer, acceptor = make_dialer(secret=wrong), make_acceptor(admit=refuse_all)

    talk = converse(dialer, acceptor)

    expected = Refusal(Reason.AUTHENTICATION_FAILED, "authentication failed")
    assert dialer.outcome == Refused(expected, by_peer=True, peer_name="n1")
    assert acceptor.outcome == Refused(expected, by_peer=False, peer_name="n2")
    assert talk.by_acceptor[-1] == {
        "type": "refused",
        "reason": "authentication_failed",
        "text": "authentication failed",
    }


def test_an_acceptor_without_the_secret_is_found_out_by_the_dialer():
    dialer, acceptor = make_dialer(), make_acceptor(secret=Secret("a guess"))
    challenge = acceptor.receive(dialer.start())[0]
    dialer.receive(challenge)

    answer = dialer.receive({"type": "welcome", "proof": bytes(32)})

    assert answer[0]["reason"] == "authentication_failed"
    assert isinstance(dialer.outcome, Refused)


def test_a_proof_cannot_be_reflected_to_the_dialer_that_made_it():
    dialer, acceptor = make_dialer(), make_acceptor()
    [challenge] = acceptor.receive(dialer.start())
    [proof] = dialer.receive(challenge)

    dialer.receive({"type": "welcome", "proof": proof["proof"]})

    assert isinstance(dialer.outcome, Refused)


def test_the_acceptors_own_proof_does_not_open_it():
    dialer, acceptor = make_dialer(), make_acceptor()
    victim = make_acceptor()
    talk = converse(dialer, acceptor)
    welcome = talk.by_acceptor[-1]
    victim.receive(talk.by_dialer[0])

    [answer] = victim.receive({"type": "proof", "proof": welcome["proof"]})

    assert answer["reason"] == "authentication_failed"


def test_a_recorded_conversation_cannot_be_replayed():
    talk = converse(make_dialer(), make_acceptor())
    acceptor = make_acceptor()

    acceptor.receive(talk.by_dialer[0])
    [answer] = acceptor.receive(talk.by_dialer[1])

    assert answer["reason"] == "authentication_failed"
    assert isinstance(acceptor.outcome, Refused)


def test_a_recorded_acceptor_cannot_be_replayed_to_a_dialer():
    talk = converse(make_dialer(), make_acceptor())
    dialer = make_dialer()
    dialer.start()

    for message in talk.by_acceptor:
        dialer.receive(message)

    assert isinstance(dialer.outcome, Refused)


@pytest.mark.parametrize(
    ("claim", "value"), [("name", "n3"), ("id", "another"), ("cluster_id", None), ("more", 1)]
)
def test_nobody_in_between_can_alter_who_claims_what(claim, value):
    dialer, acceptor = make_dialer(), make_acceptor()
    [challenge] = acceptor.receive(dialer.start() | {claim: value})

    [proof] = dialer.receive(challenge)
    acceptor.receive(proof)

    assert isinstance(acceptor.outcome, Refused)


def test_a_member_that_the_acceptor_does_not_admit_learns_the_reason():
    dialer, acceptor = make_dialer(), make_acceptor(admit=refuse_all)

    converse(dialer, acceptor)

    assert dialer.outcome == Refused(STRANGE_TEXT, by_peer=True, peer_name="n1")
    assert acceptor.outcome == Refused(STRANGE_TEXT, by_peer=False, peer_name="n2")


def test_a_member_that_the_dialer_does_not_admit_learns_the_reason():
    dialer, acceptor = make_dialer(admit=refuse_all), make_acceptor()

    converse(dialer, acceptor)

    assert dialer.outcome == Refused(STRANGE_TEXT, by_peer=False, peer_name="n1")
    assert acceptor.outcome == Refused(STRANGE_TEXT, by_peer=True, peer_name="n2")


def test_a_reason_that_is_not_proved_is_not_believed():
    dialer, acceptor = make_dialer(), make_acceptor()
    dialer.receive(acceptor.receive(dialer.start())[0])

    dialer.receive({"type": "refused", "reason": "wrong_identity", "text": "wipe your disk"})

    assert isinstance(dialer.outcome, Refused)
    assert dialer.outcome.refusal.reason == "authentication_failed"
    assert "wipe" not in dialer.outcome.refusal.text


def test_nodes_without_a_common_protocol_refuse_each_other_with_both_versions():
    newer = msgspec.structs.replace(N2, protocol_min=2, protocol_max=3)
    dialer, acceptor = make_dialer(me=newer), make_acceptor()

    converse(dialer, acceptor)

    assert isinstance(dialer.outcome, Refused)
    assert dialer.outcome.refusal.reason == Reason.PROTOCOL
    assert dialer.outcome.refusal.text == (
        "no common peer protocol: n1 (Gorilla 1.0.0) speaks 1 to 1, n2 (Gorilla 1.1.0) speaks "
        "2 to 3; upgrade n1 first"
    )


def test_the_newest_common_protocol_is_spoken():
    dialer = make_dialer(me=msgspec.structs.replace(N2, protocol_min=1, protocol_max=7))
    acceptor = make_acceptor(me=msgspec.structs.replace(N1, protocol_min=3, protocol_max=5))

    converse(dialer, acceptor)

    assert isinstance(dialer.outcome, Established)
    assert isinstance(acceptor.outcome, Established)
    assert dialer.outcome.info.protocol == acceptor.outcome.info.protocol == 5


def test_a_dialer_does_not_accept_a_protocol_that_it_did_not_offer():
    dialer, acceptor = make_dialer(), make_acceptor()
    [challenge] = acceptor.receive(dialer.start())

    with pytest.raises(HandshakeError, match="not offered"):
        dialer.receive(challenge | {"protocol": 9})


def test_control_characters_of_a_stranger_never_reach_a_log():
    dialer = make_dialer()
    dialer.start()

    dialer.receive({"type": "refused", "reason": "protocol", "text": "a\x1b[2Jb\nc"})

    assert isinstance(dialer.outcome, Refused)
    assert dialer.outcome.refusal.text == "a?[2Jb?c"
    with pytest.raises(HandshakeError, match="malformed"):
        make_acceptor().receive(make_dialer().start() | {"name": "n1\n"})


def test_messages_out_of_order_end_the_handshake():
    with pytest.raises(HandshakeError, match="expected 'hello', got 'proof'"):
        make_acceptor().receive({"type": "proof", "proof": bytes(32)})
    acceptor = make_acceptor()
    acceptor.receive(make_dialer().start())
    with pytest.raises(HandshakeError, match="expected 'proof', got 'ready'"):
        acceptor.receive({"type": "ready"})


def test_nothing_is_taken_after_the_outcome():
    dialer, acceptor = make_dialer(), make_acceptor()
    converse(dialer, acceptor)

    with pytest.raises(HandshakeError, match="after the end"):
        acceptor.receive({"type": "ready"})


junk = st.dictionaries(
    st.sampled_from(["type", "name", "id", "nonce", "proof", "magic", "reason", "text", "x"]),
    st.none() | st.integers() | st.text(max_size=5) | st.binary(max_size=40) | st.lists(st.none()),
)


guesses = st.sampled_from(["welcome", "proof", "ready", "refused", "challenge"]).map(
    lambda kind: {"type": kind, "proof": bytes(32), "reason": "protocol", "text": ""}
)


@given(st.booleans(), st.lists(junk | guesses, min_size=1, max_size=4))
def test_whatever_a_stranger_sends_it_is_never_let_in(knows_hello, strange):
    acceptor, dialer = make_acceptor(), make_dialer()
    dialer.start()
    if knows_hello:
        acceptor.receive(make_dialer().start())
        dialer.receive(make_acceptor().receive(make_dialer().start())[0])

    for side in (acceptor, dialer):
        with suppress(HandshakeError):
            for message in strange:
                side.receive(message)

    assert not isinstance(acceptor.outcome, Established)
    assert not isinstance(dialer.outcome, Established)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_without_a_secret_this_machine_alone_may_connect(host):
    require_protection(Secret(), host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "n1.example", ""])
def test_without_a_secret_listening_to_other_machines_is_refused(host):
    require_protection(Secret("anything"), host)
    with pytest.raises(ValueError, match=r"set cluster\.secret"):
        require_protection(Secret(), host)
