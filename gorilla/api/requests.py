"""One call, as handlers see it: its parameters, its query and its body, with their limits."""

import asyncio
from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING, Final, TypeVar, cast

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDictProxy

from gorilla.api.limits import HEADER_BYTES_MAX, HttpLimits
from gorilla.api.routing import Route, decode_percent, parse_query, split_target
from gorilla.service.keys import Key
from gorilla.wire.fields import (
    BODY_BYTES_MAX,
    Body,
    Errors,
    FieldRuleError,
    Query,
    name_of,
    printable,
)
from gorilla.wire.idempotency import HEADER, fingerprint_of, key_of
from gorilla.wire.problems import FieldError, InvalidFieldsError, ProblemCode, ProblemError

if TYPE_CHECKING:
    from gorilla.api.connection import Connection

_REQUEST_ID_CHARS_MAX: Final = 128

T = TypeVar("T")


class BrokenBodyError(ProblemError):
    """The body can't be read to its end, so the connection can't be used any further."""


class Call:
    """A request on its way through a handler."""

    __slots__ = ("_hung_up", "_limits", "_parameters", "_query", "_request", "errors")

    def __init__(
        self, request: web.BaseRequest, parameters: tuple[str, ...], query: str, limits: HttpLimits
    ) -> None:
        """Take a request that was found a route.

        Args:
            request: As aiohttp has it; its body need not be there yet.
            parameters: Path parameters, still percent-encoded.
            query: Query, still percent-encoded.
            limits: What the client may take.

        """
        self._request = request
        self._parameters = parameters
        self._query = query
        self._limits = limits
        self.errors = Errors()
        self._hung_up: asyncio.Future[None] | None = None

    def hung_up(self) -> asyncio.Future[None]:
        """Return what is done as soon as the client's connection is lost, the same each time.

        The handler itself is never cancelled. Wait for it with ``asyncio.wait``, which leaves it
        alone, and for no longer than the call lasts.
        """
        if self._hung_up is None:
            self._hung_up = cast("Connection", self._request.protocol).hang_up()
        return self._hung_up

    def resource(self) -> str:
        """Return the resource that the path names; a bad one is noted, then it is empty."""
        return self.errors.check("resource", _resource_of, self._parameters[0]) or ""

    def token(self) -> str:
        """Return the token in the path; a malformed one is noted, then it is empty."""
        return self.errors.check("token", _token_of, self._parameters[1]) or ""

    def member(self) -> str:
        """Return the member id or name in the path; a bad one is noted, then it is empty."""
        return self.errors.check("id", _resource_of, self._parameters[0]) or ""

    def secret(self, name: str) -> str:
        """Return the secret that is the path's first parameter, as :meth:`token` does."""
        return self.errors.check(name, _token_of, self._parameters[0]) or ""

    def key(self, body: Body | None = None) -> Key | None:
        """Return the client's idempotency key with what tells this request from others.

        A bad one is noted; call it before the errors are raised. ``body`` is the one that was
        read, if any is.
        """
        given = self._request.headers.getall(HEADER, None)
        if given is None:
            return None
        if len(given) > 1:
            self.errors.add(HEADER, "is given more than once")
            return None
        key = self.errors.check(HEADER, key_of, given[0])
        if key is None:
            return None
        method, path = self._request.method, split_target(self._request.raw_path)[0]
        content = b"" if body is None else body.content
        told = fingerprint_of(method, _segments_of(path), parse_query(self._query), content)
        return Key(key, told)

    def query(self) -> Query:
        """Return the query's parameters."""
        return Query(parse_query(self._query), self.errors)

    def header(self, name: str, rule: Callable[[str], T], default: T) -> T:
        """Read a header that may be absent; a bad one is noted and gives the default."""
        given = self._request.headers.getall(name, ())
        if len(given) > 1:
            self.errors.add(name, "is given more than once")
        if len(given) != 1:
            return default
        value = self.errors.check(name, rule, given[0])
        return default if value is None else value

    async def body(self) -> Body:
        """Read the body.

        Raises:
            ProblemError: It is too large, too slow, of another media type, or not an object.

        """
        return Body(await _read(self._request, self._limits.body_s_max), self.errors)

    async def optional_body(self) -> Body:
        """Read the body; without one it has no fields.

        Raises:
            ProblemError: As :meth:`body` does.

        """
        return Body(await _read(self._request, self._limits.body_s_max) or b"{}", self.errors)


