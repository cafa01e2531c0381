"""Repositories for fault tests, the commands that change them, and the judge of what a fault left."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import straced
from tools import PASSWORD, Ran, Restic, run

if TYPE_CHECKING:
    from collections.abc import Callable

OTHER: Final = "another password"
CHEAP: Final = Path(__file__).parent / "faults" / "cheap"
#: What every repository file's temporary name looks like.
_TEMPORARY: Final = "-tmp-"


def fill(folder: Path, dice: random.Random, files: int, size: int) -> None:
    """Makes or changes files; some are equal to others."""
    for number in range(files):
        path = folder / f"part{number % 3}" / f"file{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dice.randbytes(dice.randrange(size)) if number % 5 else b"the same everywhere" * 50)


def hash_of(folder: Path) -> str:
    """The names and contents of everything below a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(os.fsencode(path.relative_to(folder)) + b"\0")
        if path.is_file():
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@dataclass
class World:
    """A source, a repository of it, and what its snapshots must restore to."""

    root: Path
    snapshots: dict[str, str] = field(default_factory=dict)
    password: str = PASSWORD
    #: A key that is there besides the one in use.
    other_key: str = ""

    @property
    def repository(self) -> Path:
        return self.root / "repository"

    @property
    def source(self) -> Path:
        return self.root / "source"

    def copy(self, root: Path) -> World:
        shutil.copytree(self.root, root, symlinks=True)
        return World(root, dict(self.snapshots), self.password, self.other_key)

    def names(self, kind: str) -> set[str]:
        """The files of a kind that a list shows."""
        folder = self.repository / kind
        found = folder.glob("??/*") if kind == "data" else folder.glob("*")
        return {path.name for path in found if _TEMPORARY not in path.name}

    def environment(self, password: str = "") -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root / "home"),
            "TZ": "UTC",
            "OBHUT_REPOSITORY": str(self.repository),
            "OBHUT_PASSWORD": password or self.password,
            # Compiled modules would be written by calls that count, if the first run is the traced one.
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def command(self, *words: str) -> list[str | Path]:
        return [Path(sys.executable), "-m", "obhut", "backup", *words]

    def obhut(self, *words: str, expect: int | set[int] | None = 0, password: str = "") -> Ran:
        env = dict.fromkeys(os.environ, "") | self.environment(password)
        return run(self.command(*words), expect=expect, env=env)

    def restic(self, password: str = "") -> Restic:
        return Restic(self.repository, password or self.password)

    def back_up(self, *words: str) -> str:
        """A snapshot of the source as it is."""
        before = self.names("snapshots")
        self.obhut("run", "--no-cache", *words, str(self.source))
        (made,) = self.names("snapshots") - before
        self.snapshots[made] = hash_of(self.source)
        return made

    def restored(self, snapshot: str, password: str = "") -> str:
        target = self.root / "restored"
        self.restic(password)(
            "--no-lock", "--no-cache", "restore", f"{snapshot}:{self.source_then}", "--target", target
        )
        found = hash_of(target)
        shutil.rmtree(target)
        return found

    @property
    def source_then(self) -> str:
        """Where the source lay when the first snapshots were made."""
        return (self.root / "source-then").read_text()


def empty(root: Path) -> World:
    """A source and no repository."""
    world = World(root)
    (root / "home").mkdir(parents=True)
    fill(world.source, random.Random(1), 20, 30_000)
    # Snapshots remember absolute paths; copies of this world are backed up from where they are.
    (root / "source-then").write_text(str(world.source))
    return world


def fresh(root: Path) -> World:
    """An empty repository with a cheap key."""
    world = empty(root)
    shutil.copytree(CHEAP, world.repository, ignore=shutil.ignore_patterns("README.md"))
    for folder in ("locks", "index", "snapshots", *(f"data/{number:02x}" for number in range(256))):
        (world.repository / folder).mkdir(parents=True)
    return world


def full(root: Path) -> World:
    """Three snapshots of a source that changes, and has changed since."""
    world = fresh(root)
    for seed in range(3):
        fill(world.source, random.Random(seed + 2), 8 + 3 * seed, 30_000)
        world.back_up()
    fill(world.source, random.Random(9), 6, 30_000)
    return world


