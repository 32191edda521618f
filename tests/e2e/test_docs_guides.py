"""``docs/guides`` run as they stand: every ``sh`` block, and the output printed below it."""

from pathlib import Path

import pytest

from tests.support.local_cluster import ROOT
from tests.support.object_store import running_object_store
from tests.support.pages import run_shell_of
from tests.support.real_cluster import running_nodes

pytestmark = pytest.mark.e2e

PAGES = sorted(
    page.stem
    for page in (ROOT / "docs" / "guides").glob("*.md")
    if "is run by a test" in page.read_text()
)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    nodes_directory = tmp_path_factory.mktemp("cluster")
    with running_nodes(nodes_directory) as nodes, running_object_store() as store:
        yield {
            "GORILLA": nodes.url("n2"),
            "S3": store.url,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }


def test_the_guides_are_found():
    assert len(PAGES) >= 12


@pytest.mark.parametrize("name", PAGES)
def test_every_command_of_a_guide_does_what_the_page_says(name: str, environment, tmp_path: Path):
    run_shell_of(f"guides/{name}", environment, tmp_path)
