"""``gorilla doctor``: looks at everything, and says what to do."""

import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec

from gorilla.cli.app import Cli
from gorilla.cli.failures import Exit
from gorilla.cli.options import WAIT, Seconds, Verb
from gorilla.cli.tables import Cell, Column, Styled, Table, View, counted

if TYPE_CHECKING:
    from gorilla.cli.doctor_evidence import Address, Evidence, Settings, Trips
    from gorilla.cli.doctor_findings import Diagnosis, Finding
    from gorilla.client import Client

WATCHED_S: Final = 3
"""How long the nodes' clocks are watched, by default."""

_BY_OTHERS: Final = stat.S_IRGRP | stat.S_IROTH
_STYLES: Final = {"ok": "good", "warning": "warn", "bad": "bad"}


@click.command(
    "doctor",
    cls=Verb,
    examples=[
        "gorilla doctor",
        "gorilla doctor --endpoint https://locks.example --wait 20",
        "gorilla doctor --strict -o json",
    ],
)
@click.option(
    "--seconds",
    type=Seconds(least=0.5),
    default=WATCHED_S,
    show_default=True,
    metavar="SECONDS",
    help="How long to watch the nodes' clocks; longer is more exact.",
)
@click.option(
    "--wait",
    "wait_s",
    type=WAIT,
    default=0,
    metavar="SECONDS",
    help="Send a wait so long through each endpoint: does a load balancer let it be?",
)
@click.option("--no-lock", is_flag=True, help="Take no lock (under gorilla-doctor/) to try it.")
@click.option("--strict", is_flag=True, help="End with code 3 for warnings too.")
@click.option("--bad-only", is_flag=True, help="Show only what is not as it should be.")
@click.pass_obj
def doctor(
    cli: Cli, seconds: float, wait_s: float, *, no_lock: bool, strict: bool, bad_only: bool
) -> int:
    """Look at the whole cluster from here, and say what to do.

    It asks every endpoint and every member that they tell of: are they up, of one mind, of one
    version, ready, near the leader; their clocks, disks and database; the load balancer, TLS, and
    how long a lock takes. Nothing is changed but a throw-away lock.

    Exit codes: 0 well, maybe with warnings; 3 something is bad (with --strict: or a warning); 69
    nothing answered.
    """
    from gorilla.cli.doctor_findings import diagnosis  # noqa: PLC0415 - loads the client

    evidence = _gathered(cli, seconds, wait_s, no_lock=no_lock)
    found = diagnosis(list(_findings(evidence)), reached=bool(evidence.reached))
    shown = [one for one in found.findings if not bad_only or one.grade.value != "ok"]
    found = msgspec.structs.replace(found, findings=tuple(shown))
    cli.out.show(found, *_views(found))
    cli.out.say(_summary(found))
    return _code(found, strict=strict)


def _findings(evidence: "Evidence") -> Iterator["Finding"]:
    from gorilla.cli.doctor_cluster import check_cluster  # noqa: PLC0415
    from gorilla.cli.doctor_entrance import check_entrance  # noqa: PLC0415
    from gorilla.cli.doctor_machines import check_machines  # noqa: PLC0415

    yield from check_entrance(evidence)
    yield from check_cluster(evidence)
    yield from check_machines(evidence)


def _gathered(cli: Cli, seconds: float, wait_s: float, *, no_lock: bool) -> "Evidence":
    from gorilla.cli.doctor_evidence import Evidence as Made  # noqa: PLC0415
    from gorilla.cli.doctor_looking import Looking, now  # noqa: PLC0415

    client = cli.client()
    looking = Looking(client.settings)
    try:
        cli.out.remark(f"Asking {counted(len(client.settings.endpoints), 'endpoint')}…")
        addresses = looking.first()
        answered = [one for one in addresses if one.looks]
        trips = None if no_lock or not answered else _trips(cli, answered)
        if answered:
            cli.out.say(f"Watching the clocks for {seconds:g} s…", "dim")
            time.sleep(seconds)
            addresses = looking.again(addresses)
        if wait_s:
            addresses = [_waited(cli, one, wait_s) for one in addresses]
    finally:
        looking.close()
    return Made(settings=_settings(cli, client), addresses=tuple(addresses), trips=trips, now=now())


