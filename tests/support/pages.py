"""Pages of ``docs`` as they are run: their blocks of code, by language and heading."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.local_cluster import ROOT

DEADLINE_S = 60.0

_PIECE = re.compile(
    r"^(?:#+ (?P<heading>[^\n]+)"
    r"|```(?P<language>\w+)\n(?P<code>.*?)```(?:\n\n```text\n(?P<output>.*?)```)?)$",
    re.DOTALL | re.MULTILINE,
)
_FILE = re.compile(r"// ([\w-]+\.mjs)\n")
_MARK = "=== end of a block ==="


@dataclass(frozen=True)
class Block:
    """A block of code, under which heading it stands, and the output printed below it."""

    heading: str
    language: str
    code: str
    output: str


def blocks_of(page: str, *languages: str) -> list[Block]:
    """Return the blocks of ``docs/<page>.md`` in these languages, in their order."""
    heading, found = "", []
    for piece in _PIECE.finditer((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")):
        heading = piece["heading"] or heading
        if piece["language"] in languages:
            found.append(Block(heading, piece["language"], piece["code"], piece["output"] or ""))
    return found


def run_shell_of(page: str, environment: Mapping[str, str], directory: Path) -> None:
    """Run every ``sh`` block of a page in one shell; each must print what stands below it.

    Beside the shell are the examples of ``docs``, and the ``js`` blocks whose first line is the
    name of a file.
    """
    shutil.copytree(ROOT / "docs" / "examples", directory, dirs_exist_ok=True)
    for block in blocks_of(page, "js"):
        if named := _FILE.match(block.code):
            (directory / named[1]).write_text(block.code)
    blocks = blocks_of(page, "sh")
    script = "set -eu\n" + "".join(f"{block.code}echo; echo '{_MARK}'\n" for block in blocks)

    ran = subprocess.run(
        ["/bin/sh"],
        input=script,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **environment},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (0, ""), f"{ran.stdout}\n{ran.stderr}"
    assert len(blocks) > 1
    printed = [part.strip() for part in ran.stdout.split(_MARK)][:-1]
    for block, text in zip(blocks, printed, strict=True):
        assert text == block.output.strip(), f"under {block.heading}:\n{block.code}\n{text}"
