"""The document as code generators want it: it says the same as the bodies, and says it plainly."""

import asyncio
import functools
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from gorilla.api.app import build_app
from gorilla.api.openapi import document_of
from gorilla.api.shapes import INT32_MAX, plain
from gorilla.service.membership import MembershipService
from gorilla.wire.asking import AcquireAllBody, AcquireBody, AskedSeconds, ExtendBody, Wait
from gorilla.wire.bodies import LockBody, MemberBody, Mode, ReadyBody, Seconds
from gorilla.wire.history import HistoryBody
from gorilla.wire.problem_body import ProblemBody
from tests.support.api import dependencies
from tests.support.membership import MemoryMembership
from tests.support.service import Node

Schema = dict[str, Any]

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 1 << 60)
    | st.floats(-1, 5, width=16)
    | st.sampled_from(
        ["", "0", "1", "1.5", "exclusive", "shared", "hold", "leader", "a", "x" * 65]
    ),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["kind", "mode", "ready", "timeout"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@functools.cache
def document() -> Schema:
    """The document of a node whose cluster can be changed."""

    async def made() -> Schema:
        membership = MembershipService(MemoryMembership(), asyncio.get_running_loop())
        app = build_app(dependencies(Node(), membership=membership))
        return document_of(app.router.routes, "1.2.3")

    return asyncio.run(made())


def nodes(schema: Any, where: str = "") -> Iterator[tuple[str, Schema]]:
    """Every schema in a document or a schema, with where it is."""
    if isinstance(schema, dict):
        yield where, schema
        for name, value in schema.items():
            if name not in {"example", "examples", "x-problems", "links"}:
                yield from nodes(value, f"{where}/{name}")
    elif isinstance(schema, list):
        for number, value in enumerate(schema):
            yield from nodes(value, f"{where}/{number}")


@given(value=VALUES)
@settings(max_examples=500, deadline=None)
def test_a_plain_schema_takes_the_same_values_as_the_one_it_was_made_of(value: object):
    for shape in (AskedSeconds, Wait, Seconds, Mode, Mode | None, tuple[Mode, ...], ReadyBody):
        (schema,), named = msgspec.json.schema_components([shape], ref_template="#/$defs/{name}")
        before = {**schema, "$defs": named}
        after = {**plain(schema), "$defs": {name: plain(one) for name, one in named.items()}}

        assert jsonschema_rs.is_valid(before, value) == jsonschema_rs.is_valid(after, value), value


BODIES = [AcquireBody, AcquireAllBody, ExtendBody, HistoryBody, LockBody, MemberBody, ProblemBody]


@given(
    data=st.data(),
    body=st.sampled_from(BODIES),
)
@settings(max_examples=300, deadline=None)
def test_the_plain_schema_of_a_body_takes_the_same_bodies(data: st.DataObject, body: type):
    names = [field.encode_name for field in msgspec.structs.fields(body)]
    value = data.draw(st.dictionaries(st.sampled_from(names), VALUES, min_size=1, max_size=4))
    _, named = msgspec.json.schema_components([body], ref_template="#/$defs/{name}")
    reference = {"$ref": f"#/$defs/{body.__name__}"}

    before = {**reference, "$defs": {name: {**one, "required": []} for name, one in named.items()}}
    after = {
        **reference,
        "$defs": {name: plain({**one, "required": []}) for name, one in named.items()},
    }

    assert jsonschema_rs.is_valid(before, value) == jsonschema_rs.is_valid(after, value), value


@pytest.mark.parametrize(
    ("asked", "is_good"),
    [
        ({"owner": "a", "timeout": 1}, True),
        ({"owner": "a", "timeout": "1.5"}, True),
        ({"owner": "a", "session": "s"}, True),
        ({"owner": "a"}, False),
        ({"owner": "a", "timeout": 1, "mode": "shared"}, True),
        ({"owner": "a", "timeout": 1, "mode": "shared", "limit": 1}, True),
        ({"owner": "a", "timeout": 1, "mode": "shared", "limit": 2}, False),
        ({"owner": "a", "timeout": 1, "mode": "exclusive", "limit": 2}, True),
        ({"owner": "a", "timeout": 1, "limit": 2}, True),
        ({"owner": "a", "timeout": 1, "limits": 2}, False),
    ],
)
def test_the_document_knows_what_the_shape_of_a_request_cannot_say(asked: Schema, is_good: bool):
    schema = {**document(), "$ref": "#/components/schemas/AcquireBody"}

    assert jsonschema_rs.is_valid(schema, asked) == is_good


def test_every_example_of_a_request_is_a_good_one():
    whole = document()
    examples = 0
    for methods in whole["paths"].values():
        for operation in methods.values():
            if "requestBody" in operation:
                content = operation["requestBody"]["content"]["application/json"]
                examples += 1
                assert jsonschema_rs.is_valid({**whole, **content["schema"]}, content["example"])
            for answer in operation["responses"].values():
                problem = answer.get("content", {}).get("application/problem+json", {})
                for example in problem.get("examples", {}).values():
                    examples += 1
                    assert jsonschema_rs.is_valid({**whole, **problem["schema"]}, example["value"])

    assert examples > 100


def test_what_generators_stumble_over_is_nowhere_in_the_document():
    found = dict(nodes(document()))

    assert len(found) > 1_000
    for where, schema in found.items():
        if schema.get("type") == "array":
            assert "items" in schema, where
        if "enum" in schema and where.rpartition("/")[2] != "properties":
            assert "type" in schema, where
            assert len(schema["enum"]) > 1, where
        if schema.get("type") == "integer":
            is_small = schema.get("maximum", INT32_MAX + 1) <= INT32_MAX
            assert is_small or schema["format"] == "int64", where
        if schema.get("type") == "number":
            assert schema["format"] == "double", where
        if "$ref" in schema:
            assert set(schema) <= {"$ref", "description", "examples", "default"}, where
        if "discriminator" in schema:
            assert "oneOf" in schema, where


def test_every_operation_has_a_name_of_its_own_and_a_tag_that_is_described():
    whole = document()
    operations = [one for methods in whole["paths"].values() for one in methods.values()]
    described = {tag["name"] for tag in whole["tags"]}

    names = [one["operationId"] for one in operations]
    assert len(set(names)) == len(names)
    assert all(name.isalnum() and name[0].islower() for name in names)
    assert all(len(one["tags"]) == 1 and set(one["tags"]) <= described for one in operations)
    assert whole["security"] == []


def test_the_events_of_a_stream_are_one_shape_told_apart_by_their_type():
    schemas = document()["components"]["schemas"]

    stream = schemas["StreamBody"]
    assert stream["discriminator"]["propertyName"] == "type"
    for tag, reference in stream["discriminator"]["mapping"].items():
        assert schemas[reference.rpartition("/")[2]]["properties"]["type"] == {
            "type": "string",
            "const": tag,
        }
    assert {one["$ref"] for one in stream["oneOf"]} == set(
        stream["discriminator"]["mapping"].values()
    )
