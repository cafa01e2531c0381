"""Who runs this process: recorded in snapshots, keys and locks."""

from __future__ import annotations

import os
import pwd


def username() -> str:
    """The name of the effective user; its number if it has none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