def _trips(cli: Cli, answered: Sequence["Address"]) -> "Trips":
    """Take locks through whoever answers: that another one does not is a finding of its own."""
    from gorilla.cli.doctor_trips import single_trip, trips_of  # noqa: PLC0415
    from gorilla.client.settings import ENDPOINTS_MAX  # noqa: PLC0415

    if all(one.last is None or one.last.view.leader is None for one in answered):
        return single_trip(cli.client().settings, answered[0].url)
    through = tuple(one.url for one in answered)[:ENDPOINTS_MAX]
    return trips_of(cli.client(endpoints=through))


def _waited(cli: Cli, address: "Address", wait_s: float) -> "Address":
    from gorilla.cli.doctor_trips import passed_of  # noqa: PLC0415

    if not (address.given and address.looks):
        return address
    cli.out.say(f"Waiting {wait_s:g} s through {address.url}…", "dim")
    passed = passed_of(cli.client().settings, address.url, wait_s)
    return msgspec.structs.replace(address, passed=passed)


def _settings(cli: Cli, client: "Client") -> "Settings":
    from gorilla.cli.doctor_certificates import certificate_of_file  # noqa: PLC0415
    from gorilla.cli.doctor_evidence import Settings as Made  # noqa: PLC0415

    told, cert_file = cli.settings, client.settings.cert_file
    context = f" (context {told.context})" if told.context else ""
    return Made(
        source=f"{told.values['endpoints'].source}{context}",
        endpoints=client.settings.endpoints,
        has_token=client.settings.token is not None,
        open_files=tuple(_open(client.settings.key_file)),
        client_certificate=None if cert_file is None else certificate_of_file(cert_file),
    )


def _open(*names: str | None) -> Iterator[str]:
    """Return those files that others may read; what holds a token is told of with each command."""
    for name in names:
        if name is not None and Path(name).stat().st_mode & _BY_OTHERS:
            yield name


def _views(found: "Diagnosis") -> list[View]:
    columns = [Column(""), Column("CHECK"), Column("OF", flexible=True)]
    columns.append(Column("FINDING", flexible=True))
    rows: list[list[Cell]] = []
    for one, about in _merged(found.findings):
        grade = Styled(one.grade.value, _STYLES[one.grade.value])
        rows.append([grade, one.check.value, about, one.text])
        if one.remedy:
            rows.append(["", "", "", Styled(f"> {one.remedy}", "strong")])
    return [Table(columns, rows)] if rows else []


def _merged(findings: Iterable["Finding"]) -> Iterator[tuple["Finding", str]]:
    """Yield what is said of several in the same words once, and of whom."""
    alike: dict[tuple[str, str, str], list[Finding]] = {}
    for one in findings:
        alike.setdefault((one.check.value, one.text, one.remedy), []).append(one)
    for same in alike.values():
        yield same[0], ", ".join(dict.fromkeys(one.about for one in same))


def _summary(found: "Diagnosis") -> str:
    bad = sum(one.grade.value == "bad" for one in found.findings)
    warnings = sum(one.grade.value == "warning" for one in found.findings)
    if found.verdict.value == "unreachable":
        return "Nothing answers."
    if not bad and not warnings:
        return "All is well."
    parts = [f"{bad} bad"] if bad else []
    parts += [f"{warnings} warning{'s' if warnings > 1 else ''}"] if warnings else []
    return f"{', '.join(parts)}."


def _code(found: "Diagnosis", *, strict: bool) -> Exit:
    match found.verdict.value:
        case "unreachable":
            return Exit.UNAVAILABLE
        case "bad":
            return Exit.REFUSED
        case "warnings" if strict:
            return Exit.REFUSED
        case _:
            return Exit.OK
