"""The root of the command line: finds nouns, resolves settings, tells failures."""

import getpass
import os
import secrets
import socket
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

import click
from click.shell_completion import shell_complete
from typing_extensions import override

from gorilla.cli import contexts
from gorilla.cli.failures import CommandError, Exit, Failure, OutputClosed, explained
from gorilla.cli.interrupting import INTERRUPTS
from gorilla.cli.options import Noun
from gorilla.cli.output import Output, close_quietly
from gorilla.cli.tables import visible

if TYPE_CHECKING:
    from gorilla.client import Client

PROGRAM: Final = "gorilla"
COMPLETE_VARIABLE: Final = "_GORILLA_COMPLETE"


class _Place(NamedTuple):
    """Where a noun is, and what the help of the root says of it."""

    module: str
    text: str


# One line a noun; its module is loaded when the noun is used, and has it under the same name
# (``-`` becomes ``_``).
NOUNS: Final[dict[str, _Place]] = {
    "run": _Place("gorilla.cli.run", "Run a command while a lock is held, and never longer."),
    "elect": _Place("gorilla.cli.elect", "Run a command while leading, one of all who ask."),
    "lock": _Place("gorilla.cli.lock", "Acquire, release, look at and repair locks."),
    "cluster": _Place("gorilla.cli.cluster", "How the cluster is; change its members and leader."),
    "policy": _Place("gorilla.cli.policy", "Rules of all locks whose names begin alike."),
    "snapshot": _Place("gorilla.cli.snapshot", "Snapshots in PostgreSQL, for the worst day."),
    "doctor": _Place("gorilla.cli.doctor", "Look at everything, and say what to do."),
    "session": _Place("gorilla.cli.session", "Keep many locks with one sign of life."),
    "history": _Place("gorilla.cli.history", "Who held what, when, and why it ended."),
    "election": _Place("gorilla.cli.election", "Who leads, and who would like to."),
    "completion": _Place("gorilla.cli.completion", "Completion for bash, zsh and fish."),
    "bench": _Place("gorilla.cli.bench", "Load the cluster, and say how long locks take."),
    "context": _Place("gorilla.cli.context", "The clusters that you work with."),
}


class Cli:
    """What every command gets: settings, the client, the output."""

    def __init__(self) -> None:
        """Begin with nothing resolved: a command that asks no node reads no file."""
        self.given = contexts.Given()
        self._settings: contexts.Settings | None = None
        self._client: Client | None = None
        self._out: Output | None = None

    @property
    def settings(self) -> contexts.Settings:
        """What holds for this command line; raises CommandError."""
        if self._settings is None:
            self._settings = contexts.resolved(self.given, os.environ)
            talk = Output(color=self._color)
            for warning in self._settings.warnings:
                talk.warn(warning)
        return self._settings

    @property
    def out(self) -> Output:
        """Where data and talk go."""
        if self._out is None:
            form = self.given.output or self.settings.text("output") or "table"
            self._out = Output(form, color=self._color)
        return self._out

    def client(self, **changes: object) -> "Client":
        """Return the client of this command line; it is closed when the command ends.

        Args:
            changes: Settings of the client that this command wants otherwise; a client made with
                any is a new one each time.

        Raises:
            CommandError: A setting is wrong.

        """
        if self._client is not None and not changes:
            return self._client
        made = self._made(changes)
        self.at_end(made.close)
        if not changes:
            self._client = made
        return made

    @staticmethod
    def at_end(close: Callable[[], object]) -> None:
        """Let something be closed when the command ends."""
        context = click.get_current_context(silent=True)
        if context is not None:
            context.find_root().call_on_close(close)

    def _made(self, changes: dict[str, object]) -> "Client":
        from gorilla.client import Client  # noqa: PLC0415 - loads urllib3, help must be fast

        settings = self.settings
        fields: dict[str, Any] = {
            "token": settings.text("token"),
            "ca_file": settings.text("ca_file"),
            "cert_file": settings.text("cert_file"),
            "key_file": settings.text("key_file"),
            "deadline_s": settings.deadline_s,
            **changes,
        }
        endpoints = fields.pop("endpoints", settings.endpoints)
        try:
            return Client(*endpoints, **fields)
        except (ValueError, OSError) as error:
            raise CommandError(f"{str(error).rstrip('.')}.") from error

    @staticmethod
    def owner() -> str:
        """Return a name for whoever runs this command: told to people, and never used again."""
        return f"{person()}:{os.getpid()}-{secrets.token_hex(3)}"

    def confirm(self, question: str | Callable[[], str], *, yes: bool) -> None:
        """Go on if a person at the terminal says yes, or ``--yes`` was given.

        Args:
            question: To be answered with yes or no; a function when it takes asking the cluster.
            yes: Whether the answer was given already.

        Raises:
            CommandError: They say no; or there is nobody to ask.

        """
        if yes:
            return
        if sys.stdin is None or not sys.stdin.isatty():
            raise CommandError("This wants a yes and nobody is here to ask: give --yes.")
        text = question if isinstance(question, str) else question()
        if not click.confirm(visible(text), err=True):
            raise CommandError("Nothing was done.", Exit.CONFLICT)

    @property
    def _color(self) -> bool | None:
        return False if self.given.no_color else None


