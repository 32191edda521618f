"""Which handler a request is for. Paths are taken as they were sent: nothing is normalised.

A percent-encoded slash stays part of a name, and ``..`` is a name like any other, because the
path is split before it is decoded.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import unquote_to_bytes

import msgspec

from gorilla.wire.fields import FieldRuleError, printable
from gorilla.wire.problems import FieldError, InvalidFieldsError, ProblemCode, ProblemError

if TYPE_CHECKING:
    from gorilla.api.answers import Answer
    from gorilla.api.requests import Call

Handler = Callable[["Call"], Awaitable["Answer"]]

QUERY_PARAMETERS_MAX: Final = 32

_BAD_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter of the query, or a header, as the API document shows it."""

    name: str
    place: Literal["query", "header"] = "query"
    description: str
    schema: dict[str, object]
    examples: tuple[object, ...] = ()
    required: bool = False


class Follow(msgspec.Struct, frozen=True, kw_only=True):
    """A call that an answer makes possible: what of the answer is which of its parameters."""

    operation_id: str
    parameters: dict[str, str]
    """Runtime expressions of OpenAPI, like ``$response.body#/id``."""


class Success(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is not a problem, as the API document shows it."""

    status: int
    description: str
    body: type[msgspec.Struct] | None = None
    """Shape of the JSON body; without one ``media_type`` tells what the body is, if any."""
    media_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    """Names and descriptions of headers that only this answer has."""
    follows: tuple[Follow, ...] = ()
    """What may be called next, with what the answer says."""
    parts: tuple[type[msgspec.Struct], ...] = ()
    """Shapes of the data that a stream is made of."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One call: how it is reached, what serves it, and what the API document says of it."""

    method: str
    template: str
    """A path; a segment in braces is a parameter."""
    operation_id: str
    handler: Handler
    summary: str
    description: str
    tag: str
    success: Success
    problems: tuple[ProblemCode, ...] = ()
    """Codes that it may answer with, beyond those that every call may."""
    body: type[msgspec.Struct] | None = None
    body_required: bool = True
    """Whether the body must be there, when there is one at all."""
    body_fields_min: int = 0
    """How many of the body's optional fields must be there at least."""
    body_rules: dict[str, object] = {}
    """More of the body's JSON schema: what its shape can't say."""
    takes_key: bool = False
    """Whether an Idempotency-Key makes it safe to repeat."""
    only_reads: bool = False
    """Whether it changes nothing, although its method may."""
    query: tuple[Parameter, ...] = ()
    example: dict[str, object] | None = None
    """An example of the request body."""

    @property
    def writes(self) -> bool:
        """Whether it changes anything."""
        return self.method != "GET" and not self.only_reads


class _Place(msgspec.Struct):
    """A path template with its methods."""

    template: str
    literals: tuple[tuple[int, str], ...]
    parameters: tuple[int, ...]
    routes: dict[str, Route]
    allow: str = ""


class Router:
    """Finds the route of a method and a path."""

    def __init__(self, routes: Sequence[Route]) -> None:
        """Take all routes; no two may have the same method and template."""
        self.routes = tuple(routes)
        places: dict[str, _Place] = {}
        for route in routes:
            place = places.setdefault(route.template, _place_of(route.template))
            assert route.method not in place.routes
            place.routes[route.method] = route
            if route.method == "GET":
                # aiohttp leaves the body out; everything else of the answer is the same.
                place.routes["HEAD"] = route
        self._exact: dict[str, _Place] = {}
        self._by_length: dict[int, list[_Place]] = {}
        for place in places.values():
            place.allow = ", ".join(sorted(place.routes))
            if place.parameters:
                length = len(place.literals) + len(place.parameters)
                self._by_length.setdefault(length, []).append(place)
            else:
                self._exact[place.template] = place
        for of_length in self._by_length.values():
            # What is named by its word comes before what takes any word in its place.
            of_length.sort(key=lambda place: -len(place.literals))

    def find(self, method: str, path: str) -> tuple[Route, tuple[str, ...]]:
        """Find a route, and its path parameters as they were sent (still percent-encoded).

        Raises:
            ProblemError: ``not_found``, or ``method_not_allowed``.

        """
        place = self._exact.get(path)
        parameters: tuple[str, ...] = ()
        if place is None:
            place, parameters = self._match(path.split("/"))
        route = place.routes.get(method)
        if route is None:
            raise MethodNotAllowedError(method, place.allow)
        return route, parameters

    def _match(self, segments: list[str]) -> tuple[_Place, tuple[str, ...]]:
        for place in self._by_length.get(len(segments), ()):
            if all(segments[index] == literal for index, literal in place.literals):
                return place, tuple([segments[index] for index in place.parameters])
        raise ProblemError(ProblemCode.NOT_FOUND)


class MethodNotAllowedError(ProblemError):
    """The path exists and does not serve the method; ``allow`` lists those it does."""

    def __init__(self, method: str, allow: str) -> None:
        """Name the method that was tried and those that would work."""
        detail = f"This path does not serve {method}; it serves {allow}."
        super().__init__(ProblemCode.METHOD_NOT_ALLOWED, detail)
        self.allow = allow


def _place_of(template: str) -> _Place:
    segments = template.split("/")
    literals = tuple((i, s) for i, s in enumerate(segments) if not s.startswith("{"))
    parameters = tuple(i for i, s in enumerate(segments) if s.startswith("{"))
    return _Place(template, literals, parameters, {})


def split_target(target: str) -> tuple[str, str]:
    """Split a request target into its path and its query, both as they were sent.

    Raises:
        ProblemError: It is no path (``*`` or an authority), or has a fragment.

    """
    if "#" in target:
        raise ProblemError(ProblemCode.INVALID_REQUEST, "A request target has no fragment.")
    if not target.startswith("/"):
        target = _without_authority(target)
    path, _, query = target.partition("?")
    return path, query


def _without_authority(target: str) -> str:
    """Turn the absolute form, which every server must accept, into the usual one."""
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() not in {"http", "https"}:
        raise ProblemError(ProblemCode.NOT_FOUND)
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    after = rest[len(authority) :]
    return after if after.startswith("/") else f"/{after}"


def decode_percent(text: str) -> str:
    """Decode a path segment or a part of a query.

    Raises:
        FieldRuleError: An invalid percent sequence, or bytes that are not UTF-8.

    """
    if text.isascii() and "%" not in text:
        return text
    if _BAD_PERCENT.search(text):
        raise FieldRuleError("has an invalid percent sequence")
    try:
        # aiohttp hands over bytes that are not UTF-8 as lone surrogates; they are told apart here.
        return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode()
    except UnicodeError as error:
        raise FieldRuleError("is not UTF-8") from error


def parse_query(query: str) -> dict[str, list[str]]:
    """Decode a query into its parameters, each with all its values.

    Raises:
        InvalidFieldsError: Something in it can't be decoded, or there is too much of it.

    """
    values: dict[str, list[str]] = {}
    pairs = [pair for pair in query.split("&") if pair]
    if len(pairs) > QUERY_PARAMETERS_MAX:
        message = f"has more than {QUERY_PARAMETERS_MAX} parameters"
        raise InvalidFieldsError([FieldError("query", message)])
    for pair in pairs:
        name, _, value = pair.replace("+", " ").partition("=")
        try:
            values.setdefault(printable(decode_percent(name)), []).append(decode_percent(value))
        except FieldRuleError as error:
            raise InvalidFieldsError([FieldError("query", str(error))]) from error
    return values
