"""Times: restic's text form both ways, calendar arithmetic, local zones."""

from __future__ import annotations

import datetime as dt
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obhut.backup.stamp import (
    DAY,
    NANOS,
    ZERO,
    Stamp,
    civil_from_days,
    days_from_civil,
    local_offset,
    parse_user_time,
)

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


@pytest.mark.parametrize("text", ["", "2026-01-02", "2026-01-02T03:04:05", "\uff12026-01-02T03:04:05Z", "x" * 5000])
def test_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not a time: '.{0,40}'$"):
        Stamp.parse(text)


@pytest.mark.parametrize(
    "day",
    [
        "2026-13-02",
        "2026-00-02",
        "2026-01-00",
        "2026-01-32",
        "2026-04-31",
        "2026-12-32",
        "2024-02-30",
        "2026-02-29",
        "2100-02-29",
    ],
)
def test_no_date(day: str) -> None:
    with pytest.raises(ValueError, match=r"^no such date: '.{0,40}'$"):
        Stamp.parse(f"{day}T03:04:05Z")


@pytest.mark.parametrize("day", ["2026-01-31", "2026-04-30", "2026-12-31", "2024-02-29", "2000-02-29", "2100-02-28"])
def test_last_days_of_months(day: str) -> None:
    assert Stamp.parse(f"{day}T03:04:05Z").format() == f"{day}T03:04:05Z"


@pytest.mark.parametrize("clock", ["24:00:00", "03:60:05", "03:04:60"])
def test_no_time_of_day(clock: str) -> None:
    with pytest.raises(ValueError, match=r"^no such time of day: '.{0,40}'$"):
        Stamp.parse(f"2026-01-02T{clock}.{'1' * 60}Z")


def test_zone_offsets_reach_as_far_as_in_go() -> None:
    for offset in ("+25:00", "-25:00", "+00:61"):
        with pytest.raises(ValueError, match=r"^no such zone offset: '.{0,40}'$"):
            Stamp.parse(f"2026-01-02T03:04:05.{'1' * 60}{offset}")
    for offset, seconds in (("+24:00", DAY), ("-24:00", -DAY), ("+00:60", 3600), ("+11:59", 43_140)):
        assert Stamp.parse(f"2026-01-02T03:04:05{offset}").offset == seconds


def test_a_billion_nanoseconds_are_a_second() -> None:
    assert Stamp.parse("2001-09-09T01:46:40.000000007Z").ns == 10**18 + 7
    assert Stamp(10**18 + 7).format() == "2001-09-09T01:46:40.000000007Z"
    assert ZERO.format() == "0001-01-01T00:00:00Z"


def test_every_day_of_an_era() -> None:
    """The calendar repeats after 146,097 days: this is all of it."""
    first = dt.date(1970, 1, 1).toordinal()
    for days in range(-146_097, 1):
        date = dt.date.fromordinal(first + days)
        assert civil_from_days(days) == (date.year, date.month, date.day)
        assert days_from_civil(date.year, date.month, date.day) == days


@pytest.mark.parametrize("quarters", range(-56, 57))
def test_offsets_are_written_as_they_are_read(quarters: int) -> None:
    zone = dt.timezone(dt.timedelta(minutes=15 * quarters))
    wanted = dt.datetime(2026, 8, 1, 12, tzinfo=zone).isoformat().replace("+00:00", "Z")
    assert Stamp(Stamp.parse(wanted).ns, quarters * 900).format() == wanted
    assert Stamp.parse(wanted).offset == quarters * 900


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


def berlin(seconds: int) -> int:
    return 7200 if _at("2026-03-29T01:00:00Z") <= seconds < _at("2026-10-25T01:00:00Z") else 3600


def new_york(seconds: int) -> int:
    return -14_400 if _at("2026-03-08T07:00:00Z") <= seconds < _at("2026-11-01T06:00:00Z") else -18_000


def _at(text: str) -> int:
    return Stamp.parse(text).seconds


ZONES = {"Berlin": berlin, "New York": new_york}


def test_time_option() -> None:
    def zone(_: int) -> int:
        return 3600

    assert parse_user_time("2012-11-01 22:08:41", zone).format() == "2012-11-01T22:08:41+01:00"
    assert parse_user_time(" 2012-11-01 22:08:41.123456789 ", zone).format() == "2012-11-01T22:08:41.123456789+01:00"
    assert parse_user_time(" 2012-11-01T22:08:41Z ", zone).format() == "2012-11-01T22:08:41Z"
    for wrong in ("yesterday", "2012-11-01 22:08:41.1234567890", "2012-11-01  22:08:41"):
        with pytest.raises(ValueError, match="not a time"):
            parse_user_time(wrong, zone)


