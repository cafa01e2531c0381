"""Makes an archive as this version writes it, with all that can happen in one: to be kept, and to verify for ever.

    PYTHONPATH=tests:src python tests/golden.py FOLDER

writes ``plain-1.tar.gz`` and ``sealed-1.tar.gz``. The ones in ``tests/data/archives`` are never made anew: another version
of the format gets files of its own. Dates of locks are times of files, which tar keeps.
"""

from __future__ import annotations

import os
import sys
import tarfile
import tempfile
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

#: Documents that are there then, and that went.
LEFT: Final = 261
GONE: Final = 2


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


def main(folder: Path) -> None:
    for name, sealed in (("plain-1", False), ("sealed-1", True)):
        with tempfile.TemporaryDirectory() as base:
            pack(lived(Path(base), sealed=sealed), folder / f"{name}.tar.gz")
        print(folder / f"{name}.tar.gz", os.path.getsize(folder / f"{name}.tar.gz"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