def forgotten(root: Path) -> World:
    """Snapshots gone whose data lies beside needed data, and a pack that no index names."""
    world = full(root)
    oldest = min(world.snapshots, key=lambda name: (world.repository / "snapshots" / name).stat().st_mtime_ns)
    del world.snapshots[oldest]
    world.obhut("forget", oldest)
    orphan = b"never named by an index file"
    name = hashlib.sha256(orphan).hexdigest()
    (world.repository / "data" / name[:2] / name).write_bytes(orphan)
    return world


def two_keys(root: Path) -> World:
    """A repository with a second password."""
    world = full(root)
    before = world.names("keys")
    world.obhut(*new_password(world, "key", "add"))
    (world.other_key,) = world.names("keys") - before
    return world


def abandoned(root: Path) -> World:
    """The locks of processes that were killed."""
    world = full(root)
    for _ in range(2):
        log, point = root / "log", straced.Point("pwrite64", 2)
        command = world.command("run", "--no-cache", "--threads", "1", str(world.source))
        trace = straced.run(command, world.repository, log, env=world.environment(), inject=(point, "KILL"))
        assert trace.killed
        log.unlink()
    assert len(world.names("locks")) == 2
    return world


def new_password(world: World, *words: str) -> tuple[str, ...]:
    file = world.root / "new-password"
    file.write_text(OTHER)
    return (*words, "--new-password-file", str(file))


@dataclass(frozen=True)
class Verb:
    """A command that changes a repository."""

    make: Callable[[Path], World]
    words: Callable[[World], tuple[str, ...]]
    #: Whether what the command is for has been done, and wholly.
    done: Callable[[World, World], bool]
    #: Snapshots that it may remove.
    removes: Callable[[World], set[str]] = lambda world: set()
    locked: bool = True


def backed_up(before: World, now: World) -> bool:
    """There is one snapshot more, and it is the source as it is."""
    made = now.names("snapshots") - before.names("snapshots")
    for name in made:
        target = now.root / "new"
        now.restic()("--no-lock", "--no-cache", "restore", f"{name}:{now.source}", "--target", target)
        assert hash_of(target) == hash_of(now.source), "the new snapshot is not what was backed up"
        shutil.rmtree(target)
    return bool(made)


def all_but_newest(world: World) -> set[str]:
    by_age = sorted(world.snapshots, key=lambda name: (world.repository / "snapshots" / name).stat().st_mtime_ns)
    return set(by_age[:-1])


def pruned(before: World, now: World) -> bool:
    """Nothing is there that no snapshot needs: restic would remove nothing."""
    plan = now.restic()("--no-lock", "prune", "--dry-run", "--max-unused", "0", "-v").text
    sums = [re.search(rf"^{what}: +(\d+) blobs", plan, re.MULTILINE) for what in ("unused", "total prune")]
    assert all(sums), plan
    return all(found is not None and found[1] == "0" for found in sums)


def opens(world: World, password: str) -> bool:
    return world.obhut("cat", "--no-lock", "config", expect={0, 12}, password=password).code == 0


VERBS: Final[dict[str, Verb]] = {
    "init": Verb(empty, lambda _: ("init",), lambda _, now: opens(now, PASSWORD), locked=False),
    "backup-first": Verb(fresh, lambda w: ("run", "--no-cache", str(w.source)), backed_up),
    "backup": Verb(full, lambda w: ("run", "--no-cache", str(w.source)), backed_up),
    "forget": Verb(
        full,
        lambda _: ("forget", "--group-by", "", "--keep-last", "1"),
        lambda _, now: len(now.names("snapshots")) == 1,
        removes=all_but_newest,
    ),
    "prune": Verb(forgotten, lambda _: ("prune", "--max-unused", "0"), pruned),
    "key-add": Verb(full, lambda w: new_password(w, "key", "add"), lambda _, now: opens(now, OTHER), locked=False),
    "key-passwd": Verb(
        full,
        lambda w: new_password(w, "key", "passwd"),
        lambda _, now: opens(now, OTHER) and not opens(now, PASSWORD),
    ),
    "key-remove": Verb(
        two_keys,
        lambda w: ("key", "remove", w.other_key),
        lambda _, now: not opens(now, OTHER) and opens(now, PASSWORD),
    ),
    "unlock": Verb(abandoned, lambda _: ("unlock",), lambda _, now: not now.names("locks"), locked=False),
}


