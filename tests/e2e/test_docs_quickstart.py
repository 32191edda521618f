"""``docs/quickstart.md`` run as it stands: every ``sh`` block, and the output printed below it."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.local_cluster import running_cluster
from tests.support.postgres import reachable_directory

ROOT = Path(__file__).parents[2]
BLOCKS = re.compile(r"```sh\n(?P<sh>.*?)```(?:\n\n```text\n(?P<text>.*?)```)?", re.DOTALL)
MARK = "=== end of a block ==="
DEADLINE_S = 60


@pytest.mark.e2e
def test_every_command_of_the_quick_start_does_what_the_page_says(tmp_path):
    page = (ROOT / "docs" / "quickstart.md").read_text()
    blocks = [(match["sh"], match["text"] or "") for match in BLOCKS.finditer(page)]
    script = "set -eu\n" + "".join(f"{sh}echo; echo '{MARK}'\n" for sh, _ in blocks)

    with reachable_directory() as directory, running_cluster(directory) as cluster:
        ran = subprocess.run(
            ["/bin/sh"],
            input=script,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "GORILLA": f"http://{cluster.http[0]}"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    assert (ran.returncode, ran.stderr) == (0, "")
    printed = [part.strip() for part in ran.stdout.split(MARK)][:-1]
    assert len(blocks) == 9
    assert printed == [text.strip() for _, text in blocks]
