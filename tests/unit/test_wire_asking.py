"""What may be asked of locks: waits, modes, limits, names of several, owners of a policy."""

import json

import pytest
from hypothesis import given, strategies as st

from gorilla.domain import limits
from gorilla.domain.commands import SHARED
from gorilla.wire import asking, bodies, fields, policies
from gorilla.wire.asking import (
    fencing_token_of,
    limit_of,
    mode_of,
    resources_of,
    session_of,
    slots_of,
)
from gorilla.wire.fields import (
    Errors,
    FieldRuleError,
    kept_place_ms_of,
    text_of,
    wait_ms_of,
)
from gorilla.wire.policies import owners_of
from gorilla.wire.problems import InvalidFieldsError


def test_the_bounds_are_those_of_the_lock_table():
    assert bodies.HOLDERS_MAX == limits.SLOTS_MAX
    assert asking.RESOURCES_MAX == limits.LOCKS_AT_ONCE_MAX
    assert fields.WAIT_MS_MAX == limits.WAIT_MS_MAX
    assert fields.KEPT_PLACE_S_MAX * 1_000 == limits.KEPT_PLACE_MS_MAX
    assert fields.NAME_CHARS_MAX == limits.REASON_CHARS_MAX
    assert policies.OWNERS_MAX == limits.POLICY_OWNERS_MAX
    assert fencing_token_of(str(limits.FENCING_TOKEN_MAX).encode()) == limits.FENCING_TOKEN_MAX


@pytest.mark.parametrize(
    ("raw", "expected_ms"),
    [
        (b"0", 0),
        (b"-0", 0),
        (b'"0"', 0),
        (b"0.0", 0),
        (b"0e99", 0),
        (b"1e-400", 0),
        (b"0.0001", 1),
        (b"10", 10_000),
        (b'"2.5"', 2_500),
        (b"86400", limits.WAIT_MS_MAX),
        (b"1e300", limits.WAIT_MS_MAX),
    ],
)
def test_a_wait_may_be_nothing_and_at_most_a_day(raw: bytes, expected_ms: int):
    assert wait_ms_of(raw) == expected_ms


@pytest.mark.parametrize("raw", [b"-1", b"1e400", b"null", b"true", b'""', b'"x"', b"[]", b'"-1"'])
def test_bad_waits_are_refused(raw: bytes):
    with pytest.raises(FieldRuleError):
        wait_ms_of(raw)


@pytest.mark.parametrize(
    ("raw", "expected_ms"), [(b"0", 0), (b"5", 5_000), (b"5.0", 5_000), (b'"4.9"', 4_900)]
)
def test_a_place_is_kept_for_a_few_seconds(raw: bytes, expected_ms: int):
    assert kept_place_ms_of(raw) == expected_ms


@pytest.mark.parametrize("raw", [b"5.001", b"6", b"1e300", b'"10"', b"-1", b"null", b"true"])
def test_a_place_is_not_kept_for_longer(raw: bytes):
    with pytest.raises(FieldRuleError):
        kept_place_ms_of(raw)


def test_modes_are_two():
    assert mode_of(b'"shared"') == "shared"
    assert mode_of(b'"exclusive"') == "exclusive"
    for bad in (b'"SHARED"', b'""', b"null", b"1"):
        with pytest.raises(FieldRuleError):
            mode_of(bad)


@pytest.mark.parametrize(
    "raw", [b"0", b"-1", b"1025", b"1.5", b'"1"', b"null", b"1e4", b"1e999999999", b"\xff"]
)
def test_a_limit_is_an_integer_from_1_to_1024(raw: bytes):
    assert (limit_of(b"1"), limit_of(b"1024"), limit_of(b"7.0"), limit_of(b"1e1")) == (
        1,
        1024,
        7,
        10,
    )
    with pytest.raises(FieldRuleError):
        limit_of(raw)


def test_sharers_have_no_limit():
    errors = Errors()

    assert slots_of("exclusive", 1, errors) == 1
    assert slots_of("exclusive", 7, errors) == 7
    assert slots_of("shared", 1, errors) == SHARED
    errors.raise_if_any()
    assert slots_of("shared", 2, errors) == SHARED
    with pytest.raises(InvalidFieldsError) as caught:
        errors.raise_if_any()
    assert [error.field for error in caught.value.errors] == ["limit"]


@given(st.lists(st.text("abcü/ ", min_size=1, max_size=5), min_size=1, max_size=64, unique=True))
def test_several_names_come_in_their_order(names: list[str]):
    assert resources_of(json.dumps(names).encode()) == tuple(names)


@pytest.mark.parametrize(
    "value",
    [[], ["a", "a"], [""], ["a", 1], "a", {}, None, [str(n) for n in range(65)], ["a\n"],
     ["x" * 256]],
)  # fmt: skip
def test_bad_lists_of_names_are_refused(value: object):
    with pytest.raises(FieldRuleError):
        resources_of(json.dumps(value).encode())


@pytest.mark.parametrize("raw", [b"[" * 3_000 + b"]" * 3_000, b'["\\ud800"]'])
def test_lists_that_readers_could_not_decode_are_refused(raw: bytes):
    for rule in (resources_of, owners_of):
        with pytest.raises(FieldRuleError):
            rule(raw)


def test_a_session_is_as_long_as_a_secret():
    assert session_of(b'"' + b"x" * 64 + b'"') == "x" * 64
    for bad in (b'""', b'"' + b"x" * 65 + b'"', b"1", b'"\\n"', b"null"):
        with pytest.raises(FieldRuleError):
            session_of(bad)


def test_a_text_is_as_long_as_a_name():
    assert text_of(b'"nightly run"') == "nightly run"
    for bad in (b'""', b'"' + b"x" * 256 + b'"', b"7", b'"\\u0000"'):
        with pytest.raises(FieldRuleError):
            text_of(bad)


@pytest.mark.parametrize("value", [[], "anna", [""], ["a"] * 65, [None]])
def test_a_policy_lists_1_to_64_owners(value: object):
    assert owners_of(b'["deploy-*","anna"]') == ("deploy-*", "anna")
    with pytest.raises(FieldRuleError):
        owners_of(json.dumps(value).encode())
