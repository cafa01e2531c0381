"""Attacks on the raw files of an archive (research: archive, list of attacks): each is detected, and its object named."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archives import ORIGIN, Shelf, stranger
from obhut.archive import keyfile, receipt
from obhut.archive.actions import read
from obhut.archive.record import LOG, object_key, record_key
from obhut.archive.sequencer import Sequencer, first_note
from obhut.archive.store import LocalStore
from obhut.errors import ObhutError
from obhut.log.handover import Keys

pytestmark = pytest.mark.interop

CONTENTS = [b"document %d" % number for number in range(299)]


class Attacked(Shelf):
    """299 documents of an honest archive, which somebody then writes to."""

    ids: list[str]

    def object(self, number: int) -> Path:
        document = next(d for d in read.documents(self.vault()) if d.id == self.ids[number])
        return self.root / object_key(document.digest)

    def record(self, number: int) -> Path:
        return self.root / record_key(self.ids[number])


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Attacked:
    shelf = Attacked(tmp_path_factory.mktemp("honest"))
    shelf.ids = [entry.document.id for entry, _ in shelf.put(*CONTENTS)]
    shelf.sound()
    return shelf


@pytest.fixture
def shelf(honest: Attacked, tmp_path: Path) -> Attacked:
    shutil.copytree(honest.base, tmp_path / "copy")
    copy = Attacked(tmp_path / "copy", create=False)
    copy.ids = honest.ids
    return copy


def overwrite(path: Path, data: bytes) -> None:
    """As somebody does who knows that the times are dates of locks."""
    times = path.stat()
    path.chmod(0o640)
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def flip(path: Path, at: int = -3) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    overwrite(path, bytes(data))


def made_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    overwrite(one, second)
    overwrite(other, first)


def edited(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    fields = json.loads(path.read_bytes())
    change(fields)
    overwrite(path, json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())


#: What somebody does, and what we then name.
FILES: dict[str, tuple[Callable[[Attacked], object], Callable[[Attacked], list[Path | str]]]] = {
    "a flipped bit in an object": (lambda s: flip(s.object(7)), lambda s: [s.object(7)]),
    "two objects changed places": (lambda s: swap(s.object(7), s.object(8)), lambda s: [s.object(7), s.object(8)]),
    "an object is gone": (lambda s: s.object(7).unlink(), lambda s: [s.object(7)]),
    "an object is longer": (lambda s: overwrite(s.object(7), CONTENTS[7] + b"!"), lambda s: [s.object(7)]),
    "an object is empty": (lambda s: overwrite(s.object(298), b""), lambda s: [s.object(298)]),
    "an object is a folder": (lambda s: made_a_folder(s.object(7)), lambda s: [s.object(7)]),
    "a record is gone": (lambda s: s.record(7).unlink(), lambda _: ["records of leaf 8"]),
    "a flipped bit in a record": (lambda s: flip(s.record(7)), lambda s: [s.record(7)]),
    "another class in a record": (
        lambda s: edited(s.record(7), lambda f: f.update({"class": "de/private-property"})),
        lambda s: [s.record(7)],
    ),
    "another event in a record": (
        lambda s: edited(s.record(7), lambda f: f.update(event="2001-01-01")),
        lambda s: [s.record(7)],
    ),
    "another digest in a record": (
        lambda s: edited(s.record(7), lambda f: f.update(digest="sha256:" + "0" * 64)),
        lambda s: [s.record(7)],
    ),
    "two records changed places": (
        lambda s: swap(s.record(7), s.record(8)),
        lambda s: [s.record(7), s.record(8)],
    ),
    "a leaf is edited": (
        lambda s: overwrite(
            s.root / LOG / "tile/entries/000",
            (s.root / LOG / "tile/entries/000").read_bytes().replace(b"de/voucher", b"de/vouchex", 1),
        ),
        lambda s: [f"{LOG}/checkpoint", f"{LOG}/tile/0/000"],
    ),
    "a bundle is gone": (
        lambda s: (s.root / LOG / "tile/entries/000").unlink(),
        lambda _: [f"{LOG}/tile/entries/000"],
    ),
    "a bundle is cut": (
        lambda s: overwrite(s.root / LOG / "tile/entries/000", (s.root / LOG / "tile/entries/000").read_bytes()[:-5]),
        lambda _: [f"{LOG}/tile/entries/000"],
    ),
    "a tile is altered": (lambda s: flip(s.root / LOG / "tile/0/000"), lambda _: [f"{LOG}/tile/0/000"]),
    "a narrow tile is gone": (
        lambda s: (s.root / LOG / "tile/0/001.p/44").unlink(),
        lambda _: [f"{LOG}/tile/0/001.p/44"],
    ),
    "a narrow tile above is altered": (
        lambda s: flip(s.root / LOG / "tile/1/000.p/1"),
        lambda _: [f"{LOG}/tile/1/000.p/1"],
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_done_to_files_is_found_and_named(shelf: Attacked, name: str) -> None:
    attack, named = FILES[name]
    expected = [os.path.relpath(it, shelf.root) if isinstance(it, Path) else it for it in named(shelf)]
    attack(shelf)
    found = {fault.object for fault in shelf.verify().faults}
    assert set(expected) <= found
    if "leaf is" not in name and "bundle" not in name:
        assert found == set(expected), "what is sound is not blamed"
    ran = stranger(shelf.base, "--store", shelf.root, "--key", shelf.root / f"{LOG}.vkey")
    assert (ran.returncode, ran.stderr) == (1, "")
    named_there = {line.split(": ")[1] for line in ran.stdout.splitlines() if line.startswith("FAULT: ")}
    assert named_there == found, "the verifier for strangers says the same"
    if any(LOG in it for it in expected):
        assert not shelf.accepted(patience=5)


def test_the_command_says_it_and_fails(shelf: Attacked) -> None:
    from program import Obhut

    place = os.path.relpath(shelf.object(7), shelf.root)
    flip(shelf.object(7))
    obhut = Obhut(shelf.base)
    run = obhut("archive", "verify", "--store", str(shelf.root))
    assert run.code == 1
    assert f"fault: {place}: " in run.err
    run = obhut("archive", "verify", "--store", str(shelf.root), "--json")
    assert run.code == 1
    [verdict] = run.json()
    assert [fault["object"] for fault in verdict["faults"]] == [place]


def test_a_sound_archive_is_accepted_by_strangers(shelf: Attacked) -> None:
    ran = stranger(shelf.base, "--store", shelf.root, "--key", shelf.root / f"{LOG}.vkey")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "299 documents in 299 objects" in ran.stdout
    ran = stranger(shelf.base, "--store", shelf.root)
    assert ran.returncode == 0
    assert "Compare it with the one you know" in ran.stdout


@pytest.mark.parametrize(
    "arguments", [[], ["r", "--store", "x"], ["r", "--against", "x"], ["--store", "x", "--witness", "x"]]
)
def test_command_lines_that_strangers_get_wrong(tmp_path: Path, arguments: list[str]) -> None:
    assert stranger(tmp_path, *arguments).returncode == 2


@pytest.mark.parametrize("name", ["absent", "archive.json", "."])
def test_what_is_no_archive_or_no_key(shelf: Attacked, name: str) -> None:
    ran = stranger(shelf.base, "--store", shelf.root, "--key", shelf.root / name)
    assert (ran.returncode, ran.stderr) == (1, "")
    assert ran.stdout.startswith("REFUSED: ")


class TestTheLogsKey:
    """Who has it writes another history; who has none is refused."""

    def test_another_key_beside_the_log(self, shelf: Attacked) -> None:
        key, _, _ = keyfile.make(ORIGIN)
        overwrite(shelf.root / f"{LOG}.vkey", f"{key}\n".encode())
        with pytest.raises(ObhutError, match="archive-damaged"):
            shelf.verify()
        assert not shelf.accepted()

    def test_a_whole_log_of_another_key(self, shelf: Attacked) -> None:
        """Then only those find it who know the key: a receipt that was given out, or its holder's copy of the key."""
        _, old = next(iter(shelf.put(b"given out")))
        kept = (shelf.root / f"{LOG}.vkey").read_bytes()
        key, signer, _ = keyfile.make(ORIGIN)
        scratch = LocalStore(shelf.base / "forged")
        scratch.root.mkdir()
        scratch.put_edge([(f"{LOG}/checkpoint", first_note(key, signer))])
        Sequencer(scratch, LOG, Keys(key), lambda _: signer).append([b"{}"])
        forged = dict(old) | {"checkpoint": scratch.get(f"{LOG}/checkpoint").decode()}
        (shelf.base / "forged.receipt").write_bytes(receipt.encode(forged))
        (shelf.base / "known.vkey").write_bytes(kept)
        ran = stranger(shelf.base, shelf.base / "forged.receipt", "--key", shelf.base / "known.vkey")
        assert (ran.returncode, "REFUSED" in ran.stdout) == (1, True)

    def test_a_log_that_was_cut_and_signed_again_is_seen_in_a_receipt_given_out(self, shelf: Attacked) -> None:
        """Rollback: the archive by itself looks sound but for records beyond its log; the receipt still holds."""
        [(entry, given)] = shelf.put(b"inconvenient")
        vault = shelf.vault()
        scratch = LocalStore(shelf.base / "cut")
        scratch.root.mkdir()
        signer = keyfile.read(shelf.key, vault.key)
        scratch.put_edge([(f"{LOG}/checkpoint", first_note(vault.key, signer))])
        from obhut.log import tiles

        leaves = [leaf for first in (0, 256) for leaf in tiles.read_bundle(vault.fetch, tiles.bundle_of(first, 301))]
        log = Sequencer(scratch, LOG, vault.keys, lambda _: signer)
        log.append(leaves[:300])
        shutil.rmtree(shelf.root / LOG)
        shutil.copytree(scratch.root / LOG, shelf.root / LOG)
        (shelf.root / record_key(entry.document.id)).unlink()
        assert shelf.verify().faults == []
        document = Path(os.fsdecode(shelf.source("inconvenient", b"inconvenient")))
        (shelf.base / "given.receipt").write_bytes(receipt.encode(given))
        ran = stranger(shelf.base, shelf.base / "given.receipt", document, "--key", shelf.root / f"{LOG}.vkey")
        assert ran.returncode == 0, ran.stdout
        assert "entry 300 of the 301 entries" in ran.stdout


