"""Measures an archive in a folder: documents in, one caller at a time, everything verified, by us and by strangers.

    python -m bench.archive [--place DIR] [--documents N] [--size BYTES]

The floor stands beside it: the same files written and synced by two threads that do nothing else, on the same disk.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from obhut.archive import assembly
from obhut.archive.actions import put, verify
from obhut.archive.description import Description
from obhut.archive.record import LOG
from obhut.archive.store import LocalStore
from obhut.archive.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = "2026-11-27T12:00:00Z"
#: Documents of the measurement of one caller.
ALONE = 50


class Nobody:
    """A reporter to whom nothing is told."""

    verbosity = 0
    json = False
    watched = False

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def main() -> None:
    """Measures once and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--place", type=Path, default=Path("/var/tmp"))
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=10_000)
    given = parser.parse_args()
    base = given.place / f"bench-archive-{os.getpid()}"
    base.mkdir()
    try:
        for line in measured(base, given.documents, given.size):
            print(line)
    finally:
        shutil.rmtree(base)


def measured(base: Path, count: int, size: int) -> list[str]:
    """The rows of the table."""
    sources = made(base / "sources", count + ALONE, size)
    floor = timed(lambda: written(base / "floor", sources[:count]))
    vault = Vault.create(
        LocalStore(base / "archive"), base / "key", Description("example.org/bench", "de", (12, 31), NOW, "read-only")
    )
    bulk = timed(lambda: archived(vault, base / "key", sources[:count]))
    alone = timed(lambda: one_by_one(vault, base / "key", sources[count:]))
    drop_caches()
    reading = timed(lambda: judged(vault, count + ALONE))
    (base / "verify.py").write_text(assembly.verifier())
    command: list[str | Path] = [
        sys.executable,
        "-I",
        base / "verify.py",
        "--store",
        base / "archive",
        "--key",
        base / f"archive/{LOG}.vkey",
    ]
    strangers = timed(lambda: subprocess.run(command, check=True, capture_output=True))
    amount = count * size / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        f"{count:,} documents of {size:,} bytes on {base.parent}",
        f"  write + fsync, two threads   {floor:8.2f} s  {count / floor:8.0f} a second  {amount / floor:7.1f} MB/s",
        f"  put, all at once             {bulk:8.2f} s  {count / bulk:8.0f} a second  {amount / bulk:7.1f} MB/s",
        f"    as a share of the floor    {floor / bulk:8.2f}",
        f"  put, one caller at a time    {alone:8.2f} s  {ALONE / alone:8.0f} a second",
        f"  verify                       {reading:8.2f} s  {count / reading:8.0f} a second  {amount / reading:7.1f} MB/s",
        f"  the verifier for strangers   {strangers:8.2f} s  {count / strangers:8.0f} a second",
        f"  peak memory {peak:.0f} MiB",
    ]


def made(folder: Path, count: int, size: int) -> list[Path]:
    """Documents of random bytes."""
    folder.mkdir()
    draw = random.Random(count)
    paths = []
    for number in range(count):
        path = folder / f"document-{number}"
        path.write_bytes(draw.randbytes(size))
        paths.append(path)
    return paths


def written(folder: Path, sources: list[Path]) -> None:
    """Copies of the files, each synced, and their folder in the end."""
    folder.mkdir()

    def copy(source: Path) -> None:
        with (folder / source.name).open("wb") as out:
            out.write(source.read_bytes())
            out.flush()
            os.fsync(out.fileno())

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(copy, sources))
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def archived(vault: Vault, key: Path, sources: list[Path]) -> None:
    """All of them archived and answered."""
    reporter: Any = Nobody()
    wish = put.Wish([os.fsencode(source) for source in sources], "voucher", None, "bench")
    answered = sum(1 for _ in put.put(vault, key, wish, NOW, reporter))
    assert answered == len(sources)


def one_by_one(vault: Vault, key: Path, sources: list[Path]) -> None:
    """Each archived and answered before the next comes."""
    for source in sources:
        archived(vault, key, [source])


def judged(vault: Vault, count: int) -> None:
    """Everything verified, nothing found."""
    reporter: Any = Nobody()
    verdict = verify.verify(vault, date.fromisoformat(NOW[:10]), reporter)
    assert (verdict.faults, verdict.remarks, verdict.documents) == ([], [], count)


def drop_caches() -> None:
    """Cold caches, where we may."""
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        print("(caches are warm: dropping them is not allowed)")


def timed(work: Callable[[], object]) -> float:
    """Seconds, the syncing of what was written before not counted."""
    os.sync()
    start = time.monotonic()
    work()
    return time.monotonic() - start


if __name__ == "__main__":
    main()
