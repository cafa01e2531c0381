"""The log's key is changed: the log goes on, and whoever knows one of its keys is led to the others; thieves are not."""

from __future__ import annotations

import base64
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from archives import ORIGIN, Silent, accepted, stranger
from obhut.archive import keyfile, receipt, record
from obhut.archive.actions import mirror, read, verify
from obhut.archive.actions.keys import check as check_keys
from obhut.archive.actions.put import receipts
from obhut.archive.actions.survey import file, survey
from obhut.archive.record import KEYS, LOG
from obhut.archive.sequencer import Sequencer, first_note
from obhut.archive.store import LocalStore
from obhut.archive.vault import Draft, Logged, parsed
from obhut.archive.witness import Witness
from obhut.errors import ObhutError
from obhut.log import tiles
from obhut.log.handover import Handover, Keys, line_of
from obhut.log.note import Checkpoint, Key, Note
from obhut.world import durable, secret
from obhut.world.secret import Signer
from offices import Office, at
from program import Obhut

pytestmark = [pytest.mark.interop, pytest.mark.needs("ssh-keygen")]

TIME = 1_780_000_000


class Rotated(Office):
    """Documents under a first key, more under a second one, and what somebody kept of each time."""

    ids: list[str]
    #: The first key's file, its public half, and the newest checkpoint, before it was changed.
    stolen: bytes
    first: Path
    note: bytes

    def keep(self) -> None:
        self.stolen = self.key.read_bytes()
        self.note = (self.root / LOG / "checkpoint").read_bytes()
        self.first = self.base / "first.vkey"
        self.first.write_bytes((self.root / f"{LOG}.vkey").read_bytes())

    def judged(self, *more: str | Path) -> dict[str, str]:
        """What verify names, and why; strangers name the same."""
        found = {fault.object: fault.what for fault in self.verify().faults}
        ran = stranger(self.base, "--store", self.root, *more, today=self.today)
        named = {line.split(": ")[1] for line in ran.stdout.splitlines() if line.startswith("FAULT: ")}
        assert (named, ran.returncode, ran.stderr) == (set(found), int(bool(found)), ""), ran.stdout
        return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Rotated:
    office = Rotated(tmp_path_factory.mktemp("rotated"))
    office.ids = office.file(b"one", b"two")
    office.keep()
    office.rotate()
    office.ids += office.file(b"three")
    return office


@pytest.fixture
def office(made: Rotated, tmp_path: Path) -> Rotated:
    base = tmp_path / "office"
    shutil.copytree(made.base, base)
    copy = Rotated(base, create=False)
    copy.ids, copy.stolen, copy.note, copy.first = made.ids, made.stolen, made.note, base / "first.vkey"
    return copy


def refused(id: str, text: str | None = None) -> pytest.RaisesExc[ObhutError]:
    return pytest.RaisesExc(ObhutError, match=text, check=lambda error: error.id == id)


def handover(office: Office) -> Path:
    [path] = (office.root / KEYS).glob("*.note")
    return path


@pytest.mark.parametrize("sealed", [False, True])
def test_the_log_goes_on_under_a_new_key(tmp_path: Path, *, sealed: bool) -> None:
    office = Rotated(tmp_path, sealed=sealed)
    office.ids = office.file(*[b"document %d" % number for number in range(254)])
    office.keep()
    before = office.vault().key
    done = office.rotate()
    # The statement is entry 255, the last of a full tile: fsck takes the checkpoint that both signed.
    assert (done.old, done.new, done.size) == (before, office.vault().key, 256)
    assert done.old != done.new
    assert office.sound().documents == 254
    assert accepted(office.root / LOG, office.first), "both keys signed that one"
    assert [change.checkpoint.size for change in office.vault().keys.handovers] == [256]
    office.ids += office.file(b"under the new key")
    assert office.sound().documents == 255
    assert not accepted(office.root / LOG, office.first, 5), "the first key has signed nothing of it"
    office.rotate()
    office.file(b"under the third key")
    assert [key == office.vault().key for key in office.vault().keys.all] == [False, False, True]
    assert office.sound().documents == 256
    assert office.key.read_bytes() != office.stolen
    assert not keyfile.next_path(office.key).exists()
    assert check_keys(office.vault(), office.key)["signs"] == str(office.vault().key)
    more = ("--identity", office.identity) if sealed else ()
    for known in (None, office.first, *sorted((office.root / KEYS).glob("*.vkey"))):
        assert office.judged(*more, *(("--key", known) if known else ())) == {}


