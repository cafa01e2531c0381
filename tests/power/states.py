"""From the log of a disk to the states that a power failure may leave on it.

A disk keeps what it was given before a flush that it has answered. Of what came after it keeps any part, in any order, as it
likes; a block is written whole or not. So at any moment each block that was written since the last flush has any
of its versions since then, or the one before. That is the set of lawful states; which of them are tried is a plan.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from power.device import RECORD

BLOCK: Final = 4096


@dataclass(frozen=True)
class Write:
    """One block was written; ``at`` is the length of the log then."""

    at: int
    block: int
    data: bytes


#: The writes between two flushes.
Window = list[Write]


def read_log(path: Path, *, lying: bool = False) -> list[Window]:
    """The windows. A ``lying`` disk answers flushes without doing anything: all is one window."""
    windows: list[Window] = [[]]
    log, at = path.read_bytes(), 0
    while at + RECORD.size <= len(log):
        kind, offset, length = RECORD.unpack_from(log, at)
        data = log[at + RECORD.size : at + RECORD.size + length]
        at += RECORD.size + length
        if kind == b"F":
            if windows[-1] and not lying:
                windows.append([])
            continue
        assert offset % BLOCK == length % BLOCK == 0, "the loop device has blocks of this size"
        windows[-1] += [
            Write(at, (offset + start) // BLOCK, data[start : start + BLOCK]) for start in range(0, length, BLOCK)
        ]
    return windows


@dataclass(frozen=True)
class State:
    """What the disk holds after a power failure."""

    #: What was tried, to find it again.
    label: str
    #: The log's length at the failure: what a program was told before that counts.
    at: int
    #: The blocks that differ from what is safe.
    kept: dict[int, bytes]


#: How much of a window is kept: everything up to the moment; nothing; all but one block; one block only; a random part.
CHOICES: Final = ("all", "none", "all but one", "only one", "half", "few", "most")
_SHARES: Final = {"half": 0.5, "few": 0.15, "most": 0.85}


def choose(window: Window, upto: int, choice: str, draw: random.Random) -> dict[int, bytes]:
    """The blocks of the first ``upto`` writes that reached the disk."""
    written = window[:upto]
    if choice == "none" or not written:
        return {}
    one = draw.randrange(len(written))
    if choice == "only one":
        written = [written[one]]
    elif choice == "all but one":
        written = written[:one] + written[one + 1 :]
    elif choice in _SHARES:
        written = [write for write in written if draw.random() < _SHARES[choice]]
    return {write.block: write.data for write in written}


Plan = tuple[int, int, str, int]


def plan(windows: list[Window], draw: random.Random, end: int, most: int) -> list[Plan]:
    """At most ``most`` of (window, writes in it, choice, seed): every moment, and each choice for every window.

    What comes after ``end`` in the log is left out.
    """
    found: list[Plan] = []
    for number, window in enumerate(windows):
        if not window or window[0].at > end:
            continue
        size = len(window)
        found += [(number, upto, "all", 0) for upto in range(1, size + 1)]
        found += [(number, size, "none", 0)]
        found += [
            (number, size, choice, draw.randrange(1 << 30)) for choice in CHOICES[2:] for _ in range(min(size, 8))
        ]
        found += [(number, draw.randint(1, size), "half", draw.randrange(1 << 30)) for _ in range(min(size, 2))]
    if len(found) > most:
        found = draw.sample(found, most)
    return sorted(found)


def states(windows: list[Window], plans: list[Plan], safe: bytearray) -> Iterator[State]:
    """The states in the order of time; ``safe`` is brought to what is certain at each."""
    done = 0
    for number, upto, choice, seed in plans:
        for window in windows[done:number]:
            for write in window:
                safe[write.block * BLOCK : (write.block + 1) * BLOCK] = write.data
        done = max(done, number)
        window = windows[number]
        kept = choose(window, upto, choice, random.Random(seed))
        yield State(f"window {number}, {upto} of {len(window)} writes, {choice}, {seed}", window[upto - 1].at, kept)
