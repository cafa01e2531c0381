"""An encrypted archive: age opens what Obhut sealed, Obhut what age sealed, and nothing in it tells what lies there."""

from __future__ import annotations

import os
import re
import subprocess
from datetime import date
from hashlib import sha256
from pathlib import Path

import pytest

import peers
from archives import NOW, Broken, Failing, Shelf, Silent, described, stranger
from obhut.archive import sealing
from obhut.archive.actions import keys, mirror, put, read, verify
from obhut.archive.agefile import AgeError, identities_of, open_age
from obhut.archive.judge import Verdict
from obhut.archive.record import LOG, Document, object_key, record_key
from obhut.archive.store import LocalStore, seconds
from obhut.archive.vault import Vault
from obhut.errors import ObhutError
from obhut.world import secret
from offices import Office
from program import Obhut

pytestmark = pytest.mark.interop

SECRET = b"Rechnung an Frau Muster, Konto 4711"
SIZES = (0, 1, 65_535, 65_536, 65_537, 131_072, 1_000_000)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path, sealed=True)


def refused(id: str, text: str | None = None) -> pytest.RaisesExc[ObhutError]:
    return pytest.RaisesExc(ObhutError, match=text, check=lambda error: error.id == id)


def age(*arguments: str | Path, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [str(peers.need("age")), *map(str, arguments)]
    return subprocess.run(command, input=data, capture_output=True, check=False, timeout=60)


def keygen(path: Path) -> str:
    """An identity made by age-keygen; gives its recipient."""
    made = subprocess.run([peers.need("age-keygen"), "-o", path], capture_output=True, text=True, check=True)
    found = re.search(r"age1[0-9a-z]+", made.stderr)
    assert found is not None
    return found[0]


def verdict_of(shelf: Shelf, *, contents: bool = True) -> Verdict:
    return verify.verify(shelf.vault(), shelf.today, Silent(), contents=contents)


class TestAge:
    """The files themselves."""

    @pytest.mark.parametrize("size", SIZES)
    def test_each_opens_what_the_other_sealed(self, tmp_path: Path, size: int) -> None:
        recipients = [keygen(tmp_path / name) for name in ("one", "two")]
        texts = [(tmp_path / name).read_text() for name in ("one", "two")]
        identity = texts[0].splitlines()[-1]
        assert secret.recipient_of(identity) == recipients[0]
        ring = secret.Keyring(identity, recipients)
        plain = os.urandom(size)
        (tmp_path / "ours").write_bytes(ring.seal(plain))
        for name in ("one", "two"):
            opened = age("-d", "-i", tmp_path / name, tmp_path / "ours")
            assert (opened.returncode, opened.stdout) == (0, plain), opened.stderr
        theirs = age("-r", recipients[1], "-r", recipients[0], data=plain)
        assert ring.open(theirs.stdout, "theirs") == plain
        if size < 100_000:
            for text in texts:
                assert open_age(theirs.stdout, identities_of(text)) == plain

    def test_an_identity_of_ours_is_one_of_theirs(self, tmp_path: Path) -> None:
        (tmp_path / "ours").write_text(made := secret.new_identity())
        shown = subprocess.run(
            [peers.need("age-keygen"), "-y", tmp_path / "ours"], capture_output=True, text=True, check=True
        )
        assert shown.stdout.strip() == secret.recipient_of(made)

    def test_other_kinds_of_recipients_among_the_stanzas(self, tmp_path: Path) -> None:
        """What was sealed to an SSH key as well opens all the same."""
        recipient = keygen(tmp_path / "one")
        subprocess.run([peers.need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "ssh"], check=True)
        theirs = age("-R", tmp_path / "ssh.pub", "-r", recipient, data=b"content")
        identity = (tmp_path / "one").read_text()
        ring = secret.Keyring(identity.splitlines()[-1], [recipient])
        assert ring.open(theirs.stdout, "theirs") == open_age(theirs.stdout, identities_of(identity)) == b"content"

    def test_every_altered_byte_is_found_by_both_readers(self) -> None:
        identity = secret.new_identity()
        ring = secret.Keyring(identity, [secret.recipient_of(identity) or ""])
        sealed = ring.seal(b"content")
        for at in range(len(sealed)):
            altered = bytearray(sealed)
            altered[at] ^= 1
            with pytest.raises(ObhutError):
                ring.open(bytes(altered), "x")
            with pytest.raises(AgeError):
                open_age(bytes(altered), identities_of(identity))
            with pytest.raises(AgeError):
                open_age(sealed[:at], identities_of(identity))


class TestArchive:
    def test_documents_come_out_as_they_went_in(self, shelf: Shelf, tmp_path: Path) -> None:
        contents = [SECRET, b"", os.urandom(3_000_000), SECRET]
        entries = shelf.put(*contents, event=date(2026, 3, 1))
        for (entry, _), content in zip(entries, contents, strict=True):
            target = tmp_path / f"out-{entry.document.index}"
            assert read.copy_out(shelf.vault(), entry.document.id, target) == entry.document
            assert target.read_bytes() == content
        verdict = shelf.sound()
        assert (verdict.size, verdict.documents, verdict.objects) == (5, 4, 3)
        assert verdict_of(shelf) == verdict
        # The same bytes received later are still one object.
        [(again, _)] = shelf.put(SECRET)
        assert again.document.key == entries[0][0].document.key
        assert verdict_of(shelf).objects == 3

    def test_age_opens_everything_with_either_identity(self, shelf: Shelf) -> None:
        entries = shelf.put(SECRET, b"another")
        for identity in (shelf.identity, shelf.recovery):
            for entry, _ in entries:
                opened = age("-d", "-i", identity, shelf.root / entry.document.key)
                assert sha256(opened.stdout).hexdigest() == entry.document.digest
                opened = age("-d", "-i", identity, shelf.root / record_key(entry.document.id))
                assert opened.stdout == entry.record

    def test_nothing_tells_what_lies_there(self, shelf: Shelf) -> None:
        [(entry, _)] = shelf.put(SECRET)
        document = entry.document
        everything = b"".join(path.read_bytes() + bytes(path) for path in shelf.files())
        for told in (SECRET, document.digest.encode(), document.name.encode(), document.salt.hex().encode()):
            assert told not in everything
        assert object_key(document.digest) != document.key
        sealed = [path for path in shelf.files() if "log" not in path.parts and path.name != "archive.json"]
        assert len(sealed) == 3
        assert all(path.read_bytes().startswith(b"age-encryption.org/v1\n") for path in sealed)

    def test_the_recovery_identity_alone_is_enough(self, shelf: Shelf, tmp_path: Path) -> None:
        [(entry, _)] = shelf.put(SECRET)
        shelf.identity.unlink()
        with refused("archive-identity"):
            list(read.documents(shelf.vault()))
        vault = Vault.open(LocalStore(shelf.root), lambda _: shelf.recovery)
        assert read.copy_out(vault, entry.document.id, tmp_path / "out") == entry.document
        assert "to recover with" in str(keys.check(vault, shelf.key)["opens"])
        # And it goes on, for whoever has the key of the log.
        wish = put.Wish([shelf.source("new", SECRET)], "voucher", None, "host")
        [(new, _)] = list(put.put(vault, shelf.key, wish, NOW, Silent()))
        assert new.document.key == entry.document.key

    def test_a_recovery_whose_identity_is_elsewhere(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        recipient = keygen(tmp_path / "elsewhere" / "identity")
        shelf = Shelf(tmp_path, create=False)
        shelf.encryption = sealing.Encryption(shelf.identity, recipient)
        shelf.made(LocalStore(shelf.root))
        assert not shelf.recovery.exists()
        [(entry, _)] = shelf.put(SECRET)
        opened = age("-d", "-i", tmp_path / "elsewhere" / "identity", shelf.root / entry.document.key)
        assert opened.stdout == SECRET

    def test_other_identities_open_nothing(self, shelf: Shelf, tmp_path: Path) -> None:
        shelf.put(SECRET)
        keygen(tmp_path / "other")
        (tmp_path / "none").write_text("no identity")
        for path in (tmp_path / "other", tmp_path / "none", tmp_path / "absent"):
            shelf.identity = path
            with refused("archive-identity"):
                shelf.verify()

    def test_files_are_for_their_owner(self, shelf: Shelf) -> None:
        assert {path.stat().st_mode & 0o777 for path in (shelf.identity, shelf.recovery)} == {0o600}

    def test_a_document_that_changes_meanwhile(self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
        honest = sealing.Sealed.ready

        def late(self: sealing.Sealed, store: LocalStore, sources: list[sealing.Source]) -> object:
            (shelf.sources / "document-0").write_bytes(b"another")
            return honest(self, store, sources)

        monkeypatch.setattr(sealing.Sealed, "ready", late)
        with refused("document-changed"):
            shelf.put(SECRET)
        monkeypatch.undo()
        shelf.put(b"third")
        assert shelf.sound().documents == 1


class TestTampering:
    def test_flipped_bits_are_named(self, shelf: Shelf) -> None:
        [(entry, _)] = shelf.put(SECRET)
        for key in (entry.document.key, record_key(entry.document.id)):
            path = shelf.root / key
            data, times = bytearray(path.read_bytes()), path.stat()
            data[-1] ^= 1
            path.chmod(0o600)
            path.write_bytes(bytes(data))
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
            assert key in {fault.object for fault in shelf.verify().faults}
            assert key in strangers(shelf, code=1)
            data[-1] ^= 1
            path.write_bytes(bytes(data))
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert shelf.sound().documents == 1

    def test_who_puts_himself_among_the_recipients_gets_nothing(self, shelf: Shelf, tmp_path: Path) -> None:
        """``archive.json`` lies where whoever has the storage can write; the log says what it has to be."""
        shelf.put(SECRET)
        path = shelf.root / "archive.json"
        mallory = keygen(tmp_path / "mallory")
        own = secret.recipient_of(next(line for line in shelf.identity.read_text().splitlines() if "SECRET" in line))
        path.chmod(0o600)
        path.write_text(re.sub(r'"recipients":\[.*?\]', f'"recipients":["{own}","{mallory}"]', path.read_text()))
        before = shelf.files()
        with refused("archive-damaged", "first record"):
            shelf.put(b"for mallory's eyes")
        assert shelf.files() == before

    def test_an_object_sealed_anew_is_named(self, shelf: Shelf) -> None:
        """With the recipients anybody can seal; what a record says of the file shows it."""
        [(entry, _)] = shelf.put(SECRET)
        path = shelf.root / entry.document.key
        until = path.stat().st_mtime_ns
        path.chmod(0o600)
        own, recovery = shelf.vault().described.recipients
        path.write_bytes(age("-r", own, "-r", recovery, data=b"forged").stdout)
        os.utime(path, ns=(until, until))
        assert [fault.object for fault in shelf.verify().faults] == [entry.document.key]
        assert {fault.what for fault in verdict_of(shelf).faults} == {
            "its bytes are not those that came in",
            "what is sealed in it is not what came in",
        }

    def test_a_record_that_lies_about_its_file_is_found_by_opening_it(self, shelf: Shelf) -> None:
        """As a broken intake could have written it: the file is as the record says, and holds something else."""
        honest = secret.Keyring.seal_files

        def broken(self: secret.Keyring, items: list[tuple[bytes, str, int, bytes]]) -> list[tuple[str, int]]:
            other = shelf.base / "other"
            other.write_bytes(b"other")
            found = sha256(b"other").hexdigest()
            return honest(self, [(bytes(other), found, 5, target) for _, _, _, target in items])

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(secret.Keyring, "seal_files", broken)
            shelf.put(SECRET)
        assert shelf.verify().faults == []
        assert [fault.what for fault in verdict_of(shelf).faults] == ["what is sealed in it is not what came in"]


def strangers(shelf: Shelf, *, code: int = 0, identity: Path | None = None) -> str:
    """What somebody says who has nothing of ours but the verifier, and an identity."""
    key = shelf.root / f"{LOG}.vkey"
    ran = stranger(
        shelf.base, "--store", shelf.root, "--key", key, "--identity", identity or shelf.identity, today=shelf.today
    )
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran.stdout


class TestStrangers:
    def test_they_accept_it_with_either_identity(self, shelf: Shelf) -> None:
        shelf.put(SECRET, b"another", b"x" * 200_000)
        for identity in (shelf.identity, shelf.recovery):
            assert "3 documents in 3 objects" in strangers(shelf, identity=identity)

    def test_without_an_identity_they_say_so(self, shelf: Shelf) -> None:
        shelf.put(SECRET)
        ran = stranger(shelf.base, "--store", shelf.root, today=shelf.today)
        assert ran.returncode == 1
        assert "the archive is encrypted" in ran.stdout

    def test_a_receipt_needs_none(self, shelf: Shelf) -> None:
        [(entry, receipt)] = shelf.put(SECRET)
        from obhut.archive.receipt import encode

        (shelf.base / "receipt").write_bytes(encode(receipt))
        document = shelf.source("document", SECRET)
        ran = stranger(shelf.base, "receipt", os.fsdecode(document), "--key", shelf.root / f"{LOG}.vkey")
        assert ran.returncode == 0, ran.stdout
        assert entry.document.name in ran.stdout


def test_a_whole_cycle_of_an_encrypted_archive(tmp_path: Path) -> None:
    """Settled, held, released, proposed, signed, disposed of; and mirrored without being opened on the way."""
    office = Office(tmp_path, sealed=True)
    office.enrol("anna", "bert")
    [one, two] = office.file(SECRET, b"another", event=date(2026, 3, 1))
    copy = LocalStore(tmp_path / "second")

    def mirrored() -> None:
        mirror.mirror(office.vault(), copy, seconds(f"{office.today}T12:00:00Z"), Silent())
        verdict = verify.verify(office.vault(copy), office.today, Silent(), contents=True)
        assert (verdict.faults, verdict.remarks) == ([], [])

    mirrored()
    document = Document.parse(office.vault().record(one))
    assert (copy.root / document.key).read_bytes() == (office.root / document.key).read_bytes()
    office.wait(15)
    assert office.settle().documents == 2
    hold = office.hold(one)
    office.go_to(date(2035, 1, 2))
    assert office.release(hold) == 1
    mirrored()
    proposal = office.propose()
    assert proposal is not None
    office.approve(proposal, "anna", "bert")
    assert len(office.dispose(proposal).certificates) == 2
    verdict = office.sound()
    assert (verdict.documents, verdict.disposed, verdict.objects) == (0, 2, 0)
    mirrored()
    assert not (copy.root / document.key).exists()
    assert "2 were disposed of" in strangers(office)
    assert two


def test_a_stopped_writer_of_the_same_content_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    """The file that it sealed is taken for the document; nobody seals it again."""
    for at in range(1, 8):
        base = tmp_path / f"{at}"
        base.mkdir()
        shelf = Shelf(base, sealed=True)
        try:
            shelf.put(SECRET, store=Failing(shelf.root, at, kept=True))
        except Broken:
            shelf.put(SECRET)
        verdict = verdict_of(shelf)
        assert verdict.faults == []
        assert (verdict.objects, {remark.what for remark in verdict.remarks}) == (1, set())


class TestCommands:
    @pytest.fixture
    def obhut(self, tmp_path: Path) -> Obhut:
        user = Obhut(tmp_path)
        user.environ["OBHUT_ARCHIVE"] = str(tmp_path / "archive")
        (tmp_path / "invoice.txt").write_bytes(SECRET)
        return user

    def test_a_first_encrypted_archive(self, obhut: Obhut, tmp_path: Path) -> None:
        run = obhut("archive", "init", "--name", "example.org/archive", "--encrypt")
        assert run.code == 0, run.err
        places = tmp_path / "home/.local/share/obhut/archive-keys"
        identity, recovery = places / "example.org_archive.identity", places / "example.org_archive.identity.recovery"
        assert str(identity) in run.out
        assert str(recovery) in run.out
        assert obhut("archive", "put", "invoice.txt", "--class", "voucher", "--event-date", "2026-03-01").code == 0
        assert obhut("archive", "verify", "--contents").code == 0
        [document] = [line for line in obhut("archive", "list", "--json").json() if line.get("name")]
        assert obhut("archive", "get", document["id"], "-o", "back.txt").code == 0
        assert (tmp_path / "back.txt").read_bytes() == SECRET
        # Taken away, as the program says; and tried from there.
        (tmp_path / "stick").mkdir()
        recovery.rename(tmp_path / "stick" / "recovery")
        run = obhut("archive", "key", "check", "--identity", "stick/recovery")
        assert "to recover with" in run.out
        assert obhut("archive", "key", "export", "--to", "stick").code == 0
        assert {path.name for path in (tmp_path / "stick").iterdir()} == {
            "recovery",
            "example.org_archive.key",
            "example.org_archive.identity",
        }
        assert "output-exists" in obhut("archive", "key", "export", "--to", "stick").err
        identity.unlink()
        run = obhut("archive", "list")
        assert run.code == 1
        assert "archive-identity" in run.err
        assert obhut("archive", "list", "--identity", "stick/recovery").code == 0

    def test_what_does_not_go_together(self, obhut: Obhut) -> None:
        recipient = secret.recipient_of(secret.new_identity()) or ""
        assert obhut("archive", "init", "--name", "a.example/x", "--no-encrypt", "--recovery", recipient).code == 2
        run = obhut("archive", "init", "--name", "a.example/x", "--encrypt", "--recovery", "age1nobody")
        assert run.code == 1
        assert "invalid-argument" in run.err

    def test_a_folder_is_not_encrypted_unless_somebody_says_so(self, obhut: Obhut, tmp_path: Path) -> None:
        assert obhut("archive", "init", "--name", "a.example/x").code == 0
        assert '"encryption":"none"' in (tmp_path / "archive" / "archive.json").read_text()
        assert "not encrypted" in obhut("archive", "key", "check").out


def test_described_archives_say_to_whom_they_are_sealed(shelf: Shelf) -> None:
    found = shelf.vault().described
    assert len(found.recipients) == 2
    assert found.names
    assert described().recipients == ()
