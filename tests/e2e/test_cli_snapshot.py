"""``gorilla snapshot`` on a real node and a real PostgreSQL."""

import asyncio
import json

import pytest

from tests.support.cli import gorilla, process
from tests.support.nodes import Nodes
from tests.support.real_cluster import acquire

pytestmark = pytest.mark.e2e


@pytest.fixture
def node(tmp_path, database):
    nodes = Nodes(tmp_path, 1, GORILLA_DATABASE_URL=database)
    try:
        nodes.start()
        asyncio.run(nodes.until_ready())
        yield nodes
    finally:
        nodes.close()


def test_a_snapshot_is_stored_listed_verified_and_not_restored_over_a_living_node(node):
    at = {"GORILLA_ENDPOINTS": node.url("n1")}
    settings = {name: node.environment[name] for name in node.environment if "GORILLA" in name}
    acquire(node.url("n1"), "kept")

    made = gorilla("snapshot", "create", "-o", "json", **at)
    told = gorilla("snapshot", "create", **at)
    listed = gorilla("snapshot", "list", **at)
    first = gorilla("snapshot", "list", "--limit", "1", "-o", "json", **at)
    verified = process("snapshot", "verify", **settings)
    absent = process("snapshot", "verify", "9999", **settings)
    restored = process("snapshot", "restore", "--node", "n1", "--yes", **settings)

    document = json.loads(made.out)
    assert (made.code, document["lockCount"], document["node"]) == (0, 1, "n1")
    assert "1 lock" in told.out
    assert listed.out.splitlines()[0].split()[0] == "ID"
    assert str(document["id"]) in [line.split()[0] for line in listed.out.splitlines()]
    assert len(json.loads(first.out)) == 1
    assert verified.code == 0, verified.err
    assert "is whole" in verified.out
    assert absent.code != 0
    assert "Traceback" not in absent.err
    assert restored.code == 1
    assert "holds the data of a node" in restored.err


def test_without_a_database_it_is_said_once_and_nothing_was_done(tmp_path):
    nodes = Nodes(tmp_path, 1)
    try:
        nodes.start()
        asyncio.run(nodes.until_ready())
        at = {"GORILLA_ENDPOINTS": nodes.url("n1")}
        both = [gorilla("snapshot", verb, **at) for verb in ("list", "create")]
    finally:
        nodes.close()

    assert [ran.code for ran in both] == [69, 69]
    for ran in both:
        assert ran.err.count("no database is configured") == 1
