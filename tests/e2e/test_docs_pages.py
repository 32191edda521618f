"""Tutorial, how-to pages and the client's guide, followed as they stand on a real cluster.

Every ``sh`` and ``python`` block is run in its order, and its output compared with what the page
shows; ``tests.support.page_runs`` says how.
"""

from pathlib import Path

import pytest

from tests.support.local_cluster import ROOT
from tests.support.page_runs import is_as_told, run_page
from tests.support.real_cluster import running_nodes

pytestmark = pytest.mark.e2e

DOCS = ROOT / "docs"
HOWTO = sorted(f"howto/{page.stem}" for page in (DOCS / "howto").glob("*.md"))
PAGES = ["tutorial", "guides/python-client", *HOWTO]


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    with running_nodes(tmp_path_factory.mktemp("cluster")) as nodes:
        yield {"GORILLA_ENDPOINTS": ",".join(map(nodes.url, nodes.names))}


def test_the_pages_are_found():
    assert len(HOWTO) >= 6


@pytest.mark.parametrize("page", PAGES)
def test_a_reader_who_follows_a_page_sees_what_it_shows(page: str, settings, tmp_path: Path):
    blocks = run_page(page, settings, tmp_path)

    assert len(blocks) >= 3
    assert any(block.output for block in blocks)


@pytest.mark.parametrize(
    ("told", "written", "same"),
    [
        ("a  b\n", "a b\r\n", True),
        ("held for … s\n", "held for 3.2 s", True),
        ("held for … s\n", "held for 3.2 minutes", False),
        ("one\n", "one\ntwo", False),
        ("…\n", "one\ntwo", False),
        ("", "a warning", False),
    ],
)
def test_an_output_is_compared_but_for_spaces_and_what_is_left_open(
    told: str, written: str, same: bool
):
    assert is_as_told(told, written.replace("\r\n", "\n")) == same
