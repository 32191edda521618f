"""Lengths and points of time, as people write and read them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from gorilla.cli.times import between, instant_of, seconds_of, told, wire_time
from gorilla.wire.history import instant_of as wire_instant_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOW = datetime(2025, 5, 4, 10, 11, 12, 345_678, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        ("1.5", 1.5),
        (".5", 0.5),
        ("0", 0),
        ("90s", 90),
        ("1h30m", 5_400),
        ("250ms", 0.25),
        ("2d", 172_800),
        ("1w", 604_800),
        (" 15m ", 900),
    ],
)
def test_a_length_of_time_is_seconds_or_has_units(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1 2", "1y", "nan", "inf", "1e3", "5m3", "\u0661", "9" * 400]
)
def test_what_is_no_length_of_time_is_refused(text):
    with pytest.raises(ValueError, match="is no length of time"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("now", "2025-05-04T10:11:12.345Z"),
        ("2h", "2025-05-04T08:11:12.345Z"),
        ("15m", "2025-05-04T09:56:12.345Z"),
        ("03:12", "2025-05-04T03:12:00.000Z"),
        ("3:12:30", "2025-05-04T03:12:30.000Z"),
        ("23:00", "2025-05-03T23:00:00.000Z"),
        ("2025-05-01", "2025-05-01T00:00:00.000Z"),
        ("2025-05-01 03:12", "2025-05-01T03:12:00.000Z"),
        ("2025-05-01T03:12:30", "2025-05-01T03:12:30.000Z"),
        ("2025-05-01T03:12:30.123456789Z", "2025-05-01T03:12:30.123Z"),
        ("2025-05-01T03:12:30+02:00", "2025-05-01T01:12:30.000Z"),
        ("2025-05-01T03:12-05:30", "2025-05-01T08:42:00.000Z"),
    ],
)
def test_a_point_of_time_is_a_date_a_clock_or_so_long_ago(text, instant):
    assert wire_time(instant_of(text, NOW)) == instant


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "24:00", "3:60", "2025-02-30", "2025-05-01T25:00", "9999999w", "-2h", "42"],
)
def test_what_is_no_point_of_time_is_refused(text):
    with pytest.raises(ValueError, match="is no time"):
        instant_of(text, NOW)


@given(st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001 - the zone is given beside
def test_the_api_reads_what_is_sent(moment):
    assert wire_instant_of(wire_time(moment)) == (moment - EPOCH) // timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0s"),
        (0, "0s"),
        (0.04, "0s"),
        (4.16, "4.2s"),
        (9.96, "10s"),
        (59.6, "1m 00s"),
        (185, "3m 05s"),
        (3_599.9, "1h 00m"),
        (8_040, "2h 14m"),
        (273_600, "3d 04h"),
    ],
)
def test_a_length_of_time_is_told_in_two_parts_at_most(seconds, said):
    assert told(seconds) == said


def test_what_ended_before_it_began_by_another_clock_took_no_time():
    assert between("2025-05-04T10:11:12", "2025-05-04T10:11:10") == 0
    assert between("2025-05-04T10:11:12", "2025-05-04T10:12:12") == 60
