"""Points in time as restic writes them: nanoseconds and the writer's own zone offset.

``datetime`` holds microseconds and years from 1 only; snapshots hold nanoseconds and, from broken clocks, odd years.
Formats: restic 9 and 10 (RFC 3339 with up to nine digits, local offset, zero offset always ``Z``).
Calendar arithmetic follows Go's ``time.AddDate``: months and days overflow into the next unit (31 October minus one
month is 1 October), and wall clock time is kept when the zone is this machine's own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

NANOS: Final = 1_000_000_000
DAY: Final = 86_400

#: Seconds east of Greenwich in force at a moment (Unix seconds).
ZoneOffset = Callable[[int], int]

_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:([Zz])|([+-])(\d\d):(\d\d))", re.ASCII
)


def local_offset(seconds: int) -> int:
    """The offset of this machine's zone at a moment."""
    try:
        return time.localtime(seconds).tm_gmtoff
    except (OverflowError, ValueError, OSError):
        return 0


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 of a proleptic Gregorian date; months and days out of range overflow."""
    year += (month - 1) // 12
    month = (month - 1) % 12 + 1
    shifted = year - (month <= 2)
    era, yoe = divmod(shifted, 400)
    doy = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5
    return era * 146_097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - 719_468 + day - 1


def civil_from_days(days: int) -> tuple[int, int, int]:
    """The inverse: (year, month, day)."""
    era, doe = divmod(days + 719_468, 146_097)
    yoe = (doe - doe // 1460 + doe // 36_524 - doe // 146_096) // 365
    doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
    shifted_month = (5 * doy + 2) // 153
    day = doy - (153 * shifted_month + 2) // 5 + 1
    month = shifted_month + (3 if shifted_month < 10 else -9)
    return yoe + era * 400 + (month <= 2), month, day


def days_in_month(year: int, month: int) -> int:
    """How many days a month has."""
    return days_from_civil(year, month + 1, 1) - days_from_civil(year, month, 1)


@dataclass(frozen=True, slots=True, order=True)
class Stamp:
    """A moment (``ns`` since 1970, UTC) and the offset it is written with. Two stamps are compared by moment only."""

    ns: int
    offset: int = field(default=0, compare=False)

    @classmethod
    def parse(cls, text: str) -> Stamp:
        """Reads RFC 3339; raises ``ValueError`` for anything else. Digits beyond nanoseconds are dropped."""
        match = _RFC3339.fullmatch(text)
        if match is None:
            raise ValueError(f"not a time: {text[:40]!r}")
        year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
        if not 1 <= month <= 12 or not 1 <= day <= days_in_month(year, month):
            raise ValueError(f"no such date: {text[:40]!r}")
        if hour > 23 or minute > 59 or second > 59:
            raise ValueError(f"no such time of day: {text[:40]!r}")
        fraction = int((match[7] or "")[:9].ljust(9, "0"))
        offset = 0
        if match[8] is None:
            if int(match[10]) > 24 or int(match[11]) > 60:
                raise ValueError(f"no such zone offset: {text[:40]!r}")
            offset = (int(match[10]) * 3600 + int(match[11]) * 60) * (-1 if match[9] == "-" else 1)
        seconds = days_from_civil(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset
        return cls(seconds * NANOS + fraction, offset)

    @classmethod
    def local(cls, ns: int, zone: ZoneOffset = local_offset) -> Stamp:
        """A moment, to be written in the zone of this machine."""
        return cls(ns, zone(ns // NANOS))

    @property
    def seconds(self) -> int:
        """Whole seconds since 1970, rounded down."""
        return self.ns // NANOS

    @property
    def date(self) -> tuple[int, int, int]:
        """Year, month and day in the stamp's own zone."""
        return civil_from_days((self.seconds + self.offset) // DAY)

    @property
    def clock(self) -> tuple[int, int, int]:
        """Hour, minute and second in the stamp's own zone."""
        rest = (self.seconds + self.offset) % DAY
        return rest // 3600, rest % 3600 // 60, rest % 60

    @property
    def iso_week(self) -> tuple[int, int]:
        """ISO year and week in the stamp's own zone."""
        days = (self.seconds + self.offset) // DAY
        thursday = days - (days + 3) % 7 + 3
        year = civil_from_days(thursday)[0]
        return year, (thursday - days_from_civil(year, 1, 1)) // 7 + 1

    def format(self) -> str:
        """RFC 3339 as Go writes it."""
        offset = int(self.offset / 60) * 60  # Go drops seconds of historic offsets, towards zero
        year, month, day = civil_from_days((self.seconds + self.offset) // DAY)
        hour, minute, second = self.clock
        fraction = f".{self.ns % NANOS:09}".rstrip("0").rstrip(".")
        if offset == 0:
            zone = "Z"
        else:
            zone = f"{'-' if offset < 0 else '+'}{abs(offset) // 3600:02}:{abs(offset) % 3600 // 60:02}"
        return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}"

    def shown(self, zone: ZoneOffset = local_offset) -> str:
        """``2026-08-01 12:30:00`` in the zone of whoever looks."""
        there = Stamp(self.ns, zone(self.seconds))
        return "{:04}-{:02}-{:02} {:02}:{:02}:{:02}".format(*there.date, *there.clock)

    def minus(
        self, *, years: int = 0, months: int = 0, days: int = 0, hours: int = 0, zone: ZoneOffset = local_offset
    ) -> Stamp:
        """Calendar subtraction, then hours; the zone's daylight saving counts if the stamp is in the local zone."""
        year, month, day = self.date
        wall = days_from_civil(year - years, month - months, day - days) * DAY + (self.seconds + self.offset) % DAY
        fraction = self.ns % NANOS
        if zone(self.seconds) != self.offset:
            return Stamp((wall - self.offset - hours * 3600) * NANOS + fraction, self.offset)
        return Stamp.local((_moment(wall, zone) - hours * 3600) * NANOS + fraction, zone)


def _moment(wall: int, zone: ZoneOffset) -> int:
    """When a zone's clocks show ``wall`` (seconds as if it were UTC); where they jump, what Go's ``time.Date`` says."""
    return wall - zone(wall - zone(wall))


#: Go's zero time, earlier than any snapshot.
ZERO: Final = Stamp(days_from_civil(1, 1, 1) * DAY * NANOS, 0)


def parse_user_time(text: str, zone: ZoneOffset = local_offset) -> Stamp:
    """``--time``: ``2026-08-01 12:30:00`` in local time (restic's form), or RFC 3339."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d{1,9})?)", text.strip(), re.ASCII)
    if match is None:
        return Stamp.parse(text.strip())
    wall = Stamp.parse(f"{match[1]}T{match[2]}Z")
    return Stamp.local(_moment(wall.seconds, zone) * NANOS + wall.ns % NANOS, zone)
