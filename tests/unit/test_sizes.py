"""Sizes and spans of time as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obhut.backup.sizes import format_bytes, format_percent, format_seconds, parse_bytes, parse_seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("17", 17), ("17b", 17), ("2K", 2048), ("3m", 3 << 20), ("1G", 1 << 30), ("2t", 2 << 40)],
)
def test_bytes(text: str, value: int) -> None:
    assert parse_bytes(text) == value


@pytest.mark.parametrize("text", ["", "k", "1.5M", "-1", "1x", "9223372036854775807K", "1 k", "²"])
def test_bad_bytes(text: str) -> None:
    with pytest.raises(ValueError, match=r"size|large"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("30s", 30), ("5m", 300), ("1h30m", 5400), ("1.5h", 5400), ("20ms", 0.02)]
)
def test_seconds(text: str, value: float) -> None:
    assert parse_seconds(text) == value


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "5d", "1h x"])
def test_bad_seconds(text: str) -> None:
    with pytest.raises(ValueError, match="time span"):
        parse_seconds(text)


@given(st.integers(0, 1 << 60))
def test_bytes_are_readable(count: int) -> None:
    number, unit = format_bytes(count).split(" ")
    scale = {"B": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}[unit]
    assert abs(float(number) * (1 << scale) - count) <= (1 << scale) * 0.0005 + 1e-6 * count


def test_forms() -> None:
    assert [format_seconds(s) for s in (0, 65, 3600 * 2 + 184)] == ["0:00", "1:05", "2:03:04"]
    assert [format_percent(1, 3), format_percent(5, 3), format_percent(1, 0)] == ["33.33%", "100.00%", ""]