class Bases:
    """The worlds that verbs begin with, each made when first asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._made: dict[str, World] = {}

    def of(self, name: str) -> World:
        make = VERBS[name].make
        if make.__name__ not in self._made:
            self._made[make.__name__] = make(self._root / make.__name__)
        return self._made[make.__name__]


def traced(
    world: World, name: str, *more: str, threads: int = 1, inject: tuple[straced.Point, str] | None = None
) -> straced.Trace:
    """Runs a verb of the real program under strace."""
    words = VERBS[name].words(world)
    at = 2 if words[0] == "key" else 1
    command = world.command(*words[:at], "--threads", str(threads), *more, *words[at:])
    log = world.root / "log"
    trace = straced.run(command, world.repository, log, env=world.environment(), inject=inject, common=inject is None)
    log.unlink()
    return trace


@dataclass
class Outcome:
    """How a command that met a fault ended."""

    code: int
    err: str
    killed: bool
    #: The fault hit the removal of the lock itself.
    at_unlock: bool = False


def judge(verb: Verb, before: World, now: World, outcome: Outcome) -> None:
    """Nothing that was there is lost; what was reported is true; the command can be run again."""
    if not outcome.killed:
        _reported_well(verb, before, now, outcome)
    if verb.make is empty:
        _init_again(now)
        return
    if opens(now, OTHER) and not opens(now, PASSWORD):
        now.password = OTHER
    if now.names("locks"):
        left = outcome.killed or outcome.at_unlock or verb.make is abandoned
        assert left, f"a lock was left\n{outcome.err}"
        now.obhut("unlock")
        assert not now.names("locks"), "the lock of a dead process stays"
    _nothing_lost(verb, before, now)
    if not (verb.words(before)[0] == "key" and verb.done(before, now)):
        again = now.obhut(*verb.words(now))
        assert verb.done(before, now), f"not done though it exits with 0\n{again}"
        if verb.words(before)[:2] == ("key", "passwd"):
            now.password = OTHER
    assert not now.names("locks")
    _nothing_lost(verb, before, now)


def _reported_well(verb: Verb, before: World, now: World, outcome: Outcome) -> None:
    assert "Traceback" not in outcome.err
    assert "panicked" not in outcome.err
    if outcome.code == 0:
        assert verb.done(before, now), f"success was reported and it is not done\n{outcome.err}"
        return
    assert outcome.code in {1, 3}, f"exit code {outcome.code}\n{outcome.err}"
    assert "error:" in outcome.err
    assert "[internal]" not in outcome.err, outcome.err
    assert outcome.code == 3 or "next:" in outcome.err, outcome.err


def _init_again(now: World) -> None:
    """After a fault in ``init``: it is there, or ``init`` works again. Either way there is one key."""
    if not opens_at_all(now):
        now.obhut("init")
    assert opens(now, PASSWORD)
    assert len(now.names("keys")) == 1
    now.restic()("check", "--read-data")


def opens_at_all(world: World) -> bool:
    return world.obhut("cat", "--no-lock", "config", expect=None).code == 0


def _nothing_lost(verb: Verb, before: World, now: World) -> None:
    now.restic()("--no-cache", "check", "--read-data")
    there = now.names("snapshots")
    removable = verb.removes(before)
    for name, content in before.snapshots.items():
        assert name in there or name in removable, f"snapshot {name} is lost"
        if name in there:
            assert now.restored(name) == content, f"snapshot {name} restores to something else"


def packs_of_indexes(world: World) -> dict[str, set[str]]:
    """Which packs each index file names, as restic reads it."""
    found: dict[str, set[str]] = {}
    for name in world.names("index"):
        content: dict[str, Any] = json.loads(world.restic()("--no-lock", "cat", "index", name).out)
        found[name] = {pack["id"] for pack in content["packs"]}
    return found
