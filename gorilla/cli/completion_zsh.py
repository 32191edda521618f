"""Completion in zsh, for names of all sorts."""

import os
from typing import Final

from click.shell_completion import CompletionItem, ZshComplete, add_completion_class
from typing_extensions import override

from gorilla.cli.completion_bash import LINE_VARIABLE, split

# zsh looks for its mark in the first line of the file alone. It matches and quotes what is offered
# itself; what is before the ``=`` of an option is none of its business.
SCRIPT: Final = """\
#compdef %(prog_name)s
%(complete_func)s() {
    local kind value help
    local -a plain described
    local line="${(j: :)words[1,CURRENT-1]} $QIPREFIX$IPREFIX$PREFIX"
    [[ $PREFIX == --*=* ]] && compset -P '*='
    while IFS=$'\\t' read -r kind value help; do
        case $kind in
            dir) _files -/ ;;
            file) _files ;;
            plain)
                if [[ -n $help ]]; then
                    value=${value//\\\\/\\\\\\\\}
                    described+=("${value//:/\\\\:}:$help")
                else
                    plain+=("$value")
                fi ;;
        esac
    done < <(GORILLA_COMPLETED_LINE=$line %(complete_var)s=zsh_complete \\
        ${~${(Q)words[1]}} 2>/dev/null)
    (( $#described )) && _describe -V -t commands %(prog_name)s described
    (( $#plain )) && compadd -V names -a plain
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""


class Zsh(ZshComplete):
    """Reads the line up to the cursor, and leaves it to zsh to match and to quote."""

    source_template = SCRIPT

    @override
    def get_completion_args(self) -> tuple[list[str], str]:
        words = split(os.environ.get(LINE_VARIABLE, ""))
        return words[1:-1], words[-1]

    @override
    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.type}\t{item.value}\t{' '.join((item.help or '').split())}"


add_completion_class(Zsh)
