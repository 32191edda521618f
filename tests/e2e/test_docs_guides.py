"""``docs/guides`` run as they stand: every ``sh`` block, and the output printed below it."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.local_cluster import ROOT
from tests.support.real_cluster import running_nodes

pytestmark = pytest.mark.e2e

PAGES = sorted(
    page.stem
    for page in (ROOT / "docs" / "guides").glob("*.md")
    if "is run by a test" in page.read_text()
)
BLOCKS = re.compile(r"```sh\n(?P<sh>.*?)```(?:\n\n```text\n(?P<text>.*?)```)?", re.DOTALL)
MARK = "=== end of a block ==="
DEADLINE_S = 60


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    with running_nodes(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def test_the_guides_are_found():
    assert len(PAGES) >= 8


@pytest.mark.parametrize("name", PAGES)
def test_every_command_of_a_guide_does_what_the_page_says(name: str, nodes, tmp_path: Path):
    page = (ROOT / "docs" / "guides" / f"{name}.md").read_text()
    blocks = [(match["sh"], match["text"] or "") for match in BLOCKS.finditer(page)]
    script = "set -eu\n" + "".join(f"{sh}echo; echo '{MARK}'\n" for sh, _ in blocks)

    ran = subprocess.run(
        ["/bin/sh"],
        input=script,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "GORILLA": nodes.url("n2")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    assert len(blocks) > 1
    printed = [part.strip() for part in ran.stdout.split(MARK)][:-1]
    assert printed == [text.strip() for _, text in blocks]