@pytest.mark.parametrize(
    ("place", "wall", "wanted"),
    [
        ("Berlin", "2026-03-29 01:59:59", "2026-03-29T01:59:59+01:00"),
        ("Berlin", "2026-03-29 02:30:00", "2026-03-29T03:30:00+02:00"),
        ("Berlin", "2026-03-29 03:00:00", "2026-03-29T03:00:00+02:00"),
        ("Berlin", "2026-10-25 01:59:59", "2026-10-25T01:59:59+02:00"),
        ("Berlin", "2026-10-25 02:30:00", "2026-10-25T02:30:00+01:00"),
        ("New York", "2026-03-08 02:30:00", "2026-03-08T01:30:00-05:00"),
        ("New York", "2026-07-01 12:00:00", "2026-07-01T12:00:00-04:00"),
        ("New York", "2026-11-01 01:30:00", "2026-11-01T01:30:00-04:00"),
    ],
)
def test_clock_times_that_do_not_exist_or_exist_twice(place: str, wall: str, wanted: str) -> None:
    """What Go's time.ParseInLocation made of them (Go 1.26)."""
    assert parse_user_time(wall, ZONES[place]).format() == wanted


@pytest.mark.parametrize(
    ("place", "start", "span", "wanted"),
    [
        ("Berlin", "2026-03-30T02:30:00+02:00", (0, 0, 1, 0), "2026-03-29T03:30:00+02:00"),
        ("Berlin", "2026-10-26T02:30:00+01:00", (0, 0, 1, 0), "2026-10-25T02:30:00+01:00"),
        ("Berlin", "2026-10-25T12:00:00+01:00", (0, 0, 0, 24), "2026-10-24T13:00:00+02:00"),
        ("Berlin", "2026-01-15T12:00:00+01:00", (0, 13, 0, 0), "2024-12-15T12:00:00+01:00"),
        ("Berlin", "2024-02-29T12:00:00+01:00", (1, 0, 0, 0), "2023-03-01T12:00:00+01:00"),
        ("Berlin", "2026-05-31T00:00:00+02:00", (1, 3, 31, 5), "2025-01-30T19:00:00+01:00"),
        ("New York", "2026-03-09T02:30:00-04:00", (0, 0, 1, 0), "2026-03-08T01:30:00-05:00"),
        ("New York", "2026-11-02T01:30:00-05:00", (0, 0, 1, 0), "2026-11-01T01:30:00-04:00"),
        # Made elsewhere: nobody's clock jumps.
        ("Berlin", "2026-03-30T02:30:00+09:00", (0, 0, 1, 0), "2026-03-29T02:30:00+09:00"),
        ("Berlin", "2026-03-29T12:00:00+09:00", (0, 1, 0, 3), "2026-03-01T09:00:00+09:00"),
    ],
)
def test_spans_in_a_zone(place: str, start: str, span: tuple[int, int, int, int], wanted: str) -> None:
    """What Go's AddDate and Add made of them (Go 1.26)."""
    years, months, days, hours = span
    end = Stamp.parse(start).minus(years=years, months=months, days=days, hours=hours, zone=ZONES[place])
    assert end.format() == wanted


@given(st.integers(-(10**19), 10**20), st.integers(-56, 56), st.integers(0, 10**5), st.integers(0, 10**6))
def test_days_and_hours_without_clock_changes(ns: int, quarters: int, days: int, hours: int) -> None:
    offset = quarters * 900
    for zone in (lambda _: offset, lambda _: offset + 1):
        earlier = Stamp(ns, offset).minus(days=days, hours=hours, zone=zone)
        assert (earlier.ns, earlier.offset) == (ns - (days * 24 + hours) * 3600 * 10**9, offset)
    assert Stamp(ns, offset).minus(zone=berlin) == Stamp(ns)


def test_shown_to_whoever_looks() -> None:
    stamp = Stamp.parse("2026-08-01T12:03:04.9+09:00")
    assert stamp.shown(berlin) == "2026-08-01 05:03:04"
    assert stamp.shown(new_york) == "2026-07-31 23:03:04"
    assert Stamp.local(stamp.ns, berlin).format() == "2026-08-01T05:03:04.9+02:00"


def test_the_zone_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as there:
        there.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        for moment in ("2026-01-01T00:00:00Z", "2026-07-01T00:00:00Z", "2026-10-25T00:59:59Z", "2026-10-25T01:00:00Z"):
            assert local_offset(_at(moment)) == berlin(_at(moment))
        assert Stamp.local(10**18).offset == 7200
        assert Stamp(10**18).shown() == "2001-09-09 03:46:40"
        assert local_offset(10**20) == 0
    time.tzset()
    assert local_offset(_at("2026-07-01T00:00:00Z")) == 0
