"""What must hold between settings, said in the operator's words."""

from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit

from gorilla.config.addresses import Address, parse_address
from gorilla.config.problems import Problem
from gorilla.config.sections import ClusterConfig, MemberConfig

MEMBERS_MAX: Final = 9
SECRET_CHARS_MIN: Final = 16
DATABASE_SCHEMES: Final = ("postgresql", "postgres", "postgresql+psycopg")


def relation_problems(config: ClusterConfig) -> list[Problem]:
    """Return everything that does not fit together."""
    checks: tuple[Callable[[ClusterConfig], Iterator[Problem]], ...] = (
        _members,
        _unique,
        _secret,
        _elections,
        _limits,
        _database,
    )
    return [problem for check in checks for problem in check(config)]


def _members(config: ClusterConfig) -> Iterator[Problem]:
    if not config.members:
        yield Problem(
            "member", "", "list every node of the cluster as a [[member]] (three or five)"
        )
    if len(config.members) > MEMBERS_MAX:
        yield Problem("member", str(len(config.members)), f"{MEMBERS_MAX} members at most")
    for member in config.members:
        for key in ("http", "peer", "bind_http", "bind_peer"):
            yield from _address(member, key)


def _address(member: MemberConfig, key: str) -> Iterator[Problem]:
    text: str = getattr(member, key)
    if not text and key.startswith("bind"):
        return
    name = f"member {member.name}: {key}"
    try:
        address = parse_address(text)
    except ValueError as error:
        yield Problem(name, repr(text), str(error))
        return
    if address.is_wildcard and not key.startswith("bind"):
        yield Problem(
            name,
            repr(text),
            f"nobody can connect to {address.host}; write the address others reach, and this one "
            f"as bind_{key}",
        )


def _unique(config: ClusterConfig) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for member in config.members:
        for key, value in (("name", member.name), ("http", member.http), ("peer", member.peer)):
            mark = f"{'name' if key == 'name' else 'address'} {value}"
            if mark in seen:
                yield Problem(
                    f"member {member.name}: {key}",
                    repr(value),
                    f"already the {seen[mark]}; each needs its own",
                )
            seen.setdefault(mark, f"{key} of member {member.name}")


def _secret(config: ClusterConfig) -> Iterator[Problem]:
    secret = config.cluster_secret
    if secret and len(secret.reveal()) < SECRET_CHARS_MIN:
        yield Problem("cluster.secret", "", f"too short; use {SECRET_CHARS_MIN} characters or more")
    if secret:
        return
    open_to_others = [m.name for m in config.members if not _peer_bind(m).is_loopback]
    if open_to_others:
        yield Problem(
            "cluster.secret",
            "",
            f"must be set, because the peer port of {', '.join(open_to_others)} can be reached "
            "from other machines; make one with: openssl rand -hex 32",
        )


def _peer_bind(member: MemberConfig) -> Address:
    try:
        return member.peer_bind
    except ValueError:
        return Address("localhost", 1)  # told as a problem of its own


def _elections(config: ClusterConfig) -> Iterator[Problem]:
    timing = config.consensus
    if timing.election_timeout_ms_min <= 3 * timing.heartbeat_interval_ms:
        yield Problem(
            "consensus.election_timeout_ms_min",
            str(timing.election_timeout_ms_min),
            "must exceed 3 x consensus.heartbeat_interval_ms "
            f"({timing.heartbeat_interval_ms}), or one late heartbeat starts an election",
        )
    spread = timing.election_timeout_ms_max - timing.election_timeout_ms_min
    if spread < 2 * timing.heartbeat_interval_ms:
        yield Problem(
            "consensus.election_timeout_ms_max",
            str(timing.election_timeout_ms_max),
            f"must exceed consensus.election_timeout_ms_min ({timing.election_timeout_ms_min}) by "
            f"2 x consensus.heartbeat_interval_ms ({timing.heartbeat_interval_ms}) or more, or "
            "nodes stand for election at the same time",
        )
    longest = 2 * timing.election_timeout_ms_max
    if not timing.election_timeout_ms_min <= timing.leader_fallback_ms <= longest:
        yield Problem(
            "consensus.leader_fallback_ms",
            str(timing.leader_fallback_ms),
            "must lie between consensus.election_timeout_ms_min and 2 x "
            f"consensus.election_timeout_ms_max ({timing.election_timeout_ms_min} to {longest})",
        )


def _limits(config: ClusterConfig) -> Iterator[Problem]:
    locks, journal = config.locks, config.journal
    if locks.request_deadline_s <= locks.leader_grace_s:
        yield Problem(
            "locks.request_deadline_s",
            f"{locks.request_deadline_s:g}",
            f"must exceed locks.leader_grace_s ({locks.leader_grace_s:g})",
        )
    if journal.retain_entries >= journal.compact_entries:
        yield Problem(
            "journal.retain_entries",
            str(journal.retain_entries),
            f"must be less than journal.compact_entries ({journal.compact_entries})",
        )


def _database(config: ClusterConfig) -> Iterator[Problem]:
    url = config.database.url
    if not url:
        return
    try:
        parts = urlsplit(url.reveal())
        fits = parts.scheme in DATABASE_SCHEMES
    except ValueError:
        fits = False
    if not fits:
        yield Problem(
            "database.url", "", "write postgresql://user:password@host:5432/name (value not shown)"
        )
