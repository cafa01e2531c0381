"""A witness, and a checkpoint kept elsewhere: logs that were cut, written anew, or signed by somebody else."""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archives import ORIGIN, Shelf
from log_files import grow
from obhut.archive import history, keyfile, receipt
from obhut.archive.record import LOG
from obhut.archive.sequencer import Sequencer, first_note
from obhut.archive.store import LocalStore
from obhut.archive.witness import Witness
from obhut.errors import ObhutError
from obhut.log import note, tiles
from obhut.log.note import Checkpoint
from program import Obhut

pytestmark = pytest.mark.interop

NAME = "example.net/witness"
TIME = 1_780_000_000


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf(tmp_path)
    shelf.put(*[b"document %d" % number for number in range(300)])
    return shelf


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return Witness.open(tmp_path / "witness", NAME)


def rewritten(shelf: Shelf, change: list[bytes]) -> None:
    """The same key signs a log of other entries, and puts it in place of the old one."""
    vault = shelf.vault()
    signer = keyfile.read(shelf.key, vault.key)
    place = shelf.base / "rewritten"
    place.mkdir()
    store = LocalStore(place)
    store.put_edge([(f"{LOG}/checkpoint", first_note(vault.key, signer))])
    Sequencer(store, LOG, vault.keys, lambda _: signer).append(change)
    shutil.rmtree(shelf.root / LOG)
    shutil.copytree(place / LOG, shelf.root / LOG)
    assert shelf.accepted(), "for fsck, which remembers nothing, that is a log like any other"


def leaves(shelf: Shelf) -> list[bytes]:
    size = shelf.vault().stated().checkpoint.size
    return [
        leaf
        for first in range(0, size, tiles.WIDTH)
        for leaf in tiles.read_bundle(shelf.vault().fetch, tiles.bundle_of(first, size))
    ]


def test_a_log_that_goes_on_is_signed_and_openssl_agrees(shelf: Shelf, witness: Witness, tmp_path: Path) -> None:
    first, _, known = witness.look(shelf.vault(), TIME)
    assert known is None
    shelf.put(b"more")
    second, stated, known = witness.look(shelf.vault(), TIME + 60)
    assert known == Checkpoint.parse(first.text)
    assert (stated.size, known.size) == (302, 301)
    again, _, _ = witness.look(shelf.vault(), TIME + 120)
    assert again.text == second.text
    # cosignature/v1 (formats: archive 3.3), checked by a program that is not ours.
    [line] = [line for line in second.signatures if line.name == NAME]
    stamp, signature = line.blob[:8], line.blob[8:]
    assert int.from_bytes(stamp, "big") == TIME + 60
    (tmp_path / "key.der").write_bytes(bytes.fromhex("302a300506032b6570032100") + witness.key.public)
    (tmp_path / "message").write_bytes(f"cosignature/v1\ntime {TIME + 60}\n{second.text}".encode())
    (tmp_path / "signature").write_bytes(signature)
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", "key.der", "-rawin", "-in", "message",
               "-sigfile", "signature"]  # fmt: skip
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    assert base64.b64encode(line.key_id + line.blob).decode() in str(second)


@pytest.mark.parametrize(
    ("what", "id"),
    [
        ("cut", "log-rolled-back"),
        ("forked", "log-forked"),
        ("longer fork", "log-forked"),
        ("another start", "log-forked"),
    ],
)
def test_another_history_is_refused_and_nothing_is_signed(shelf: Shelf, witness: Witness, what: str, id: str) -> None:
    witness.look(shelf.vault(), TIME)
    old = leaves(shelf)
    histories = {
        "cut": old[:300],
        "forked": [*old[:300], b"{}"],
        "longer fork": [*old[:100], b"{}", *old[101:], b"{}"],
        "another start": [b"{}", *old],
    }
    kept = {path: path.read_bytes() for path in (shelf.base / "witness").rglob("*") if path.is_file()}
    rewritten(shelf, histories[what])
    for _ in range(2):
        with pytest.raises(ObhutError, match=id):
            witness.look(shelf.vault(), TIME + 60)
    assert {path: path.read_bytes() for path in (shelf.base / "witness").rglob("*") if path.is_file()} == kept


def test_a_receipt_given_out_shows_it_too(shelf: Shelf) -> None:
    [(_, given)] = shelf.put(b"inconvenient")
    data = receipt.encode(given)
    known, _ = history.known_from(data, shelf.vault(), "given")
    history.continues(shelf.vault(), known)
    rewritten(shelf, leaves(shelf)[:300])
    with pytest.raises(ObhutError, match="log-rolled-back"):
        history.continues(shelf.vault(), known)
    shutil.rmtree(shelf.base / "rewritten")
    rewritten(shelf, [*leaves(shelf), b"{}", b"{}"])
    with pytest.raises(ObhutError, match="log-forked"):
        history.continues(shelf.vault(), known)


