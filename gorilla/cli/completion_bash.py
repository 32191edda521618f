"""Completion in bash, for names of all sorts: with spaces, colons, stars."""

import os
import shlex
from typing import Final

from click.shell_completion import BashComplete, CompletionItem, add_completion_class
from typing_extensions import override

LINE_VARIABLE: Final = "GORILLA_COMPLETED_LINE"
BREAKS_VARIABLE: Final = "GORILLA_COMPLETED_BREAKS"

# bash replaces what stands after the last of its word breaks, so what is before it is not given
# again; and what it puts into the line is quoted here, unless a quote is open.
SCRIPT: Final = """\
%(complete_func)s() {
    local kind value
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            quoted) COMPREPLY+=("$value") ;;
            plain)
                printf -v value %%q "$value"
                COMPREPLY+=("$value") ;;
        esac
    done < <(GORILLA_COMPLETED_LINE="${COMP_LINE:0:COMP_POINT}" \\
        GORILLA_COMPLETED_BREAKS="$COMP_WORDBREAKS" \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class Bash(BashComplete):
    """Reads the line as it stands, rather than as bash breaks it into words."""

    source_template = SCRIPT

    @override
    def source(self) -> str:
        """Return the script; any bash of the last ten years runs it."""
        return self.source_template % self.source_vars()

    @override
    def get_completion_args(self) -> tuple[list[str], str]:
        words = split(os.environ.get(LINE_VARIABLE, ""))
        return words[1:-1], words[-1]

    @override
    def format_completion(self, item: CompletionItem) -> str:
        line = os.environ.get(LINE_VARIABLE, "")
        incomplete = split(line)[-1]
        quote = open_quote(line)
        breaks = set(os.environ.get(BREAKS_VARIABLE, "")) - set(" \t\n\"'")
        # Within quotes nothing is broken.
        places = [] if quote else [n for n, one in enumerate(incomplete) if one in breaks]
        value = str(item.value)
        if places and value.startswith(incomplete):
            value = value[places[-1] + 1 :]
        return f"{'quoted' if quote and item.type == 'plain' else item.type},{value}"


def split(line: str) -> list[str]:
    """Return the words of a line that is not at its end; the last one is not complete."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    try:
        words += lexer
    except ValueError:
        # A quote is open, or a backslash stands last.
        return [*words, lexer.token]
    is_new = not line or (line[-1].isspace() and not line.endswith("\\ "))
    return [*words, ""] if is_new or not words else words


def open_quote(line: str) -> str:
    """Return the quote that is open at the end of a line, if one is."""
    found = ""
    is_escaped = False
    for one in line:
        if is_escaped:
            is_escaped = False
        elif one == "\\" and found != "'":
            is_escaped = True
        elif one == found:
            found = ""
        elif one in "\"'" and not found:
            found = one
    return found


add_completion_class(Bash)
