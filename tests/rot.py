"""A tiny repository of which every byte is known, and the judge of what a damage to it does.

The judge knows beforehand, from the bytes alone, what must happen: which object ``check`` has to name, which snapshots and
files can still be restored. It reports every difference, also where the program is more pessimistic than it should be.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import sealing
from resident import Reply, Resident
from tools import PASSWORD

#: Content of repository files by their paths; ``None`` = the file is not there.
Damage = Mapping[str, bytes | None]

NOUNS: Final = {"keys": "key", "snapshots": "snapshot", "index": "index", "data": "pack", "locks": "lock"}


def kind_of(path: str) -> str:
    """``config``, or the folder."""
    return path.split("/", 1)[0]


def title(path: str) -> str:
    """What messages call a repository file."""
    return path if path == "config" else f"{NOUNS[kind_of(path)]} {path.rsplit('/', 1)[-1]}"


@dataclass(frozen=True)
class Blob:
    """A blob's place."""

    pack: str
    offset: int
    length: int
    kind: str
    id: str
    compressed: bool


@dataclass(frozen=True)
class Snapshot:
    """What a snapshot holds."""

    id: str
    #: Paths as messages show them, and the content.
    files: dict[str, bytes]
    trees: frozenset[str]

    def using(self, blobs: set[str]) -> set[str]:
        """The files with one of these data blobs; each small file is one."""
        return {path for path, content in self.files.items() if hashlib.sha256(content).hexdigest() in blobs}


@dataclass(frozen=True)
class World:
    """The repository as it must be."""

    place: Path
    files: dict[str, bytes]
    blobs: tuple[Blob, ...]
    #: Oldest first.
    snapshots: tuple[Snapshot, ...]
    key: sealing.Key

    @property
    def repository(self) -> Path:
        return self.place / "repository"

    def of_kind(self, kind: str) -> list[str]:
        return [path for path in self.files if kind_of(path) == kind]

    def touched(self, damage: Damage) -> set[str]:
        """Ids of the blobs of which no whole copy is left, or that no index names any more."""
        lost: set[str] = set()
        kept: set[str] = set()
        named = self._named(damage)
        for blob in self.blobs:
            new = damage.get(blob.pack, self.files[blob.pack])
            end = blob.offset + blob.length
            whole = new is not None and new[blob.offset : end] == self.files[blob.pack][blob.offset : end]
            (kept if whole and blob.pack in named else lost).add(blob.id)
        return lost - kept

    def _named(self, damage: Damage) -> set[str]:
        """Packs in the index files that are left. A damaged index ends every command, so only missing ones count."""
        left = [path for path in self.of_kind("index") if damage.get(path, b"") is not None]
        return {pack for path in left for pack in packs_of_index(self.key, self.files[path])}


def packs_of_index(key: sealing.Key, content: bytes) -> list[str]:
    """The packs that an index file names. Written without compression in this world."""
    packs = json.loads(key.open(content))["packs"]
    return [f"data/{pack['id'][:2]}/{pack['id']}" for pack in packs]


# --- building ---------------------------------------------------------------------------------------------

#: Compressible and not, so that packs hold both kinds of blobs; one file and one folder are in both snapshots.
_FIRST: Final = {"both": b"in both snapshots\n" * 5, "text": b"compressible " * 30, "sub/deep": b"deep down\n" * 4}
_SECOND: Final = {"both": _FIRST["both"], "text": b"changed " * 40, "sub/deep": _FIRST["sub/deep"]}


def build(place: Path, obhut: Resident) -> World:
    """Two snapshots, made by the program; the key costs nothing, index files are stored without compression."""
    repository, source = place / "repository", place / "source"
    _call(obhut, "init", repository)
    (key_file,) = (repository / "keys").iterdir()
    key = sealing.master_key(sealing.make_cheap(key_file, PASSWORD), PASSWORD)
    snapshots = []
    for number, same in enumerate((_FIRST, _SECOND)):
        content = same | {"noise": hashlib.shake_128(b"%d" % number).digest(90)}
        for name, data in content.items():
            path = source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        reply = _call(obhut, "run", repository, source, "--json", "--force")
        ident = json.loads(reply.out.splitlines()[-1])["snapshot_id"]
        shown = {str(source / name): data for name, data in content.items()}
        snapshots.append(Snapshot(ident, shown, _trees(obhut, repository, ident)))
    for path in repository.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    for path in sorted((repository / "index").iterdir()):
        plain = _call(obhut, "cat", repository, "index", path.name).out.strip().encode()
        sealing.replace(path, key.seal(plain))
    for folder in (repository / "data").iterdir():
        if not any(folder.iterdir()):
            folder.rmdir()
    files = read(repository)
    return World(place, files, tuple(_blobs(key, files)), tuple(snapshots), key)


