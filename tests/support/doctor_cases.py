"""What the doctor may have seen, for tests of what it makes of it."""

from datetime import UTC, datetime

from gorilla.cli.doctor_cluster import check_cluster
from gorilla.cli.doctor_entrance import check_entrance
from gorilla.cli.doctor_evidence import Address, Evidence, Look, Settings
from gorilla.cli.doctor_findings import Grade
from gorilla.cli.doctor_machines import check_machines
from tests.support.cluster_views import address as address_of, view

NOW = datetime(2025, 5, 4, 10, 0, tzinfo=UTC)
WALL_S = NOW.timestamp()


def look(node="n1", *, at_s=0.0, uptime=60.0, took_s=0.002, date_s=WALL_S, **changes):
    return Look(
        asked_s=at_s,
        answered_s=at_s + took_s,
        asked_at_s=WALL_S + at_s,
        answered_at_s=WALL_S + at_s + took_s,
        date_s=None if date_s is None else float(int(date_s + at_s)),
        view=view(node=node, uptime=uptime, **changes),
    )


def node(name, *, given=True, late=None, **changes):
    first = look(name, **changes)
    more = {} if late is None else late
    last = look(name, at_s=3.0, **{"uptime": 63.0, **changes, **more})
    return Address(
        url=f"http://{address_of(name)}",
        given=given,
        member=name,
        looks=(first, last),
        ready=True,
        nodes=(name,) * 6,
    )


def silent(name, *, given=True, failure="the connection was refused"):
    return Address(
        url=f"http://{address_of(name)}",
        given=given,
        member=name if name.startswith("n") else None,
        failure=failure,
    )


def evidence(*addresses, trips=None, **settings):
    told = {"source": "the command line", "endpoints": tuple(a.url for a in addresses if a.given)}
    return Evidence(
        settings=Settings(**{**told, **settings}), addresses=addresses, trips=trips, now=NOW
    )


def three(**changes):
    return [node(name, **changes) for name in ("n1", "n2", "n3")]


def found(findings, check):
    return [(one.grade.value, one.about, one.text) for one in findings if one.check is check]


def worst(findings):
    order = list(Grade)
    return max((one.grade for one in findings), key=order.index)


def every(seen):
    return [*check_cluster(seen), *check_machines(seen), *check_entrance(seen)]


def fields_of(struct, **changes):
    return {**{name: getattr(struct, name) for name in struct.__struct_fields__}, **changes}


def balancer(*nodes, **changes):
    told = node("n1")
    return Address(
        **fields_of(told, url="http://127.0.0.9:4080", member=None, nodes=nodes, **changes)
    )