def test_strangers_are_told_of_the_change(office: Rotated) -> None:
    vault = office.vault()
    ran = stranger(office.base, "--store", office.root, "--key", office.first, today=office.today)
    assert f"At 4 entries the key {vault.keys.first} handed over to {vault.key}." in ran.stdout
    assert f"The key in {office.first} is not in charge any more." in ran.stdout
    foreign, _, _ = keyfile.make(ORIGIN)
    (office.base / "foreign.vkey").write_text(f"{foreign}\n")
    ran = stranger(office.base, "--store", office.root, "--key", office.base / "foreign.vkey", today=office.today)
    assert (ran.returncode, "is none of this log" in ran.stdout) == (1, True)


class TestReceipts:
    def check(self, office: Rotated, given: dict[str, Any], key: Path) -> tuple[int, str]:
        path = office.base / "a.receipt"
        path.write_bytes(receipt.encode(given))
        ran = stranger(office.base, path, "--key", key)
        assert ran.stderr == ""
        return ran.returncode, ran.stdout

    def old(self, office: Rotated) -> dict[str, Any]:
        """A receipt of the first document, made now, under a checkpoint that the first key signed: as one with a stamp is."""
        vault = office.vault()
        data = vault.record(office.ids[0])
        found = parsed(office.ids[0], data)
        return next(iter(receipts(vault, [Logged(found, data, record.leaf(found, data))], Note.parse(office.note))))

    def test_who_knows_an_older_key_is_led_to_the_one_that_signed(self, office: Rotated) -> None:
        for name in office.ids:
            given = read.receipt_of(office.vault(), name)
            assert given["log_key"] == str(office.vault().key)
            code, said = self.check(office, given, office.first)
            assert code == 0, said
            assert "handed over to the one that signed the checkpoint" in said
            assert self.check(office, given, handover(office).with_suffix(".vkey"))[0] == 0

    def test_a_newer_key_vouches_for_the_tree_that_it_took_over(self, office: Rotated) -> None:
        given = self.old(office)
        assert given["log_key"] == str(office.vault().keys.first)
        code, said = self.check(office, given, handover(office).with_suffix(".vkey"))
        assert code == 0, said
        assert "An earlier key of the log signed the checkpoint" in said
        code, said = self.check(office, given, office.first)
        assert (code, f"The key in {office.first} signed the checkpoint." in said) == (0, True)

    def test_one_from_before_the_change_proves_as_before(self, office: Rotated) -> None:
        given = self.old(office)
        del given["hops"]
        assert self.check(office, given, office.first)[0] == 0
        code, said = self.check(office, given, handover(office).with_suffix(".vkey"))
        assert (code, "no change of keys leads to the one that did" in said) == (1, True)

    @pytest.mark.parametrize("name", ["a bit", "no proof", "another tree", "other keys", "one signature"])
    def test_hops_that_were_altered(self, office: Rotated, name: str) -> None:
        given = self.old(office)
        [hop] = given["hops"]
        note = Note.parse(hop["note"].encode())
        if name == "a bit":
            raw = bytearray(base64.b64decode(hop["proof"][0]))
            raw[7] ^= 1
            hop["proof"][0] = base64.b64encode(raw).decode()
        elif name == "no proof":
            hop["proof"] = []
        elif name == "another tree":
            # The thief of the old key makes another tree of the size at which it was in charge.
            hop["note"] = self.forged(office, handover_line=True)
        elif name == "other keys":
            hop["note"] = hop["note"].replace(str(office.vault().key), str(keyfile.make(ORIGIN)[0]))
        else:
            hop["note"] = str(Note(note.text, note.signatures[:1]))
        assert self.check(office, given, handover(office).with_suffix(".vkey"))[0] == 1

    def test_the_thief_of_the_old_key_makes_no_receipt_that_the_new_key_vouches_for(self, office: Rotated) -> None:
        """He can sign any tree as the old key; but no new key took it over."""
        given = self.old(office)
        note = Note.parse(self.forged(office, handover_line=False).encode())
        checkpoint = Checkpoint.parse(note.text)
        entry = Logged(parsed(given["id"], given["record"].encode()), given["record"].encode(), given["leaf"].encode())
        alone = office.base / "forged"
        fake = receipt.make(entry, checkpoint, note, office.vault().keys.first, reader_of(alone, checkpoint.size), "pending", given["hops"])  # fmt: skip
        assert self.check(office, fake, office.first)[0] == 0, "who knows nothing newer than the stolen key is deceived"
        code, said = self.check(office, fake, handover(office).with_suffix(".vkey"))
        assert (code, "the proof leads to another" in said) == (1, True), said

    def forged(self, office: Rotated, *, handover_line: bool) -> str:
        """A log of the first document and others, signed with the stolen key."""
        store = LocalStore(office.base / "forged")
        signer, key = thief(office)
        store.begin()
        store.put_edge([(f"{LOG}/checkpoint", first_note(key, signer))])
        log = Sequencer(store, LOG, Keys(key), lambda _: signer)
        leaves = tiles.read_bundle(office.vault().fetch, tiles.bundle_of(0, 5))
        successor = keyfile.make(ORIGIN)[:2] if handover_line else None
        return log.append([*leaves[:2], b"{}"], None, successor).decode()


