"""What the doctor says: findings, each with a sentence and what to do, and the verdict."""

from collections.abc import Sequence
from enum import StrEnum

import msgspec


class Grade(StrEnum):
    """How a finding is meant."""

    OK = "ok"
    WARNING = "warning"
    """It works, and somebody should know."""
    BAD = "bad"
    """Something must be done."""


class Check(StrEnum):
    """What was looked at, in the order in which it is told."""

    SETTINGS = "settings"
    REACHABLE = "reachable"
    QUORUM = "quorum"
    AGREEMENT = "agreement"
    VERSIONS = "versions"
    READY = "ready"
    LAG = "lag"
    CLOCK = "clock"
    DISK = "disk"
    RESOURCES = "resources"
    DATABASE = "database"
    BALANCER = "balancer"
    TLS = "tls"
    ROUND_TRIP = "round trip"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was found."""

    check: Check
    grade: Grade
    about: str
    """Which node, address or part it is about."""
    text: str
    """One sentence."""
    remedy: str = ""
    """What to do; empty when there is nothing to do."""


class Verdict(StrEnum):
    """What all of them come to."""

    HEALTHY = "healthy"
    WARNINGS = "warnings"
    BAD = "bad"
    UNREACHABLE = "unreachable"


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """The document that ``-o json`` prints."""

    verdict: Verdict
    findings: tuple[Finding, ...]


def ok(check: Check, about: str, text: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(check=check, grade=Grade.OK, about=about, text=text)


def warning(check: Check, about: str, text: str, remedy: str = "") -> Finding:
    """Say what somebody should know."""
    return Finding(check=check, grade=Grade.WARNING, about=about, text=text, remedy=remedy)


def bad(check: Check, about: str, text: str, remedy: str) -> Finding:
    """Say what must be done something about."""
    return Finding(check=check, grade=Grade.BAD, about=about, text=text, remedy=remedy)


def diagnosis(findings: Sequence[Finding], *, reached: bool) -> Diagnosis:
    """Put the findings in order, and judge.

    Args:
        findings: In any order of their checks.
        reached: Whether anything answered at all.

    """
    order = list(Check)
    ordered = tuple(sorted(findings, key=lambda one: order.index(one.check)))
    grades = {one.grade for one in ordered}
    if not reached:
        verdict = Verdict.UNREACHABLE
    elif Grade.BAD in grades:
        verdict = Verdict.BAD
    else:
        verdict = Verdict.WARNINGS if Grade.WARNING in grades else Verdict.HEALTHY
    return Diagnosis(verdict=verdict, findings=ordered)
