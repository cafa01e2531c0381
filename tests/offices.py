"""An archive with people in it, and clocks that tests set: everything from intake to disposal."""

from __future__ import annotations

import subprocess
from datetime import date, timedelta
from typing import TYPE_CHECKING

import facilities
from archives import Shelf, Silent, stranger
from obhut.archive import clocks, signing
from obhut.archive.actions import dispose, holds, people, read, settle
from obhut.archive.actions.keys import rotate
from obhut.archive.actions.people import Signatory
from obhut.archive.record import LOG, Document

if TYPE_CHECKING:
    from pathlib import Path

    from obhut.archive.actions.dispose import Outcome
    from obhut.archive.actions.keys import Rotated
    from obhut.archive.actions.settle import Settled
    from obhut.archive.ledger import Proposal
    from obhut.archive.store import LocalStore
    from obhut.archive.vault import Filed


def at(day: date) -> str:
    """Noon of a day."""
    return f"{day}T12:00:00Z"


class Office(Shelf):
    """An archive, its people with SSH keys of their own, and a day that is today."""

    def __init__(
        self,
        base: Path,
        *,
        create: bool = True,
        sealed: bool = False,
        audit: bool = False,
        today: date = date(2026, 11, 27),
    ) -> None:
        super().__init__(base, create=create, sealed=sealed, audit=audit)
        self.today = today
        #: What a witness says; by default the same as the host.
        self.elsewhere: date | None = today
        self.keys = base / "keys"
        self.keys.mkdir(exist_ok=True)

    def wait(self, days: int) -> None:
        """Both clocks go on."""
        self.today += timedelta(days=days)
        self.elsewhere = self.today

    def go_to(self, day: date) -> None:
        """Both clocks say this day."""
        self.today = self.elsewhere = day

    @property
    def agreed(self) -> clocks.Agreed:
        others = [] if self.elsewhere is None else [clocks.Reading("example.net/witness", at(self.elsewhere))]
        found = clocks.agree(clocks.Reading("host", at(self.today)), others)
        assert found is not None
        return found

    def key_of(self, name: str) -> Path:
        """Somebody's private key; made by ssh-keygen."""
        facilities.need("ssh-keygen")
        path = self.keys / name
        if not path.exists():
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)]
            subprocess.run(command, check=True, capture_output=True)
        return path

    def signatory(self, name: str, key: str | None = None) -> Signatory:
        """Somebody who signs, with a key of theirs, or with another's."""
        path = self.key_of(key or name)
        return Signatory(name, lambda text: signing.sign(path, text))

    def enrol(self, *names: str, store: LocalStore | None = None) -> None:
        for name in names:
            key = people.read_key(self.key_of(name).with_suffix(".pub"))
            people.change(self.vault(store), self.key, "enrol", name, key, None, at(self.today))

    def file(self, *contents: bytes, category: str = "voucher", event: date | None = None) -> list[str]:
        """Archives documents; gives their ids."""
        entries = self.put(*contents, category=category, event=event or self.today, now=at(self.today))
        return [entry.document.id for entry, _ in entries]

    def take(self, id: str, who: str = "carla@office", store: LocalStore | None = None) -> str:
        """Takes a document out of an archive that logs it; gives the id of the audit record."""
        filed = read.note_read(self.vault(store), self.key, "get", id, who, at(self.today))
        assert filed is not None
        return filed.statement.id

    def settle(self, store: LocalStore | None = None) -> Settled:
        return settle.settle(self.vault(store), self.key, at(self.today))

    def hold(self, *ids: str, until: date | None = None, store: LocalStore | None = None) -> str:
        filed = holds.hold(self.vault(store), self.key, ids, "tax office", "audit", until, at(self.today))
        return filed.statement.id

    def rotate(self, store: LocalStore | None = None) -> Rotated:
        return rotate(self.vault(store), self.key, "anna@host", at(self.today))

    def release(self, id: str, store: LocalStore | None = None) -> int:
        _, free = holds.release(self.vault(store), self.key, id, "tax office", "ended", at(self.today), self.today)
        return free

    def propose(self, store: LocalStore | None = None) -> str | None:
        filed = dispose.propose(self.vault(store), self.key, self.agreed, "the law has ended", at(self.today))
        return filed.statement.id if filed else None

    def withdraw(self, *ids: str) -> str:
        filed: Filed = dispose.withdraw(self.vault(), self.key, ids, "misfiled", at(self.today))
        return filed.statement.id

    def approve(self, id: str, *names: str) -> Proposal:
        signed = [dispose.approve(self.vault(), self.key, id, self.signatory(name), at(self.today)) for name in names]
        return signed[-1]

    def dispose(self, id: str, store: LocalStore | None = None) -> Outcome:
        copies = ["the backup of the office"]
        return dispose.dispose(self.vault(store), self.key, id, self.agreed, at(self.today), Silent(), copies)

    def let_go(self, *names: str) -> Outcome:
        """All that may go, proposed, signed and carried out."""
        proposal = self.propose()
        assert proposal is not None
        self.approve(proposal, *(names or ("anna", "bert")))
        return self.dispose(proposal)

    def bytes_of_everything(self) -> bytes:
        """Names and contents of all files of the archive."""
        return b"\n".join(bytes(path) + b"\n" + path.read_bytes() for path in self.files())


def leaf(id: str) -> int:
    """The leaf of an id."""
    return int(id.partition("-")[0])


def accepted_by_strangers(office: Office) -> str:
    identity: list[str | Path] = ["--identity", office.identity] if office.identity.exists() else []
    key = office.root / f"{LOG}.vkey"
    ran = stranger(office.base, "--store", office.root, "--key", key, *identity, today=office.today)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    return ran.stdout


def locked_until(office: Office, key: str) -> date:
    [lock] = office.vault().store.locks([key])
    assert lock is not None
    return date.fromtimestamp(lock[0])


def document(office: Office, id: str) -> Document:
    return Document.parse(office.vault().record(id))