def _call(obhut: Resident, verb: str, repository: Path, *words: str | Path) -> Reply:
    reply = obhut("backup", verb, "-r", repository, *words)
    assert reply.code == 0, reply
    return reply


def _trees(obhut: Resident, repository: Path, snapshot: str) -> frozenset[str]:
    """Ids of all trees of a snapshot."""
    found: set[str] = set()
    todo = [json.loads(_call(obhut, "cat", repository, "snapshot", snapshot).out)["tree"]]
    while todo:
        tree = todo.pop()
        found.add(tree)
        nodes = json.loads(_call(obhut, "cat", repository, "blob", tree).out)["nodes"]
        todo += [node["subtree"] for node in nodes if "subtree" in node]
    return frozenset(found)


def _blobs(key: sealing.Key, files: dict[str, bytes]) -> Iterator[Blob]:
    for path, content in files.items():
        if kind_of(path) != "index":
            continue
        for pack in json.loads(key.open(content))["packs"]:
            name = f"data/{pack['id'][:2]}/{pack['id']}"
            for blob in pack["blobs"]:
                place = (blob["offset"], blob["length"], blob["type"], blob["id"])
                yield Blob(name, *place, compressed="uncompressed_length" in blob)


def read(repository: Path) -> dict[str, bytes]:
    """Every file below a repository."""
    return {
        str(path.relative_to(repository)): path.read_bytes() for path in sorted(repository.rglob("*")) if path.is_file()
    }


# --- judging ----------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What must happen."""

    check: int = 1
    #: What ``check`` must name.
    names: set[str] = field(default_factory=set)
    #: Exit code of each restore; 1 also if some files fail.
    restore: dict[str, int] = field(default_factory=dict)


@dataclass
class Judge:
    """Damages the repository, runs the program, compares, repairs the repository again."""

    world: World
    obhut: Resident

    def __call__(self, damage: Damage, outcome: Outcome | None = None, touched: set[str] | None = None) -> list[str]:
        """What was otherwise than it must be; ``outcome`` and ``touched`` where the bytes alone do not tell."""
        expected = outcome or expect(self.world, damage)
        lost = self.world.touched(damage) if touched is None else touched
        self._put(damage)
        try:
            before = stats(self.world.repository)
            problems = self._check(expected)
            for snapshot in self.world.snapshots:
                problems += self._restore(snapshot, expected, lost)
            if stats(self.world.repository) != before:
                problems.append("the repository was changed")
        finally:
            self._put({path: self.world.files.get(path) for path in damage})
        return problems

    def _put(self, damage: Damage) -> None:
        for path, content in damage.items():
            place = self.world.repository / path
            if content is None:
                place.unlink()
            else:
                place.parent.mkdir(exist_ok=True)
                place.write_bytes(content)

    def command(self, verb: str, *words: str | Path) -> Reply:
        return self.obhut("backup", verb, "-r", self.world.repository, "--no-lock", *words)

    def _check(self, expected: Outcome) -> list[str]:
        reply = self.command("check", "--read-data")
        problems = []
        if reply.code != expected.check:
            problems.append(f"check ended with {reply.code}, not {expected.check}: {reply.said}")
        problems += [f"check does not name {name}: {reply.said}" for name in expected.names if name not in reply.said]
        if "[internal]" in reply.err:
            problems.append(f"check: {reply.err}")
        return problems

    def _restore(self, snapshot: Snapshot, expected: Outcome, touched: set[str]) -> list[str]:
        target = self.world.place / "target"
        try:
            reply = self.command("restore", snapshot.id, "--target", target, "--no-sync")
            return [f"restore of {snapshot.id[:8]}: {p}" for p in self._found(snapshot, expected, touched, reply)]
        finally:
            shutil.rmtree(target, ignore_errors=True)

    def _found(self, snapshot: Snapshot, expected: Outcome, touched: set[str], reply: Reply) -> Iterator[str]:
        target = self.world.place / "target"
        wanted = expected.restore[snapshot.id]
        if reply.code != wanted:
            yield f"ended with {reply.code}, not {wanted}: {reply.said}"
        if "[internal]" in reply.err:
            yield reply.err
        broken = snapshot.using(touched)
        # Below a damaged tree files are not known by name; above, the damaged object itself is named.
        vague = bool(snapshot.trees & touched) or not target.exists()
        for path, content in snapshot.files.items():
            place = target / path.lstrip("/")
            right = place.exists() and place.read_bytes() == content
            if not right and reply.code == 0:
                yield f"{path} is not restored, and the exit code is 0"
            if vague:
                continue
            if right == (path in broken):
                yield f"{path} is {'' if right else 'not '}restored: {reply.said}"
            if not right and f"{path}: " not in reply.err:
                yield f"{path} is not named: {reply.said}"


