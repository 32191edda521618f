"""``gorilla bench``: a load of its own locks, and how long they take."""

import ipaddress
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import click

from gorilla.cli.app import Cli
from gorilla.cli.failures import CommandError
from gorilla.cli.options import Seconds, Verb
from gorilla.cli.tables import Cell, Column, Styled, Table, counted

if TYPE_CHECKING:
    from gorilla.cli.bench_figures import Figures
    from gorilla.cli.bench_running import Load

CONNECTIONS_MAX: Final = 1_000
SECONDS_DEFAULT: Final = 5
SECONDS_MAX: Final = 3_600

# The names of ``bench_workloads.WORKLOADS``, which help must not load the client for.
_WORKLOADS: Final = ("acquire-release", "contended", "extend", "sessions")


def _counts(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        found = tuple(int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} must be numbers, like 1,8,64") from None
    if not all(1 <= count <= CONNECTIONS_MAX for count in found):
        raise click.BadParameter(f"each must be 1 to {CONNECTIONS_MAX}")
    return found


def _seconds(_ctx: click.Context, _param: click.Parameter, value: float) -> float:
    if value > SECONDS_MAX:
        raise click.BadParameter(f"must be {SECONDS_MAX} seconds at most")
    return value


@click.command(
    "bench",
    cls=Verb,
    examples=[
        "gorilla bench",
        "gorilla bench --connections 1,8,64 --seconds 10 --workload contended",
        "gorilla bench --workload extend --workload sessions -o json",
    ],
)
@click.option(
    "--connections",
    default="1,8,64",
    callback=_counts,
    metavar="N,N…",
    show_default=True,
    help=f"Clients at once, a run each, up to {CONNECTIONS_MAX}.",
)
@click.option(
    "--seconds",
    type=Seconds(least=0.5),
    default=SECONDS_DEFAULT,
    callback=_seconds,
    show_default=True,
    metavar="SECONDS",
    help="Length of a run.",
)
@click.option(
    "--workload",
    "workloads",
    type=click.Choice(_WORKLOADS),
    multiple=True,
    default=("acquire-release",),
    show_default=True,
    help="What each client does; repeat it for several.",
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def bench(
    cli: Cli, connections: tuple[int, ...], seconds: float, workloads: tuple[str, ...], *, yes: bool
) -> int:
    """Load the cluster, and say how long operations take.

    Each client has one request under way, on locks under bench/ that nobody else uses. An operation
    is: a lock acquired and released (acquire-release), likewise one that all clients want and queue
    for (contended), an extension (extend), or a session opened, a lock acquired in it, and the
    session ended (sessions). Every change is on the disks of a majority before it is answered.

    What the load holds is released at the end, by Ctrl-C too, and ends by itself within 10 s
    otherwise. A cluster that is in use, or on other machines, is loaded only after a yes.
    """
    from gorilla.cli.bench_running import Load as Made  # noqa: PLC0415 - loads the client

    _ask(cli, yes=yes)
    loads = [
        Made(workload=workload, connections=count, seconds=seconds)
        for workload in dict.fromkeys(workloads)
        for count in connections
    ]
    figures, ended_by = _run(cli, loads)
    cli.out.show(figures, Table(_COLUMNS, [_row(one) for one in figures]))
    return 128 + ended_by if ended_by else 0


def _ask(cli: Cli, *, yes: bool) -> None:
    """Go on if nobody can be disturbed, or somebody says yes."""
    client = cli.client()
    view = client.cluster.status()
    if view.leader is None:
        raise CommandError(f"{view.node} knows no leader: there is nothing to load.")
    strangers = [url for url in client.settings.endpoints if not _is_loopback(url)]
    why = []
    if strangers:
        why.append(f"{', '.join(strangers)} is not this machine")
    if view.held or view.waiting:
        why.append(f"it is in use ({counted(view.held, 'lock')} held, {view.waiting} waited for)")
    if why:
        cli.out.say(f"This loads the cluster {view.name}; {' and '.join(why)}.", "warn")
        cli.confirm("Go on?", yes=yes)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _run(cli: Cli, loads: Sequence["Load"]) -> tuple[list["Figures"], int]:
    """Return the figures of every run, and the signal that ended them, or 0."""
    from gorilla.cli.bench_running import Ended, is_asynchronous, run  # noqa: PLC0415

    if not is_asynchronous():
        cli.out.warn("aiohttp is not installed: threads make the load")
    shown = _Progress(cli)
    found = []
    for load in loads:
        shown.begin(load)
        try:
            found.append(run(cli.client().settings, load, shown))
        except Ended as ended:
            shown.clear()
            cli.out.say("Ended early: the last run is not complete.", "warn")
            return [*found, ended.figures], ended.number
        shown.clear()
    return found, 0


class _Progress:
    """Tells how a run goes: in one line of a terminal, elsewhere only that it begins."""

    def __init__(self, cli: Cli) -> None:
        self._out = cli.out
        self._live = sys.stderr is not None and sys.stderr.isatty()

    def begin(self, load: "Load") -> None:
        if not self._live:
            self._out.say(f"{load.workload}, {_clients(load)}, {load.seconds:g} s")

    def __call__(self, load: "Load", figures: "Figures") -> None:
        failed = sum(figures.errors.values())
        self._out.passing(
            f"{load.workload}, {_clients(load)}: {figures.seconds:.0f} of {load.seconds:g} s, "
            f"{figures.per_second:,.0f}/s, p99 {figures.p99_ms:.1f} ms"
            + (f", {failed} failed" if failed else "")
        )

    def clear(self) -> None:
        self._out.passing("")


def _clients(load: "Load") -> str:
    return f"{load.connections} client{'s' if load.connections > 1 else ''}"


_COLUMNS: Final = (
    Column("WORKLOAD"),
    Column("CLIENTS", right=True),
    Column("OPS/S", right=True),
    Column("P50", right=True),
    Column("P90", right=True),
    Column("P99", right=True),
    Column("P99.9", right=True),
    Column("MAX MS", right=True),
    Column("FAILED", flexible=True),
)


def _row(one: "Figures") -> list[Cell]:
    failed = ", ".join(f"{kind} {count}" for kind, count in one.errors.items())
    return [
        one.workload if one.complete else f"{one.workload} (part)",
        one.connections,
        f"{one.per_second:,.0f}",
        f"{one.p50_ms:.1f}",
        f"{one.p90_ms:.1f}",
        f"{one.p99_ms:.1f}",
        f"{one.p999_ms:.1f}",
        f"{one.max_ms:.1f}",
        Styled(failed, "bad") if failed else Styled("none", "dim"),
    ]
