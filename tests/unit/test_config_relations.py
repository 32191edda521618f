"""What must hold between settings, and the words in which it is asked for."""

import re
from pathlib import Path

import pytest

from gorilla.config import ConfigError, load_config

LOCAL = "n1=127.0.0.1:4000/127.0.0.1:4100"
SECRET = "0123456789abcdef"


def problems(members: str = LOCAL, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(None, {"GORILLA_MEMBERS": members, **environ})
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        (
            "CONSENSUS_ELECTION_TIMEOUT_MS_MIN",
            "300",
            "must exceed 3 x consensus.heartbeat_interval_ms",
        ),
        (
            "CONSENSUS_ELECTION_TIMEOUT_MS_MAX",
            "899",
            "must exceed consensus.election_timeout_ms_min",
        ),
        ("CONSENSUS_LEADER_FALLBACK_MS", "699", "must lie between"),
        ("CONSENSUS_LEADER_FALLBACK_MS", "2401", "must lie between"),
        ("LOCKS_REQUEST_DEADLINE_S", "2", "must exceed locks.leader_grace_s"),
        ("JOURNAL_RETAIN_ENTRIES", "50000", "must be less than journal.compact_entries"),
        ("CLUSTER_SECRET", "fifteen-letters", "use 16 characters or more"),
        ("DATABASE_URL", "mysql://x", "write postgresql://"),
        ("DATABASE_URL", "postgresql://[x", "write postgresql://"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(variable, value, expected):
    told = problems(**{f"GORILLA_{variable}": value})

    assert len(told) == 1
    assert expected in told[0]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CONSENSUS_ELECTION_TIMEOUT_MS_MIN", "301"),
        ("CONSENSUS_ELECTION_TIMEOUT_MS_MAX", "900"),
        ("CONSENSUS_LEADER_FALLBACK_MS", "700"),
        ("CONSENSUS_LEADER_FALLBACK_MS", "2400"),
        ("LOCKS_REQUEST_DEADLINE_S", "2.1"),
        ("JOURNAL_RETAIN_ENTRIES", "49999"),
        ("CLUSTER_SECRET", SECRET),
        ("DATABASE_URL", "postgres://u:p@h:5432/d"),
        ("DATABASE_URL", "postgresql+psycopg:///d?host=/run/x"),
    ],
)
def test_settings_at_the_edge_of_what_fits_are_taken(variable, value):
    config = load_config(None, {"GORILLA_MEMBERS": LOCAL, f"GORILLA_{variable}": value})

    assert config.members


def test_what_the_guide_to_timing_recommends_is_taken_and_what_it_calls_default_is_the_default():
    guide = Path("docs/operations/timing.md").read_text()
    recommended = dict(re.findall(r"`(\w+) = (\d+)`", guide))
    default = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", guide, re.MULTILINE))
    chosen = {f"GORILLA_CONSENSUS_{key.upper()}": value for key, value in recommended.items()}

    config = load_config(None, {"GORILLA_MEMBERS": LOCAL, **chosen})
    assert {key: str(getattr(config.consensus, key)) for key in recommended} == recommended
    config = load_config(None, {"GORILLA_MEMBERS": LOCAL})
    assert {key: str(getattr(config.consensus, key)) for key in default} == default
    assert len(recommended) == 3
    assert len(default) == 4


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ("n1=a:1/b:2,n1=c:3/d:4", "member n1: name = 'n1': already the name of member n1"),
        ("n1=a:1/a:1", "member n1: peer = 'a:1': already the http of member n1"),
        ("n1=a:1/b:2,n2=c:3/b:2", "member n2: peer = 'b:2': already the peer of member n1"),
        ("n1=a/b:2", "expected host:port"),
        ("n1=a:0/b:2", "the port must be a number from 1 to 65535"),
        ("n1=a:65536/b:2", "the port must be a number from 1 to 65535"),
        ("n1=::1:80/b:2", "an IPv6 address stands in brackets"),
        ("n1=0.0.0.0:1/b:2", "write the address others reach"),
        ("n/1=a:1/b:2", "write a name of 1 to 63 letters"),
        (",".join(f"n{i}=h{i}:1/h{i}:2" for i in range(10)), "9 members at most"),
    ],
)
def test_members_that_cannot_be_reached_or_told_apart_are_refused(members, expected):
    told = problems(members, GORILLA_CLUSTER_SECRET=SECRET)

    assert any(expected in problem for problem in told), told


@pytest.mark.parametrize("host", ["10.0.0.1", "node-1.example", "[fd00::1]", "[2001:db8::1]"])
def test_a_peer_port_that_others_can_reach_needs_a_secret(host):
    members = f"n1=127.0.0.1:4000/{host}:4100"

    told = problems(members)

    assert len(told) == 1
    assert told[0].startswith("cluster.secret: must be set")
    assert load_config(None, {"GORILLA_MEMBERS": members, "GORILLA_CLUSTER_SECRET": SECRET})


def test_a_peer_port_bound_to_every_address_needs_a_secret():
    told = problems(LOCAL, GORILLA_MEMBER_N1_BIND_PEER="0.0.0.0:4100")

    assert told[0].startswith("cluster.secret: must be set")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "[::1]"])
def test_a_peer_port_on_this_machine_needs_no_secret(host):
    config = load_config(None, {"GORILLA_MEMBERS": f"n1=127.0.0.1:4000/{host}:4100"})

    assert config.members[0].peer_bind.is_loopback
