"""Bit rot: one damage at a time, at every byte of a small repository. Found, named, and never restored silently.

After each damage ``check --read-data`` must end with the documented code and name the damaged object by kind and id; a
restore of each snapshot must give exactly the files that can still be right, name each other one and not exit with 0; and
nothing in the repository may be written. ``OBHUT_EVERY_BYTE=1`` takes every position, otherwise a sample that holds the
borders of every part (IV, ciphertext, tag, header, length of the header, fields of key files).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

import rot
import sealing
from resident import Resident
from rot import Judge, Outcome, World
from tools import PASSWORD, Obhut

#: Read before tests get a clean environment.
STEP: Final = 1 if os.environ.get("OBHUT_EVERY_BYTE") else 61
KINDS: Final = ("config", "keys", "snapshots", "index", "data")

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    place = tmp_path_factory.mktemp("rot")
    environ = {"OBHUT_PASSWORD": PASSWORD, "HOME": str(place), "TZ": "UTC", "NO_COLOR": "1"}
    with Resident(environ) as obhut:
        yield Judge(rot.build(place, obhut), obhut)


@pytest.fixture
def world(judge: Judge) -> World:
    """The judge repairs what it damaged; this is the proof."""
    assert rot.read(judge.world.repository) == judge.world.files
    return judge.world


def intact(world: World, code: int = 0) -> Outcome:
    return Outcome(code, set(), {snapshot.id: code for snapshot in world.snapshots})


def test_the_repository_is_sound_and_the_judge_sees_when_nothing_is_wrong(judge: Judge, world: World) -> None:
    assert judge({}, intact(world)) == []
    for path in world.files:
        # The judge is told that a sound file is damaged: it has to object.
        assert judge({path: world.files[path]}), path
    assert {blob.compressed for blob in world.blobs if blob.kind == "data"} == {False, True}
    assert len(world.of_kind("data")) == 4
    assert len(world.of_kind("index")) == 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_flipped_byte_goes_unnoticed(kind: str, judge: Judge, world: World) -> None:
    problems, count = [], 0
    for number, path in enumerate(world.of_kind(kind)):
        content = world.files[path]
        draw = random.Random(number)
        for at in sorted(rot.borders(world, path) | set(range(draw.randrange(STEP), len(content), STEP))):
            damaged = bytearray(content)
            damaged[at] ^= 1 << draw.randrange(8)
            problems += [f"{path} byte {at}: {problem}" for problem in judge({path: bytes(damaged)})]
            count += 1
    print(f"{count} positions of {len(world.of_kind(kind))} files")
    assert problems[:5] == []
    assert count >= 7 * len(world.of_kind(kind))


DAMAGES: Final[dict[str, Callable[[bytes], bytes]]] = {
    "one byte less": lambda content: content[:-1],
    "half": lambda content: content[: len(content) // 2],
    "shorter than IV and tag": lambda content: content[:31],
    "empty": lambda _: b"",
    "one byte more": lambda content: content + b"\0",
    "a page more": lambda content: content + bytes(4096),
    "twice": lambda content: content * 2,
    "first byte lost": lambda content: content[1:],
    "zeros": lambda content: bytes(len(content)),
    "a sector of zeros": lambda content: content[:48] + bytes(len(content[48:96])) + content[96:],
    "another file": lambda content: b"#!/bin/sh\necho hello\n",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_happens_to_whole_files_is_found(kind: str, damage: str, judge: Judge, world: World) -> None:
    for path in world.of_kind(kind):
        damaged = DAMAGES[damage](world.files[path])
        assert damaged != world.files[path]
        assert judge({path: damaged}) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_file_is_found(kind: str, judge: Judge, world: World) -> None:
    for path in world.of_kind(kind):
        assert judge({path: None}) == []


@pytest.mark.parametrize("kind", KINDS)
def test_files_in_the_place_of_others_are_found(kind: str, judge: Judge, world: World) -> None:
    """Two files swapped, and one in the place of another, of the same kind and of every other kind."""
    for path in world.of_kind(kind):
        for other in world.files:
            if path != other:
                assert judge({path: world.files[other]}) == []
                assert judge({path: world.files[other], other: world.files[path]}) == []


def test_a_file_of_another_repository_is_found(judge: Judge, world: World, tmp_path: Path) -> None:
    """The same names can never come: but a config, which has no name of its own, may be put back by a wrong hand."""
    other = rot.build(tmp_path, judge.obhut)
    assert judge({"config": other.files["config"]}) == []
    (key,), (foreign,) = world.of_kind("keys"), other.of_kind("keys")
    # The foreign key file opens, but what it holds is no key of this repository.
    outcome = Outcome(1, {"config"}, {snapshot.id: 1 for snapshot in world.snapshots})
    assert judge({key: None, foreign: other.files[foreign]}, outcome) == []


# --- damage under intact seals: it happened in memory, before the file was sealed ------------------------------


def renamed(path: str, content: bytes) -> str:
    """The name that fits a content."""
    return f"{path.rsplit('/', 1)[0]}/{hashlib.sha256(content).hexdigest()}"


@pytest.mark.parametrize("first", [b"\0", b"\1", b"\3", b"\x7b", b"\xff"])
@pytest.mark.parametrize("kind", ["snapshots", "index"])
def test_a_wrong_version_byte_under_a_sound_seal_is_found(kind: str, first: bytes, judge: Judge, world: World) -> None:
    for path in world.of_kind(kind):
        content = world.key.seal(first + world.key.open(world.files[path])[1:])
        if kind == "index" and first == b"{":
            continue  # Index files of this world are stored as they are: this is the sound content.
        new = renamed(path, content)
        outcome = rot.expect(world, {path: b""})
        outcome.names = {rot.title(new)}
        assert judge({path: None, new: content}, outcome) == []


@pytest.mark.parametrize("kind", ["data", "tree"])
def test_a_blob_that_is_another_one_under_a_sound_seal_is_found(kind: str, judge: Judge, world: World) -> None:
    """The pack's name, the header, the index and every tag fit: nothing but the blob's own hash can tell.

    (Trees are always compressed; there zstd may notice first.)
    """
    blob = next(blob for blob in world.blobs if blob.kind == kind and blob.compressed == (kind == "tree"))
    content = bytearray(world.files[blob.pack])
    plain = bytearray(world.key.open(bytes(content[blob.offset : blob.offset + blob.length])))
    plain[len(plain) // 2] ^= 1
    content[blob.offset : blob.offset + blob.length] = world.key.seal(bytes(plain))
    pack = f"data/{renamed(blob.pack, bytes(content)).rsplit('/', 1)[-1]}"
    pack = f"data/{pack[5:7]}/{pack[5:]}"
    index = next(
        path for path in world.of_kind("index") if blob.pack in rot.packs_of_index(world.key, world.files[path])
    )
    text = world.key.open(world.files[index]).replace(blob.pack[8:].encode(), pack[8:].encode())
    sealed = world.key.seal(text)
    outcome = rot.expect(world, {blob.pack: b""})
    touched = {blob.id}
    for snapshot in world.snapshots:
        outcome.restore[snapshot.id] = int(bool(snapshot.trees & touched or snapshot.using(touched)))
    outcome.names = {rot.title(pack), blob.id}
    damage = {blob.pack: None, pack: bytes(content), index: None, renamed(index, sealed): sealed}
    assert judge(damage, outcome, touched) == []


# --- key files: what is not authenticated, and what is ---------------------------------------------------------


def rewritten(world: World, **change: object) -> dict[str, bytes | None]:
    """The key file with other fields, under the name that fits: as somebody would do it, not as a disk does."""
    (path,) = world.of_kind("keys")
    content = json.dumps(json.loads(world.files[path]) | change, separators=(",", ":")).encode()
    return {path: None, renamed(path, content): content}


@pytest.mark.parametrize("field", ["hostname", "username", "created"])
def test_who_made_a_key_is_not_protected_and_harms_nothing(field: str, judge: Judge, world: World) -> None:
    """Legally not covered: these fields are shown by ``key list`` and used for nothing."""
    for value in ("", "another", "2026-13-99T99:99:99Z", "\u202e\x1b[31m"):
        assert judge(rewritten(world, **{field: value}), intact(world)) == []


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("N", 4, 12),
        ("r", 2, 12),
        ("p", 2, 12),
        ("N", 3, 1),
        ("N", 1 << 40, 1),
        ("p", 0, 1),
        ("kdf", "argon2", 1),
        ("kdf", "Scrypt", 1),
        ("salt", "", 1),
        ("salt", base64.b64encode(bytes(64)).decode(), 12),
        ("salt", base64.b64encode(bytes(63)).decode(), 1),
        ("data", "", 1),
        ("data", base64.b64encode(bytes(200)).decode(), 12),
        ("data", base64.b64encode(bytes(31)).decode(), 1),
    ],
)
def test_what_opens_the_key_is_protected(field: str, value: object, code: int, judge: Judge, world: World) -> None:
    assert judge(rewritten(world, **{field: value}), intact(world, code)) == []


def test_an_unreadable_key_is_named_beside_a_sound_one(judge: Judge, world: World, tmp_path: Path) -> None:
    """With the sound key's password everything works and ``check`` names the other; with its own password it is named."""
    repository = tmp_path / "repository"
    shutil.copytree(world.repository, repository)
    (path,) = (repository / "keys").iterdir()
    second = tmp_path / "second"
    second.write_text("second")
    assert judge.obhut("backup", "key", "add", "-r", repository, "--new-password-file", second).code == 0
    (other,) = [file for file in (repository / "keys").iterdir() if file != path]
    other.chmod(0o600)
    sealing.make_cheap(other, "second")
    content = path.read_bytes()
    for damage in DAMAGES.values():
        path.write_bytes(damage(content))
        words = ("-r", repository, "--no-lock", "--password-file", second)
        reply = judge.obhut("backup", "check", *words)
        assert reply.code == 1
        assert f"key {path.name}" in reply.err
        assert judge.obhut("backup", "snapshots", *words).code == 0
        reply = judge.obhut("backup", "snapshots", "-r", repository, "--no-lock")
        assert reply.code == 12
        assert f"key {path.name}" in reply.err