def test_another_key_is_not_taken(shelf: Shelf, witness: Witness) -> None:
    witness.look(shelf.vault(), TIME)
    shutil.rmtree(shelf.root)
    shelf.key.unlink()
    shelf.made(LocalStore(shelf.root))
    shelf.put(b"another archive")
    with pytest.raises(ObhutError, match="witness-other-key"):
        witness.look(shelf.vault(), TIME + 60)


@pytest.mark.parametrize("name", ["log.vkey", "checkpoint"])
def test_a_memory_that_somebody_altered(shelf: Shelf, witness: Witness, name: str) -> None:
    witness.look(shelf.vault(), TIME)
    [place] = (shelf.base / "witness").rglob(name)
    data = bytearray(place.read_bytes())
    data[40] ^= 1
    place.write_bytes(data)
    with pytest.raises(ObhutError):
        witness.look(shelf.vault(), TIME + 60)


@settings(deadline=None)
@given(st.integers(0, 600), st.integers(0, 600), st.data())
def test_what_goes_on_and_what_does_not(old: int, new: int, data: st.DataObject) -> None:
    """Against the plain definition: one list is the beginning of the other."""
    entries = [b"%d" % number for number in range(max(old, new))]
    changed = list(entries)
    if data.draw(st.booleans()) and entries:
        changed[data.draw(st.integers(0, len(entries) - 1))] = b"other"
    before, _ = grow(entries[:old])
    after, files = grow(changed[:new])

    def fetch(path: str) -> bytes:
        try:
            return files[path]
        except KeyError:
            raise FileNotFoundError(path) from None

    known, now = Checkpoint(ORIGIN, old, before.root()), Checkpoint(ORIGIN, new, after.root())
    if new >= old and changed[:old] == entries[:old]:
        history.continued(known, now, tiles.Reader(new, fetch))
        return
    with pytest.raises(ObhutError, match="log-rolled-back" if new < old else "log-forked"):
        history.continued(known, now, tiles.Reader(new, fetch))


def test_the_commands(tmp_path: Path) -> None:
    obhut = Obhut(tmp_path)
    obhut.environ["OBHUT_ARCHIVE"] = str(tmp_path / "archive")
    (tmp_path / "one.txt").write_text("eins")
    (tmp_path / "two.txt").write_text("zwei")
    assert obhut("archive", "init", "--name", ORIGIN).code == 0
    look = ("archive", "witness", "--state", "judge")
    run = obhut(*look)
    assert (run.code, "[witness-missing]" in run.err) == (10, True)
    assert not (tmp_path / "judge").exists()
    assert obhut(*look, "--name", NAME).code == 0
    assert obhut("archive", "put", "one.txt", "--class", "letter").code == 0
    run = obhut(*look, "-o", "kept.checkpoint")
    assert "1 entries before, 2 now" in run.out
    assert obhut(*look, "--name", "example.net/other").code == 1
    shutil.copytree(tmp_path / "archive", tmp_path / "older")
    assert obhut("archive", "put", "two.txt", "--class", "letter").code == 0
    assert obhut(*look, "-o", "newer.checkpoint").code == 0
    against = ("archive", "verify", "--against", "newer.checkpoint", "--witness", "judge/witness.vkey")
    run = obhut(*against)
    assert run.code == 0, run.err
    assert "goes on from newer.checkpoint: 3 entries, signed by example.net/witness on 20" in run.out
    # An old copy in the place of the archive looks sound by itself.
    shutil.rmtree(tmp_path / "archive")
    shutil.copytree(tmp_path / "older", tmp_path / "archive")
    assert obhut("archive", "verify").code == 0
    assert obhut("archive", "verifier", "-o", "strangers.py").code == 0
    words = [
        "--store",
        "archive",
        "--key",
        "archive/log/1.vkey",
        "--against",
        "newer.checkpoint",
        "--witness",
        "judge/witness.vkey",
    ]
    command = [sys.executable, "-I", "strangers.py", *words]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (1, "")
    assert "had 3 entries and has 2" in ran.stdout
    command[command.index("newer.checkpoint")] = "kept.checkpoint"
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    assert "which example.net/witness signed too" in ran.stdout
    for line in (against, look):
        run = obhut(*line)
        assert run.code == 1
        assert "[log-rolled-back]" in run.err
        assert "it had 3 entries and has 2" in run.err
    assert obhut("archive", "verify", "--against", "kept.checkpoint").code == 0
    for name in ("absent", "one.txt"):
        run = obhut("archive", "verify", "--against", name)
        assert (run.code, "[checkpoint-unusable]" in run.err) == (1, True)
    bare = tmp_path / "bare.checkpoint"
    whole = note.Note.parse((tmp_path / "kept.checkpoint").read_bytes())
    bare.write_bytes(bytes(note.Note(whole.text, whole.signatures[:1])))
    run = obhut("archive", "verify", "--against", "bare.checkpoint", "--witness", "judge/witness.vkey")
    assert (run.code, "did not sign it" in run.err) == (1, True)
    assert obhut("archive", "verify", "--witness", "judge/witness.vkey").code == 2
