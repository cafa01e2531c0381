"""An archive in a folder: what goes in, what comes out, what is refused, and what a stop leaves."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from archives import NOW, ORIGIN, Broken, Copied, Failing, Item, Shelf, Silent, described
from obhut.archive import inventory, keyfile, sealing
from obhut.archive.actions import put, read
from obhut.archive.record import LOG, object_key, record_key
from obhut.archive.sequencer import Sequencer
from obhut.archive.store import LocalStore
from obhut.archive.vault import Vault
from obhut.errors import ObhutError
from obhut.log.note import Key
from obhut.world import durable


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def refused(id: str) -> pytest.RaisesExc[ObhutError]:
    return pytest.RaisesExc(ObhutError, check=lambda error: error.id == id)


def test_documents_come_out_as_they_went_in(shelf: Shelf, tmp_path: Path) -> None:
    contents = [b"one", b"", os.urandom(3_000_000), b"one"]
    entries = shelf.put(*contents, event=date(2026, 3, 1))
    assert [entry.document.index for entry, _ in entries] == [1, 2, 3, 4]
    for (entry, _), content in zip(entries, contents, strict=True):
        target = tmp_path / f"out-{entry.document.index}"
        assert read.copy_out(shelf.vault(), entry.document.id, target) == entry.document
        assert target.read_bytes() == content
    verdict = shelf.sound()
    # The same bytes received twice: one object, two records, two leaves.
    assert (verdict.size, verdict.documents, verdict.objects) == (5, 4, 3)
    assert entries[0][0].leaf != entries[3][0].leaf
    listed = list(read.documents(shelf.vault()))
    assert [document.id for document in listed] == [entry.document.id for entry, _ in entries]
    assert {document.event for document in listed} == {"2026-03-01"}
    assert {document.category for document in listed} == {"de/voucher"}


@pytest.mark.parametrize("count", [255, 256, 257, 600])
def test_logs_of_many_sizes(shelf: Shelf, count: int) -> None:
    shelf.put(b"first")
    shelf.put(*[b"document %d" % number for number in range(count)])
    assert shelf.sound().documents == count + 1
    # Narrow tiles and bundles are gone once the full one is stated.
    folders = [path for path in shelf.root.rglob("*.p") if any(path.iterdir())]
    assert not [path for path in folders if path.with_suffix("").exists()]


def test_files_are_read_only(shelf: Shelf) -> None:
    shelf.put(b"one")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in shelf.files()}
    assert modes == {0o440}
    assert stat.S_IMODE(shelf.key.stat().st_mode) == 0o600


def test_an_event_without_a_date_is_the_day_of_the_last_change(shelf: Shelf) -> None:
    path = shelf.source("old", b"old")
    os.utime(path, (0, 0))
    wish = put.Wish([path], "voucher", None, "host")
    [(entry, _)] = list(put.put(shelf.vault(), shelf.key, wish, NOW, Silent()))
    assert entry.document.event == "1970-01-01"


def test_names_that_are_no_text_are_archived(shelf: Shelf) -> None:
    path = bytes(shelf.sources) + b"/odd\xff\n\x1b"
    with open(path, "wb") as file:
        file.write(b"odd")
    wish = put.Wish([path], "voucher", None, "host")
    [(entry, _)] = list(put.put(shelf.vault(), shelf.key, wish, NOW, Silent()))
    assert entry.document.name == "odd\ufffd\n\x1b"
    shelf.sound()


@pytest.mark.parametrize(("most", "bytes_at_most"), [(1, 1 << 20), (3, 1 << 20), (256, 1), (256, 25), (256, 1 << 20)])
def test_each_object_is_hashed_however_they_are_divided(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, most: int, bytes_at_most: int
) -> None:
    monkeypatch.setattr(inventory, "_SLICE", most)
    monkeypatch.setattr(inventory, "_SLICE_BYTES", bytes_at_most)
    entries = shelf.put(*[b"%d" % number * 7 for number in range(8)])
    assert shelf.sound().objects == 8
    for entry, _ in entries:
        path = shelf.root / entry.document.key
        path.chmod(0o640)
        path.write_bytes(b"")
    named = [fault.object for fault in shelf.verify().faults if "its bytes" in fault.what]
    assert sorted(named) == sorted(entry.document.key for entry, _ in entries)


class TestRefusals:
    def test_nothing_is_written_for_a_list_with_one_bad_file(self, shelf: Shelf, tmp_path: Path) -> None:
        good = shelf.source("good", b"good")
        os.mkfifo(tmp_path / "pipe")
        before = shelf.files()
        for bad in (tmp_path / "absent", tmp_path, tmp_path / "pipe"):
            wish = put.Wish([good, bytes(bad)], "voucher", None, "host")
            with refused("document-missing"):
                list(put.put(shelf.vault(), shelf.key, wish, NOW, Silent()))
        assert shelf.files() == before

    def test_unknown_classes_and_days_to_come(self, shelf: Shelf) -> None:
        with refused("class-unknown"):
            shelf.put(b"x", category="vouchers")
        with refused("invalid-argument"):
            shelf.put(b"x", event=date(2026, 11, 29))
        assert shelf.sound().documents == 0

    def test_a_document_that_changes_after_it_was_read(self, shelf: Shelf) -> None:
        """What its record says is what was read; while it is read, the core refuses it (``worm/arrivals.rs``)."""

        class Changing(LocalStore):
            def name_once(self, staged: durable.Staged, items: Sequence[tuple[int, str]]) -> None:
                (shelf.sources / "document-0").write_bytes(b"another")
                super().name_once(staged, items)

        shelf.put(b"first")
        [(logged, _)] = shelf.put(b"second", store=Changing(shelf.root))
        assert (shelf.root / logged.document.key).read_bytes() == b"second"
        assert shelf.sound().documents == 2

    def test_a_document_that_is_gone_before_it_is_read(self, shelf: Shelf) -> None:
        class Losing(LocalStore):
            def stage(self, paths: Sequence[bytes], until: int) -> durable.Staged:
                (shelf.sources / "document-1").unlink()
                return super().stage(paths, until)

        shelf.put(b"first")
        before = shelf.files()
        with refused("document-missing"):
            shelf.put(b"second", b"third", store=Losing(shelf.root))
        assert shelf.files() == before, "the copy of the other one is gone"
        assert shelf.sound().documents == 1

    def test_copies_that_wait_for_their_names_go_with_a_group_that_fails(
        self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(put, "GROUP", 2)
        with pytest.raises(Broken):
            shelf.put(*[b"%d" % number for number in range(6)], store=Failing(shelf.root, 2, kept=False))
        assert [path for path in shelf.files() if "-tmp-" in path.name] == []
        assert [path for path in shelf.files() if "objects" in path.parts] == []

    def test_places(self, tmp_path: Path) -> None:
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "file").write_text("somebody's")
        key = tmp_path / "key"
        for place in (tmp_path / "full", tmp_path / "absent" / "below", tmp_path / "full" / "file"):
            with refused("archive-place"):
                Vault.create(LocalStore(place), key, described())
        assert not key.exists()
        with refused("archive-missing"):
            Vault.open(LocalStore(tmp_path / "full"))

    def test_an_archive_is_never_made_twice(self, shelf: Shelf) -> None:
        before = {path: path.read_bytes() for path in shelf.files()}
        with refused("archive-exists"):
            shelf.made(LocalStore(shelf.root))
        assert {path: path.read_bytes() for path in shelf.files()} == before

    def test_the_key_of_another_archive(self, shelf: Shelf, tmp_path: Path) -> None:
        with refused("archive-key-exists"):
            Vault.create(LocalStore(tmp_path / "second"), shelf.key, described())
        (tmp_path / "other").mkdir()
        other = Shelf(tmp_path / "other")
        other.key, shelf.key = shelf.key, other.key
        with refused("archive-key"):
            shelf.put(b"x")

    @pytest.mark.parametrize("name", ["", "with space", "a+b", "zeile\n"])
    def test_names_that_no_log_can_have(self, tmp_path: Path, name: str) -> None:
        with refused("invalid-argument"):
            Vault.create(LocalStore(tmp_path / "a"), tmp_path / "key", described(name))

    def test_ids_that_nobody_has(self, shelf: Shelf, tmp_path: Path) -> None:
        shelf.put(b"one")
        for name in ("0-0000000000000000", "1", "../../etc/passwd", "5-0000000000000000"):
            with refused("document-unknown"):
                read.receipt_of(shelf.vault(), name)
            with refused("document-unknown"):
                read.copy_out(shelf.vault(), name, tmp_path / "out")
        assert not (tmp_path / "out").exists()


class TestKeys:
    def test_a_key_file_is_read_as_it_was_written(self, tmp_path: Path) -> None:
        for number in range(40):  # also keys whose base64 holds a "+"
            key, signer, data = keyfile.make(ORIGIN)
            path = tmp_path / str(number)
            keyfile.write(path, data)
            assert keyfile.read(path, key).public == signer.public == key.public
            with refused("archive-key-exists"):
                keyfile.write(path, data)

    def test_the_vector_of_the_formats_page(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        path.write_text("PRIVATE+KEY+example.org/archive-test+2651465f+AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n")
        key = Key.parse("example.org/archive-test+2651465f+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4")
        assert keyfile.read(path, key).public == key.public

    @pytest.mark.parametrize("data", [b"", b"PRIVATE+KEY+", b"\xff", b"PRIVATE+KEY+x+00000000+AAAA", b"x" * 9000])
    def test_files_that_hold_no_key(self, tmp_path: Path, data: bytes) -> None:
        key, _, _ = keyfile.make(ORIGIN)
        (tmp_path / "key").write_bytes(data)
        with refused("archive-key"):
            keyfile.read(tmp_path / "key", key)
        with refused("archive-key"):
            keyfile.read(tmp_path / "absent", key)


class TestStops:
    @pytest.mark.parametrize("kept", [False, True])
    @pytest.mark.parametrize(("before", "sealed"), [(0, False), (1, False), (255, False), (1, True)])
    def test_a_call_that_fails_and_may_have_been_done(
        self, tmp_path: Path, before: int, *, sealed: bool, kept: bool
    ) -> None:
        """What was answered is there, nothing is logged twice, and the archive is sound whatever failed."""
        at = 0
        while True:
            at += 1
            base = tmp_path / f"{at}"
            base.mkdir()
            shelf = Shelf(base, sealed=sealed)
            if before:
                shelf.put(*[b"old %d" % number for number in range(before)])
            store = Failing(shelf.root, at, kept=kept)
            answered = []
            try:
                answered = shelf.put(b"new 1", b"new 2", b"old 0", store=store)
            except Broken:
                assert at > 0
            else:
                assert store.calls < at
                break
            recovered = shelf.put(b"after")
            documents = {document.id for document in read.documents(shelf.vault())}
            assert {entry.document.id for entry, _ in [*answered, *recovered]} <= documents
            verdict = shelf.verify()
            assert verdict.faults == []
            assert verdict.size - 1 == len(documents) == verdict.documents
            assert verdict.documents in {before + 1, before + 4}
            assert {remark.what.partition(";")[0] for remark in verdict.remarks} <= {"no record names it"}
            assert shelf.accepted()
        assert at > 4

    @pytest.mark.parametrize("kept", [False, True])
    @pytest.mark.parametrize("sealed", [False, True])
    def test_the_beginning_of_an_archive(self, tmp_path: Path, *, sealed: bool, kept: bool) -> None:
        for at in range(1, 4):
            base = tmp_path / f"{at}"
            base.mkdir()
            shelf = Shelf(base, create=False, sealed=sealed)
            try:
                shelf.made(Failing(shelf.root, at, kept=kept))
            except Broken:
                if LocalStore(shelf.root).exists():
                    with refused("archive-exists"):
                        shelf.made(LocalStore(shelf.root))
                else:
                    shelf.made(LocalStore(shelf.root))
            shelf.put(b"one")
            shelf.sound()

    def test_a_lost_key_of_a_beginning_is_made_anew(self, tmp_path: Path) -> None:
        shelf = Shelf(tmp_path, create=False)
        with pytest.raises(Broken):
            shelf.made(Failing(shelf.root, 1, kept=True))
        assert not shelf.key.exists()
        shelf.made(LocalStore(shelf.root))
        shelf.put(b"one")
        shelf.sound()

    def test_what_a_killed_writer_named_is_made_to_last_before_it_is_logged(self, shelf: Shelf) -> None:
        with pytest.raises(Broken):
            shelf.put(b"1", b"2", b"1", store=Failing(shelf.root, 3, kept=False))

        class Recording(LocalStore):
            calls: list[tuple[str, set[str]]] = []  # noqa: RUF012  (of this test alone)

            def put_once(self, items: Sequence[Item], until: int | None = None) -> None:
                self.calls.append(("put", {key for key, _ in items}))
                super().put_once(items, until)

            def copy_once(self, items: Sequence[Copied], until: int) -> None:
                self.calls.append(("copy", {item[0] for item in items}))
                super().copy_once(items, until)

            def put_edge(self, items: Sequence[Item], until: int | None = None) -> None:
                self.calls.append(("edge", {key for key, _ in items}))
                super().put_edge(items, until)

        store = Recording(shelf.root)
        shelf.put(b"3", store=store)
        found = list(read.documents(shelf.vault()))[:3]
        assert store.calls[0] == ("put", {record_key(document.id) for document in found})
        assert store.calls[1] == ("copy", {object_key(document.digest) for document in found})
        assert store.calls[2][0] == "edge"
        assert shelf.sound().documents == 4

    def test_folders_of_a_killed_writer_are_made_to_last(self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
        shelf.put(*[b"%d" % number for number in range(300)])
        synced: set[str] = set()
        honest = durable.sync_folders

        def watched(paths: Sequence[Path]) -> None:
            synced.update(os.path.relpath(path, shelf.root) for path in paths)
            honest(paths)

        monkeypatch.setattr(durable, "sync_folders", watched)
        before = {str(path.relative_to(shelf.root)) for path in shelf.root.rglob("*") if path.is_dir()}
        with shelf.vault().writing(shelf.key):
            pass
        # All whose parent a writer may have made something in; what lies in objects/xx and *.p is its writer's work.
        parents = {os.path.dirname(name) or "." for name in before}
        assert parents <= synced
        assert synced <= before | {"."}

    def test_records_after_a_gap_are_dropped_and_their_objects_kept(self, shelf: Shelf) -> None:
        [(first, _), (second, _), (third, _)] = shelf.put(b"1", b"2", b"3")
        # As if the machine had lost power: no leaf, and the second document never got its name.
        _rewound(shelf, 1)
        (shelf.root / object_key(second.document.digest)).unlink()
        silent = Silent()
        wish = put.Wish([shelf.source("new", b"new")], "voucher", None, "host")
        [(new, _)] = list(put.put(shelf.vault(), shelf.key, wish, NOW, silent))
        assert len(silent.warnings) == 2
        assert first.document.id in silent.warnings[0]
        assert "2 documents" in silent.warnings[1]
        assert [document.id for document in read.documents(shelf.vault())] == [first.document.id, new.document.id]
        verdict = shelf.verify()
        assert verdict.faults == []
        assert [remark.object for remark in verdict.remarks] == [object_key(third.document.digest)]

    def test_what_lies_beyond_the_checkpoint_is_written_again(self, shelf: Shelf) -> None:
        shelf.put(b"1")
        entries = shelf.put(b"2", b"3")
        _rewound(shelf, 2)
        for entry, _ in entries:
            (shelf.root / record_key(entry.document.id)).unlink()
        shelf.put(b"4", b"5")
        verdict = shelf.verify()
        assert verdict.faults == []
        assert verdict.documents == 3
        assert shelf.accepted()

    def test_what_others_leave_among_the_records_is_reported_and_in_nobodys_way(self, shelf: Shelf) -> None:
        [(entry, _)] = shelf.put(b"1")
        strange = {"records/000/.DS_Store", "records/note.txt", "objects/ab/x", "records/000/x-tmp-0011223344556677"}
        for name in strange:
            (shelf.root / name).parent.mkdir(exist_ok=True)
            (shelf.root / name).write_text("x")
        shelf.put(b"2")
        assert [document.index for document in read.documents(shelf.vault())] == [1, 2]
        verdict = shelf.verify()
        assert verdict.faults == []
        # A file that was being written when its writer was stopped is nobody's.
        assert {remark.object for remark in verdict.remarks} == {name for name in strange if "-tmp-" not in name}
        assert entry.document.index == 1

    def test_a_record_beyond_the_log_that_is_none(self, shelf: Shelf) -> None:
        shelf.put(b"1")
        place = shelf.root / record_key("2-0011223344556677")
        place.write_text("{}")
        with refused("archive-damaged"):
            shelf.put(b"2")
        assert shelf.accepted()

    def test_a_writer_waits_for_the_one_before(self, shelf: Shelf) -> None:
        with shelf.vault().writing(shelf.key) as intake:
            assert intake.recovered == ([], [])
            handle = os.open(shelf.root / "log", os.O_RDONLY)
            try:
                import fcntl

                with pytest.raises(BlockingIOError):
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            finally:
                os.close(handle)

    def test_one_that_has_much_lets_the_others_in_between(self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever waits comes after the group that is under way, and not after all of them."""
        monkeypatch.setattr(put, "GROUP", 2)
        paths = [shelf.source(f"many-{number}", b"%d" % number) for number in range(6)]
        much = put.put(shelf.vault(), shelf.key, put.Wish(paths, "voucher", None, "host"), NOW, Silent())
        first, second = next(much), next(much)
        with ThreadPoolExecutor(2) as others:
            wishes = [put.Wish([shelf.source(name, name.encode())], "voucher", None, "host") for name in ("a", "b")]
            waiting = [
                others.submit(lambda wish: list(put.put(shelf.vault(), shelf.key, wish, NOW, Silent())), wish)
                for wish in wishes
            ]
            while not LocalStore(shelf.root).wanted():
                time.sleep(0.001)
            rest = list(much)
            [[(one, _)], [(two, _)]] = [done.result(30) for done in waiting]
        numbers = [entry.document.index for entry, _ in (first, second, *rest)]
        assert numbers[:2] == [1, 2]
        assert min(one.document.index, two.document.index) == 3, "the one that waited comes next"
        assert sorted([*numbers, one.document.index, two.document.index]) == list(range(1, 9))
        assert shelf.sound().documents == 8

    def test_a_race_lost_before_a_record_was_made_says_nothing_of_the_group_before(
        self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The group is begun again; it is not taken for the one before, which is in the log."""
        monkeypatch.setattr(put, "GROUP", 2)
        ready, calls = sealing.Unsealed.ready, 0

        def raced(*words: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise ObhutError("archive-raced", "somewhere")
            return ready(*words)

        monkeypatch.setattr(sealing.Unsealed, "ready", raced)
        entries = shelf.put(b"one", b"two", b"three", b"four")
        assert [entry.document.index for entry, _ in entries] == [1, 2, 3, 4]
        assert [entry.document.name for entry, _ in entries] == [f"document-{number}" for number in range(4)]
        assert shelf.sound().documents == 4


def _rewound(shelf: Shelf, size: int) -> None:
    """Puts the checkpoint of an earlier size in place, as its own key signed it."""
    vault = shelf.vault()
    signer = keyfile.read(shelf.key, vault.key)
    entries = [read_leaf(shelf, index) for index in range(size)]
    scratch = shelf.base / "scratch"
    scratch.mkdir()
    store = LocalStore(scratch)
    from obhut.archive.sequencer import first_note

    store.put_edge([(f"{LOG}/checkpoint", first_note(vault.key, signer))])
    log = Sequencer(store, LOG, vault.keys, lambda _: signer)
    checkpoint = log.append(entries) if entries else store.get(f"{LOG}/checkpoint")
    LocalStore(shelf.root).put_edge([(f"{LOG}/checkpoint", checkpoint)])


def read_leaf(shelf: Shelf, index: int) -> bytes:
    from obhut.log import tiles

    size = shelf.vault().stated().checkpoint.size
    return tiles.read_bundle(shelf.vault().fetch, tiles.bundle_of(index, size))[index % tiles.WIDTH]