def _resource_of(text: str) -> str:
    return name_of(decode_percent(text))


def _token_of(text: str) -> str:
    return printable(decode_percent(text))


def _segments_of(path: str) -> list[str]:
    """Return the decoded segments of a path; one that can't be decoded as it is."""
    segments = []
    for segment in path.split("/"):
        try:
            segments.append(decode_percent(segment))
        except FieldRuleError:
            segments.append(segment)
    return segments


def check_key(request: web.BaseRequest, route: Route) -> None:
    """Refuse an idempotency key where it would promise what is not kept."""
    if HEADER in request.headers and route.writes and not route.takes_key:
        message = "is not supported by this call: ask what became of it instead"
        raise InvalidFieldsError([FieldError(HEADER, message)])


def request_id_of(headers: CIMultiDictProxy[str]) -> str | None:
    """Return the client's own request id if it sent one that is fit to be repeated."""
    given = headers.get("X-Request-Id")
    if given and len(given) <= _REQUEST_ID_CHARS_MAX and given.isascii() and given.isprintable():
        return given
    return None


def check_head(request: web.BaseRequest) -> None:
    """Refuse headers too large in sum (the parser bounds each one), and versions without any."""
    if request.version < HttpVersion10:
        raise BrokenBodyError(ProblemCode.INVALID_REQUEST, "HTTP before 1.0 is not served.")
    if sum(map(len, chain.from_iterable(request.raw_headers))) > HEADER_BYTES_MAX:
        detail = f"The headers together exceed {HEADER_BYTES_MAX} bytes."
        raise BrokenBodyError(ProblemCode.INVALID_REQUEST, detail)


async def _read(request: web.BaseRequest, time_s_max: float) -> bytes:
    if not request.body_exists:
        return b""
    length = request.headers.get("Content-Length")
    if length is not None and int(length) > BODY_BYTES_MAX:
        raise BrokenBodyError(ProblemCode.BODY_TOO_LARGE)
    _check_media_type(request.headers)
    content = request.content
    if not content.is_eof():
        return await _read_rest(request, time_s_max)
    body = content.read_nowait(-1)
    if len(body) > BODY_BYTES_MAX:
        raise BrokenBodyError(ProblemCode.BODY_TOO_LARGE)
    return body


async def _read_rest(request: web.BaseRequest, time_s_max: float) -> bytes:
    """Read a body that has not arrived completely yet."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        _say_continue(request)
    pieces = bytearray()
    try:
        async with asyncio.timeout(time_s_max):
            while piece := await request.content.readany():
                pieces += piece
                if len(pieces) > BODY_BYTES_MAX:
                    raise BrokenBodyError(ProblemCode.BODY_TOO_LARGE)
    except TimeoutError as error:
        detail = f"The body did not arrive within {time_s_max:g} s."
        raise BrokenBodyError(ProblemCode.INVALID_REQUEST, detail) from error
    except (web.RequestPayloadError, HttpProcessingError) as error:
        detail = "The body's transfer coding is broken."
        raise BrokenBodyError(ProblemCode.INVALID_REQUEST, detail) from error
    except ConnectionError as error:
        # Nobody will read this answer; it keeps a client's doing out of the error log.
        detail = "The connection ended before the body did."
        raise BrokenBodyError(ProblemCode.INVALID_REQUEST, detail) from error
    return bytes(pieces)


def _say_continue(request: web.BaseRequest) -> None:
    transport = request.transport
    if transport is not None and request.version >= HttpVersion11:
        transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _check_media_type(headers: CIMultiDictProxy[str]) -> None:
    """Refuse a body that says it is not JSON in UTF-8; one that says nothing is taken for it."""
    given = headers.get("Content-Type")
    if given is not None and given != "application/json":
        media_type, *parameters = (part.strip().lower() for part in given.split(";"))
        if not _is_json(media_type) or not all(map(_is_utf8, parameters)):
            raise ProblemError(ProblemCode.UNSUPPORTED_MEDIA_TYPE)
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ProblemError(ProblemCode.UNSUPPORTED_MEDIA_TYPE)


def _is_json(media_type: str) -> bool:
    return media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )


def _is_utf8(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return name.strip() != "charset" or value.strip().strip('"') in {"utf-8", "utf8"}