# --- what is meant is never guessed --------------------------------------------------------------------------


@pytest.mark.parametrize("which", [0, 1])
def test_latest_is_refused_while_a_snapshot_cannot_be_read(which: int, judge: Judge, world: World) -> None:
    """The unreadable one may be the latest: an older state must not be restored in its place."""
    bad, good = world.snapshots[which], world.snapshots[1 - which]
    place = world.repository / "snapshots" / bad.id
    place.write_bytes(world.files[f"snapshots/{bad.id}"][:-1])
    try:
        for words in (["restore", "--target", str(world.place / "target")], ["ls"], ["cat", "snapshot"]):
            for name in ("latest", bad.id, bad.id[:6]):
                reply = judge.command(words[0], *words[1:], name)
                assert reply.code == 1, (words, name, reply)
                assert "[snapshots-unreadable]" in reply.err
                assert bad.id[:8] in reply.err
                assert not (world.place / "target").exists()
        assert judge.command("ls", good.id).code == 0
    finally:
        place.write_bytes(world.files[f"snapshots/{bad.id}"])


# --- legally not covered -------------------------------------------------------------------------------------


def test_what_is_not_covered_harms_nothing(judge: Judge, world: World) -> None:
    """The whole list; ``docs/design/damage.md`` explains each."""
    pack = world.of_kind("data")[0]
    name = pack.rsplit("/", 1)[-1]
    elsewhere = f"data/{'00' if name[:2] != '00' else '01'}/{name}"
    assert judge({"README": b"a note"}, intact(world)) == []
    assert judge({f"index/{'a' * 64}-tmp-0123456789abcdef": b"torn"}, intact(world)) == []
    assert judge({f"data/{'a' * 2}/{'a' * 64}": b"a pack that no index names"}, intact(world)) == []
    assert judge({elsewhere: b"a pack where nobody looks for it"}, intact(world)) == []
    assert judge({f"locks/{'a' * 64}": b"not a lock, and --no-lock does not look"}, intact(world)) == []
    for path in world.files:
        place = world.repository / path
        os.utime(place, (0, 0))
        place.chmod(0o644)
    assert judge({}, intact(world)) == []


