"""JSON schemas as code generators understand them: they say the same, in the plainest words.

Every rule here is one that a generator stumbled over; docs/reference/openapi.md says which.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gorilla.wire.asking import AskedSeconds, Wait
from gorilla.wire.bodies import Mode
from gorilla.wire.history import EntryBody

Schema = dict[str, Any]

REFERENCE: Final = "#/components/schemas/{name}"
"""How a shape that has a name of its own is referred to."""

INT32_MAX: Final = (1 << 31) - 1

_ABOUT: Final = ("description", "examples", "default")
"""What is said of a value where it stands, and makes no other value of it."""

_TYPES: Final[dict[type, str]] = {str: "string", bool: "boolean", int: "integer"}


def plain(schema: Schema) -> Schema:
    """Return a schema that admits the same values, as generators read it best."""
    made = {name: _plain_member(name, value) for name, value in schema.items()}
    if made.get("type") == "array":
        made.setdefault("items", {})
    for change in (_one_kind_of_number, _one_of_tagged, _typed, _sized):
        made = change(made)
    return made


def shared(schemas: Mapping[str, Schema]) -> dict[str, Schema]:
    """Return components in which what many of them say stands once, under its own name."""
    found = {name: _with_names(schema) for name, schema in schemas.items()}
    return {**found, **{name: dict(schema) for name, schema in _SHARED.items()}}


def _plain_member(name: str, value: object) -> object:
    if name == "properties" and isinstance(value, dict):
        return {each: plain(schema) for each, schema in value.items()}
    if name in {"items", "not", "if", "then"} and isinstance(value, dict):
        return plain(value)
    if name in {"anyOf", "oneOf", "allOf"} and isinstance(value, list):
        return [plain(schema) for schema in value]
    return value


def _one_kind_of_number(schema: Schema) -> Schema:
    """Leave integers out where any number will do; a choice of one is none."""
    choices = schema.get("anyOf", [])
    if any(choice.get("type") == "number" for choice in choices):
        choices = [choice for choice in choices if choice.get("type") != "integer"]
        schema = {**schema, "anyOf": choices}
    if len(choices) == 1:
        about = {name: value for name, value in schema.items() if name != "anyOf"}
        return {**choices[0], **about}
    return schema


def _one_of_tagged(schema: Schema) -> Schema:
    """Say of shapes that a member tells apart that a value is just one of them."""
    if "discriminator" not in schema or "anyOf" not in schema:
        return schema
    return {"oneOf" if name == "anyOf" else name: value for name, value in schema.items()}


def _typed(schema: Schema) -> Schema:
    """Say of what type a list of words is; one word is a constant."""
    words = schema.get("enum")
    if not words:
        return schema
    made = {"type": _TYPES[type(words[0])], **schema}
    if len(words) == 1:
        made["const"] = made.pop("enum")[0]
    return made


def _sized(schema: Schema) -> Schema:
    """Say that a number may be large: without it 32 bits are taken."""
    if schema.get("type") == "number":
        return {"format": "double", **schema}
    if schema.get("type") == "integer" and schema.get("maximum", INT32_MAX + 1) > INT32_MAX:
        return {"format": "int64", **schema}
    return schema


def _with_names(schema: Schema) -> Schema:
    """Refer to a shape that has a name, wherever it stands."""
    about = {name: value for name, value in schema.items() if name in _ABOUT}
    rest = {name: value for name, value in schema.items() if name not in _ABOUT}
    for name, shape in _SHARED_SHAPES.items():
        if rest == shape:
            return {"$ref": REFERENCE.format(name=name), **about}
    return {name: _member_with_names(value) for name, value in schema.items()}


def _member_with_names(value: object) -> object:
    if isinstance(value, list):
        return [_member_with_names(each) for each in value]
    return _with_names(value) if isinstance(value, dict) else value


def _titled(name: str, shape: object) -> Schema:
    (schema,), _ = msgspec.json.schema_components([shape], ref_template=REFERENCE)
    return {"title": name, **plain(schema)}


_SHARED: Final[dict[str, Schema]] = {
    name: _titled(name, shape)
    for name, shape in {
        "AskedSeconds": AskedSeconds,
        "AskedWait": Wait,
        "EntryBody": EntryBody,
        "Mode": Mode,
    }.items()
}
_SHARED_SHAPES: Final[dict[str, Schema]] = {
    name: {key: value for key, value in schema.items() if key not in {"title", *_ABOUT}}
    for name, schema in _SHARED.items()
}
