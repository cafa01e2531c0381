"""An empty repository whose key derivation costs a millisecond: for tests that open one a thousand times.

Its two files were made by ``cargo run -p obhut-core --example cheap_repository``; the password is that of all tests.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

DATA = Path(__file__).resolve().parent / "data" / "cheap-repository"


def init(repository: Path) -> None:
    """Makes the repository; the folder must not exist."""
    for name in ("data", "index", "keys", "locks", "snapshots"):
        (repository / name).mkdir(parents=True)
    shutil.copyfile(DATA / "config", repository / "config")
    key = (DATA / "key").read_bytes()
    (repository / "keys" / hashlib.sha256(key).hexdigest()).write_bytes(key)
