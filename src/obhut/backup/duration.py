"""Calendar durations as restic writes them: ``1y5m7d2h`` (years, months, days, hours)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from obhut.backup.stamp import Stamp, ZoneOffset, local_offset


@dataclass(frozen=True, slots=True)
class Duration:
    """A span of calendar time. Months and years have no fixed length, so it is only ever taken from a date."""

    years: int = 0
    months: int = 0
    days: int = 0
    hours: int = 0

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Reads ``1y5m7d2h``; a unit given twice counts as last given, as in restic. Raises ``ValueError``."""
        rest = text.strip()
        if not re.fullmatch(r"(?:\d{1,9}[ymdh])*", rest, re.ASCII):
            raise ValueError(f"not a duration such as 1y5m7d2h: {text!r}")
        parts = {unit: int(number) for number, unit in re.findall(r"(\d+)([ymdh])", rest)}
        return cls(parts.get("y", 0), parts.get("m", 0), parts.get("d", 0), parts.get("h", 0))

    def __bool__(self) -> bool:
        return bool(self.years or self.months or self.days or self.hours)

    def __str__(self) -> str:
        parts = ((self.years, "y"), (self.months, "m"), (self.days, "d"), (self.hours, "h"))
        return "".join(f"{number}{unit}" for number, unit in parts if number)

    def before(self, end: Stamp, zone: ZoneOffset = local_offset) -> Stamp:
        """The moment this long before ``end``."""
        return end.minus(years=self.years, months=self.months, days=self.days, hours=self.hours, zone=zone)
