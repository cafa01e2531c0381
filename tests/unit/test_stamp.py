"""Times: restic's text form both ways, calendar arithmetic, local zones."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obhut.backup.stamp import NANOS, Stamp, days_from_civil, parse_user_time

CASES = [
    "2015-11-10T22:11:46.655732256+01:00",
    "2021-02-27T22:00:20.51+01:00",
    "1970-01-01T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999Z",
    "1969-12-31T23:59:59.5-03:30",
    "2024-02-29T12:00:00+14:00",
]


@pytest.mark.parametrize("text", CASES)
def test_round_trip(text: str) -> None:
    assert Stamp.parse(text).format() == text


def test_zero_offset_is_z_and_extra_digits_are_dropped() -> None:
    assert Stamp.parse("2026-01-02T03:04:05.1234567899+00:00").format() == "2026-01-02T03:04:05.123456789Z"


@pytest.mark.parametrize(
    "text",
    ["", "2026-01-02", "2026-13-02T03:04:05Z", "2026-02-30T03:04:05Z", "2026-01-02T24:04:05Z", "2026-01-02T03:04:05",
     "2026-01-02T03:04:05+25:00", "\uff12026-01-02T03:04:05Z", "2026-01-02T03:04:60Z", "x" * 5000],
)  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|date|zone"):
        Stamp.parse(text)


@given(st.datetimes(min_value=dt.datetime(1, 1, 2), max_value=dt.datetime(9999, 12, 30)), st.integers(-840, 840))
def test_as_datetime(naive: dt.datetime, minutes: int) -> None:
    zoned = naive.replace(tzinfo=dt.timezone(dt.timedelta(minutes=minutes)))
    stamp = Stamp.parse(zoned.isoformat())
    assert stamp.date == (naive.year, naive.month, naive.day)
    assert stamp.clock == (naive.hour, naive.minute, naive.second)
    assert stamp.iso_week == zoned.isocalendar()[:2]
    assert stamp.ns % NANOS == naive.microsecond * 1000
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    assert stamp.seconds == (zoned - epoch) // dt.timedelta(seconds=1)
    assert Stamp.parse(stamp.format()) == stamp


@given(st.integers(-8000, 12000), st.integers(-30, 30), st.integers(-500, 500))
def test_overflowing_dates(year: int, month: int, day: int) -> None:
    assert days_from_civil(year, month, day) == days_from_civil(year, month, 1) + day - 1
    assert days_from_civil(year, month, 1) == days_from_civil(year + 1, month - 12, 1)


def test_order_is_by_moment_only() -> None:
    assert Stamp.parse("2026-01-01T12:00:00+02:00") == Stamp.parse("2026-01-01T10:00:00Z")
    assert Stamp.parse("2026-01-01T12:00:00+02:00") < Stamp.parse("2026-01-01T10:00:01Z")


def test_time_option() -> None:
    def zone(_: int) -> int:
        return 3600

    assert parse_user_time("2012-11-01 22:08:41", zone).format() == "2012-11-01T22:08:41+01:00"
    assert parse_user_time("2012-11-01T22:08:41Z", zone).format() == "2012-11-01T22:08:41Z"
    with pytest.raises(ValueError, match="not a time"):
        parse_user_time("yesterday", zone)
