"""Completion in fish, for names of all sorts."""

import os
from typing import Final

from click.shell_completion import CompletionItem, FishComplete, add_completion_class
from typing_extensions import override

WORDS_VARIABLE: Final = "GORILLA_COMPLETED_WORDS"
SEPARATOR: Final = "\x1f"

_ESCAPED: Final = {"'": "'\\", '"': '"$\\'}
"""What a backslash makes plain within quotes."""

# fish unquotes all words but the last one, matches what is offered with that, and quotes it again.
SCRIPT: Final = """\
function %(complete_func)s
    set -l current (commandline -ct)
    set -l words (string join \\x1f -- (commandline -opc) "$current")
    for line in (env GORILLA_COMPLETED_WORDS="$words" %(complete_var)s=fish_complete \\
            %(prog_name)s 2>/dev/null)
        set -l parts (string split -m 1 \\t -- $line)
        switch $parts[1]
            case dir
                __fish_complete_directories "$current"
            case file
                __fish_complete_path "$current"
            case plain
                echo $parts[2]
        end
    end
end
complete --no-files --keep-order --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


class Fish(FishComplete):
    """Takes the words as fish understands them."""

    source_template = SCRIPT

    @override
    def get_completion_args(self) -> tuple[list[str], str]:
        *words, last = os.environ.get(WORDS_VARIABLE, "").split(SEPARATOR)
        return words[1:], unquoted(last)

    @override
    def format_completion(self, item: CompletionItem) -> str:
        option, is_value, _ = self.get_completion_args()[1].partition("=")
        before = f"{option}=" if is_value and option.startswith("--") else ""
        help_ = " ".join((item.help or "").split())
        return f"{item.type}\t{before}{item.value}" + (f"\t{help_}" if help_ else "")


def unquoted(word: str) -> str:
    """Return what fish makes of a word that may not be complete."""
    found, quote = "", ""
    left = iter(word)
    for one in left:
        if one == "\\":
            following = next(left, "")
            is_plain = not quote or not following or following in _ESCAPED[quote]
            found += following if is_plain else one + following
        elif one == quote:
            quote = ""
        elif not quote and one in _ESCAPED:
            quote = one
        else:
            found += one
    return found


add_completion_class(Fish)
