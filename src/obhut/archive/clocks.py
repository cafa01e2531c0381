"""The day that counts when something ends: two clocks are asked, and the earlier one is believed. Pure.

Who can set this machine's clock forward could otherwise end every retention today. The second clock belongs to somebody
else: a witness, a time-stamping authority, a server.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime


@dataclass(frozen=True, slots=True)
class Reading:
    """What a clock said."""

    #: Whose it is.
    by: str
    #: RFC 3339 UTC.
    time: str


@dataclass(frozen=True, slots=True)
class Agreed:
    """What two or more clocks agree on: at least so late it is."""

    #: The earliest of them, RFC 3339 UTC.
    time: str
    clocks: tuple[Reading, ...]

    @property
    def day(self) -> date:
        """Its day, UTC."""
        return date.fromisoformat(self.time[:10])

    def facts(self) -> dict[str, str]:
        """As a certificate says it."""
        return {reading.by: reading.time for reading in self.clocks}


def agree(host: Reading, others: list[Reading]) -> Agreed | None:
    """The earlier of the host's clock and the newest time that somebody else has stated; nothing without somebody else."""
    if not others:
        return None
    newest = max(others, key=lambda reading: reading.time)
    return Agreed(min(host.time, newest.time), (host, newest))


def reading(by: str, unix: int) -> Reading:
    """A clock's reading in Unix seconds."""
    return Reading(by, datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
