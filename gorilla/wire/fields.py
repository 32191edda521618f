"""How the fields of a request are read: one rule per field, every bad field named at once.

Each ``…_of`` function takes the raw JSON of one value and returns what it means, or raises
:class:`FieldRuleError` with a message that says what the value must be.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Final, TypeVar

import msgspec

from gorilla.wire.problems import FieldError, InvalidFieldsError, ProblemCode, ProblemError

NAME_CHARS_MAX: Final = 255
"""Longest ``resource`` and ``owner``, in Unicode code points."""

METADATA_BYTES_MAX: Final = 4 * 1024
"""Largest ``metadata``, as a JSON list without spaces."""

TOKEN_CHARS_MAX: Final = 64

BODY_BYTES_MAX: Final = 64 * 1024

TIMEOUT_MS_MAX: Final = 10 * 365 * 24 * 3600 * 1000
"""What a longer timeout is lowered to while it is read; the cluster's ``max_timeout`` is lower."""

WAIT_MS_MAX: Final = 24 * 3600 * 1000
"""Likewise for a longer wait; the cluster's ``max_wait`` is lower."""

KEPT_PLACE_S_MAX: Final = 5
"""Longest ``keepPlace``; a longer one is refused."""

NUMBER_STRING_CHARS_MAX: Final = 64
"""Longest string that is read as a number."""

_NUMBER_CHARS_MAX: Final = 400
_PLAIN_CHARS: Final = 10
_ERRORS_MAX: Final = 32
_FIELD_NAME_CHARS_MAX: Final = 64

_CONTROL_CHARACTER: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_JSON_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_value = msgspec.json.Decoder().decode

T = TypeVar("T")
D = TypeVar("D")


class FieldRuleError(ValueError):
    """A value breaks its field's rule; the message says what it must be."""


