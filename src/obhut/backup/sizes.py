"""Sizes, durations and shares as people and scripts write and read them (restic's forms)."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_LARGEST: Final = (1 << 63) - 1


def parse_bytes(text: str) -> int:
    """``100``, ``20k``, ``16M``, ``1G``, ``2T`` (powers of 1024). Raises ``ValueError``."""
    match = re.fullmatch(r"(\d{1,19})([bkmgt]?)", text.strip().lower(), re.ASCII)
    if match is None:
        raise ValueError(f"not a size such as 500k, 20M or 1G: {text!r}")
    value = int(match[1]) * _UNITS[match[2]]
    if value > _LARGEST:
        raise ValueError(f"too large: {text!r}")
    return value


def parse_seconds(text: str) -> float:
    """``90s``, ``5m``, ``2h``, ``1h30m`` (as for --retry-lock). Raises ``ValueError``."""
    stripped = text.strip()
    if stripped == "0":
        return 0.0
    if not re.fullmatch(r"(?:\d{1,9}(?:\.\d+)?(?:ms|h|m|s))+", stripped, re.ASCII):
        raise ValueError(f"not a time span such as 30s, 5m or 1h30m: {text!r}")
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    return sum(float(n) * units[u] for n, u in re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", stripped))


def format_bytes(count: int) -> str:
    """``12.345 MiB``."""
    for shift, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count >= 1 << shift:
            return f"{count / (1 << shift):.3f} {unit}"
    return f"{count} B"


def format_seconds(seconds: float) -> str:
    """``1:05`` or ``2:03:04``."""
    whole = int(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_span(seconds: float) -> str:
    """``30s``, ``5m``, ``1h30m``: as --retry-lock takes it, in whole seconds."""
    whole = round(seconds)
    parts = ((whole // 3600, "h"), (whole % 3600 // 60, "m"), (whole % 60, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def format_percent(part: int, whole: int) -> str:
    """``12.34%``; empty when there is no whole."""
    return f"{min(100.0, 100.0 * part / whole):.2f}%" if whole else ""
