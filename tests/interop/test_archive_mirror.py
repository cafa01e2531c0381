"""A mirror: equal to its archive, whole after every stop, and a memory of what the log was."""

from __future__ import annotations

import json
import os
import shutil
from datetime import date
from hashlib import sha256
from pathlib import Path

import pytest

from archives import Broken, Failing, Silent, accepted, stranger
from obhut.archive import canonical
from obhut.archive.actions import mirror, read, verify
from obhut.archive.record import LOG, object_key, record_key
from obhut.archive.store import LocalStore, seconds
from obhut.archive.vault import Vault
from obhut.errors import ObhutError
from offices import Office, at
from program import Obhut

pytestmark = [pytest.mark.interop, pytest.mark.needs("ssh-keygen")]


class Mirrored(Office):
    """An archive and the folder of its mirror."""

    @property
    def second(self) -> Path:
        return self.base / "second"

    def mirror(self, store: LocalStore | None = None) -> mirror.Outcome:
        target = store or LocalStore(self.second)
        return mirror.mirror(self.vault(), target, seconds(at(self.today)), Silent())

    def equal(self) -> None:
        """The same files with the same dates, but for what only the sequencer needs; and everybody accepts it."""
        assert facts(self.second) == facts(self.root)
        verdict = verify.verify(self.vault(LocalStore(self.second)), self.today, Silent())
        assert (verdict.faults, verdict.remarks) == ([], [])
        assert accepted(self.second / LOG, self.second / f"{LOG}.vkey")


def facts(root: Path) -> dict[str, tuple[bytes, int]]:
    """Contents, and dates of locks of what has any. Narrow tiles of sizes that nobody stated here are nobody's."""
    found = {}
    for path in root.rglob("*"):
        if path.is_file() and path.parent.suffix != ".p":
            name = str(path.relative_to(root))
            locked = name.startswith(("objects/", "records/"))
            found[name] = (path.read_bytes(), int(path.stat().st_mtime) if locked else 0)
    # Statements have no date, so theirs is when they were written.
    return {name: (data, 0 if b'"facts":' in data else until) for name, (data, until) in found.items()}


@pytest.fixture
def office(tmp_path: Path) -> Mirrored:
    office = Mirrored(tmp_path)
    office.enrol("anna", "bert")
    office.file(b"one", b"two", b"one", event=date(2026, 3, 1))
    return office


def key_of(content: bytes) -> str:
    return object_key(sha256(content).hexdigest())


def refused(id: str, text: str | None = None) -> pytest.RaisesExc[ObhutError]:
    return pytest.RaisesExc(ObhutError, match=text, check=lambda error: error.id == id)


def test_it_follows_the_archive_through_its_life(office: Mirrored) -> None:
    done = office.mirror()
    assert (done.known, done.entries, done.records, done.objects, done.bytes) == (0, 6, 6, 2, 6)
    office.equal()
    assert office.mirror() == mirror.Outcome(entries=6, known=6)
    office.wait(15)
    office.settle()
    [old] = office.file(b"old", event=date(2001, 1, 1))
    hold = office.hold(old)
    office.mirror()
    office.equal()
    office.release(hold)
    office.mirror()
    office.equal()
    office.wait(40)
    proposal = office.propose()
    assert proposal is not None
    office.approve(proposal, "anna", "bert")
    office.dispose(proposal)
    assert b"old" in (office.second / key_of(b"old")).read_bytes()
    assert office.mirror().disposed == 1
    office.equal()
    ran = stranger(office.base, "--store", office.second, "--key", office.root / f"{LOG}.vkey", today=office.today)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("sealed", [False, True])
