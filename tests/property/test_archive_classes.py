"""Ends of retention against a reference that walks day by day."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obhut.archive.classes import CLASSES, Class, find

DAYS = st.dates(date(1990, 1, 1), date(2090, 12, 31))
BUSINESS_ENDS = st.sampled_from([(12, 31), (6, 30), (2, 29), (1, 1), (9, 30), (2, 27)])


def last_of_year(day: date, month: int, on: int) -> bool:
    """Whether a business year that ends on this day of the year ends on ``day``; 29 February is the last of February."""
    if (month, on) == (2, 29):
        return day.month == 2 and (day + timedelta(days=1)).month == 3
    return (day.month, day.day) == (month, on)


def walked(start: str, event: date, years: int, business: tuple[int, int]) -> date:
    """From the event on: the end of its year, and so many more ends of years; or so many years from the day itself."""
    if start == "event":
        day = event + timedelta(days=1)
        for _ in range(years):
            while (day.month, day.day) != (event.month, event.day):
                day += timedelta(days=1)
        return day - timedelta(days=1) if not years else day
    month, on = business if start == "business year" else (12, 31)
    day, ends = event, 0
    while True:
        if last_of_year(day, month, on):
            ends += 1
            if ends == years + 1:
                return day
        day += timedelta(days=1)


@given(st.sampled_from(sorted(CLASSES)), DAYS, DAYS, BUSINESS_ENDS)
def test_the_end_is_that_of_the_reference(name: str, event: date, today: date, business: tuple[int, int]) -> None:
    entry = CLASSES[name]
    end = entry.end(event, today, business)
    assert end == walked(entry.start, event, entry.years_on(today), business)
    assert entry.locked_until(event, today, business) == end + timedelta(days=2)


def test_the_law_that_counts_is_that_of_the_day() -> None:
    voucher = CLASSES["de/voucher"]
    event = date(2020, 5, 5)
    assert voucher.end(event, date(2024, 12, 31)) == date(2030, 12, 31)
    assert voucher.end(event, date(2025, 1, 1)) == date(2028, 12, 31)
    assert CLASSES["de/voucher-finance"].end(event, date(2026, 1, 1)) == date(2030, 12, 31)


@pytest.mark.parametrize(
    ("name", "event", "end"),
    [
        # formats: archive 9.4: "a document of 2 Jan 2026 with 8 years is free on 1 Jan 2035"
        ("de/voucher", date(2026, 1, 2), date(2034, 12, 31)),
        ("de/book", date(2026, 12, 31), date(2036, 12, 31)),
        ("de/letter", date(2024, 2, 29), date(2030, 12, 31)),
        ("de/private-property", date(2026, 6, 1), date(2028, 12, 31)),
        ("at/record", date(2026, 6, 1), date(2033, 12, 31)),
        ("at/property", date(2026, 6, 1), date(2048, 12, 31)),
        ("ch/record", date(2026, 6, 1), date(2036, 12, 31)),
    ],
)
def test_examples(name: str, event: date, end: date) -> None:
    assert CLASSES[name].end(event, date(2026, 11, 27)) == end


def test_a_swiss_business_year_that_ends_in_june() -> None:
    record = CLASSES["ch/record"]
    today = date(2026, 11, 27)
    assert record.end(date(2026, 6, 30), today, (6, 30)) == date(2036, 6, 30)
    assert record.end(date(2026, 7, 1), today, (6, 30)) == date(2037, 6, 30)
    assert record.locked_until(date(2026, 7, 1), today, (6, 30)) == date(2037, 7, 2)


def test_short_names_are_those_of_the_archives_country() -> None:
    assert find("voucher", "de") is CLASSES["de/voucher"]
    assert find("record", "ch") is CLASSES["ch/record"]
    assert find("ch/record", "de") is CLASSES["ch/record"]
    assert find("record", "de") is None
    assert find("nonsense", "de") is None


def test_rules_begin_in_order() -> None:
    for entry in CLASSES.values():
        assert isinstance(entry, Class)
        assert list(entry.years) == sorted(entry.years)
        assert entry.english
        assert entry.german
        assert entry.law
