"""The contract's table of problems, its times, and its bodies."""

import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, strategies as st

from gorilla.wire.asking import AcquireBody, ExtendBody
from gorilla.wire.bodies import LockBody
from gorilla.wire.problem_body import ProblemBody
from gorilla.wire.problems import (
    PROBLEMS,
    FieldError,
    InvalidFieldsError,
    ProblemCode,
    ProblemError,
)
from gorilla.wire.times import seconds, timestamp

STATUS_OF = {
    400: "invalid_request invalid_json",
    401: "unauthenticated",
    403: "forbidden",
    404: "lock_not_found session_not_found member_not_found not_found",
    405: "method_not_allowed",
    409: "lock_held not_owner timeout_too_short wait_timeout deadlock idempotency_conflict "
    "mode_conflict wait_replaced cooling_down policy_refused change_refused",
    413: "body_too_large",
    415: "unsupported_media_type",
    429: "rate_limited quota_exceeded",
    500: "internal",
    503: "no_quorum starting draining overloaded recovering not_leader archive_unavailable",
    504: "outcome_unknown",
}


def test_every_code_has_the_published_status():
    published = {code: status for status, codes in STATUS_OF.items() for code in codes.split()}
    assert {code.value: kind.status for code, kind in PROBLEMS.items()} == published
    assert set(PROBLEMS) == set(ProblemCode)


def test_every_problem_has_words_of_its_own():
    assert len({kind.title for kind in PROBLEMS.values()}) == len(PROBLEMS)
    assert len({kind.detail for kind in PROBLEMS.values()}) == len(PROBLEMS)
    assert all(kind.detail.endswith(".") for kind in PROBLEMS.values())


def test_every_503_promises_that_nothing_was_done():
    promises = [kind.detail for kind in PROBLEMS.values() if kind.status == 503]
    assert all("nothing was done" in detail for detail in promises)


def test_a_problem_says_the_tables_words_unless_there_are_better_ones():
    assert str(ProblemError(ProblemCode.LOCK_HELD)) == PROBLEMS[ProblemCode.LOCK_HELD].detail
    assert str(ProblemError(ProblemCode.LOCK_HELD, "Anna has it.")) == "Anna has it."


def test_invalid_fields_are_told_in_the_detail_too():
    error = InvalidFieldsError([FieldError("a", "is bad"), FieldError("b", "is worse")])
    assert str(error) == "a: is bad; b: is worse"
    assert error.extra["errors"] == error.errors


# Times


@given(st.integers(0, 253_402_300_799_999))
def test_a_timestamp_is_utc_rounded_down_to_the_second(wall_ms: int):
    expected = datetime.fromtimestamp(wall_ms // 1_000, UTC)
    assert timestamp(wall_ms) == expected.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")


@pytest.mark.parametrize(
    ("wall_ms", "text"),
    [
        (0, "1970-01-01T00:00:00"),
        (-1, "1970-01-01T00:00:00"),
        (1_746_353_472_999, "2025-05-04T10:11:12"),
        (253_402_300_800_000, "9999-12-31T23:59:59"),
    ],
)
def test_timestamps_stay_within_four_digits_of_years(wall_ms: int, text: str):
    assert timestamp(wall_ms) == text


@given(st.integers(0, 10**12))
def test_seconds_are_exact_with_at_most_three_decimals(length_ms: int):
    encoded = msgspec.json.encode(seconds(length_ms)).decode()
    assert "e" not in encoded
    whole, _, rest = encoded.partition(".")
    assert len(rest) <= 3
    assert int(whole) * 1_000 + int(rest.ljust(3, "0")) == length_ms
    assert isinstance(seconds(length_ms), int) == (length_ms % 1_000 == 0)


# Bodies


def test_a_lock_has_the_published_fields_and_more_only_when_they_say_something():
    fields = msgspec.structs.fields(LockBody)
    assert [field.encode_name for field in fields if field.default is not msgspec.UNSET] == [
        "id", "owner", "resource", "token", "timeout", "metadata", "createdAt", "updatedAt",
        "expireAt", "fencingToken",
    ]  # fmt: skip


def test_requests_encode_without_what_is_not_given():
    assert json.loads(msgspec.json.encode(AcquireBody(owner="a", timeout=1))) == {
        "owner": "a",
        "timeout": 1,
    }
    assert json.loads(msgspec.json.encode(ExtendBody(timeout=1.5))) == {"timeout": 1.5}


def test_unknown_request_fields_are_not_decoded():
    with pytest.raises(msgspec.ValidationError, match="unknown field `color`"):
        msgspec.json.decode(b'{"owner":"a","timeout":1,"color":2}', type=AcquireBody)


def test_a_problem_body_reads_what_nodes_send():
    sent = {
        "type": "urn:gorilla:problem:lock_held",
        "title": "Lock held",
        "status": 409,
        "detail": "x",
        "code": "lock_held",
        "errorMessage": "x",
        "requestId": "1",
        "holder": {"owner": "a", "expireAt": "2025-05-04T10:11:12", "fencingToken": 4},
        "retryAfter": 1.5,
    }
    problem = msgspec.json.decode(json.dumps(sent), type=ProblemBody)
    assert json.loads(msgspec.json.encode(problem)) == sent
