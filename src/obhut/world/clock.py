"""The clock port. Decisions take the time as an argument; only the front asks a :class:`Clock`."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What asks for the time get instead of the machine's clock."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970 UTC."""

    def elapsed(self) -> float:
        """Seconds since an arbitrary start, never going back."""

    def sleep(self, seconds: float) -> None:
        """Waits."""


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970 UTC."""
        return time.time_ns()

    def elapsed(self) -> float:
        """Seconds, suspend included: as the core counts the age of locks."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def sleep(self, seconds: float) -> None:
        """Waits."""
        time.sleep(seconds)


class FixedClock:
    """Stands still until somebody sleeps: for tests and simulations."""

    def __init__(self, now_ns: int = 1_780_000_000_000_000_000) -> None:
        self._start = now_ns
        self._elapsed_ns = 0

    def now_ns(self) -> int:
        """The start plus what was slept."""
        return self._start + self._elapsed_ns

    def elapsed(self) -> float:
        """What was slept, in seconds."""
        return self._elapsed_ns / 1e9

    def sleep(self, seconds: float) -> None:
        """Moves the time."""
        self._elapsed_ns += round(seconds * 1e9)
