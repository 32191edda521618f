"""How fields are read: every rule at its bounds, and against plainer ways to say the same."""

import json
import math
import string
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, strategies as st

from gorilla.domain import limits
from gorilla.wire import fields
from gorilla.wire.fields import (
    Body,
    Errors,
    FieldRuleError,
    Query,
    bounded_int,
    metadata_of,
    name_of,
    one_of,
    optional_owner_of,
    owner_of,
    prefix_of,
    timeout_ms_of,
)
from gorilla.wire.problems import InvalidFieldsError, ProblemCode, ProblemError

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


def test_the_bounds_are_those_of_the_lock_table():
    assert fields.NAME_CHARS_MAX == limits.LOCK_NAME_CHARS_MAX == limits.HOLDER_CHARS_MAX
    assert fields.METADATA_BYTES_MAX + len(b"[]") == limits.METADATA_BYTES_MAX
    assert fields.TOKEN_CHARS_MAX == limits.SECRET_CHARS_MAX
    assert fields.TIMEOUT_MS_MAX == limits.TTL_MS_MAX


# timeout


@pytest.mark.parametrize(
    ("raw", "expected_ms"),
    [
        (b"1", 1_000),
        (b"30", 30_000),
        (b'"30"', 30_000),
        (b"30.0", 30_000),
        (b"3e1", 30_000),
        (b"3E+1", 30_000),
        (b"1.5", 1_500),
        (b'"1.5"', 1_500),
        (b"0.001", 1),
        (b"0.0001", 1),
        (b"1e-300", 1),
        (b"0.1", 100),
        (b"1.0001", 1_001),
        (b"1.001", 1_001),
        (b"999999999", fields.TIMEOUT_MS_MAX),
        (b"1000000000", fields.TIMEOUT_MS_MAX),
        (b"315360000", fields.TIMEOUT_MS_MAX),
        (b"315359999", fields.TIMEOUT_MS_MAX - 1_000),
        (b"9" * 300, fields.TIMEOUT_MS_MAX),
        (b"0." + b"0" * 100 + b"1", 1),
        (b"1e308", fields.TIMEOUT_MS_MAX),
        (b'"\\u0031"', 1_000),
    ],
)
def test_timeout_is_read_in_milliseconds_rounded_up(raw: bytes, expected_ms: int):
    assert timeout_ms_of(raw) == expected_ms


@pytest.mark.parametrize(
    "raw",
    [
        b"0", b"-0", b"-1", b"0.0", b"1e-400", b"1e400", b"-1e400", b"true", b"null", b"[1]",
        b'{"a":1}', b'""', b'" 30"', b'"30 "', b'"030"', b'"+1"', b'".5"', b'"5."', b'"1e"',
        b'"nan"', b'"inf"', b'"Infinity"', b'"1e400"', b'"0"', b'"-1"', b'"1_0"', b'"0x1"',
        '"٣"'.encode(), '"\uff13"'.encode(), '"²"'.encode(), b"9" * 401,
        b"9" * 310, b'"' + b"9" * 65 + b'"',
        b"1e999999999", b'"1e-999999999"', b'"\\udc00x"', b'"1\\n"',
    ],
)  # fmt: skip
def test_bad_timeouts_are_refused(raw: bytes):
    with pytest.raises(FieldRuleError):
        timeout_ms_of(raw)


@given(st.decimals("0.0000001", "1e9", allow_nan=False), st.booleans())
def test_timeout_is_exact_for_every_decimal(value: Decimal, quoted: bool):
    text = format(value, "f")
    raw = f'"{text}"' if quoted else text
    expected_ms = min(math.ceil(value * 1_000), fields.TIMEOUT_MS_MAX)
    assert timeout_ms_of(raw.encode()) == expected_ms


@given(st.floats(min_value=1e-9, allow_infinity=False))
def test_a_timeout_is_never_shorter_than_asked(value: float):
    ttl_ms = timeout_ms_of(msgspec.json.encode(value))
    assert ttl_ms == fields.TIMEOUT_MS_MAX or ttl_ms >= value * 1_000 * (1 - 1e-12)


@given(st.text(string.digits + "+-.eE \"'x", max_size=8))
def test_a_string_is_a_timeout_only_if_it_is_a_json_number(text: str):
    try:
        value = json.loads(text)
        fits = type(value) in {int, float} and 0 < value < math.inf and text.strip() == text
    except ValueError:
        fits = False
    if fits:
        assert timeout_ms_of(msgspec.json.encode(text)) > 0
    else:
        with pytest.raises(FieldRuleError):
            timeout_ms_of(msgspec.json.encode(text))


# owner, resource


@pytest.mark.parametrize("name", ["a", "x" * 255, "🦍" * 255, " ", "a b", "\u2028", "\u00a0"])
def test_names_of_1_to_255_characters_are_taken(name: str):
    assert name_of(name) == name
    assert owner_of(msgspec.json.encode(name)) == name


@pytest.mark.parametrize("name", ["", "x" * 256, "a\tb", "\x00", "\x1f", "\x7f", "\x80", "\x9f"])
def test_other_names_are_refused(name: str):
    with pytest.raises(FieldRuleError):
        name_of(name)
    with pytest.raises(FieldRuleError):
        optional_owner_of(msgspec.json.encode(name))


