"""The clock of the command line; everything below takes the time as an argument."""

from __future__ import annotations

import time


def now_ns() -> int:
    """Nanoseconds since 1970."""
    return time.time_ns()  # noqa: TID251  (the one place of the front that asks the clock)
