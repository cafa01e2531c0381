"""What a peer does otherwise on restic's *own* repository; the same is excused on ours, nothing else.

Each entry stands in ``docs/reference/compatibility.md`` too. A line is one of ``rsync --itemize-changes``: eleven
letters that say what differs, then the path.
"""

from __future__ import annotations

import re

KNOWN: dict[str, tuple[str, ...]] = {
    "obhut": (),
    "restic": (),
    # Restores mode 0000 as the default mode; does not keep what belongs to the top folder of a backup.
    "rustic": (r".f\.\.\.p\S* owners-and-modes/file-0000", r".d\.\.\.p\S* owners-and-modes/folder-0000/"),
    # Garbles link targets that are not UTF-8; drops attributes without content and attributes of links.
    "restic-0.14": (
        r".L[c.]\S* links/bytes-target -> .*",
        r"cL\S* links/bytes-target -> .*",
        r".f\.{8}x attributes/file",
        r".L\.{8}x attributes/link -> file",
    ),
}
#: The same for what the tool leaves out when it *writes*; whoever restores it, the difference shows.
WRITES: dict[str, tuple[str, ...]] = {
    "obhut": (),
    "restic": (),
    "rustic": (r".d\.\.t\S* \./",),
    "restic-0.14": (
        r".L[c.]\S* links/bytes-target -> .*",
        r"cL\S* links/bytes-target -> .*",
        r".L\.{8}x attributes/link -> file",
    ),
}


def unexplained(lines: str, *, writer: str, reader: str) -> list[str]:
    """The differences that nobody may have."""
    excused = [re.compile(pattern) for pattern in KNOWN[reader] + WRITES[writer]]
    return [line for line in lines.splitlines() if not any(pattern.fullmatch(line) for pattern in excused)]
