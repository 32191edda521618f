"""The API document (OpenAPI 3.1), made from the routes and the bodies, so it can't drift."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, Final

import msgspec

from gorilla.api.routing import Parameter, Route, Success
from gorilla.api.shapes import REFERENCE, Schema, plain, shared
from gorilla.wire.bodies import NO_CONTROL_CHARACTERS, Resource
from gorilla.wire.fields import TOKEN_CHARS_MAX
from gorilla.wire.idempotency import HEADER, KEY_CHARS_MAX, KEY_PATTERN, REPLAYED_HEADER
from gorilla.wire.membership import MemberKey
from gorilla.wire.problem_body import ProblemBody
from gorilla.wire.problems import PROBLEMS, ProblemCode

_PROBLEM_TYPE: Final = "application/problem+json"
_STREAM: Final = "StreamBody"

_TAGS: Final = (
    ("locks", "Hold, keep, give back and look at locks."),
    ("sessions", "One sign of life for any number of locks, which end with it."),
    ("policies", "Rules for locks by the beginning of their names."),
    ("events", "What happens, as it happens."),
    ("cluster", "The nodes and what they keep."),
    ("machines", "For load balancers, monitoring and code generators."),
    ("people", "For eyes."),
)

_REPLAYED: Final = (
    REPLAYED_HEADER,
    "true: the first answer under this Idempotency-Key, given again; nothing was done now.",
)

_KEYED: Final = (ProblemCode.IDEMPOTENCY_CONFLICT, ProblemCode.QUOTA_EXCEEDED)
"""What a call that takes a key may be answered with for that."""

_EVERYWHERE: Final = (ProblemCode.INVALID_REQUEST, ProblemCode.INTERNAL)
"""What any call may be answered with: a request that is broken, a node that is."""

_DESCRIPTION: Final = (
    "A distributed lock service. Every node serves every call. A write is answered once a "
    "majority has it on disk. 503 promises that nothing was done; 504 (outcome_unknown) promises "
    "nothing, and asking again is safe. Problems are RFC 9457 documents whose code says what is "
    "wrong; the table of codes is in x-problems. A path that does not exist is answered with "
    "404 not_found, a method that a path does not serve with 405 method_not_allowed and Allow. "
    "HEAD works wherever GET does."
)

_SECRET: Final[dict[str, object]] = {
    "type": "string",
    "minLength": 1,
    "maxLength": TOKEN_CHARS_MAX,
    "pattern": NO_CONTROL_CHARACTERS,
}

_KEY_PARAMETER: Final[dict[str, object]] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "Makes it safe to ask again: for ten minutes the same request under the same "
    "key gets the first answer, and nothing is done twice.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": KEY_CHARS_MAX,
        "pattern": KEY_PATTERN,
    },
}

_PATH_PARAMETERS: Final[dict[str, dict[str, object]]] = {
    "resource": {
        "description": "The lock's name, percent-encoded as UTF-8; a slash in it is %2F.",
        "schema": msgspec.json.schema(Resource),
        "example": "deploy/production",
    },
    "token": {
        "description": "The secret that the acquire or the last extension gave.",
        "schema": _SECRET,
        "example": "n1xQb0Jb6hT3jKp7Vv2YwE9s",
    },
    "group": {
        "description": "The group that the acquire of several locks or its last extension gave.",
        "schema": _SECRET,
        "example": "n1xQb0Jb6hT3jKp7Vv2YwE9s",
    },
    "session": {
        "description": "The session's id, a secret.",
        "schema": _SECRET,
        "example": "n1xQb0Jb6hT3jKp7Vv2YwE9s",
    },
    "id": {
        "description": "A member's id or its name.",
        "schema": msgspec.json.schema(MemberKey),
        "example": "n3",
    },
}

_HEADERS: Final = {
    "X-Request-Id": "The request's id: the client's own if it sent a usable one.",
    "X-Gorilla-Node": "Name of the node that answered.",
}


def document_of(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """Return the document of these routes, ready to be encoded as JSON."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Gorilla",
            "version": version,
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "Any node, or a load balancer before them."}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS],
        "security": [],
        "paths": _paths(routes),
        "components": {
            "schemas": _schemas(routes),
            "headers": {
                name: {"description": text, "required": True, "schema": {"type": "string"}}
                for name, text in _HEADERS.items()
            },
        },
        "x-problems": [
            {"code": code.value, "status": kind.status, "title": kind.title, "detail": kind.detail}
            for code, kind in PROBLEMS.items()
        ],
    }


def _schemas(routes: Sequence[Route]) -> dict[str, Schema]:
    bodies: set[type[msgspec.Struct]] = {ProblemBody}
    for route in routes:
        bodies.update(body for body in (route.body, route.success.body) if body is not None)
        bodies.update(route.success.parts)
    _, found = msgspec.json.schema_components(
        sorted(bodies, key=lambda body: body.__name__),
        ref_template=REFERENCE,
    )
    for route in routes:
        if route.body is not None:
            found[route.body.__name__].update(_rules_of(route))
        if route.success.parts:
            found[_STREAM] = _stream(route.success.parts)
    return shared({name: plain(schema) for name, schema in found.items()})


def _rules_of(route: Route) -> Schema:
    least: Schema = {"minProperties": route.body_fields_min} if route.body_fields_min else {}
    return {**route.body_rules, **least}


def _stream(parts: tuple[type[msgspec.Struct], ...]) -> Schema:
    """Return the shape of whatever comes in a stream; its ``type`` says which of them it is."""
    references = {part.__struct_config__.tag: _reference(part) for part in parts}
    return {
        "title": _STREAM,
        "description": "The data of one event of the stream.",
        "oneOf": list(references.values()),
        "discriminator": {
            "propertyName": "type",
            "mapping": {tag: reference["$ref"] for tag, reference in references.items()},
        },
    }


