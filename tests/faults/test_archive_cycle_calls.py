"""Any single system call of ``hold``, ``settle``, ``key rotate`` and ``dispose`` fails, or the program dies before it.

As ``test_archive_calls.py`` does it for ``put``; ``OBHUT_EVERY_CALL=1`` (``make faults``) takes every call.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import straced
from obhut.archive.actions import keys, read
from obhut.archive.actions.survey import survey
from obhut.archive.witness import Witness
from offices import Office, leaf
from program import Obhut

if TYPE_CHECKING:
    from straced import Point

EVERY: Final = bool(os.environ.get("OBHUT_EVERY_CALL"))
SEED: Final = os.environ.get("OBHUT_SEED", "1")
SAMPLE: Final = 5

pytestmark = [
    *(pytest.mark.slow, pytest.mark.interop, pytest.mark.needs("strace"), pytest.mark.needs("ssh-keygen")),
]


class Prepared(Office):
    """Documents whose law has ended and that two people have released, and one that is kept; a witness of today."""

    ended: list[str]
    kept: str
    proposal: str


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    today = datetime.now(UTC).date()
    office = Prepared(tmp_path_factory.mktemp("base"), today=today - timedelta(days=60))
    office.enrol("anna", "bert")
    office.ended = office.file(b"old", b"older", b"old", event=date(2001, 1, 1))
    office.wait(20)
    [office.kept] = office.file(b"kept", event=date(2026, 1, 1))
    office.go_to(today)
    proposal = office.propose()
    assert proposal is not None
    office.approve(proposal, "anna", "bert")
    office.proposal = proposal
    witness = Witness.open(office.base / "witness", "example.net/witness")
    note, _, _ = witness.look(office.vault(), int(datetime.now(UTC).timestamp()))
    (office.base / "checkpoint").write_bytes(bytes(note))
    return office


def copied(base: Prepared, place: Path) -> Prepared:
    shutil.copytree(base.base, place)
    copy = Prepared(place, create=False, today=base.today)
    copy.ended, copy.kept, copy.proposal = base.ended, base.kept, base.proposal
    return copy


def run(office: Prepared, verb: str, log: Path, inject: tuple[Point, str] | None = None) -> straced.Trace:
    words = {
        "hold": ["hold", office.kept, "--who", "court", "--why", "lawsuit"],
        "settle": ["settle"],
        "rotate": ["key", "rotate"],
        "dispose": ["dispose", office.proposal, "--checkpoint", str(office.base / "checkpoint"),
                    "--witness", str(office.base / "witness/witness.vkey")],
    }[verb]  # fmt: skip
    command = [
        sys.executable,
        "-m",
        "obhut",
        "archive",
        *words,
        "--store",
        str(office.root),
        "--key-file",
        str(office.key),
    ]
    # The key lies beside the archive.
    place = office.base if verb == "rotate" else office.root
    return straced.run(command, place, log, env=Obhut(office.base).environ, inject=inject, more=("utimensat",))


#: What holds after a run that ended well.
DONE: Final[dict[str, Callable[[Prepared], bool]]] = {
    "hold": lambda o: bool(survey(o.vault()).ledger.held(leaf(o.kept), o.today)),
    "settle": lambda o: survey(o.vault()).ledger.settled_through() == leaf(o.kept) + 1,
    "rotate": lambda o: 1 <= len(o.vault().keys.handovers) <= 2 and bool(keys.check(o.vault(), o.key)),
    "dispose": lambda o: [document.id for document in read.documents(o.vault())] == [o.kept],
}


@pytest.mark.timeout(3600 if EVERY else 300)
@pytest.mark.parametrize("verb", DONE)
def test_one_call_fails_or_is_the_last(base: Prepared, tmp_path: Path, verb: str) -> None:
    probe = copied(base, tmp_path / "probe")
    trace = run(probe, verb, tmp_path / "log")
    assert trace.code == 0, trace.err
    assert DONE[verb](probe)
    every = [(call.point, fault) for call in trace.calls for fault in straced.FAULTS]
    assert len(every) > 30
    for number, (point, fault) in enumerate(every if EVERY else random.Random(SEED + verb).sample(every, SAMPLE)):
        office = copied(base, tmp_path / str(number))
        trace = run(office, verb, tmp_path / "log", (point, fault))
        straced.assert_injected(trace, point, fault)
        assert trace.killed or "Traceback" not in trace.err
        if trace.code == 0:
            assert DONE[verb](office), f"{point} {fault}: it was answered"
        assert office.verify().faults == [], f"{point} {fault}"
        again = run(office, verb, tmp_path / "log")
        assert again.code == 0, f"{point} {fault}: {again.err}"
        assert DONE[verb](office), f"{point} {fault}"
        office.settle()
        verdict = office.verify()
        assert verdict.faults == [], f"{point} {fault}"
        assert verdict.documents + verdict.disposed == 4, f"{point} {fault}"
        assert verdict.disposed == (3 if verb == "dispose" else 0), f"{point} {fault}"
        assert office.accepted(), f"{point} {fault}"
        shutil.rmtree(office.base)