@pytest.mark.parametrize("raw", [b"1", b"true", b"[]", b"{}", b'"\\udc00x"'])
def test_an_owner_is_a_string(raw: bytes):
    with pytest.raises(FieldRuleError):
        owner_of(raw)


def test_an_owner_may_be_null_where_it_is_optional():
    assert optional_owner_of(b"null") is None
    with pytest.raises(FieldRuleError):
        owner_of(b"null")


def test_a_prefix_may_be_empty_and_is_bounded():
    assert prefix_of("") == ""
    assert prefix_of("x" * 255)
    for bad in ("x" * 256, "\n"):
        with pytest.raises(FieldRuleError):
            prefix_of(bad)


# metadata


@given(JSON_VALUES)
def test_metadata_comes_back_as_it_was_given(value: object):
    raw = json.dumps(value).encode()
    decoded = json.loads(metadata_of(raw))
    assert decoded == (value if isinstance(value, list) else [value])


@pytest.mark.parametrize(
    ("raw", "stored"),
    [
        (b"[ 1 , 2 ]", b"[1,2]"),
        (b"1.10", b"[1.10]"),
        (b'{"b": 1, "a": 2}', b'[{"b":1,"a":2}]'),
        (b"1" * 30, b"[" + b"1" * 30 + b"]"),
        (b"null", b"[null]"),
    ],
)
def test_metadata_keeps_its_text_without_spaces(raw: bytes, stored: bytes):
    assert metadata_of(raw) == stored


def test_metadata_is_bounded_as_it_is_given():
    assert len(metadata_of(b'["' + b"x" * 4_092 + b'"]')) == 4_096
    assert len(metadata_of(b'"' + b"x" * 4_094 + b'"')) == limits.METADATA_BYTES_MAX
    for too_large in (b'["' + b"x" * 4_093 + b'"]', b'"' + b"x" * 4_095 + b'"'):
        with pytest.raises(FieldRuleError):
            metadata_of(too_large)


@pytest.mark.parametrize("raw", [b"1e400", b'"\\udc00x"', b"[" * 2_000 + b"]" * 2_000])
def test_metadata_that_readers_could_not_decode_is_refused(raw: bytes):
    with pytest.raises(FieldRuleError):
        metadata_of(raw)


# bodies and queries


def _refused(read: Body | Query) -> list[str]:
    with pytest.raises(InvalidFieldsError) as caught:
        read.finish()
    return [error.field for error in caught.value.errors]


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"[]", b"null", b"{", b'{"a":1}{', b'{"a":"\xff"}', b'{"\xff":1}',
     b"\xef\xbb\xbf{}", b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}"],
)  # fmt: skip
def test_a_body_is_one_json_object_in_utf8(body: bytes):
    with pytest.raises(ProblemError) as caught:
        Body(body, Errors())
    assert caught.value.code is ProblemCode.INVALID_JSON


def test_every_bad_and_unknown_field_is_noted():
    body = Body('{"a": 1, "owner": 7, "ü": 2, "given": "x"}'.encode(), Errors())

    assert body.required("timeout", timeout_ms_of) is None
    assert body.required("owner", owner_of) is None
    assert body.optional("given", owner_of, "y") == "x"
    assert body.optional("absent", owner_of, "y") == "y"
    assert _refused(body) == ["timeout", "owner", "a", "ü"]


def test_a_bad_optional_field_is_noted():
    body = Body(b'{"owner": 7}', Errors())
    assert body.optional("owner", owner_of, "y") == "y"
    assert _refused(body) == ["owner"]


def test_a_good_body_raises_nothing():
    body = Body(b' { "timeout" : 5 } ', Errors())
    assert body.required("timeout", timeout_ms_of) == 5_000
    body.finish()


def test_what_is_noted_is_bounded():
    body = Body(json.dumps({"x" * 200 + str(n): 0 for n in range(100)}).encode(), Errors())
    with pytest.raises(InvalidFieldsError) as caught:
        body.finish()
    assert len(caught.value.errors) == 32
    assert all(len(error.field) == 64 for error in caught.value.errors)
    assert len(str(caught.value)) < 5_000


def test_query_parameters_follow_their_rules():
    errors = Errors()
    values = {
        "limit": ["5"],
        "consistency": ["stale"],
        "twice": ["1", "1"],
        "bad": ["0"],
        "x": [""],
    }
    query = Query(values, errors)

    assert query.optional("limit", bounded_int(1, 1_000), 100) == 5
    assert query.optional("absent", bounded_int(1, 1_000), 100) == 100
    assert query.optional("consistency", one_of("stale", "linearizable"), "") == "stale"
    assert query.optional("twice", bounded_int(1, 9), 3) == 3
    assert query.optional("bad", bounded_int(1, 9), 3) == 3
    assert _refused(query) == ["twice", "bad", "x"]


@pytest.mark.parametrize("text", ["", "0", "1001", "-1", "+1", "1.0", "٣", "9" * 5_000, " 1", "1 "])
def test_a_bounded_integer_is_plain_digits_within_its_bounds(text: str):
    with pytest.raises(FieldRuleError):
        bounded_int(1, 1_000)(text)


def test_a_choice_is_one_of_its_words():
    with pytest.raises(FieldRuleError, match="one of: a, b"):
        one_of("a", "b")("c")
