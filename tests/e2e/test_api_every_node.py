"""The documented API on a real cluster: through every node, and through the load balancer."""

import urllib.request

import aiohttp
import pytest

from tests.support.api_cases import CASES, Case
from tests.support.nodes import Balancer, Nodes
from tests.support.real_cluster import CALL_S_MAX, acquire, call, running_balancer, running_nodes

pytestmark = pytest.mark.e2e

NAMES = ["n1", "n2", "n3"]

OF_ONE_NODE = {"the_node_says_how_it_is", "documents_are_served"}
"""Several calls of these must reach one and the same node; a balancer is not for them."""

THROUGH_BALANCER = [case for case in CASES if case.__name__ not in OF_ONE_NODE]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    with running_nodes(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="module")
def balancer(nodes):
    with running_balancer(nodes) as running:
        yield running


@pytest.mark.parametrize("through", NAMES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_documented_at_every_node(case: Case, through: str, nodes: Nodes) -> None:
    async with aiohttp.ClientSession() as session:
        await case(session, nodes.url(through))


@pytest.mark.parametrize("case", THROUGH_BALANCER, ids=lambda case: case.__name__)
async def test_documented_through_the_balancer(case: Case, balancer: Balancer) -> None:
    async with aiohttp.ClientSession() as session:
        await case(session, balancer.url)


def test_the_balancer_has_the_pages_but_no_metrics(balancer):
    with urllib.request.urlopen(f"{balancer.url}/", timeout=CALL_S_MAX) as page:
        kind = page.headers["Content-Type"]

    assert kind.startswith("text/html")
    assert call(balancer.url, "GET", "/openapi.json").status == 200
    refused = call(balancer.url, "GET", "/metrics")
    assert (refused.status, refused.body["code"]) == (404, "not_found")
    assert refused.headers["X-Request-Id"] == refused.body["requestId"]


@pytest.mark.parametrize("writer", NAMES)
def test_what_one_node_wrote_every_node_shows_at_once(writer, nodes):
    lock = acquire(nodes.url(writer), f"written-at-{writer}")
    path = f"/api/v1/locks/written-at-{writer}"

    for name in nodes.names:
        status = call(nodes.url(name), "GET", f"{path}/{lock['token']}")
        looked = call(nodes.url(name), "GET", path)
        refused = call(nodes.url(name), "POST", path, {"owner": "bert", "timeout": 1})

        assert (status.status, status.body["id"]) == (200, lock["id"])
        assert [holder["owner"] for holder in looked.body["holders"]] == ["anna"]
        assert (refused.status, refused.body["holder"]["fencingToken"]) == (409, lock["id"])


def test_a_token_works_on_every_node_until_another_node_replaced_it(nodes):
    path = "/api/v1/locks/handed-round"
    tokens = [acquire(nodes.url("n1"), "handed-round")["token"]]

    for name in ("n2", "n3", "n1"):
        extended = call(nodes.url(name), "PUT", f"{path}/{tokens[-1]}", {"timeout": 900})
        assert extended.status == 200
        tokens.append(extended.body["token"])

    assert len(set(tokens)) == 4
    for name in nodes.names:
        seen = [call(nodes.url(name), "GET", f"{path}/{token}").status for token in tokens]
        assert seen == [404, 404, 404, 200]
    assert call(nodes.url("n2"), "DELETE", f"{path}/{tokens[-1]}").status == 204
    assert [call(nodes.url(n), "GET", f"{path}/{tokens[-1]}").status for n in nodes.names] == [
        404
    ] * 3


def test_numbers_grow_whatever_node_gives_the_lock(nodes):
    given = [
        acquire(nodes.url(NAMES[n % 3]), f"number-{n}", owner=f"owner-{n}")["fencingToken"]
        for n in range(30)
    ]

    assert given == sorted(set(given))