def test_audit_records_go_in_the_mirror_as_in_the_archive(tmp_path: Path, *, sealed: bool) -> None:
    office = Mirrored(tmp_path, sealed=sealed, audit=True)
    office.enrol("anna", "bert")
    [one, two] = office.file(b"one", b"two", event=date(2026, 3, 1))
    first, second = office.take(one), office.take(two)
    office.wait(15)
    office.settle()
    office.mirror()
    office.equal()
    keys = [record_key(first), record_key(second)]
    free = seconds("2030-01-02T00:00:00Z")
    assert LocalStore(office.second).locks(keys) == [(free, False), (free, False)]
    LocalStore(office.second).extend([(keys[1], free + 86400)])
    office.go_to(date(2030, 1, 2))
    office.let_go()
    done = office.mirror()
    assert (done.disposed, done.kept, done.records) == (1, [second], 5)
    assert [(office.second / key).exists() for key in keys] == [False, True]
    verdict = verify.verify(office.vault(LocalStore(office.second)), office.today, Silent())
    assert [(fault.object, fault.what) for fault in verdict.faults] == [
        (keys[1], "it was disposed of, and it is still there")
    ]
    office.wait(1)
    assert office.mirror().disposed == 1
    office.equal()


@pytest.mark.parametrize("count", [253, 254, 255, 300])
def test_logs_that_fill_their_tiles(office: Mirrored, count: int) -> None:
    office.mirror()
    office.put(*[b"document %d" % number for number in range(count)], now=at(office.today))
    office.mirror()
    office.equal()


def test_a_shared_object_stays_until_its_last_record_goes(office: Mirrored) -> None:
    office.file(b"same", category="letter", event=date(2001, 1, 1))
    office.file(b"same", category="book", event=date(2026, 1, 1))
    office.wait(40)
    office.mirror()
    office.let_go()
    assert office.mirror().disposed == 1
    assert (office.second / key_of(b"same")).read_bytes() == b"same"
    office.equal()


def test_what_is_still_locked_in_the_mirror_goes_later(office: Mirrored) -> None:
    [old] = office.file(b"old", event=date(2001, 1, 1))
    office.wait(40)
    office.mirror()
    LocalStore(office.second).extend([(key_of(b"old"), seconds(at(date(2027, 6, 1))))])
    office.let_go()
    assert office.mirror().kept == [old]
    verdict = verify.verify(Vault.open(LocalStore(office.second)), office.today, Silent())
    assert [fault.what for fault in verdict.faults] == ["its document was disposed of, and it is still there"]
    office.go_to(date(2027, 6, 2))
    assert office.mirror().disposed == 1
    office.equal()


class TestRefusals:
    def test_a_log_that_was_cut_or_written_anew(self, office: Mirrored) -> None:
        shutil.copytree(office.root, office.base / "kept")
        office.file(b"inconvenient")
        office.mirror()
        before = facts(office.second)
        shutil.rmtree(office.root)
        shutil.copytree(office.base / "kept", office.root)
        with refused("log-rolled-back"):
            office.mirror()
        office.file(b"convenient")
        with refused("log-forked"):
            office.mirror()
        assert facts(office.second) == before

    def test_another_archive_or_no_place(self, office: Mirrored, tmp_path: Path) -> None:
        (tmp_path / "x").mkdir()
        other = Mirrored(tmp_path / "x")
        other.mirror()
        with refused("archive-place", "another log"):
            office.mirror(LocalStore(other.second))
        with refused("archive-place", "the archive itself"):
            office.mirror(LocalStore(office.root))
        with refused("archive-place"):
            office.mirror(LocalStore(office.base))
        with refused("archive-place"):
            office.mirror(LocalStore(tmp_path / "absent" / "below"))

    def test_what_was_altered_is_not_copied(self, office: Mirrored) -> None:
        office.mirror()
        before = facts(office.second)
        office.file(b"three")
        path = office.root / key_of(b"three")
        path.chmod(0o640)
        path.write_bytes(b"thrEe")
        with refused("archive-damaged"):
            office.mirror()
        assert Vault.open(LocalStore(office.second)).stated().checkpoint.size == 6
        assert {name: fact for name, fact in facts(office.second).items() if name in before} == before
        path.write_bytes(b"three")
        office.mirror()
        verdict = verify.verify(Vault.open(LocalStore(office.second)), office.today, Silent())
        assert verdict.documents == 4

    def test_a_mirror_that_lost_something_gets_it_again(self, office: Mirrored) -> None:
        office.mirror()
        (office.second / key_of(b"two")).unlink()
        next((office.second / "records/000").iterdir()).unlink()
        done = office.mirror()
        assert (done.records, done.objects) == (1, 1)
        office.equal()


