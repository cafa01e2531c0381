"""The folders that are backed up: they change from round to round, and what they hold is written down."""

from __future__ import annotations

import hashlib
import os
import random
import stat
from pathlib import Path

import trees
from soak.model import Manifest

KIB = 1024
#: So many files at most in one source; more are removed.
MOST_FILES = 60


def change(source: Path, draw: random.Random) -> None:
    """Adds, changes, renames and removes something."""
    source.mkdir(exist_ok=True)
    files = sorted(path for path in source.rglob("*") if path.is_file() and not path.is_symlink())
    while len(files) > MOST_FILES:
        files.pop(draw.randrange(len(files))).unlink()
    for _ in range(draw.randint(1, 5)):
        path = source / f"folder-{draw.randint(0, 4)}" / f"file-{draw.randint(0, 20)}"
        path.parent.mkdir(exist_ok=True)
        if path.is_symlink():
            path.unlink()
        victim = draw.choice(files) if files else None
        _change_one(path, victim, draw)


def _change_one(path: Path, victim: Path | None, draw: random.Random) -> None:
    kind = draw.choice(["noise", "text", "append", "mode", "link", "remove", "rename", "twin"])
    if kind == "noise":
        path.write_bytes(trees.noise(draw, draw.choice([0, 10, 5000, 300_000, 600_000, 3_000_000])))
    elif kind == "text":
        path.write_bytes(trees.text(draw, draw.choice([100, 100_000, 2_000_000])))
    elif kind == "append":
        with path.open("ab") as file:
            file.write(trees.noise(draw, 1000))
    elif kind == "mode" and path.exists():
        path.chmod(draw.choice([0o600, 0o640, 0o755]))
    elif kind == "link" and not path.exists():
        path.symlink_to(f"../folder-{draw.randint(0, 4)}/somewhere")
    elif victim is not None and victim.exists() and not victim.is_symlink():
        if kind == "remove":
            victim.unlink()
        elif kind == "rename":
            victim.rename(path)
        elif kind == "twin":
            path.write_bytes(victim.read_bytes())


def manifest(root: Path) -> Manifest:
    """What lies below a folder (the folder's own times aside, which rustic does not keep)."""
    found: Manifest = {}
    for folder, names, files in os.walk(root):
        for name in [*names, *files]:
            path = os.path.join(folder, name)
            known = os.lstat(path)
            kind, mode = stat.S_IFMT(known.st_mode), stat.S_IMODE(known.st_mode)
            owner = (known.st_uid, known.st_gid)
            content: object = None
            if stat.S_ISREG(known.st_mode):
                with open(path, "rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
            elif stat.S_ISLNK(known.st_mode):
                content = os.readlink(path)
            size = known.st_size if stat.S_ISREG(known.st_mode) else 0
            found[os.path.relpath(path, root)] = (kind, mode, owner, known.st_mtime_ns, size, content)
    return found


def total(held: Manifest) -> int:
    """Bytes of all files."""
    return sum(int(str(entry[4])) for entry in held.values())
