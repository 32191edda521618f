"""Writes what the settings are for people: example file, example environment, reference page.

``make docs`` runs it; a test compares its output with the files, so that none falls behind::

    python -m gorilla.config.reference toml|env|markdown
"""

import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Final, Literal, get_args, get_origin

import msgspec

from gorilla.config.sections import SECTIONS, MemberConfig
from gorilla.config.values import Setting, bounds, plain, settings_of

WIDTH: Final = 98

TOML_HEAD: Final = """\
# Configuration of a Gorilla cluster. As it stands: three nodes on this machine, what `make run`
# starts. A line that begins with "# key =" shows a default; take the "#" away to change it.
#
# Every key is also an environment variable, GORILLA_<SECTION>_<KEY>, which comes first
# (GORILLA_LOG_LEVEL=debug). Names carry their units. Check a file with: gorillad check-config
"""

TOML_MEMBERS: Final = """\
[[member]]
name = "n1"
http = "127.0.0.1:4000"
peer = "127.0.0.1:4100"
{optional}
[[member]]
name = "n2"
http = "127.0.0.1:4001"
peer = "127.0.0.1:4101"

[[member]]
name = "n3"
http = "127.0.0.1:4002"
peer = "127.0.0.1:4102"
"""

ENV_HEAD: Final = """\
# Settings by environment. Copy this file to .env, which `make run` and `make migrate` read; a
# variable of the environment itself comes before it, and the TOML file (cluster.example.toml)
# after it. Each line shows the default; take the "#" away to change it. An empty value is as if
# the variable were not there.

# The TOML file, for every gorillad command (--config).
# GORILLA_CONFIG=cluster.example.toml

# Which member this node is, for gorillad run and restore (--node).
# GORILLA_NODE=n1

# The members, instead of the file's [[member]] tables: name=http/peer, with commas between.
# GORILLA_MEMBERS={members}

# One key of one member: GORILLA_MEMBER_<NAME>_<KEY> (keys: {member_keys}).
# GORILLA_MEMBER_N1_BIND_HTTP=0.0.0.0:4000
"""

MEMBERS: Final = ",".join(
    f"n{number}=127.0.0.1:{3999 + number}/127.0.0.1:{4099 + number}" for number in (1, 2, 3)
)

MARKDOWN_HEAD: Final = """\
# Configuration

Written from `gorilla/config/sections.py` by `make docs`; change it there.

`gorillad --config FILE` reads a TOML file; [cluster.example.toml](../../cluster.example.toml) is
one that works. What comes first wins:

1. the environment: `GORILLA_<SECTION>_<KEY>`, for a member `GORILLA_MEMBER_<NAME>_<KEY>`
   (a `-` in its name becomes `_`);
2. the file named by `--env-file` (`make run` passes `.env` when there is one), same names;
3. the TOML file;
4. the default.

`GORILLA_CONFIG` names the file, `GORILLA_NODE` the node, and `GORILLA_MEMBERS`
(`n1=10.0.0.1:4000/10.0.0.1:4100,n2=…`: name=http/peer) replaces the file's list of members.
Unknown keys and variables are refused, with the nearest known one; all problems are told at once.
Check without starting anything: `gorillad check-config --config FILE`. Secrets are never printed.
"""


def toml_example() -> str:
    """Return ``cluster.example.toml``."""
    parts = [TOML_HEAD]
    for section, struct in SECTIONS.items():
        parts.append(f"\n\n{_doc_comment(struct)}[{section}]\n")
        parts += [_toml_lines(setting) for setting in settings_of(section, struct)]
        if section == "cluster":
            parts += ["\n\n", _doc_comment(MemberConfig), _toml_members()]
    return "".join(parts)


def env_example() -> str:
    """Return ``.env.example``."""
    keys = ", ".join(setting.name for setting in settings_of("member", MemberConfig))
    parts = [ENV_HEAD.format(member_keys=keys, members=MEMBERS)]
    for section, struct in SECTIONS.items():
        parts.append(f"\n# --- [{section}] {_summary(struct)}\n")
        for setting in settings_of(section, struct):
            parts.append(f"\n{_comment(_described(setting))}")
            parts.append(f"# {setting.variable}={plain(_default(setting))}\n")
    return "".join(parts)


def markdown_page() -> str:
    """Return ``docs/reference/configuration.md``."""
    parts = [MARKDOWN_HEAD, _table("[member]", "member", MemberConfig)]
    parts += [_table(f"[{section}]", section, struct) for section, struct in SECTIONS.items()]
    return "".join(parts)


def _table(title: str, section: str, struct: type[msgspec.Struct]) -> str:
    rows = [
        f"| `{s.name}` | {_markdown_default(s)} | {_described(s).replace('|', chr(92) + '|')} |"
        for s in settings_of(section, struct)
    ]
    head = f"\n## {title.replace('[member]', '[[member]]')}\n\n{' '.join(_paragraph(struct))}\n\n"
    return head + "\n".join(["| key | default | meaning |", "| --- | --- | --- |", *rows]) + "\n"


def _toml_lines(setting: Setting) -> str:
    return f"\n{_comment(_described(setting))}# {setting.name} = {_toml_default(setting)}\n"


def _toml_members() -> str:
    optional = [s for s in settings_of("member", MemberConfig) if s.default == ""]
    return TOML_MEMBERS.format(optional="".join(_toml_lines(setting) for setting in optional))


def _described(setting: Setting) -> str:
    """Return its meaning, with the range or the choices where there are any."""
    text = setting.meta.description or ""
    if get_origin(setting.type) is Literal:
        return f"{text} One of: {', '.join(get_args(setting.type))}."
    if setting.type in {int, float}:
        return f"{text} ({bounds(setting.meta)})"
    return text


def _default(setting: Setting) -> object:
    return setting.default.reveal() if setting.is_secret else setting.default


def _toml_default(setting: Setting) -> str:
    default = _default(setting)
    return f'"{default}"' if isinstance(default, str) else plain(default)


def _markdown_default(setting: Setting) -> str:
    if setting.default is msgspec.NODEFAULT:
        return "required"
    default = plain(_default(setting))
    return f"`{default}`" if default else "empty"


def _paragraph(struct: type[msgspec.Struct]) -> Iterator[str]:
    yield from filter(None, (inspect.getdoc(struct) or "").splitlines())


def _summary(struct: type[msgspec.Struct]) -> str:
    return next(_paragraph(struct))


def _doc_comment(struct: type[msgspec.Struct]) -> str:
    return _comment(" ".join(_paragraph(struct)))


def _comment(text: str) -> str:
    return textwrap.indent(textwrap.fill(text, WIDTH - 2, break_on_hyphens=False), "# ") + "\n"


WRITERS: Final[dict[str, Callable[[], str]]] = {
    "toml": toml_example,
    "env": env_example,
    "markdown": markdown_page,
}

if __name__ == "__main__":
    sys.stdout.write(WRITERS[sys.argv[1]]())
