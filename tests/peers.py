"""Finds the other programs that judge us: in ``$OBHUT_PEERS``, in ``../shared/peers`` beside the checkout, on PATH."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

import facilities

ROOT = Path(__file__).resolve().parent.parent


@functools.cache
def locate(name: str) -> Path | None:
    """The program, or ``None``."""
    folders = [os.environ.get("OBHUT_PEERS", ""), str(ROOT.parent / "shared" / "peers")]
    for folder in filter(None, folders):
        candidate = Path(folder) / name
        if os.access(candidate, os.X_OK):
            return candidate
    found = shutil.which(name)
    return Path(found) if found else None


def need(name: str) -> Path:
    """The program; skips the test without it, or fails it where peers are required."""
    found = locate(name)
    if found is None:
        facilities.absent(name, f"{name} is not in $OBHUT_PEERS, not in ../shared/peers and not on PATH")
    return found


@functools.cache
def old_restic() -> Path | None:
    """The restic of the distribution (Debian 12: 0.14), if it is another one than the current."""
    found = shutil.which("restic", path="/usr/bin:/bin")
    if found is None:
        return None
    text = subprocess.run([found, "version"], capture_output=True, text=True, check=True).stdout
    return Path(found) if text.startswith("restic 0.14.") else None


def need_old_restic() -> Path:
    """Debian's restic 0.14."""
    found = old_restic()
    if found is None:
        facilities.absent("restic-0.14", "restic 0.14 is not in /usr/bin (Debian 12 has it: apt-get install restic)")
    return found


@functools.cache
def old_syncthing() -> Path | None:
    """The Syncthing of the distribution (Debian 12: 1.19), if it is of that age."""
    found = shutil.which("syncthing", path="/usr/bin:/bin")
    if found is None:
        return None
    text = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    return Path(found) if text.startswith("syncthing v1.") else None


def need_old_syncthing() -> Path:
    """Debian's Syncthing 1.19."""
    found = old_syncthing()
    if found is None:
        facilities.absent("syncthing-1", "Syncthing 1 is not in /usr/bin (Debian 12 has it: apt-get install syncthing)")
    return found
