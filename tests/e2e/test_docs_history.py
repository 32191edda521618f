"""The example of ``docs/operations/history.md``, run as it stands."""

import subprocess

import pytest

from tests.e2e.test_docs_quickstart import BLOCKS, DEADLINE_S, ROOT
from tests.support.real_cluster import running_nodes

pytestmark = pytest.mark.e2e


def test_who_held_the_nightly_report_is_answered_as_the_page_says(tmp_path, database):
    page = (ROOT / "docs" / "operations" / "history.md").read_text()
    [(script, printed)] = [(match["sh"], match["text"]) for match in BLOCKS.finditer(page)]

    with running_nodes(tmp_path, GORILLA_DATABASE_URL=database) as nodes:
        ran = subprocess.run(
            ["/bin/sh"],
            input=f"set -eu\n{script}",
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "GORILLA": nodes.url("n2")},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    assert ran.stdout == printed