def thief(office: Rotated) -> tuple[Signer, Key]:
    path = office.base / "stolen.key"
    path.write_bytes(office.stolen)
    first = office.vault().keys.first
    return keyfile.read(path, first), first


def reader_of(folder: Path, size: int) -> tiles.Reader:
    return tiles.Reader(size, lambda path: (folder / LOG / path).read_bytes())


class TestTheOldKey:
    def test_it_signs_nothing_any_more(self, office: Rotated) -> None:
        office.key.write_bytes(office.stolen)
        before = office.files()
        with refused("archive-key"):
            office.file(b"four")
        with refused("archive-key"):
            office.rotate()
        assert office.files() == before

    def test_what_its_thief_signs_of_more_entries_counts_for_nothing(self, office: Rotated) -> None:
        signer, key = thief(office)
        vault = office.vault()
        now = vault.stated().checkpoint
        note = Note(str(now), ()).signed(key, signer.sign)
        place = office.root / LOG / "checkpoint"
        durable.write_file(place, bytes(note), mode=0o440)
        with refused("archive-damaged"):
            office.verify()
        for known in (None, office.first):
            more = ("--key", known) if known else ()
            ran = stranger(office.base, "--store", office.root, *more, today=office.today)
            assert (ran.returncode, "no signature of a known key" in ran.stdout) == (1, True), ran.stdout

    def test_its_thief_hands_over_to_himself(self, office: Rotated) -> None:
        """At an earlier size, so that his handover is read first: then the log's checkpoint is not his, and that is seen."""
        signer, key = thief(office)
        own, hand, _ = keyfile.make(ORIGIN)
        text = Checkpoint(ORIGIN, 3, bytes(32), (line_of(key, own),))
        note = Note(str(text), ()).signed(key, signer.sign).signed(own, hand.sign)
        change = Handover.read(bytes(note), secret.verify)
        (office.root / KEYS / f"{change.name}.note").write_bytes(bytes(note))
        with refused("archive-damaged"):
            office.verify()
        with refused("archive-damaged"):
            office.file(b"four")
        assert stranger(office.base, "--store", office.root, today=office.today).returncode == 1


