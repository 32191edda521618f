"""How the history's times and cursors are written and read."""

import re

import pytest
from hypothesis import given, strategies as st

from gorilla.wire.fields import FieldRuleError
from gorilla.wire.history import TIME_PATTERN, cursor_of, instant_of, place_of
from gorilla.wire.times import timestamp

T_MS = 1_746_353_472_000
"""2025-05-04T10:11:12 in UTC."""


@pytest.mark.parametrize(
    ("text", "instant_ms"),
    [
        ("2025-05-04T10:11:12", T_MS),
        ("2025-05-04T10:11:12Z", T_MS),
        ("2025-05-04T10:11:12.5", T_MS + 500),
        ("2025-05-04T10:11:12.0459Z", T_MS + 45),
        ("2025-05-04T10:11:12.123456789+00:00", T_MS + 123),
        ("2025-05-04T12:11:12+02:00", T_MS),
        ("2025-05-04T12:11:12 02:00", T_MS),
        ("2025-05-04T04:41:12-05:30", T_MS),
        ("1969-12-31T23:59:59", -1_000),
        ("2000-02-29T00:00:00", 951_782_400_000),
        ("9999-12-31T23:59:59-23:59", 253_402_387_139_000),
    ],
)
def test_a_time_is_utc_unless_it_says_otherwise(text: str, instant_ms: int) -> None:
    assert instant_of(text) == instant_ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "03:12",
        "2025-05-04",
        "2025-05-04 10:11:12",
        "2025-05-04T10:11",
        "2025-13-04T10:11:12",
        "2025-02-29T10:11:12",
        "2100-02-29T10:11:12",
        "2025-04-31T10:11:12",
        "2025-05-04T24:00:00",
        "2025-05-04T10:11:60",
        "2025-05-04T10:11:12z",
        "2025-05-04T10:11:12.",
        "2025-05-04T10:11:12+2",
        "2025-05-04T10:11:12\n",
        "٢٠٢٥-05-04T10:11:12",
        "0000-05-04T10:11:12",
        "now",
    ],
)
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(FieldRuleError, match="like 2025-05-04T10:11:12"):
        instant_of(text)


@given(st.from_regex(re.compile(TIME_PATTERN, re.ASCII), fullmatch=True).map(str.strip))
def test_whatever_the_document_allows_is_read(text: str) -> None:
    assert isinstance(instant_of(text), int)


@given(st.integers(0, 253_402_300_799))
def test_a_time_that_was_answered_can_be_asked_for(second: int) -> None:
    assert instant_of(timestamp(second * 1_000)) == second * 1_000


def test_a_cursor_comes_back_as_it_was_given() -> None:
    assert place_of(cursor_of((T_MS, 17))) == (T_MS, 17)
    for text in ("", "1", "1.", ".1", "-1.2", "1.2.3", "1." + "9" * 17):
        with pytest.raises(FieldRuleError, match="as it was given"):
            place_of(text)