def person() -> str:
    """Return who sits here, for people: ``user@host``."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        # A user id without a name, as in some containers.
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


class Root(Noun):
    """Knows its nouns without loading them, and ends every command with a code of the table."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*NOUNS, *super().list_commands(ctx)]

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = NOUNS.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        found = getattr(import_module(place.module), cmd_name.replace("-", "_"))
        assert isinstance(found, click.Command)
        return found

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            if NOUNS:
                formatter.write_dl([(name, place.text) for name, place in NOUNS.items()])

    @override
    def main(  # type: ignore[override]  # click's own overloads promise a result, and we end
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **_: object
    ) -> NoReturn:
        """Run one command and end the process with its exit code."""
        _prepare_streams()
        name = prog_name or PROGRAM
        if instruction := os.environ.get(COMPLETE_VARIABLE):
            from gorilla.cli import completion  # noqa: F401, PLC0415 - shells are taught at TAB

            sys.exit(shell_complete(self, {}, name, COMPLETE_VARIABLE, instruction))
        sys.exit(self._ended_with(sys.argv[1:] if args is None else list(args), name))

    def _ended_with(self, args: list[str], name: str) -> int:
        try:
            with self.make_context(name, args) as context:
                result = self.invoke(context)
                # Nothing is left to be released; what is closed now need not be.
                INTERRUPTS.is_over = True
            if sys.stdout is not None:
                Output().flush()
        except click.exceptions.Exit as ended:
            return ended.exit_code
        except SystemExit:
            raise
        except BaseException as error:  # the last place: nothing may pass it
            return _told(_failure_of(error), color=False if "--no-color" in args else None)
        return int(result) if isinstance(result, int) else Exit.OK


@click.group(PROGRAM, cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gorilla-lock", message="gorilla %(version)s")
def root() -> None:
    """Locks for programs and people.

    Data goes to stdout, talk to stderr. Options come before the environment, the environment
    before the context of ~/.config/gorilla/config.toml.
    """


def _failure_of(error: BaseException) -> Failure:
    if isinstance(error, click.Abort | EOFError):
        return explained(KeyboardInterrupt())
    if isinstance(error, click.ClickException):
        return _of_click(error)
    if os.environ.get("GORILLA_DEBUG") and isinstance(error, Exception):
        import traceback  # noqa: PLC0415 - asked for

        traceback.print_exception(error, file=sys.stderr)
    return explained(error)


def _of_click(error: click.ClickException) -> Failure:
    message = error.format_message().strip()
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        return Failure(message, Exit.USAGE)
    if not isinstance(error, click.UsageError):
        return Failure(message, Exit.IO)
    path = error.ctx.command_path if error.ctx is not None else PROGRAM
    sentence = message if message.endswith("?") else f"{message.rstrip('.')}."
    return Failure(f"{sentence} See: {path} --help", Exit.USAGE)


def _told(failure: Failure, *, color: bool | None) -> int:
    """Say a failure on stderr, and end what went to stdout as well as can be."""
    out = Output(color=color)
    try:
        if sys.stdout is not None:
            out.flush()
    except (OutputClosed, CommandError):
        close_quietly()
    if failure.code is Exit.INTERRUPTED:
        # The terminal shows ^C in the line that was there.
        out.remark("")
    if "\n" in failure.sentence:
        out.say(failure.sentence)
    elif failure.sentence:
        out.say(f"{PROGRAM}: {failure.sentence}", "bad")
    return int(failure.code)


def _prepare_streams() -> None:
    """Let nothing that is written fail for its characters alone."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def main() -> NoReturn:
    """Run ``gorilla``."""
    code: int = Exit.INTERRUPTED
    try:
        INTERRUPTS.hear()
        code = _run()
    except KeyboardInterrupt:
        # While it was told how the command ended, which nobody waits for.
        INTERRUPTS.is_interrupted = True
    INTERRUPTS.leave(code)


def _run() -> int:
    try:
        root.main(prog_name=PROGRAM)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else Exit.OK