class TestReceipts:
    @pytest.fixture
    def given(self, shelf: Attacked) -> dict[str, Any]:
        return read.receipt_of(shelf.vault(), shelf.ids[7])

    def judged(self, shelf: Attacked, made: dict[str, Any], *more: Path) -> tuple[int, str]:
        (shelf.base / "r").write_bytes(receipt.encode(made))
        ran = stranger(shelf.base, shelf.base / "r", *more, "--key", shelf.root / f"{LOG}.vkey")
        assert ran.stderr == ""
        return ran.returncode, ran.stdout

    def test_sound_ones_are_accepted_without_anything_of_ours(self, shelf: Attacked, given: dict[str, Any]) -> None:
        document = Path(os.fsdecode(shelf.source("document", CONTENTS[7])))
        code, out = self.judged(shelf, given, document)
        assert (code, out.count("\n")) == (0, 6)
        assert self.judged(shelf, given)[0] == 0
        first, last = read.receipt_of(shelf.vault(), shelf.ids[0]), read.receipt_of(shelf.vault(), shelf.ids[298])
        assert (self.judged(shelf, first)[0], self.judged(shelf, last)[0]) == (0, 0)

    def test_another_document_is_refused(self, shelf: Attacked, given: dict[str, Any]) -> None:
        document = Path(os.fsdecode(shelf.source("document", CONTENTS[8])))
        code, out = self.judged(shelf, given, document)
        assert code == 1
        assert "not the document of this receipt" in out

    @pytest.mark.parametrize(
        "change",
        [
            lambda r: {"index": r["index"] + 1},
            lambda r: {"index": -1},
            lambda r: {"index": 10**6},
            lambda r: {"proof": r["proof"][1:]},
            lambda r: {"proof": [*r["proof"], r["proof"][0]]},
            lambda r: {"proof": r["proof"][::-1]},
            lambda r: {"proof": ["AAAA", *r["proof"][1:]]},
            lambda r: {"proof": []},
            lambda r: {"leaf": r["leaf"].replace("de/voucher", "de/book")},
            lambda r: {"record": r["record"].replace("document-7", "document-8")},
            lambda r: {"record": r["record"].replace("de/voucher", "de/letter")},
            lambda r: {"record": r["record"] + " "},
            lambda r: {"name": "another"},
            lambda r: {"sha256": "0" * 64},
            lambda r: {"size": 1},
            lambda r: {"id": "8-0011223344556677"},
            lambda r: {"lock": {"mode": "compliance", "until": "2099-01-01T00:00:00Z"}},
            lambda r: {"checkpoint": r["checkpoint"].replace("\n300\n", "\n301\n")},
            lambda r: {"checkpoint": r["checkpoint"].replace(ORIGIN, "example.org/other")},
            lambda r: {"checkpoint": r["checkpoint"].rpartition("—")[0]},
            lambda _: {"checkpoint": ""},
            lambda _: {"format": "obhut-receipt/2"},
            lambda _: {"format": None},
            lambda _: {"record": "{}"},
            lambda _: {"leaf": "[]"},
            lambda _: {"proof": "AAAA"},
            lambda _: {"index": "7"},
        ],
    )
    def test_altered_ones_are_refused(
        self, shelf: Attacked, given: dict[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> None:
        altered = given | change(given)
        assert altered != given
        code, out = self.judged(shelf, altered)
        assert code == 1
        assert out.startswith("REFUSED: ") or "\nREFUSED: " in out

    @pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b"null", b'{"format":"obhut-receipt/1"}'])
    def test_what_is_no_receipt(self, shelf: Attacked, data: bytes) -> None:
        (shelf.base / "r").write_bytes(data)
        ran = stranger(shelf.base, shelf.base / "r")
        assert (ran.returncode, ran.stderr) == (1, "")
        assert ran.stdout.startswith("REFUSED: ")

    def test_a_record_that_was_altered_gets_no_receipt(self, shelf: Attacked) -> None:
        edited(shelf.record(7), lambda fields: fields.update(event="2001-01-01"))
        with pytest.raises(ObhutError, match="archive-damaged"):
            read.receipt_of(shelf.vault(), shelf.ids[7])

    def test_an_object_that_was_altered_is_not_given_out(self, shelf: Attacked, tmp_path: Path) -> None:
        flip(shelf.object(7))
        with pytest.raises(ObhutError, match="archive-damaged"):
            read.copy_out(shelf.vault(), shelf.ids[7], tmp_path / "out")
        assert not (tmp_path / "out").exists()
        # And it is not taken for the document that comes in again.
        with pytest.raises(ObhutError, match="archive-damaged"):
            shelf.put(CONTENTS[7])
        assert {fault.object for fault in shelf.verify().faults} == {os.path.relpath(shelf.object(7), shelf.root)}
