"""The doctor's checks of the way from clients to the cluster: settings, balancer, TLS. No I/O."""

import statistics
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from gorilla.cli.cluster_outlook import is_up
from gorilla.cli.doctor_evidence import Address, Certificate, Evidence, Trips
from gorilla.cli.doctor_findings import Check, Finding, bad, ok, warning

CERTIFICATE_DAYS_BAD: Final = 7
CERTIFICATE_DAYS_LOW: Final = 30
TRIP_S_MAX: Final = 0.25
"""Acquiring and releasing a lock that nobody wants takes no longer, or it is told."""

WAIT_SLACK_S: Final = 0.5
"""How much earlier than asked a wait may end by another clock."""

_LOOPBACK: Final = ("http://127.", "http://localhost:", "http://localhost/", "http://[::1]")
_WAITED: Final = "wait_timeout"
_DAY_S: Final = 24 * 3_600


def check_entrance(evidence: Evidence) -> Iterator[Finding]:
    """Say all about the way in."""
    yield from _settings(evidence)
    for address in evidence.reached:
        if address.given and address.is_balancer:
            yield from _balancer(evidence, address)
        if address.passed is not None:
            yield _passed(address)
    for address in evidence.addresses:
        if address.certificate is not None:
            yield _certificate(address.host, address.certificate, evidence.now)
    if evidence.settings.client_certificate is not None:
        certificate = evidence.settings.client_certificate
        yield _certificate("client certificate", certificate, evidence.now)
    if evidence.trips is not None:
        yield _round_trip(evidence.trips)


def _settings(evidence: Evidence) -> Iterator[Finding]:
    settings = evidence.settings
    count = len(settings.endpoints)
    listed = f"{count} endpoint{'s' if count > 1 else ''}, from {settings.source}."
    yield ok(Check.SETTINGS, "endpoints", listed)
    if settings.has_token and not all(map(_is_private, settings.endpoints)):
        yield warning(
            Check.SETTINGS,
            "token",
            "The token travels unencrypted: an endpoint is http:// and on another machine.",
            "Use https:// endpoints, of a load balancer for example.",
        )
    for name in settings.open_files:
        yield warning(
            Check.SETTINGS,
            name,
            "Others on this machine may read it, and it has secrets.",
            f"chmod 600 {name}",
        )
    only = evidence.reached[0] if len(settings.endpoints) == 1 and evidence.reached else None
    if only is not None and not only.is_balancer and len(evidence.members) > 1:
        others = ", ".join(one.http for one in evidence.members if one.name != only.member)
        yield warning(
            Check.SETTINGS,
            "endpoints",
            f"There is one, of {only.member} alone: without that node this client has nobody.",
            f"Give the others too ({others}), or a load balancer.",
        )


def _is_private(url: str) -> bool:
    return url.startswith("https://") or f"{url}/".startswith(_LOOPBACK)


def _balancer(evidence: Evidence, address: Address) -> Iterator[Finding]:
    nodes = sorted(set(address.nodes))
    others = {one.answering for one in evidence.reached if one.given} - {address.answering}
    serving = [one.name for one in evidence.members if is_up(one) and not one.draining]
    about, asked = address.host, len(address.nodes)
    if address.ready is False:
        yield bad(
            Check.BALANCER,
            about,
            f"It is no member's address, and /_ready says no there: {address.unready}",
            "Let the load balancer send nothing to nodes that are not ready.",
        )
    if len(nodes) > 1 or len(serving) <= 1:
        text = f"A load balancer: {', '.join(nodes)} answered {asked} requests."
        yield ok(Check.BALANCER, about, text)
    elif nodes and others:
        yield ok(Check.BALANCER, about, f"Another address of {nodes[0]}.")
    elif nodes:
        yield warning(
            Check.BALANCER,
            about,
            f"It is no member's address, and only {nodes[0]} answered {asked} requests.",
            "If it is a load balancer: does it know every node, and do its checks of /_ready pass?",
        )


def _passed(address: Address) -> Finding:
    passed = address.passed
    assert passed is not None
    if passed.code == _WAITED and passed.took_s >= passed.asked_s - WAIT_SLACK_S:
        text = f"A wait of {passed.asked_s:g} s got its answer."
        return ok(Check.BALANCER, address.host, text)
    return bad(
        Check.BALANCER,
        address.host,
        f"A wait of {passed.asked_s:g} s was ended after {passed.took_s:.1f} s ({passed.code}).",
        "What is in between gives up too early (docs/operations/load-balancer.md).",
    )


def _certificate(about: str, certificate: Certificate, now: datetime) -> Finding:
    remedy = "Renew the certificate."
    if certificate.failure:
        text = f"Its certificate is not accepted: {certificate.failure.rstrip('.')}."
        return bad(Check.TLS, about, text, "Renew it, or give what signed it with --ca-file.")
    if certificate.ends is None:
        return warning(Check.TLS, about, "Until when its certificate is valid can't be read.")
    days = (certificate.ends - now).total_seconds() / _DAY_S
    when = f"{certificate.ends:%Y-%m-%d %H:%M} UTC"
    if days < 0:
        return bad(Check.TLS, about, f"Its certificate ended on {when}.", remedy)
    text = f"Its certificate ends in {days:.0f} days, on {when}."
    if days < CERTIFICATE_DAYS_BAD:
        return bad(Check.TLS, about, text, remedy)
    if days < CERTIFICATE_DAYS_LOW:
        return warning(Check.TLS, about, text, remedy)
    return ok(Check.TLS, about, text)


_TRIP_REMEDIES: Final = {
    "forbidden": "A policy keeps this machine from gorilla-doctor/: no harm, and nothing measured.",
    "policy_refused": "A policy rules gorilla-doctor/: no harm, and nothing measured.",
    "recovering": "After a restore no lock is granted for a while: wait, or see gorilla cluster.",
    "unauthenticated": "Give a token with --token, GORILLA_TOKEN or a context.",
}
_HARMLESS: Final = frozenset({"forbidden", "policy_refused", "recovering"})


def _round_trip(trips: Trips) -> Finding:
    about = "a lock"
    if trips.code:
        remedy = _TRIP_REMEDIES.get(trips.code, "See what else is told here.")
        text = f"It failed ({trips.code}): {trips.detail.rstrip('.')}."
        grade = warning if trips.code in _HARMLESS else bad
        return grade(Check.ROUND_TRIP, about, text, remedy)
    median_s, longest_s = statistics.median(trips.seconds), max(trips.seconds)
    text = f"It is taken and given back in {median_s * 1e3:.1f} ms, {longest_s * 1e3:.1f} at most."
    if median_s > TRIP_S_MAX:
        return warning(
            Check.ROUND_TRIP,
            about,
            text,
            "That is slow: look at the disks of the nodes, and at the way to them.",
        )
    return ok(Check.ROUND_TRIP, about, text)
