"""``gorilla completion``: what makes TAB work in a shell."""

from typing import Final

import click
from click.shell_completion import get_completion_class

from gorilla.cli import (  # the shells are taught to be click's
    completion_bash,  # noqa: F401
    completion_fish,  # noqa: F401
    completion_zsh,  # noqa: F401
)
from gorilla.cli.app import COMPLETE_VARIABLE, PROGRAM, Cli
from gorilla.cli.options import Noun, Verb

_INSTALL: Final = {
    "bash": (
        "mkdir -p ~/.local/share/bash-completion/completions",
        "gorilla completion bash > ~/.local/share/bash-completion/completions/gorilla",
    ),
    "zsh": (
        "mkdir -p ~/.zfunc",
        "gorilla completion zsh > ~/.zfunc/_gorilla",
        "# in ~/.zshrc, before compinit: fpath+=~/.zfunc",
    ),
    "fish": (
        "mkdir -p ~/.config/fish/completions",
        "gorilla completion fish > ~/.config/fish/completions/gorilla.fish",
    ),
}


@click.group(cls=Noun)
def completion() -> None:
    """Completion for bash, zsh and fish: commands, options, contexts and locks."""


def _verb(shell: str) -> Verb:
    def script(cli: Cli, /) -> None:
        found = get_completion_class(shell)
        assert found is not None
        completer = found(
            click.get_current_context().find_root().command, {}, PROGRAM, COMPLETE_VARIABLE
        )
        lines = "\n".join(f"#   {line}" for line in _INSTALL[shell])
        text = completer.source()
        # zsh wants its mark to be the first line.
        mark, _, rest = text.partition("\n") if text.startswith("#compdef") else ("", "", text)
        first = f"{mark}\n" if mark else ""
        cli.out.write(f"{first}# To install it:\n{lines}\n{rest.rstrip()}\n")

    script.__doc__ = f"Print the script for {shell}; it says how to install it."
    examples = [line for line in _INSTALL[shell] if not line.startswith("#")]
    made = click.command(shell, cls=Verb, examples=examples)(click.pass_obj(script))
    assert isinstance(made, Verb)
    return made


for _shell in _INSTALL:
    completion.add_command(_verb(_shell))