class Errors:
    """Collects what is wrong with a request, so that one answer can name all of it."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        """Start with nothing wrong."""
        self._found: list[FieldError] = []

    def add(self, field: str, message: str) -> None:
        """Note a bad field; beyond 32 of them the rest is left out."""
        if len(self._found) < _ERRORS_MAX:
            self._found.append(FieldError(field[:_FIELD_NAME_CHARS_MAX], message))

    def check(self, field: str, rule: Callable[[str], T], value: str) -> T | None:
        """Apply a rule to text from the path or the query; None when it is broken."""
        try:
            return rule(value)
        except FieldRuleError as error:
            self.add(field, str(error))
            return None

    def raise_if_any(self) -> None:
        """Raise :class:`InvalidFieldsError` when something is wrong."""
        if self._found:
            raise InvalidFieldsError(self._found)


def name_of(text: str) -> str:
    """Check an owner or a resource: 1 to 255 characters, no control characters."""
    if not 0 < len(text) <= NAME_CHARS_MAX:
        raise FieldRuleError(f"must have 1 to {NAME_CHARS_MAX} characters")
    return printable(text)


def each_of(texts: Sequence[str], rule: Callable[[str], str]) -> None:
    """Check every text of a list by ``rule``; a fault says which one it is, counted from 0."""
    for number, text in enumerate(texts):
        try:
            rule(text)
        except FieldRuleError as error:
            raise FieldRuleError(f"{error}: number {number} doesn't") from error


def printable(text: str) -> str:
    """Check that there are no control characters in a text."""
    if not text.isprintable() and _CONTROL_CHARACTER.search(text):
        raise FieldRuleError("must not contain control characters")
    return text


def timeout_ms_of(raw: bytes) -> int:
    """Read seconds (a JSON number, or a string that holds one) as milliseconds, rounded up.

    A fraction of a millisecond is rounded up so that nobody holds a lock for less than asked.
    What exceeds :data:`TIMEOUT_MS_MAX` is lowered to it.
    """
    return _milliseconds_of(raw, may_be_0=False)


def wait_ms_of(raw: bytes) -> int:
    """Read seconds as :func:`timeout_ms_of` does; 0 is one, and more than a day is a day."""
    return min(_milliseconds_of(raw, may_be_0=True), WAIT_MS_MAX)


def kept_place_ms_of(raw: bytes) -> int:
    """Read seconds as :func:`wait_ms_of` does; more than :data:`KEPT_PLACE_S_MAX` is refused."""
    kept_ms = _milliseconds_of(raw, may_be_0=True)
    if kept_ms > KEPT_PLACE_S_MAX * 1_000:
        raise FieldRuleError(f"must be at most {KEPT_PLACE_S_MAX} seconds: ask again within them")
    return kept_ms


def _milliseconds_of(raw: bytes, *, may_be_0: bool) -> int:
    quoted = raw.startswith(b'"')
    text = string_of(raw) if quoted else raw.decode()
    if text.isascii() and text.isdigit() and len(text) < _PLAIN_CHARS and text[0] != "0":
        return min(int(text) * 1_000, TIMEOUT_MS_MAX)
    if len(text) > (
        NUMBER_STRING_CHARS_MAX if quoted else _NUMBER_CHARS_MAX
    ) or not _JSON_NUMBER.fullmatch(text):
        raise FieldRuleError("must be a number of seconds, or a string that holds one")
    value = float(text)
    if may_be_0 and value == 0:
        return 0
    if not 0 < value < math.inf:
        least = "0 or more" if may_be_0 else "more than 0"
        raise FieldRuleError(f"must be {least} and a finite number")
    return min(math.ceil(Fraction(text) * 1_000), TIMEOUT_MS_MAX)


def owner_of(raw: bytes) -> str:
    """Read an owner."""
    return name_of(string_of(raw))


def optional_owner_of(raw: bytes) -> str | None:
    """Read an owner that may be null."""
    return None if raw == b"null" else owner_of(raw)


def metadata_of(raw: bytes) -> bytes:
    """Read any JSON value as an encoded JSON list: a list stays, anything else is its one item."""
    try:
        # Decoded only to know that every reader can decode it: the text itself is kept, so
        # numbers come back as they were written.
        _decode_value(raw)
        compact = msgspec.json.format(raw, indent=-1)
    except _MALFORMED as error:
        raise FieldRuleError("must be JSON that ordinary readers can decode") from error
    if len(compact) > METADATA_BYTES_MAX:
        raise FieldRuleError(f"must have at most {METADATA_BYTES_MAX} bytes as JSON")
    return compact if compact.startswith(b"[") else b"[" + compact + b"]"


def string_of(raw: bytes) -> str:
    """Read a JSON string."""
    try:
        value = _decode_value(raw)
    except _MALFORMED as error:
        raise FieldRuleError("must be a string of Unicode characters") from error
    if not isinstance(value, str):
        raise FieldRuleError("must be a string")
    return value


class Body:
    """The object of a request body; each field is taken from it once."""

    __slots__ = ("_errors", "_fields", "content")

    def __init__(self, body: bytes, errors: Errors) -> None:
        """Read a body.

        Args:
            body: As it arrived.
            errors: Where bad fields are noted.

        Raises:
            ProblemError: ``invalid_json``.

        """
        self._fields = _object_of(body)
        self._errors = errors
        self.content = body
        """All of it, as it arrived."""

    @property
    def is_empty(self) -> bool:
        """Whether no field is left."""
        return not self._fields

    def has(self, field: str) -> bool:
        """Return whether a field is there, and was not taken yet."""
        return field in self._fields

    def required(self, field: str, rule: Callable[[bytes], T]) -> T | None:
        """Take a field that must be there; None means that it is noted as bad."""
        raw = self._fields.pop(field, None)
        if raw is None:
            self._errors.add(field, "is required")
            return None
        return self._apply(field, rule, raw)

    def optional(self, field: str, rule: Callable[[bytes], T], default: T) -> T:
        """Take a field that may be absent; a bad one is noted and gives the default."""
        raw = self._fields.pop(field, None)
        if raw is None:
            return default
        value = self._apply(field, rule, raw)
        return default if value is None else value

    def finish(self) -> None:
        """Note the fields that nobody took as unknown, and raise if anything is wrong."""
        for field in self._fields:
            self._errors.add(field, "is not a known field")
        self._errors.raise_if_any()

    def _apply(self, field: str, rule: Callable[[bytes], T], raw: msgspec.Raw) -> T | None:
        try:
            return rule(bytes(raw))
        except FieldRuleError as error:
            self._errors.add(field, str(error))
            return None


def _object_of(body: bytes) -> dict[str, msgspec.Raw]:
    if not body:
        raise ProblemError(ProblemCode.INVALID_JSON, "The body is empty; it must be a JSON object.")
    try:
        if not body.isascii():
            body.decode()
        return _decode_object(body)
    except msgspec.ValidationError as error:
        raise ProblemError(ProblemCode.INVALID_JSON, "The body must be a JSON object.") from error
    except UnicodeDecodeError as error:
        raise ProblemError(ProblemCode.INVALID_JSON, "The body is not UTF-8.") from error
    except RecursionError as error:
        raise ProblemError(ProblemCode.INVALID_JSON, "The body is nested too deeply.") from error
    except msgspec.DecodeError as error:
        detail = f"The body is not JSON: {error}"
        raise ProblemError(ProblemCode.INVALID_JSON, detail) from error


class Query:
    """The parameters of a query; each is taken from it once."""

    __slots__ = ("_errors", "_values")

    def __init__(self, values: Mapping[str, list[str]], errors: Errors) -> None:
        """Take the decoded parameters, each with all its values."""
        self._values = dict(values)
        self._errors = errors

    def has(self, name: str) -> bool:
        """Return whether a parameter is there, and was not taken yet."""
        return name in self._values

    def required(self, name: str, rule: Callable[[str], T]) -> T | None:
        """Take a parameter that must be there; None means that it is noted as bad."""
        if name not in self._values:
            self._errors.add(name, "is required")
            return None
        return self.optional(name, rule, None)

    def optional(self, name: str, rule: Callable[[str], T], default: D) -> T | D:
        """Take a parameter that may be absent; a bad one is noted and gives the default."""
        values = self._values.pop(name, None)
        if values is None:
            return default
        if len(values) > 1:
            self._errors.add(name, "is given more than once")
            return default
        value = self._errors.check(name, rule, values[0])
        return default if value is None else value

    def note_unknown(self) -> None:
        """Note the parameters that nobody took as unknown."""
        for name in self._values:
            self._errors.add(name, "is not a known parameter")

    def finish(self) -> None:
        """Note the parameters that nobody took as unknown, and raise if anything is wrong."""
        self.note_unknown()
        self._errors.raise_if_any()


def text_of(raw: bytes) -> str:
    """Read a text of people's: 1 to 255 characters, no control characters."""
    return name_of(string_of(raw))


