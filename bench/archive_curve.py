"""Cost curves of an archive: documents in, everything verified, by us and by strangers, over the number of documents.

    python -m bench.archive_curve [--place DIR] [--counts 1000,10000,…] [--encrypt] [--into FILE]
    python -m bench.archive_curve pictures FILE SVG

Documents of 1 kB come in by ten thousands and their sources go again, so that a million fits into memory (tmpfs). Each
step of each size is a process of its own, so that peaks of memory are its own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from bench.archive import NOW, archived, judged
from bench.pictures import Panel, Points, picture
from obhut.archive import assembly
from obhut.archive.description import Description
from obhut.archive.judge import read_leaves
from obhut.archive.record import LOG
from obhut.archive.sealing import Encryption
from obhut.archive.store import LocalStore
from obhut.archive.vault import Vault

SIZE: Final = 1000
CHUNK: Final = 10_000
#: What is measured, and what a line of the picture is called.
STEPS: Final = {"put": "put", "verify": "verify", "log": "log alone", "strangers": "strangers"}


def opened(base: Path) -> Vault:
    return Vault.open(LocalStore(base / "archive"), lambda _: base / "identity")


def step_put(base: Path, count: int, *, encrypt: bool) -> float:
    """Seconds of intake, of which the making of sources is no part."""
    encryption = Encryption(base / "identity", base / "recovery") if encrypt else None
    described = Description("example.org/bench", "de", (12, 31), NOW, "read-only")
    vault = Vault.create(LocalStore(base / "archive"), base / "key", described, encryption)
    draw, seconds = random.Random(count), 0.0
    for first in range(0, count, CHUNK):
        folder = base / "sources"
        folder.mkdir()
        sources = [folder / f"document-{number}" for number in range(first, min(first + CHUNK, count))]
        for source in sources:
            source.write_bytes(draw.randbytes(SIZE))
        start = time.monotonic()
        archived(vault, base / "key", sources)
        seconds += time.monotonic() - start
        shutil.rmtree(folder)
    return seconds


def step_verify(base: Path, count: int) -> float:
    start = time.monotonic()
    judged(opened(base), count)
    return time.monotonic() - start


def step_log(base: Path, count: int) -> float:
    """All leaves read, tiles and root made anew from them and compared."""
    vault = opened(base)
    start = time.monotonic()
    faults: list[Any] = []
    found = sum(1 for _ in read_leaves(vault.store.get, LOG, vault.stated().checkpoint, faults))
    if faults or found != count + 1:
        raise SystemExit(f"{faults[:3]}, {found} leaves")
    return time.monotonic() - start


def step_strangers(base: Path) -> float:
    (base / "verify.py").write_text(assembly.verifier())
    command = [sys.executable, "-I", "verify.py", "--store", "archive", "--key", f"archive/{LOG}.vkey"]
    if (base / "identity").exists():
        command += ["--identity", "identity"]
    start = time.monotonic()
    subprocess.run(command, check=True, capture_output=True, cwd=base)
    return time.monotonic() - start


def one(name: str, base: Path, count: int, *, encrypt: bool) -> None:
    """One step, in its own process; prints seconds and the peak of its memory in MiB."""
    if name == "put":
        seconds = step_put(base, count, encrypt=encrypt)
    elif name == "strangers":
        seconds = step_strangers(base)
    else:
        seconds = (step_verify if name == "verify" else step_log)(base, count)
    who = resource.RUSAGE_CHILDREN if name == "strangers" else resource.RUSAGE_SELF
    print(json.dumps({"seconds": seconds, "mib": resource.getrusage(who).ru_maxrss / 1024}))


def measure(place: Path, counts: list[int], *, encrypt: bool, into: Path | None) -> dict[str, Any]:
    """All sizes; what there is so far is saved after each."""
    found: dict[str, Any] = {}
    for count in counts:
        base = place / f"bench-archive-curve-{os.getpid()}"
        base.mkdir()
        try:
            for name in STEPS:
                command = [sys.executable, "-m", "bench.archive_curve", "step", name, str(base), str(count)]
                command += ["--encrypt"] if encrypt else []
                ran = subprocess.run(command, capture_output=True, text=True, check=True)
                found.setdefault(name, {})[str(count)] = json.loads(ran.stdout)
                figures = found[name][str(count)]
                print(
                    f"{count:>9,} documents, {STEPS[name]:<10} {figures['seconds']:8.2f} s "
                    f"{count / figures['seconds']:9.0f} a second {figures['mib']:7.0f} MiB",
                    flush=True,
                )
        finally:
            shutil.rmtree(base)
        if into:
            into.write_text(json.dumps(found, indent=1) + "\n")
    return found


def draw(found: dict[str, Any], target: Path) -> None:
    """The curves as a picture."""

    def points(name: str, what: str) -> Points:
        return [(float(count), figures[what]) for count, figures in found[name].items()]

    panels = [
        Panel(f"{words}, {unit}", "documents of 1 kB", {label: points(name, what) for name, label in STEPS.items()})
        for what, words, unit in (("seconds", "time", "seconds"), ("mib", "peak memory", "MiB"))
    ]
    target.write_text(picture(panels, binary=False), "utf-8")


def main() -> None:
    """Measures, or draws what was measured."""
    if sys.argv[1:2] == ["step"]:
        name, base, count = sys.argv[2:5]
        one(name, Path(base), int(count), encrypt="--encrypt" in sys.argv)
        return
    if sys.argv[1:2] == ["pictures"]:
        draw(json.loads(Path(sys.argv[2]).read_text()), Path(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--place", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--counts", default="1000,10000,100000,1000000")
    parser.add_argument("--encrypt", action="store_true")
    parser.add_argument("--into", type=Path)
    given = parser.parse_args()
    counts = [int(count) for count in given.counts.split(",")]
    measure(given.place, counts, encrypt=given.encrypt, into=given.into)


if __name__ == "__main__":
    main()
