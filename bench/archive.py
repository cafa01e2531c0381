"""Measures an archive in a folder: documents in, one caller at a time, everything verified, by us and by strangers.

    python -m bench.archive [--place DIR] [--documents N] [--size BYTES] [--rounds N]

Floors stand beside it, on the same disk: the same files written and synced by two threads that do nothing else; the same
objects read, and hashed, by two that do nothing else, the faster of ``sha256sum`` and Python's hashlib. What is compared is
measured in turn; what counts is the median of the rounds.
"""

from __future__ import annotations

import argparse
import hashlib
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
from statistics import median
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
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    base = given.place / f"bench-archive-{os.getpid()}"
    base.mkdir()
    try:
        for line in measured(base, given.documents, given.size, given.rounds):
            print(line)
    finally:
        shutil.rmtree(base)


def measured(base: Path, count: int, size: int, rounds: int) -> list[str]:
    """The rows of the table."""
    sources = made(base / "sources", count + ALONE, size)
    rounded = [in_turn(base, number, sources[:count]) for number in range(rounds)]
    floors, bulks = [floor for floor, _ in rounded], [bulk for _, bulk in rounded]
    # The archive of the last round stays.
    key = base / f"key-{rounds - 1}"
    vault = Vault.open(LocalStore(base / f"archive-{rounds - 1}"))
    alone = timed(lambda: one_by_one(vault, key, sources[count:]))
    shutil.rmtree(base / "sources")
    place = Path(vault.store.location)
    reading = verifying(vault, place, count, size, rounds)
    (base / "verify.py").write_text(assembly.verifier())
    command = [sys.executable, "-I", *map(str, (base / "verify.py", "--store", place, "--key", place / f"{LOG}.vkey"))]
    strangers = timed(lambda: subprocess.run(command, check=True, capture_output=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        f"{count:,} documents of {size:,} bytes on {base.parent}, {rounds} rounds",
        row("write + fsync, two threads", median(floors), count, size),
        row("put, all at once", median(bulks), count, size),
        share(floors, bulks),
        row("put, one caller at a time", alone, ALONE, size),
        *reading,
        row("the verifier for strangers", strangers, count, size),
        f"  peak memory {peak:.0f} MiB",
    ]


def in_turn(base: Path, number: int, sources: list[Path]) -> tuple[float, float]:
    """One round of taking in: the floor, then a new archive in the place of the one before."""
    if number:
        shutil.rmtree(base / f"archive-{number - 1}")
    floor = timed(lambda: written(base / "floor", sources))
    shutil.rmtree(base / "floor")
    described = Description("example.org/bench", "de", (12, 31), NOW, "read-only")
    key = base / f"key-{number}"
    vault = Vault.create(LocalStore(base / f"archive-{number}"), key, described)
    return floor, timed(lambda: archived(vault, key, sources))


def verifying(vault: Vault, place: Path, count: int, size: int, rounds: int) -> list[str]:
    """The rows of verifying, with warm caches and with cold ones."""
    objects = sorted(path for path in (place / "objects").rglob("*") if path.is_file())
    everything = sorted(path for path in place.rglob("*") if path.is_file())
    keys = [str(path.relative_to(place)) for path in objects]
    sums, libs, hashes, warm, reads, cold = ([] for _ in range(6))
    plain(objects)
    for _ in range(rounds):
        sums.append(timed(lambda: sha256sum(objects)))
        libs.append(timed(lambda: hashlibs(objects)))
        hashes.append(timed(lambda: vault.store.hashes(keys)))
        warm.append(timed(lambda: judged(vault, count + ALONE)))
    floors = min(sums, libs, key=median)
    for _ in range(rounds):
        forget(objects)
        reads.append(timed(lambda: plain(objects)))
        forget(everything)
        cold.append(timed(lambda: judged(vault, count + ALONE)))
    return [
        row("sha256sum, two processes", median(sums), count, size),
        row("hashlib, two threads", median(libs), count, size),
        row("objects hashed, warm", median(hashes), count, size),
        share(floors, hashes),
        row("verify, warm", median(warm), count, size),
        share(floors, warm),
        row("objects read, two threads, cold", median(reads), count, size),
        row("verify, cold", median(cold), count, size),
        share(max(floors, reads, key=median), cold),
    ]


def row(what: str, seconds: float, count: int, size: int) -> str:
    """A line of the table."""
    return f"  {what:32}{seconds:8.2f} s  {count / seconds:8.0f} a second  {count * size / 1e6 / seconds:7.1f} MB/s"


def share(floors: list[float], ours: list[float]) -> str:
    """How near we are to a floor; the rounds by themselves beside it."""
    each = sorted(floor / one for floor, one in zip(floors, ours, strict=True))
    return f"    as a share of the floor       {median(floors) / median(ours):8.2f}  ({each[0]:.2f} to {each[-1]:.2f})"


def halves(paths: list[Path], work: Callable[[list[Path]], object]) -> None:
    """The work on two halves of the files at once."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, [paths[::2], paths[1::2]]))


def sha256sum(paths: list[Path]) -> None:
    """Hashes by a program that does nothing else, a process for each half."""

    def hash_all(half: list[Path]) -> None:
        # As few processes as command lines are long enough for.
        names = b"\0".join(os.fsencode(path) for path in half)
        subprocess.run(["xargs", "-0", "sha256sum"], input=names, check=True, stdout=subprocess.DEVNULL)

    halves(paths, hash_all)


def hashlibs(paths: list[Path]) -> None:
    """Hashes by openssl, as Python's library has it, a thread for each half."""

    def hash_all(half: list[Path]) -> None:
        for path in half:
            with path.open("rb", buffering=0) as file:
                hashlib.file_digest(file, "sha256").digest()

    halves(paths, hash_all)


def plain(paths: list[Path]) -> None:
    """Read and not looked at, a thread for each half."""

    def read_all(half: list[Path]) -> None:
        room = bytearray(1 << 20)
        for path in half:
            with path.open("rb", buffering=0) as file:
                while file.readinto(room):
                    pass

    halves(paths, read_all)


def forget(paths: list[Path]) -> None:
    """Takes files out of the cache; they are on the disk."""
    for path in paths:
        with path.open("rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


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


def timed(work: Callable[[], object]) -> float:
    """Seconds, the syncing of what was written before not counted."""
    os.sync()
    start = time.monotonic()
    work()
    return time.monotonic() - start


if __name__ == "__main__":
    main()
