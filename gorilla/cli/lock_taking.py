"""``gorilla lock acquire``, ``extend``, ``status``, ``release``: what a holder does."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final, TypedDict

import click
from typing_extensions import Unpack

from gorilla.cli import lock_views
from gorilla.cli.app import Cli
from gorilla.cli.completing import LOCK
from gorilla.cli.failures import CommandError, OutputClosed
from gorilla.cli.inputs import TOKEN_VARIABLE, json_or_text, secret
from gorilla.cli.options import SECRET, TIMEOUT, WAIT, SecretVerb, Verb
from gorilla.cli.times import told
from gorilla.client.errors import OutcomeUnknown
from gorilla.wire.asking import EXCLUSIVE, SHARED, GroupBody
from gorilla.wire.bodies import HOLDERS_MAX, LockBody

_TOKEN_HELP: Final = (
    f"TOKEN is what acquire gave; `-` reads it from stdin, and without one it is taken from "
    f"{TOKEN_VARIABLE}, so that `ps` does not show it."
)


class _Asked(TypedDict):
    """Options of ``acquire``, as the client takes them."""

    timeout: float | None
    wait: float
    mode: str | None
    limit: int | None
    owner: str | None
    metadata: str | None
    reason: str | None
    session: str | None
    idempotency_key: str | None


class _Extending(TypedDict):
    """Options of ``extend``."""

    timeout: float
    owner: str | None
    group: str | None
    quiet: bool


@click.command(
    "acquire",
    cls=Verb,
    examples=[
        "gorilla lock acquire orders/42 --timeout 60",
        "TOKEN=$(gorilla lock acquire orders/42 --timeout 60 --wait 30 --quiet)",
        "gorilla lock acquire gpu --limit 4 --timeout 1h --reason 'train the model'",
        "gorilla lock acquire accounts/7 accounts/9 --timeout 10",
    ],
)
@click.argument("resources", metavar="RESOURCE...", nargs=-1, required=True, shell_complete=LOCK)
@click.option(
    "--timeout", metavar="SECONDS", type=TIMEOUT, help="Hold it for so long, unless extended."
)
@click.option(
    "--wait",
    metavar="SECONDS",
    type=WAIT,
    default=0,
    help="Queue for it so long at most; 0: don't.",
)
@click.option(
    "--mode",
    type=click.Choice([EXCLUSIVE, SHARED]),
    help="Alone (the default), or with others who share.",
)
@click.option("--shared", is_flag=True, help="The same as --mode shared.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(1, HOLDERS_MAX), help="So many may hold it at once."
)
@click.option(
    "--owner",
    metavar="NAME",
    help="Who holds it; else the session's owner, or a new name each time.",
)
@click.option(
    "--metadata", metavar="JSON", help="Attached to it; what is no JSON is taken as text."
)
@click.option("--reason", metavar="TEXT", help="What for; shown to those who wait.")
@click.option("--session", metavar="ID", help="Hold it as long as the session lives.")
@click.option("--idempotency-key", metavar="TEXT", help="Makes it safe to run this command again.")
@click.option("-q", "--quiet", is_flag=True, help="Print the token alone.")
@click.pass_obj
def acquire(
    cli: Cli, /, resources: tuple[str, ...], *, shared: bool, quiet: bool, **asked: Unpack[_Asked]
) -> None:
    """Acquire a lock, and print its token and fencing token.

    It is held until it is released, or its timeout has passed. Several RESOURCES are all acquired,
    or none. Without --owner each run is somebody else, so that two runs never share a lock.
    """
    options = _checked(asked, shared=shared)
    client, owner = cli.client(), options.pop("owner")
    is_new = owner is None and asked["session"] is None
    if owner is None:
        owner = _owner(cli, asked["session"])
    if asked["wait"]:
        cli.out.remark(f"Waiting for {', '.join(resources)}, up to {told(asked['wait'])}.")
    try:
        if len(resources) > 1:
            _show_group(cli, client.acquire_all(resources, owner=owner, **options), quiet=quiet)
        else:
            _show_lock(cli, client.acquire(resources[0], owner=owner, **options), quiet=quiet)
    except OutcomeUnknown:
        if is_new:
            cli.out.say(f"If it was acquired, {owner} has it: ask again with --owner {owner}")
        raise


def _show_lock(cli: Cli, lock: LockBody, *, quiet: bool) -> None:
    with _given_back(lambda: cli.client().release(lock.resource, lock.token)):
        cli.out.show(lock.token if quiet else lock, lock.token if quiet else lock_views.owned(lock))
        cli.out.flush()


def _show_group(cli: Cli, group: GroupBody, *, quiet: bool) -> None:
    views = (group.group,) if quiet else lock_views.group(group)
    with _given_back(lambda: cli.client().release_group(group.group)):
        cli.out.show(group.group if quiet else group, *views)
        cli.out.flush()


@contextlib.contextmanager
def _given_back(release: Callable[[], None]) -> Iterator[None]:
    """Release what was acquired when its token reaches nobody."""
    try:
        yield
    except (OutputClosed, CommandError):
        release()
        raise


@click.command(
    "extend",
    cls=SecretVerb,
    epilog=_TOKEN_HELP,
    examples=[
        'gorilla lock extend orders/42 "$TOKEN" --timeout 60',
        'TOKEN=$(gorilla lock extend orders/42 "$TOKEN" --timeout 60 --quiet)',
        'gorilla lock extend --group "$GROUP" --timeout 60',
    ],
)
@click.argument("resource", required=False, shell_complete=LOCK)
@click.argument("token", required=False, type=SECRET)
@click.option(
    "--timeout", metavar="SECONDS", type=TIMEOUT, required=True, help="Hold it so long from now on."
)
@click.option("--owner", metavar="NAME", help="Refuse when somebody else holds it.")
@click.option(
    "--group",
    metavar="TOKEN",
    help="The group token of several locks, instead of RESOURCE and TOKEN.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print the new token alone.")
@click.pass_obj
def extend(
    cli: Cli, /, resource: str | None, token: str | None, **more: Unpack[_Extending]
) -> None:
    """Hold a lock for longer. The new token replaces the old one, which is dead from then on."""
    seconds, owner, quiet = more["timeout"], more["owner"], more["quiet"]
    if more["group"] is not None:
        group = cli.client().extend_group(_group(more["group"]), timeout=seconds, owner=owner)
        views = (group.group,) if quiet else lock_views.group(group)
        cli.out.show(group.group if quiet else group, *views)
        return
    name, proof = _named(resource, token)
    lock = cli.client().extend(name, proof, seconds, owner=owner)
    cli.out.show(lock.token if quiet else lock, lock.token if quiet else lock_views.owned(lock))


@click.command(
    "release",
    cls=SecretVerb,
    epilog=_TOKEN_HELP,
    examples=[
        'gorilla lock release orders/42 "$TOKEN"',
        "GORILLA_LOCK_TOKEN=$TOKEN gorilla lock release orders/42",
        'gorilla lock release --group "$GROUP"',
    ],
)
@click.argument("resource", required=False, shell_complete=LOCK)
@click.argument("token", required=False, type=SECRET)
@click.option(
    "--group",
    metavar="TOKEN",
    help="The group token of several locks, instead of RESOURCE and TOKEN.",
)
@click.pass_obj
def release(cli: Cli, /, resource: str | None, token: str | None, group: str | None) -> None:
    """Let go of a lock."""
    if group is not None:
        cli.client().release_group(_group(group))
        cli.out.say("Released.")
        return
    name, proof = _named(resource, token)
    cli.client().release(name, proof)
    cli.out.say(f"Released {name}.")


@click.command(
    "status",
    cls=SecretVerb,
    epilog=_TOKEN_HELP,
    examples=['gorilla lock status orders/42 "$TOKEN"'],
)
@click.argument("resource", shell_complete=LOCK)
@click.argument("token", required=False, type=SECRET)
@click.pass_obj
def status(cli: Cli, /, resource: str, token: str | None) -> None:
    """Show a lock that you hold, and whether you hold it still."""
    name, proof = _named(resource, token)
    lock = cli.client().status(name, proof)
    cli.out.show(lock, lock_views.owned(lock, with_token=False))


VERBS: Final = (acquire, release, extend, status)


def _checked(asked: _Asked, *, shared: bool) -> dict[str, Any]:
    """Return what the client is asked; refuse what can't be meant."""
    if asked["timeout"] is None and asked["session"] is None:
        raise CommandError("Say how long to hold it with --timeout SECONDS, or give a --session.")
    if shared and asked["mode"] == EXCLUSIVE:
        raise CommandError("--shared and --mode exclusive contradict each other.")
    mode = SHARED if shared else asked["mode"] or EXCLUSIVE
    if mode == SHARED and asked["limit"] is not None and asked["limit"] > 1:
        raise CommandError("A shared lock has no limit: leave out --limit or --shared.")
    metadata = None if asked["metadata"] is None else json_or_text(asked["metadata"])
    return {**asked, "mode": mode, "metadata": metadata}


def _owner(cli: Cli, session: str | None) -> str:
    """Return who asks when nobody says so: the owner of the session, or somebody new."""
    return cli.owner() if session is None else cli.client().sessions.show(session).owner


def _named(resource: str | None, token: str | None) -> tuple[str, str]:
    """Return the lock and its token, wherever that is."""
    if resource is None:
        raise CommandError("Name the lock: RESOURCE TOKEN, or --group TOKEN.")
    return resource, secret(token, TOKEN_VARIABLE, "the token")


def _group(token: str) -> str:
    return secret(token, TOKEN_VARIABLE, "the group token")