@pytest.mark.parametrize("kept", [False, True])
def test_a_call_that_fails_and_may_have_been_done(tmp_path: Path, *, kept: bool) -> None:
    """What the mirror states is whole at every moment, and the next run ends what was begun."""
    base = Mirrored(tmp_path)
    base.enrol("anna", "bert")
    base.file(b"old", b"older", event=date(2001, 1, 1))
    at_call = 0
    for begun in (False, True):
        if begun:
            base.wait(40)
            base.hold(base.file(b"held")[0])
            base.let_go()
        at_call = 0
        while True:
            at_call += 1
            store = Failing(base.second, at_call, kept=kept)
            try:
                base.mirror(store)
            except Broken:
                if LocalStore(base.second).exists():
                    vault = Vault.open(LocalStore(base.second))
                    faults = verify.verify(vault, base.today, Silent()).faults
                    # The log says here, too, that documents went; the next run takes them away.
                    assert begun or faults == []
                    assert {fault.what for fault in faults} <= {"its document was disposed of, and it is still there"}
                if not begun:
                    shutil.rmtree(base.second, ignore_errors=True)
                continue
            assert store.calls < at_call
            break
        base.equal()
    assert at_call > 4


def test_the_command(tmp_path: Path) -> None:
    obhut = Obhut(tmp_path)
    obhut.environ["OBHUT_ARCHIVE"] = str(tmp_path / "archive")
    (tmp_path / "file").write_text("x")
    assert obhut("archive", "init", "--name", "example.org/archive").code == 0
    [put] = obhut("archive", "put", "file", "--class", "letter", "--json").json()
    run = obhut("archive", "mirror", "--to", "second")
    assert (run.code, run.out) == (0, "second states 2 entries (2 new): 1 objects copied (1 B)\n")
    [line] = obhut("archive", "mirror", "--to", "second", "--json").json()
    assert (line["entries"], line["known"], line["objects"]) == (2, 2, 0)
    assert obhut("archive", "verify", "--store", "second").code == 0
    assert obhut("archive", "get", put["id"], "--store", "second", "-o", "out").code == 0
    assert (tmp_path / "out").read_text() == "x"
    shutil.rmtree(tmp_path / "archive")
    run = obhut("archive", "mirror", "--to", "second")
    assert (run.code, "[archive-missing]" in run.err) == (10, True)
    # The mirror in the place of the archive: everything goes on from there.
    os.rename(tmp_path / "second", tmp_path / "archive")
    assert obhut("archive", "put", "file", "--class", "letter").code == 0
    assert obhut("archive", "verify").code == 0
    assert len(list(read.documents(Vault.open(LocalStore(tmp_path / "archive"))))) == 2


def test_of_two_records_of_one_leaf_the_one_that_was_logged_is_copied(office: Mirrored) -> None:
    """As a writer leaves one who lost a race in a bucket; its name comes first."""
    [key] = [key for key in office.vault().store.keys("records/000") if key.startswith("records/000/003-")]
    fields = json.loads((office.root / key).read_bytes())
    planted = office.root / "records/000/003-0000000000000000"
    planted.write_bytes(canonical.encode({**fields, "id": "3-0000000000000000", "name": "another"}))
    office.mirror()
    assert not (office.second / "records/000" / planted.name).exists()
    assert (office.second / key).read_bytes() == (office.root / key).read_bytes()
    verdict = verify.verify(office.vault(LocalStore(office.second)), office.today, Silent())
    assert (verdict.faults, verdict.remarks) == ([], [])
