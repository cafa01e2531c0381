"""Any single system call of ``obhut archive put`` fails, or the program dies before it; tessera's fsck and we judge.

``OBHUT_EVERY_CALL=1`` (``make faults``) injects each of three faults at each call that changes the archive; without it a
sample is drawn from ``OBHUT_SEED``.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import facilities
import straced
from archives import Shelf
from obhut.archive.actions import read
from program import Obhut

if TYPE_CHECKING:
    from straced import Point

EVERY: Final = bool(os.environ.get("OBHUT_EVERY_CALL"))
SEED: Final = os.environ.get("OBHUT_SEED", "1")
SAMPLE: Final = 8

pytestmark = [pytest.mark.slow, pytest.mark.interop, pytest.mark.needs("strace")]

#: Dates of locks are set by these.
DATES: Final = ("utimensat",)

DOCUMENTS: Final = {"new-1": b"eins", "new-2": b"zwei" * 400_000, "old-0": b"old 0"}


@pytest.fixture(scope="module", params=["plain", "sealed"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive whose next documents fill a bundle: full tiles, narrow ones, and some that go."""
    shelf = Shelf(tmp_path_factory.mktemp("base"), sealed=request.param == "sealed")
    shelf.put(*[b"old %d" % number for number in range(254)])
    for name, data in DOCUMENTS.items():
        shelf.source(name, data)
    return shelf.base


def put(base: Path, log: Path, inject: tuple[Point, str] | None = None) -> straced.Trace:
    command = [sys.executable, "-m", "obhut", "archive", "put", *sorted(str(base / "sources" / name) for name in DOCUMENTS),
               "--store", str(base / "archive"), "--key-file", str(base / "archive.key"), "--class", "letter",
               "--identity", str(base / "archive.identity")]  # fmt: skip
    return straced.run(command, base / "archive", log, env=Obhut(base).environ, inject=inject, more=DATES)


def answered(trace: straced.Trace) -> set[str]:
    """The ids that were shown: these documents are in the archive whatever happens."""
    return set(re.findall(r"^(\d+-[0-9a-f]{16})  ", trace.out, re.MULTILINE))


def points(base: Path, tmp: Path) -> list[Point]:
    copy = tmp / "probe"
    shutil.copytree(base, copy)
    trace = put(copy, tmp / "log")
    assert trace.code == 0, trace.err
    assert len(answered(trace)) == 3
    (writer,) = trace.writers()
    assert {name for (thread, name) in trace.counts if thread != writer} & set(straced.MUTATING) == set()
    return [call.point for call in trace.calls]


@pytest.mark.timeout(3600 if EVERY else 300)
def test_one_call_fails_or_is_the_last(base: Path, tmp_path: Path) -> None:
    """Nothing that was answered is lost, nothing is logged twice, what was not answered may be put in again."""
    every = [(point, fault) for point in points(base, tmp_path) for fault in straced.FAULTS]
    assert len(every) > 60
    cases = every if EVERY else random.Random(SEED).sample(every, SAMPLE)
    for number, (point, fault) in enumerate(cases):
        copy = tmp_path / str(number)
        shutil.copytree(base, copy)
        trace = put(copy, tmp_path / "log", (point, fault))
        straced.assert_injected(trace, point, fault)
        assert trace.killed or "Traceback" not in trace.err
        shown = answered(trace)
        if not trace.killed and trace.code == 0:
            assert len(shown) == 3, f"{point} {fault}"
        again = put(copy, tmp_path / "log")
        assert again.code == 0, f"{point} {fault}: {again.err}"
        shelf = Shelf(copy, create=False)
        ids = [document.id for document in read.documents(shelf.vault())]
        assert shown | answered(again) <= set(ids), f"{point} {fault}"
        # What a stop had left whole is logged, in order: none of the three, the first, two, or all of them.
        assert 254 + 3 <= len(ids) <= 254 + 6, f"{point} {fault}"
        verdict = shelf.verify()
        assert verdict.faults == [], f"{point} {fault}"
        assert verdict.documents == verdict.size - 1 == len(ids), f"{point} {fault}"
        assert shelf.accepted(), f"{point} {fault}"
        shutil.rmtree(copy)


