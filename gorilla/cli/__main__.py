"""``gorilla``: the command line for people and scripts."""

import signal
import sys
from typing import Final, NoReturn

PACKAGES: Final = frozenset({"click", "rich", "yaml"})
"""What the ``cli`` extra brings, by the names under which it is imported."""


def main() -> NoReturn:
    """Run ``gorilla``, or say what to install before."""
    # A Ctrl-C while modules are loaded ends the program without a word, as in any other.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from gorilla.cli.app import main as run  # noqa: PLC0415 - it needs packages of an extra
    except ModuleNotFoundError as error:
        if error.name not in PACKAGES:
            raise
        sys.exit(_not_installed(error.name))
    run()


def _not_installed(package: str) -> int:
    from gorilla.cli.failures import Exit  # noqa: PLC0415 - not on the way of a command

    sys.stderr.write(f"gorilla: {package} is not installed: pip install 'gorilla-lock[cli]'\n")
    return int(Exit.USAGE)


if __name__ == "__main__":
    main()
