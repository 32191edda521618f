"""``gorillad``: parses the command line, runs the command, and says a failure in one line."""

import contextlib
import sys
from collections.abc import Sequence

from gorilla.config import ConfigError
from gorilla.daemon.arguments import parser
from gorilla.daemon.failures import CommandError, Exit
from gorilla.service.errors import GorillaError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    try:
        from gorilla.daemon.commands import COMMANDS  # noqa: PLC0415 - needs packages of an extra
    except ModuleNotFoundError as error:
        if error.name in sys.stdlib_module_names or (error.name or "").startswith("gorilla"):
            raise
        needed = f"{error.name} is not installed: pip install 'gorilla-lock[server]'"
        return _fail(needed, Exit.USAGE)
    arguments = parser().parse_args(argv)
    try:
        return int(COMMANDS[arguments.command](arguments))
    except ConfigError as error:
        return _fail(error, Exit.USAGE)
    except CommandError as error:
        return _fail(error, error.code)
    except (GorillaError, OSError) as error:
        return _fail(error, Exit.FAILED)
    except KeyboardInterrupt:
        return _fail("interrupted", Exit.FAILED)


def _fail(error: Exception | str, code: Exit) -> int:
    lines = str(error).splitlines() or [type(error).__name__]
    with contextlib.suppress(BrokenPipeError):
        for line in lines:
            sys.stderr.write(f"gorillad: {line}\n")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