def test_nothing_is_stated_before_it_lasts(base: Path, tmp_path: Path) -> None:
    """Each step's names are on the medium before the next one gives a name: records, objects, tiles, checkpoint."""
    copy = tmp_path / "copy"
    shutil.copytree(base, copy)
    trace = put(copy, tmp_path / "log")
    assert trace.code == 0, trace.err
    steps = ("records/", "objects/", "log/1/tile/", "log/1/checkpoint")
    named: list[tuple[int, int, str]] = []  # place in the trace, step, name
    for at, call in enumerate(trace.calls):
        if not call.ok:
            continue
        if call.name in {"renameat", "renameat2"}:
            temporary, name = call.paths
            (step,) = [number for number, start in enumerate(steps) if name.startswith(start)]
            # Records and objects get the date of their lock before they are synced.
            expected = ["openat2", "fchmod", *(DATES if step < 2 else ()), "fsync"]
            done = [before.name for before in trace.calls[:at] if before.ok and temporary in before.paths]
            assert [step for step in done if step != "pwrite64"] == expected, name
            named.append((at, step, name))
    assert [step for _, step, _ in named] == sorted(step for _, step, _ in named)
    assert {step for _, step, _ in named} == {0, 1, 2, 3}
    for at, step, name in named:
        later = [other for other, number, _ in named if number > step] or [len(trace.calls)]
        between = trace.calls[at : later[0]]
        folder = os.path.dirname(name)
        assert any(call.ok and call.name == "fsync" and call.paths == (folder,) for call in between), name
    # A copy of a document that the archive has already goes when it likes.
    removed = [
        at
        for at, call in enumerate(trace.calls)
        if call.ok and call.name == "unlinkat" and not call.paths[0].startswith("objects/incoming-tmp-")
    ]
    assert removed
    assert min(removed) > max(at for at, _, _ in named), "narrow tiles go once the checkpoint is there"
    made = [(at, call.paths[0]) for at, call in enumerate(trace.calls) if call.ok and call.name == "mkdirat"]
    for at, name in made:
        inside = next(
            other
            for other, call in enumerate(trace.calls)
            if call.name in {"openat2", "renameat2"} and call.paths[-1].startswith(f"{name}/")
        )
        parent = os.path.dirname(name)
        assert any(call.ok and call.name == "fsync" and call.paths == (parent,) for call in trace.calls[at:inside]), (
            name
        )


@pytest.mark.root
@pytest.mark.needs("mount")
def test_a_full_disk(tmp_path: Path) -> None:
    facilities.need("mount")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=True)
    try:
        shelf = Shelf(disk)
        kept = shelf.put(b"kept")
        big = tmp_path / "big"
        big.write_bytes(os.urandom(8_000_000))
        obhut = Obhut(tmp_path)
        line = (
            "archive",
            "put",
            str(big),
            "--store",
            str(shelf.root),
            "--key-file",
            str(shelf.key),
            "--class",
            "letter",
        )
        for _ in range(2):
            run = obhut(*line)
            assert run.code == 1
            assert "[no-space]" in run.err
        assert [document.id for document in read.documents(shelf.vault())] == [kept[0][0].document.id]
        subprocess.run(["mount", "-o", "remount,size=40m", str(disk)], check=True)
        assert obhut(*line).code == 0
        assert shelf.sound().documents == 2
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.timeout(120)
def test_two_processes_at_once(tmp_path: Path) -> None:
    """They take turns: every document is answered, and each once."""
    shelf = Shelf(tmp_path)
    obhut = Obhut(tmp_path)
    for number in range(24):
        shelf.source(f"file-{number}", b"%d" % number)
    started = [
        obhut.start("archive", "put", *(str(shelf.sources / f"file-{number}") for number in range(part, 24, 4)),
                    "--store", str(shelf.root), "--key-file", str(shelf.key), "--class", "letter")
        for part in range(4)
    ]  # fmt: skip
    ids = []
    for process in started:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        ids += re.findall(r"^(\d+)-[0-9a-f]{16}  ", out.decode(), re.MULTILINE)
    assert sorted(map(int, ids)) == list(range(1, 25))
    assert shelf.sound().documents == 24