def int_of(low: int, high: int) -> Callable[[bytes], int]:
    """Return the rule of a JSON number that is an integer between two bounds, both included."""
    plain = bounded_int(low, high)

    def rule(raw: bytes) -> int:
        text = raw.decode(errors="replace")
        if len(text) <= NUMBER_STRING_CHARS_MAX and _JSON_NUMBER.fullmatch(text):
            value = float(text)
            if low <= value <= high and value.is_integer() and not text.isdigit():
                return int(value)  # written as 7.0, or as 7e0
        return plain(text)

    return rule


def prefix_of(text: str) -> str:
    """Check the beginning of a resource name; may be empty."""
    if len(text) > NAME_CHARS_MAX:
        raise FieldRuleError(f"must have at most {NAME_CHARS_MAX} characters")
    return printable(text)


def bounded_int(low: int, high: int) -> Callable[[str], int]:
    """Return the rule of an integer between two bounds, both included."""
    digits_max = len(str(high))

    def rule(text: str) -> int:
        if text.isascii() and text.isdigit() and len(text) <= digits_max:
            value = int(text)
            if low <= value <= high:
                return value
        raise FieldRuleError(f"must be an integer from {low} to {high}")

    return rule


def one_of(*choices: str) -> Callable[[str], str]:
    """Return the rule of a word out of a few."""

    def rule(text: str) -> str:
        if text not in choices:
            raise FieldRuleError(f"must be one of: {', '.join(choices)}")
        return text

    return rule
