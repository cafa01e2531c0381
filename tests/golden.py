"""Makes archives as this version writes them, with all that can happen in one: to be kept, and to verify for ever.

    PYTHONPATH=tests:src python tests/golden.py FOLDER [NUMBER]

writes ``plain-N.tar.gz`` and ``sealed-N.tar.gz``. The ones in ``tests/data/archives`` are never made anew: what is added to
the format gets a life, and files, of its own. Dates of locks are times of files, which tar keeps.
"""

from __future__ import annotations

import os
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from archives import Silent
from authorities import Authority
from obhut.archive.actions import put, rules, settle, stamp
from obhut.archive.store import seconds
from offices import Office, at

#: The day on which they are looked at: after everything that happened in them.
LOOKED_AT: Final = date(2036, 1, 1)


@dataclass(frozen=True, slots=True)
class Expected:
    """Documents that are there then, and that went; audit records likewise; and keys of the log."""

    documents: int
    disposed: int
    reads: int = 0
    reads_disposed: int = 0
    keys: int = 1


#: What is in the archives of each number.
EXPECTED: Final = {"1": Expected(261, 2), "2": Expected(5, 1, 2, 3, 3)}


def lived(base: Path, *, sealed: bool) -> Office:
    """Enrolment, intake (with a full tile), stamps, settling, holds, events, a class of its own, withdrawal, disposal."""
    office = Office(base, sealed=sealed)
    office.enrol("anna", "bert")
    rules.rule(
        office.vault(), office.key, rules.Wish("research", 15, "calendar year", "data", "sponsor"), at(office.today)
    )
    [voucher] = office.file("Rechnung über 4711 €".encode(), event=date(2026, 3, 1))
    office.file(b"", b"same", category="book", event=date(2026, 3, 1))
    office.file(b"same", category="research", event=date(2026, 3, 1))
    misfiled = office.file(b"private", event=date(2026, 3, 1))[0]
    wish = put.Wish([office.source("lease", b"lease")], "contract", None, "host", open=True)
    [(lease, _)] = list(put.put(office.vault(), office.key, wish, at(office.today), Silent()))
    authority = Authority(base / "authority")
    stamp.add_authority(office.vault(), office.key, "notary", "http://127.0.0.1/", authority.pem, at(office.today))
    office.put(*[b"document %d" % number for number in range(257)], category="book", event=date(2026, 1, 1))
    done = stamp.stamp(office.vault(), seconds(at(office.today)), authority.ask)
    if not all(outcome.stamp for outcome in done):
        raise SystemExit("no stamp")
    office.approve(office.withdraw(misfiled), "anna", "bert")
    office.wait(15)
    office.settle()
    held = office.hold(voucher)
    office.wait(16)
    _let_withdrawn_go(office)
    office.go_to(date(2035, 2, 1))
    settle.tell_event(office.vault(), office.key, lease.document.id, date(2034, 1, 1), "terminated", at(office.today))
    office.release(held)
    office.let_go()
    return office


def lived_again(base: Path, *, sealed: bool) -> Office:
    """Audit records that come and go, and changes of the log's key between them."""
    office = Office(base, sealed=sealed, audit=True)
    office.enrol("anna", "bert")
    first = office.file(b"one", b"two", b"three", event=date(2026, 3, 1))
    office.take(first[0])
    office.rotate()
    office.take(first[1])
    office.file(b"", event=date(2026, 3, 1))
    authority = Authority(base / "authority")
    stamp.add_authority(office.vault(), office.key, "notary", "http://127.0.0.1/", authority.pem, at(office.today))
    if not all(outcome.stamp for outcome in stamp.stamp(office.vault(), seconds(at(office.today)), authority.ask)):
        raise SystemExit("no stamp")
    office.wait(15)
    office.settle()
    office.take(first[2])
    office.wait(20)
    office.settle()
    office.go_to(date(2030, 2, 1))
    office.let_go()
    office.take(first[0])
    office.rotate()
    office.go_to(date(2030, 3, 1))
    office.settle()
    office.file(b"old", event=date(2001, 1, 1))
    office.file(b"new", event=date(2030, 1, 1))
    office.go_to(date(2033, 12, 31))
    office.settle()
    office.let_go()
    office.take(first[1])
    return office


def _let_withdrawn_go(office: Office) -> None:
    from obhut.archive.actions.survey import survey

    [proposal] = survey(office.vault()).ledger.proposals.values()
    office.dispose(proposal.statement.id)


def pack(office: Office, target: Path) -> None:
    """The archive, and what opens it, with the dates of its files and nothing of the machine's."""

    def bare(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        return entry

    with tarfile.open(target, "w:gz") as tar:
        tar.add(office.root, "archive", filter=bare)
        for path in (office.identity, office.recovery):
            if path.exists():
                tar.add(path, path.name, filter=bare)


def main(folder: Path, number: str = "2") -> None:
    life = {"1": lived, "2": lived_again}[number]
    for kind in ("plain", "sealed"):
        target = folder / f"{kind}-{number}.tar.gz"
        with tempfile.TemporaryDirectory() as base:
            pack(life(Path(base), sealed=kind == "sealed"), target)
        print(target, os.path.getsize(target))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
