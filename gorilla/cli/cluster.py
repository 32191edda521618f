"""``gorilla cluster``: how the cluster is, who is a member, who leads."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from gorilla.cli.app import Cli
from gorilla.cli.cluster_outlook import Kind, Wanted
from gorilla.cli.failures import CommandError, Exit
from gorilla.cli.options import Noun, Seconds
from gorilla.cli.policy import policy
from gorilla.wire.membership import CHANGE_S_DEFAULT, CHANGE_S_MAX, CHANGE_S_MIN

if TYPE_CHECKING:
    from gorilla.cli.cluster_changing import How
    from gorilla.wire.membership import ChangeReportBody

_INTERVAL_S_MIN: Final = 0.1


@click.group(cls=Noun)
def cluster() -> None:
    """How the cluster is, who is a member, who leads.

    A change is shown before it is made, with what it means for the quorum; it asks first, and is
    made once: what fails is yours to look at.
    """


cluster.add_command(policy)


# -- looking


@cluster.command(
    "status", examples=["gorilla cluster status", "gorilla cluster status --watch --interval 5"]
)
@click.option("--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
@click.option(
    "--interval",
    type=Seconds(least=_INTERVAL_S_MIN),
    default=1,
    metavar="SECONDS",
    show_default=True,
    help="How often, with --watch.",
)
@click.pass_obj
def status(cli: Cli, *, watch: bool, interval: float) -> int:
    """Show leader, members, what may fail, and what is wrong.

    Every endpoint is asked at once, and tells what it knows for itself; that takes three seconds at
    most. Exit code 69: nobody leads, or nobody answers; what is known is shown all the same.
    """
    from gorilla.cli.cluster_looking import look_around, looker_of  # noqa: PLC0415
    from gorilla.cli.cluster_shown import around_views  # noqa: PLC0415
    from gorilla.cli.cluster_watching import document_of, watch as watched  # noqa: PLC0415

    looker = looker_of(cli)
    if watch:
        return 128 + watched(looker, cli.out, interval)
    around = look_around(looker, cli.out.passing)
    cli.out.show(document_of(around), *around_views(around))
    if around.best is None:
        raise around.no_answer()
    return Exit.OK if around.has_leader else Exit.UNAVAILABLE


@cluster.command("members", examples=["gorilla cluster members", "gorilla cluster members -o json"])
@click.pass_obj
def members(cli: Cli) -> int:
    """List the members with their addresses and ids.

    Where nobody leads it is as one of them knows it, and the exit code is 69.
    """
    from gorilla.cli.cluster_answers import remedy_of  # noqa: PLC0415 - loads the client
    from gorilla.cli.cluster_looking import look_around, looker_of  # noqa: PLC0415
    from gorilla.cli.cluster_shown import member_table  # noqa: PLC0415

    around = look_around(looker_of(cli), cli.out.passing)
    view = around.best
    if view is None:
        raise around.no_answer()
    cli.out.show(view.members, member_table(view.members, places=True))
    if around.has_leader:
        return Exit.OK
    cli.out.warn(f"nobody leads: this is as {view.node} knows it. {remedy_of(around)}")
    return Exit.UNAVAILABLE


# -- changing


def _timeout(_ctx: click.Context, _param: click.Parameter, value: float) -> float:
    if not CHANGE_S_MIN <= value <= CHANGE_S_MAX:
        raise click.BadParameter(f"must be {CHANGE_S_MIN:g} to {CHANGE_S_MAX:g} seconds")
    return value


def _options(*, force: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of every change."""
    made = [
        click.option("--dry-run", is_flag=True, help="Show what it would do; change nothing."),
        click.option("-y", "--yes", is_flag=True, help="Do not ask; needed without a terminal."),
        click.option("--watch", is_flag=True, help="Wait until the cluster is healthy after it."),
        click.option(
            "--timeout",
            type=Seconds(),
            default=CHANGE_S_DEFAULT,
            callback=_timeout,
            metavar="SECONDS",
            help=f"How long the cluster may take for it, up to {CHANGE_S_MAX:g}.  [default: "
            f"{CHANGE_S_DEFAULT:g}]",
        ),
    ]
    if force:
        made.append(
            click.option(
                "--force",
                is_flag=True,
                help="Skip the checks that members are up and have caught up. It can leave the "
                "cluster without a quorum for good.",
            )
        )

    def given(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(made):
            command = option(command)
        return command

    return given


_ADDRESS_HELP: Final = {
    "peer": "Its address for the other members, host:port.",
    "http": "Address of its REST API, host:port.",
}


def _address(name: str, *, required: bool = False) -> Callable[..., Any]:
    return click.option(
        f"--{name}", metavar="HOST:PORT", required=required, help=_ADDRESS_HELP[name]
    )


def _how(options: dict[str, Any]) -> "How":
    from gorilla.cli.cluster_changing import How as Made  # noqa: PLC0415 - loads the client

    return Made(
        dry_run=options["dry_run"],
        yes=options["yes"],
        force=options.get("force", False),
        watch=options["watch"],
        timeout_s=options["timeout"],
    )


def _make(
    cli: Cli, wanted: Wanted, options: dict[str, Any], ask: "Callable[..., ChangeReportBody]"
) -> None:
    """Make a change; ``ask`` is a method of ``client.cluster`` that has its own arguments."""
    from gorilla.cli.cluster_changing import change  # noqa: PLC0415 - loads the client
    from gorilla.cli.cluster_looking import looker_of  # noqa: PLC0415

    how = _how(options)
    more = {"force": how.force} if "force" in options else {}

    def asked(*, dry_run: bool) -> "ChangeReportBody":
        return ask(dry_run=dry_run, timeout=how.timeout_s, **more)

    change(cli, looker_of(cli), wanted, how, asked)


@cluster.command(
    "add",
    examples=[
        "gorilla cluster add n4 --peer 10.0.0.7:4100 --http 10.0.0.7:4000 --dry-run",
        "gorilla cluster add n4 --peer 10.0.0.7:4100 --http 10.0.0.7:4000 --watch",
    ],
)
@click.argument("name")
@_address("peer", required=True)
@_address("http", required=True)
@_options(force=True)
@click.pass_obj
def add(cli: Cli, /, name: str, peer: str, http: str, **options: Any) -> None:  # noqa: ANN401 - of click
    """Take a node into the cluster.

    Start it first, under NAME and with an empty data directory. It gets the data, and counts once
    it has nearly all of it.
    """
    ask = partial(cli.client().cluster.add, name, peer=peer, http=http)
    _make(cli, Wanted(kind=Kind.ADD, member=name), options, ask)


@cluster.command(
    "replace",
    examples=[
        "gorilla cluster replace n3     # its disk is lost: the same name, an empty directory",
        "gorilla cluster replace n3 --with n4 --peer 10.0.0.9:4100 --http 10.0.0.9:4000",
    ],
)
@click.argument("member")
@click.option("--with", "name", metavar="NAME", help="The newcomer's name; by default the same.")
@_address("peer")
@_address("http")
@_options(force=True)
@click.pass_obj
def replace(
    cli: Cli,
    /,
    member: str,
    name: str | None,
    peer: str | None,
    http: str | None,
    **options: Any,  # noqa: ANN401
) -> None:
    """Take a node into the cluster in the place of another.

    MEMBER (its name or id) leaves for it.

    Start the newcomer first, with an empty data directory. Name and addresses are those of MEMBER
    where no others are given. A member whose disk was lost is another one: replace it too.
    """
    from gorilla.cli.cluster_looking import leaders_view, looker_of  # noqa: PLC0415

    seen = leaders_view(looker_of(cli)).members
    old = next((one for one in seen if member in (one.id, one.name)), None)
    if old is None:
        names = ", ".join(one.name for one in seen)
        raise CommandError(f"No member has the name or id {member}; there are {names}.")
    newcomer = name or old.name
    ask = partial(
        cli.client().cluster.add,
        newcomer,
        peer=peer or old.peer,
        http=http or old.http,
        replaces=old.id,
    )
    wanted = Wanted(kind=Kind.REPLACE, member=newcomer, leaving=old.id)
    _make(cli, wanted, options, ask)


@cluster.command(
    "remove", examples=["gorilla cluster remove n4", "gorilla cluster remove n4 --yes"]
)
@click.argument("member")
@_options(force=True)
@click.pass_obj
def remove(cli: Cli, /, member: str, **options: Any) -> None:  # noqa: ANN401 - of click
    """Take a member out of the cluster for good.

    MEMBER is its name or id. Its process ends; its data directory is no member's ever again.
    """
    ask = partial(cli.client().cluster.remove, member)
    _make(cli, Wanted(kind=Kind.REMOVE, member=member), options, ask)


@cluster.command("move", examples=["gorilla cluster move n3 --peer 10.0.0.8:4100"])
@click.argument("member")
@_address("peer")
@_address("http")
@_options(force=False)
@click.pass_obj
def move(
    cli: Cli,
    /,
    member: str,
    peer: str | None,
    http: str | None,
    **options: Any,  # noqa: ANN401 - of click
) -> None:
    """Tell the cluster of a member's new addresses.

    MEMBER is its name or id. Stop the node, tell the cluster, start it with its new address.
    """
    if peer is None and http is None:
        raise click.UsageError("Give --peer, --http or both.")
    ask = partial(cli.client().cluster.move, member, peer=peer, http=http)
    _make(cli, Wanted(kind=Kind.MOVE, member=member), options, ask)


@cluster.command("transfer", examples=["gorilla cluster transfer", "gorilla cluster transfer n2"])
@click.argument("member", required=False)
@_options(force=True)
@click.pass_obj
def transfer(cli: Cli, /, member: str | None, **options: Any) -> None:  # noqa: ANN401 - of click
    """Hand leadership over.

    To MEMBER (its name or id); by default to whoever is nearest to the leader's log.
    """
    ask = partial(cli.client().cluster.transfer, member)
    _make(cli, Wanted(kind=Kind.TRANSFER, member=member or ""), options, ask)


@cluster.command("drain", examples=["gorilla cluster drain n2", "gorilla cluster drain n2 --yes"])
@click.argument("member")
@_options(force=False)
@click.pass_obj
def drain(cli: Cli, /, member: str, **options: Any) -> None:  # noqa: ANN401 - of click
    """Let a member get no requests, and not lead.

    MEMBER is its name or id. Load balancers send it nothing, since its /_ready says no; it goes on
    voting, and serves what reaches it. The end of its process ends the draining.
    """
    ask = partial(cli.client().cluster.drain, member)
    _make(cli, Wanted(kind=Kind.DRAIN, member=member), options, ask)


@cluster.command("undrain", examples=["gorilla cluster undrain n2"])
@click.argument("member")
@_options(force=False)
@click.pass_obj
def undrain(cli: Cli, /, member: str, **options: Any) -> None:  # noqa: ANN401 - of click
    """End the draining of a member.

    MEMBER is its name or id. Load balancers send it requests again.
    """
    ask = partial(cli.client().cluster.undrain, member)
    _make(cli, Wanted(kind=Kind.UNDRAIN, member=member), options, ask)
