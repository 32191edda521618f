"""What every command line of ``gorilla`` has: global options, durations, nouns and verbs."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click
from typing_extensions import override

from gorilla.cli.contexts import FORMATS, Given
from gorilla.cli.output import terminal_width
from gorilla.cli.times import instant_of, seconds_of, wall_now, wire_time

if TYPE_CHECKING:
    _Kind = click.ParamType[float | int]
else:
    _Kind = click.ParamType  # older ones take no parameter


class Seconds(_Kind):
    """A length of time."""

    name = "seconds"

    def __init__(self, *, least: float = 0.0, more_than: float | None = None) -> None:
        """Say which are allowed.

        Args:
            least: The shortest.
            more_than: Only longer ones, when given.

        """
        self.least = least
        self.more_than = more_than

    @override
    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | int:
        try:
            seconds = seconds_of(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if self.more_than is not None and seconds <= self.more_than:
            self.fail(f"must be more than {self.more_than:g} seconds", param, ctx)
        if seconds < self.least:
            self.fail(f"must be {self.least:g} seconds or more", param, ctx)
        return int(seconds) if seconds == int(seconds) else seconds


TIMEOUT: Final = Seconds(more_than=0)
"""A lease's length, a deadline."""

WAIT: Final = Seconds()
"""How long something is waited for; 0: not at all."""


if TYPE_CHECKING:
    _Text = click.ParamType[str]
else:
    _Text = click.ParamType


class Instant(_Text):
    """A point of time, passed on as the API reads it."""

    name = "time"

    @override
    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        try:
            return wire_time(instant_of(str(value), wall_now()))
        except ValueError as error:
            self.fail(str(error), param, ctx)


INSTANT: Final = Instant()
"""A point of time; UTC, like all times that are shown."""


_PREFIX: Final = "given_"
"""Of the names of global options: an argument of a command may be a ``token`` too."""

_DASHED: Final = re.compile(r"-[A-Za-z0-9_.-]{15,}")
"""A secret that begins with a dash; no option is as long."""

_SHIELD: Final = "\0"
"""Keeps such a one from being read as options; no argument can have it."""


class Secret(_Text):
    """What proves that one holds something."""

    name = "secret"

    @override
    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        return str(value).removeprefix(_SHIELD)


SECRET: Final = Secret()
"""A secret; its command is a :class:`SecretVerb`."""


def _keep(context: click.Context, parameter: click.Parameter, value: object) -> None:
    """Note a global option; given after the noun it replaces what was given before it."""
    from gorilla.cli.app import Cli  # noqa: PLC0415 - app imports this module

    cli = context.ensure_object(Cli)
    if value is not None and value != () and value is not False:
        setattr(cli.given, str(parameter.name).removeprefix(_PREFIX), value)


def _complete_context(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    from gorilla.cli.completing import context_names  # noqa: PLC0415 - at TAB only

    return context_names(context, incomplete)


def _global_options() -> list[click.Option]:
    def option(
        *names: str,
        to: str = "",
        **settings: Any,  # noqa: ANN401 - of click
    ) -> click.Option:
        field = to or names[-1].removeprefix("--").replace("-", "_")
        declared = (*names, _PREFIX + field)
        return click.Option(declared, expose_value=False, callback=_keep, **settings)

    made = [
        option("--endpoint", to="endpoints", metavar="URL", multiple=True,
               help="A node or a load balancer; repeat it for several. [GORILLA_ENDPOINTS]"),
        option("--context", metavar="NAME", shell_complete=_complete_context,
               help="Which part of the config file to use. [GORILLA_CONTEXT]"),
        option("--token", metavar="TEXT",
               help="Who we are; better in a file or GORILLA_TOKEN, since `ps` shows options."),
        option("--ca-file", metavar="FILE", type=click.Path(),
               help="Certificates that the nodes' must be signed by. [GORILLA_CA_FILE]"),
        option("--cert-file", metavar="FILE", type=click.Path(),
               help="Our own certificate. [GORILLA_CERT_FILE]"),
        option("--key-file", metavar="FILE", type=click.Path(),
               help="Its private key. [GORILLA_KEY_FILE]"),
        option("-o", "--output", metavar="|".join(FORMATS), type=click.Choice(FORMATS),
               help="How data is shown. [GORILLA_OUTPUT]"),
        option("--deadline", metavar="SECONDS", type=TIMEOUT,
               help="How long to try at most; a wait for a lock comes on top."),
        option("--no-color", is_flag=True, help="No colours. [NO_COLOR]"),
    ]  # fmt: skip
    fields = {str(one.name).removeprefix(_PREFIX) for one in made}
    assert fields == set(Given.__struct_fields__), "contexts.Given has a field for each"
    return made


GLOBAL_OPTIONS: Final = _global_options()


class _WithGlobals(click.Command):
    """A command that takes the global options too."""

    @override
    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        own = super().get_params(ctx)
        taken = {name for parameter in own for name in parameter.opts}
        added = [one for one in GLOBAL_OPTIONS if not taken & set(one.opts)]
        # Before --help, which stands last.
        return [*own[:-1], *added, *own[-1:]]

    @override
    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own = [one for one in self.get_params(ctx) if one not in GLOBAL_OPTIONS]
        _write_options(ctx, formatter, "Options", own)
        if ctx.parent is None:
            _write_options(ctx, formatter, "Global options", GLOBAL_OPTIONS)
        else:
            with formatter.section("Global options"):
                formatter.write_text(
                    "--endpoint, --context, --token, -o json|yaml and more: see gorilla --help"
                )
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)

    @override
    def get_help(self, ctx: click.Context) -> str:
        ctx.terminal_width = min(terminal_width(), 100)
        return super().get_help(ctx)


def _write_options(
    ctx: click.Context,
    formatter: click.HelpFormatter,
    title: str,
    options: Sequence[click.Parameter],
) -> None:
    records = [one.get_help_record(ctx) for one in options if isinstance(one, click.Option)]
    shown = [record for record in records if record is not None]
    if shown:
        with formatter.section(title):
            formatter.write_dl(shown)


class Verb(_WithGlobals):
    """A command that does something; its help shows examples."""

    def __init__(
        self,
        name: str | None,
        *,
        examples: Sequence[str] = (),
        **settings: Any,  # noqa: ANN401 - of click
    ) -> None:
        """Make it.

        Args:
            name: The verb.
            examples: Command lines, as one would type them.
            settings: What click wants.

        """
        super().__init__(name, **settings)
        self.examples = tuple(examples)

    @override
    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"  $ {line}\n")
        super().format_epilog(ctx, formatter)


class SecretVerb(Verb):
    """A command that takes a secret as an argument, of the type ``SECRET``.

    Secrets may begin with a dash, and are no options then.
    """

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        known = {name for one in options for name in one.opts}
        with_value = {name for one in options if not one.is_flag for name in one.opts}
        shielded = [
            f"{_SHIELD}{arg}"
            if _DASHED.fullmatch(arg) and arg not in known and before not in with_value
            else arg
            for before, arg in zip(["", *args], args, strict=False)
        ]
        return super().parse_args(ctx, shielded)


class Noun(_WithGlobals, click.Group):
    """A group of commands about one thing."""

    command_class: type[click.Command] | None = Verb

    def __init__(
        self,
        name: str | None = None,
        commands: dict[str, click.Command] | None = None,
        **settings: Any,  # noqa: ANN401 - of click
    ) -> None:
        """Make it; without a verb it shows its help, and that is a wrong command line."""
        super().__init__(name, commands, **settings)

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they are written: what is used most comes first."""
        return list(self.commands)


Noun.group_class = Noun