def expect(world: World, damage: Damage) -> Outcome:
    """What must happen, by the bytes alone."""
    kinds = {kind_of(path) for path in damage}
    outcome = Outcome(names={title(path) for path, content in damage.items() if content is not None})
    everywhere = None
    if damage.get("config", b"") is None:
        everywhere, outcome.names = 10, set()
    elif "keys" in kinds:
        # Nothing can be opened, so nothing else is looked at. The name of a file that is gone is not known.
        everywhere = 1
        outcome.names = {title(path) for path in damage if kind_of(path) == "keys" and damage[path] is not None}
    elif "config" in kinds:
        everywhere, outcome.names = 1, {"config"}
    if everywhere is not None:
        outcome.check = everywhere
    elif all(content is None for content in damage.values()) and kinds == {"snapshots"}:
        # As after `forget`.
        outcome.check = 0
    if everywhere is None and any(kind_of(path) == "index" and damage[path] is not None for path in damage):
        # The rest is not looked at without a whole index.
        outcome.names = {title(path) for path in damage if kind_of(path) == "index" and damage[path] is not None}
        everywhere = 1
    touched = world.touched(damage)
    for snapshot in world.snapshots:
        bad = f"snapshots/{snapshot.id}" in damage or snapshot.trees & touched or snapshot.using(touched)
        outcome.restore[snapshot.id] = everywhere if everywhere is not None else int(bool(bad))
    if everywhere is None:
        outcome.names |= {title(path) for path in damage if kind_of(path) == "data"}
    return outcome


def stats(repository: Path) -> dict[str, tuple[int, ...]]:
    """What changes if anything is written."""
    found: dict[str, tuple[int, ...]] = {}
    for folder, _, names in os.walk(repository):
        for name in (".", *names):
            stat = os.stat(os.path.join(folder, name))
            found[os.path.join(folder, name)] = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    return found


def borders(world: World, path: str) -> set[int]:
    """Positions that no sample may leave out: each part of the file has one."""
    content = world.files[path]
    size = len(content)
    parts = _sealed(0, size)
    if kind_of(path) == "keys":
        fields: dict[str, Any] = json.loads(content)
        parts = {content.index(f'"{name}"'.encode()) + offset for name in fields for offset in (1, len(name) + 4)}
        parts |= {0, size - 1}
    elif kind_of(path) == "data":
        blobs = [blob for blob in world.blobs if blob.pack == path]
        parts = {at for blob in blobs for at in _sealed(blob.offset, blob.offset + blob.length)}
        parts |= _sealed(max(blob.offset + blob.length for blob in blobs), size - 4) | set(range(size - 4, size))
    return {at for at in parts if at < size}


def _sealed(start: int, end: int) -> set[int]:
    """First and last byte of IV, ciphertext and tag. In version 2 the first of the ciphertext is the encoding."""
    iv, tag = start + sealing.IV, end - sealing.TAG
    return {start, iv - 1, iv, iv + 1, tag - 1, tag, end - 1}