class TestWhatLiesThere:
    """Whatever is wrong is named, by us and by strangers."""

    def test_the_handover_is_missing(self, office: Rotated) -> None:
        handover(office).unlink()
        with refused("archive-damaged", "no signature of a known key"):
            office.verify()
        assert stranger(office.base, "--store", office.root, today=office.today).returncode == 1

    @pytest.mark.parametrize("change", ["missing", "another key", "no text"])
    def test_the_new_keys_file(self, office: Rotated, change: str) -> None:
        path = handover(office).with_suffix(".vkey")
        path.unlink()
        if change != "missing":
            path.write_bytes(f"{keyfile.make(ORIGIN)[0]}\n".encode() if change == "another key" else b"\xff")
        assert office.judged() == {
            str(path.relative_to(office.root)): "it is missing, or not the key that was handed over to"
        }

    @pytest.mark.parametrize("name", ["3-00000000.note", "x", "4-00000000.vkey"])
    def test_what_hands_nothing_over(self, office: Rotated, name: str) -> None:
        (office.root / KEYS / name).write_bytes(b"nothing")
        assert office.judged() == {f"{KEYS}/{name}": "it does not hand over from the key in charge"}
        office.file(b"four")

    def test_the_log_says_it_and_nobody_handed_over(self, office: Rotated) -> None:
        vault = office.vault()
        with vault.writing(office.key) as intake:
            draft = Draft("key", {"key": str(keyfile.make(ORIGIN)[0]), "who": "anna"})
            file(intake, survey(vault), [draft], at(office.today))
        assert office.judged() == {"leaf 5": "it names a new key, and the key before did not hand over to it"}

    def test_somebody_handed_over_and_the_log_does_not_say_it(self, office: Rotated) -> None:
        vault = office.vault()
        new, signer, data = keyfile.make(ORIGIN)
        with vault.writing(office.key) as intake:
            draft = Draft("hold", {"documents": office.ids[:1], "who": "a", "why": "b", "until": None})
            file(intake, survey(vault), [draft], at(office.today), lambda: hold(office), successor=(new, signer))
        durable.write_file(office.key, data)
        [_, path] = sorted((office.root / KEYS).glob("*.note"), key=lambda path: int(path.name.partition("-")[0]))
        why = "the log does not say that its key was changed to this one"
        assert office.judged() == {str(path.relative_to(office.root)): why}

    @pytest.mark.parametrize(
        "key",
        ["no key", str(keyfile.make("example.org/other")[0]), "the second one"],
        ids=["none", "other log", "again"],
    )
    def test_a_statement_of_a_key_that_is_none(self, office: Rotated, key: str) -> None:
        vault = office.vault()
        key = str(vault.key) if key == "the second one" else key
        with vault.writing(office.key) as intake:
            with refused("unlawful", "the next key"):
                file(intake, survey(vault), [Draft("key", {"key": key, "who": "anna"})], at(office.today))
            intake.file(intake.drafted([Draft("key", {"key": key, "who": "anna"})], at(office.today)))
        assert list(office.judged()) == ["leaf 5"]


def hold(office: Rotated) -> None:
    document = parsed(office.ids[0], office.vault().record(office.ids[0]))
    office.vault().store.hold(list(record.keys_of(document)))


class TestAStop:
    """Between the checkpoint that both keys signed and the new key's file in its place."""

    def stopped(self, office: Rotated, monkeypatch: pytest.MonkeyPatch) -> None:
        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(durable, "remove_file", stop)
            patched.setattr("obhut.archive.sequencer.tidy", lambda *_: None)
            with pytest.raises(KeyboardInterrupt):
                office.rotate()

    def test_the_next_writer_takes_the_new_key(self, office: Rotated, monkeypatch: pytest.MonkeyPatch) -> None:
        before = office.key.read_bytes()
        self.stopped(office, monkeypatch)
        assert keyfile.next_path(office.key).exists()
        # As if the stop had come before the new key took the place of the old one.
        office.key.write_bytes(before)
        assert office.verify().faults == []
        office.file(b"four")
        assert not keyfile.next_path(office.key).exists()
        assert office.sound().documents == 4

    def test_a_next_key_that_the_log_never_came_to_state_is_none(self, office: Rotated) -> None:
        keyfile.write_next(office.key, keyfile.make(ORIGIN)[2])
        office.file(b"four")
        office.rotate()
        assert office.sound().documents == 4
        assert not keyfile.next_path(office.key).exists()

    def test_the_handover_lies_there_and_the_checkpoint_does_not_say_so(self, office: Rotated) -> None:
        kept = {path: path.read_bytes() for path in office.files()}
        key = office.key.read_bytes()
        office.rotate()
        # Everything but the checkpoint and what follows it.
        durable.write_file(office.root / LOG / "checkpoint", kept[office.root / LOG / "checkpoint"], mode=0o440)
        office.key.rename(keyfile.next_path(office.key))
        office.key.write_bytes(key)
        verdict = office.verify()
        assert verdict.faults == []
        whys = {remark.what for remark in verdict.remarks}
        assert "a change of keys that was begun and not ended; the next writer takes it away" in whys
        office.file(b"four")
        assert len(office.vault().keys.handovers) == 1
        assert office.sound().documents == 4
        office.rotate()
        assert len(office.vault().keys.handovers) == 2
        assert office.sound().documents == 4


def test_another_process_changed_the_key_meanwhile(office: Rotated) -> None:
    waiting = office.vault()
    office.rotate()
    assert waiting.stated().checkpoint.size == 6
    other = office.vault()
    office.rotate()
    with other.writing(office.key) as intake:
        assert intake.size == 7


