"""The API document: complete, true to what is served, and a page to read."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from gorilla.api.app import build_app
from gorilla.wire.problems import PROBLEMS, ProblemCode
from tests.support.api import RunningApi, changeable_api, dependencies, running_api
from tests.support.service import Node

PATHS = {
    "/api/v1/locks": {"get", "post"},
    "/api/v1/locks/{resource}": {"get", "post", "delete"},
    "/api/v1/locks/{resource}/explain": {"get"},
    "/api/v1/locks/{resource}/request-release": {"post"},
    "/api/v1/locks/{resource}/{token}": {"get", "put", "delete"},
    "/api/v1/fencing/{resource}": {"post"},
    "/api/v1/groups/{group}": {"put", "delete"},
    "/api/v1/sessions": {"post"},
    "/api/v1/sessions/{session}": {"get", "put", "delete"},
    "/api/v1/policies": {"get", "put", "delete"},
    "/api/v1/cluster": {"get"},
    "/api/v1/snapshots": {"get", "post"},
    "/api/v1/events": {"get"},
    "/api/v1/history": {"get"},
    "/_health": {"get"},
    "/_ready": {"get"},
    "/metrics": {"get"},
    "/openapi.json": {"get"},
    "/docs": {"get"},
    "/": {"get"},
}


CHANGING_PATHS = {
    "/api/v1/cluster/members": {"post"},
    "/api/v1/cluster/members/{id}": {"put", "delete"},
    "/api/v1/cluster/members/{id}/drain": {"post", "delete"},
    "/api/v1/cluster/leader": {"post"},
}
"""Only where the cluster can be changed."""


async def _document(api: RunningApi) -> dict[str, Any]:
    answered = await api.ask("GET", "/openapi.json")
    assert isinstance(answered.json, dict)
    return answered.json


async def test_the_document_has_every_route_and_no_other() -> None:
    app = build_app(dependencies(Node()))
    routes: dict[str, set[str]] = {}
    for route in app.router.routes:
        routes.setdefault(route.template, set()).add(route.method.lower())
    async with running_api() as api:
        document = await _document(api)

    assert _methods_of(document) == routes == PATHS


async def test_where_the_cluster_can_be_changed_the_document_says_how() -> None:
    async with changeable_api() as api:
        document = await _document(api)

    assert _methods_of(document) == PATHS | CHANGING_PATHS


def _methods_of(document: dict[str, Any]) -> dict[str, set[str]]:
    return {path: set(methods) for path, methods in document["paths"].items()}


async def test_every_documented_call_is_served_and_no_other_method() -> None:
    every = {"get", "put", "post", "delete", "patch", "options", "trace"}
    async with changeable_api() as api:
        for path, methods in (PATHS | CHANGING_PATHS).items():
            concrete = path.format(resource="a", token="b", id="c", group="d", session="e")
            for method in every:
                # A stream of events has no end; its head says as much.
                asked = "HEAD" if (path, method) == ("/api/v1/events", "get") else method.upper()
                answered = await api.ask(asked, concrete)
                assert (answered.status == 405) == (method not in methods), (method, path)


async def test_every_problem_code_is_documented() -> None:
    async with running_api() as api:
        document = await _document(api)

    problem = document["components"]["schemas"]["ProblemBody"]
    codes = document["components"]["schemas"]["ProblemCode"]["enum"]
    assert problem["properties"]["code"] == {"$ref": "#/components/schemas/ProblemCode"}
    assert set(codes) == {code.value for code in ProblemCode}
    assert {row["code"]: row["status"] for row in document["x-problems"]} == {
        code.value: kind.status for code, kind in PROBLEMS.items()
    }


async def test_every_answer_has_its_headers_and_every_problem_its_schema() -> None:
    async with changeable_api() as api:
        document = await _document(api)

    for methods in document["paths"].values():
        for operation in methods.values():
            assert {"400", "500"} <= set(operation["responses"])
            for status, answer in operation["responses"].items():
                assert {"X-Request-Id", "X-Gorilla-Node"} <= set(answer["headers"])
                assert ("Retry-After" in answer["headers"]) == (status in {"429", "503"})
                if int(status) >= 400:
                    content = answer["content"]["application/problem+json"]
                    assert content["schema"] == {"$ref": "#/components/schemas/ProblemBody"}
                    assert {
                        example["value"]["status"] for example in content["examples"].values()
                    } == {int(status)}


async def test_every_reference_leads_somewhere() -> None:
    async with changeable_api() as api:
        answered = await api.ask("GET", "/openapi.json")

    references = set(re.findall(rb'"\$ref":"#/components/(\w+)/([\w-]+)"', answered.content))
    assert references
    for kind, name in references:
        assert name.decode() in answered.json["components"][kind.decode()]


async def test_every_writing_call_may_be_undone_or_unknown() -> None:
    async with changeable_api() as api:
        document = await _document(api)

    for path, method in [
        ("/api/v1/locks/{resource}", "post"),
        ("/api/v1/locks/{resource}/{token}", "put"),
        ("/api/v1/locks/{resource}/{token}", "delete"),
        ("/api/v1/locks/{resource}", "delete"),
        ("/api/v1/locks/{resource}/request-release", "post"),
        ("/api/v1/groups/{group}", "put"),
        ("/api/v1/groups/{group}", "delete"),
        ("/api/v1/sessions", "post"),
        ("/api/v1/sessions/{session}", "put"),
        ("/api/v1/sessions/{session}", "delete"),
        ("/api/v1/policies", "put"),
        ("/api/v1/policies", "delete"),
        *((path, method) for path, methods in CHANGING_PATHS.items() for method in methods),
    ]:
        assert {"503", "504"} <= set(document["paths"][path][method]["responses"])


class _Reader(HTMLParser):
    """Collects what a page loads, runs and says."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_pages_load_nothing_from_elsewhere(path: str) -> None:
    async with running_api() as api:
        answered = await api.ask("GET", path)
    page = _Reader(answered.content.decode())

    loaded = [value for name, value in page.attributes if name in {"src", "href", "srcset", "data"}]
    assert all(value is not None and re.match(r"/(?!/)|data:", value) for value in loaded)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "style"]
    policy = answered.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answered.headers["x-content-type-options"] == "nosniff"


async def test_the_docs_page_shows_every_call_and_code() -> None:
    async with changeable_api() as api:
        answered = await api.ask("GET", "/docs")
    page = _Reader(answered.content.decode())

    assert all(path in page.text for path in PATHS | CHANGING_PATHS)
    assert all(code.value in page.text for code in ProblemCode)
    assert "script" not in page.tags