@pytest.mark.timeout(120)
def test_a_damaged_lock_stops_commands_by_name_until_it_is_removed(world: World, tmp_path: Path) -> None:
    """It may be somebody's lock, so it is read again for 35 seconds; an empty one was torn by a power failure."""
    shutil.copytree(world.repository, tmp_path / "repository")
    ours = Obhut(tmp_path / "repository")
    locks = ours.repository / "locks"
    locks.mkdir(exist_ok=True)
    (locks / ("b" * 64)).touch()
    ours("check")
    (locks / ("a" * 64)).write_bytes(b"rotten")
    if STEP == 1:
        assert b"lock " + b"a" * 64 in ours("check", expect=1).err
    else:
        with subprocess.Popen(
            [sys.executable, "-m", "obhut", "backup", "check", "-r", ours.repository],
            env={**os.environ, **ours.env},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as child:
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(2)
            child.kill()
    ours("unlock")
    assert (locks / ("a" * 64)).exists()
    ours("unlock", "--remove-all")
    ours("check")


def test_the_program_itself_says_the_same(world: World, tmp_path: Path) -> None:
    """What the process that stays does, a fresh one does too, with its locks."""
    shutil.copytree(world.repository, tmp_path / "repository")
    ours = Obhut(tmp_path / "repository")
    for kind in ("index", "data"):
        path = world.of_kind(kind)[0]
        content = bytearray(world.files[path])
        content[20] ^= 4
        (ours.repository / path).write_bytes(content)
        assert rot.title(path).encode() in ours("check", "--read-data", expect=1).err
        (ours.repository / path).write_bytes(world.files[path])
    ours.check()