def _paths(routes: Sequence[Route]) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.template, {})[route.method.lower()] = _operation(route)
    return paths


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.operation_id,
        "tags": [route.tag],
        "summary": route.summary,
        "description": route.description,
        "responses": _responses(route),
    }
    parameters = [*_path_parameters(route.template), *map(_query_parameter, route.query)]
    if route.takes_key:
        parameters.append(_KEY_PARAMETER)
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        content = {"schema": _reference(route.body), "example": route.example}
        operation["requestBody"] = {
            "required": route.body_required,
            "content": {"application/json": content},
        }
    return operation


def _path_parameters(template: str) -> Iterable[dict[str, object]]:
    names = [segment[1:-1] for segment in template.split("/") if segment.startswith("{")]
    return ({"name": n, "in": "path", "required": True, **_PATH_PARAMETERS[n]} for n in names)


def _query_parameter(parameter: Parameter) -> dict[str, object]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.required,
        "description": parameter.description,
        "schema": plain(parameter.schema),
    }


def _responses(route: Route) -> dict[str, Any]:
    success = route.success
    replayed = (_REPLAYED,) if route.takes_key else ()
    responses: dict[str, Any] = {
        str(success.status): {
            "description": success.description,
            "headers": _headers((*success.headers, *replayed)),
            **_content(success),
            **_links(success),
        }
    }
    keyed = _KEYED if route.takes_key else ()
    codes = sorted({*_EVERYWHERE, *keyed, *route.problems}, key=_status_of)
    for status, of_status in groupby(codes, key=_status_of):
        responses[str(status)] = _problem_response(status, list(of_status))
    return responses


def _status_of(code: ProblemCode) -> int:
    return PROBLEMS[code].status


def _problem_response(status: int, codes: list[ProblemCode]) -> dict[str, Any]:
    retried = status in {429, 503}
    more = (("Retry-After", "Seconds after which asking again makes sense."),) if retried else ()
    return {
        "description": " ".join(f"`{code}`: {PROBLEMS[code].detail}" for code in sorted(codes)),
        "headers": _headers(more, required=True),
        "content": {
            _PROBLEM_TYPE: {
                "schema": _reference(ProblemBody),
                "examples": {code.value: {"value": _example(code)} for code in sorted(codes)},
            }
        },
    }


def _headers(more: Iterable[tuple[str, str]], *, required: bool = False) -> dict[str, Any]:
    shared = {name: {"$ref": f"#/components/headers/{name}"} for name in _HEADERS}
    own = {
        name: {"description": text, "required": required, "schema": {"type": "string"}}
        for name, text in more
    }
    return {**shared, **own}


def _content(success: Success) -> dict[str, Any]:
    media_type = success.media_type
    if success.body is not None:
        return {"content": {"application/json": {"schema": _reference(success.body)}}}
    if success.parts:
        # OpenAPI 3.1 has no word for the parts of a stream.
        data = {"$ref": REFERENCE.format(name=_STREAM)}
        return {"content": {media_type: {"schema": {"type": "string"}, "x-event-data": data}}}
    if media_type == "application/json":
        return {"content": {media_type: {"schema": {"type": "object"}}}}
    if media_type is not None:
        return {"content": {media_type.partition(";")[0]: {"schema": {"type": "string"}}}}
    return {}


def _links(success: Success) -> dict[str, Any]:
    links = {
        follow.operation_id: {
            "operationId": follow.operation_id,
            "parameters": follow.parameters,
        }
        for follow in success.follows
    }
    return {"links": links} if links else {}


def _reference(body: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": REFERENCE.format(name=body.__name__)}


def _example(code: ProblemCode) -> dict[str, object]:
    kind = PROBLEMS[code]
    return {
        "type": f"urn:gorilla:problem:{code}",
        "title": kind.title,
        "status": kind.status,
        "detail": kind.detail,
        "code": code.value,
        "errorMessage": kind.detail,
        "requestId": "0f3a5c7e9b1d-2a",
        **_EXAMPLE_MEMBERS.get(code, {}),
    }


_EXAMPLE_MEMBERS: Final[dict[ProblemCode, dict[str, object]]] = {
    ProblemCode.INVALID_REQUEST: {
        "errors": [{"field": "timeout", "message": "must be more than 0 and a finite number"}]
    },
    ProblemCode.LOCK_HELD: {
        "holder": {
            "owner": "worker-2",
            "expireAt": "2025-05-04T10:11:12",
            "fencingToken": 41,
        },
        "retryAfter": 12.5,
    },
    ProblemCode.TIMEOUT_TOO_SHORT: {"remaining": 21.25},
    ProblemCode.CHANGE_REFUSED: {"reason": "no_quorum"},
    ProblemCode.WAIT_TIMEOUT: {"waited": 10},
    ProblemCode.COOLING_DOWN: {"retryAfter": 2.5},
    ProblemCode.QUOTA_EXCEEDED: {"bound": "waiters_per_lock_max"},
    ProblemCode.MODE_CONFLICT: {
        "conflict": {"resource": "reports", "why": "upgrade", "mode": "shared"}
    },
    ProblemCode.POLICY_REFUSED: {
        "policy": {"prefix": "deploy/", "rule": "maxHolders", "allowed": 2}
    },
    ProblemCode.DEADLOCK: {
        "cycle": [
            {"owner": "anna", "waitsFor": "b", "heldBy": "bert", "holds": True},
            {"owner": "bert", "waitsFor": "a", "heldBy": "anna", "holds": True},
        ]
    },
}
