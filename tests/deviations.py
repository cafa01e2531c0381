"""What a peer does otherwise on repositories of restic and of its own; the same is excused on ours, nothing else.

Each entry stands in ``docs/reference/compatibility.md`` with the same words, and ``tests/interop/test_deviations.py``
proves each one without us, or fails. A line is one of ``rsync --itemize-changes``: eleven letters that say what
differs, then the path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Deviation:
    """A peer's own way with one thing in the tree of :mod:`trees`."""

    program: str
    #: When it reads a repository, whoever wrote it; or when it writes one, whoever restores from it.
    when: Literal["restores", "writes"]
    line: str
    #: In the documentation.
    said: str

    def excuses(self, line: str) -> bool:
        """Whether this difference is the one."""
        return re.fullmatch(self.line, line) is not None


_LINK = r"cLc\.{8} links/bytes-target -> .*"
_ON_LINK = r"\.L\.{8}x attributes/link -> file"

KNOWN: tuple[Deviation, ...] = (
    Deviation(
        "rustic",
        "restores",
        r"\.f\.\.\.p\.{5} owners-and-modes/file-0000",
        "restores a file of mode 0000 with other permissions",
    ),
    Deviation(
        "rustic",
        "writes",
        r"\.d\.\.t\.{6} \./",
        "does not keep the time of the top folder of a backup as it was",
    ),
    Deviation("restic-0.14", "restores", _LINK, "garbles link targets that are not UTF-8 when it restores"),
    Deviation("restic-0.14", "writes", _LINK, "garbles link targets that are not UTF-8 when it backs up"),
    Deviation("restic-0.14", "restores", _ON_LINK, "does not restore extended attributes of symbolic links"),
    Deviation("restic-0.14", "writes", _ON_LINK, "does not back up extended attributes of symbolic links"),
    Deviation(
        "restic-0.14",
        "restores",
        r"\.f\.{8}x attributes/file",
        "does not restore an extended attribute without content",
    ),
)


def excuses(*, writer: str, reader: str) -> list[Deviation]:
    """What may differ after this pair."""
    return [
        deviation
        for deviation in KNOWN
        if (deviation.program, deviation.when) in {(writer, "writes"), (reader, "restores")}
    ]


def unexplained(lines: str, *, writer: str, reader: str) -> list[str]:
    """The differences that nobody may have."""
    allowed = excuses(writer=writer, reader=reader)
    return [line for line in lines.splitlines() if not any(deviation.excuses(line) for deviation in allowed)]