class TestWitness:
    def test_it_follows_the_key_that_it_saw_first(self, tmp_path: Path) -> None:
        office = Rotated(tmp_path)
        office.file(b"one")
        judge = Witness.open(tmp_path / "witness", "example.net/witness")
        judge.look(office.vault(), TIME)
        office.rotate()
        judge.look(office.vault(), TIME + 60)
        office.file(b"two")
        office.rotate()
        office.file(b"three")
        note, newest, known = judge.look(office.vault(), TIME + 120)
        assert (newest.size, known and known.size) == (6, 3)
        (tmp_path / "checkpoint").write_bytes(bytes(note))
        (tmp_path / "witness.vkey").write_text(f"{judge.key}\n")
        assert verify.goes_on(office.vault(), [str(tmp_path / "checkpoint")], str(tmp_path / "witness.vkey"))
        more = ("--against", tmp_path / "checkpoint", "--witness", tmp_path / "witness.vkey")
        assert office.judged(*more) == {}

    def test_a_checkpoint_of_the_old_key_that_was_kept(self, office: Rotated) -> None:
        kept = office.base / "kept"
        kept.write_bytes(office.note)
        assert verify.goes_on(office.vault(), [str(kept)], None)
        assert office.judged("--against", kept) == {}

    def test_the_thief_of_the_old_key_hands_over_a_log_that_was_cut(self, office: Rotated) -> None:
        """The witness has seen the old key sign more than what is said to be handed over."""
        judge = Witness.open(office.base / "witness", "example.net/witness")
        (office.base / "alone").mkdir()
        alone = Rotated(office.base / "alone")
        alone.file(b"one", b"two", b"three")
        judge.look(alone.vault(), TIME)
        signer, key = keyfile.read(alone.key, alone.vault().key), alone.vault().key
        own, hand, _ = keyfile.make(ORIGIN)
        store = LocalStore(alone.root)
        leaves = tiles.read_bundle(alone.vault().fetch, tiles.bundle_of(0, 4))
        shutil.rmtree(alone.root / LOG)
        store.put_edge([(f"{LOG}/checkpoint", first_note(key, signer))])
        log = Sequencer(store, LOG, Keys(key), lambda _: signer)
        log.append(leaves[:2], None, (own, hand))
        log.append([b"{}", b"{}", b"{}"])
        with refused("witness-other-key", "is said to be"):
            judge.look(alone.vault(), TIME + 60)


def test_a_mirror_follows(office: Rotated) -> None:
    target = LocalStore(office.base / "mirror")
    mirror.mirror(office.vault(), target, TIME, Silent())
    office.rotate()
    office.file(b"four")
    mirror.mirror(office.vault(), target, TIME, Silent())
    there = office.vault(LocalStore(target.root))
    assert there.keys == office.vault().keys
    verdict = verify.verify(there, office.today, Silent())
    assert (verdict.faults, verdict.remarks) == ([], [])
    # In the place of the archive, with its key, it goes on.
    shutil.rmtree(office.root)
    shutil.copytree(target.root, office.root)
    office.file(b"five")
    assert office.sound().documents == 5


def test_the_handover_is_locked_as_long_as_the_documents(office: Rotated) -> None:
    office.wait(15)
    office.settle()
    files = [handover(office), handover(office).with_suffix(".vkey")]
    assert {date.fromtimestamp(path.stat().st_mtime) for path in files} == {date(2035, 1, 2)}
    assert office.sound().documents == 3
    for path in files:
        path.touch()
    assert set(office.judged()) == {str(path.relative_to(office.root)) for path in files}


def test_the_command(tmp_path: Path, office: Rotated) -> None:
    obhut = Obhut(tmp_path)
    words = ("--store", str(office.root), "--key-file", str(office.key))
    ran = obhut("archive", "key", "rotate", *words)
    assert (ran.code, ran.err) == (0, ""), ran.out
    assert "has a new key from its entry 6 on" in ran.out
    [made] = obhut("archive", "key", "rotate", *words, "--json").json()
    assert (made["message_type"], made["size"]) == ("rotated", 7)
    assert (office.root / made["public"]).read_text().strip() == made["new"] == str(office.vault().key)
    assert obhut("archive", "key", "check", *words).code == 0
    assert office.sound().documents == 3
