"""A folder between Obhut and real Syncthings: today's, and Debian's of years ago (TLS 1.3, no previous hashes)."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import peers
from obhut import _core
from record_bep import FOLDER, Peer, running

#: Small files of each side. ``OBHUT_SYNC_FILES=10000`` makes the twenty thousand of a long run.
FILES = int(os.environ.get("OBHUT_SYNC_FILES", "400"))

Tree = dict[str, tuple[Any, ...]]


def tree(root: Path) -> Tree:
    """Kinds, modes, times, contents and targets of all that is shared."""
    found: Tree = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if name.split("/", maxsplit=1)[0] in {".stfolder", ".stversions", ".stignore"} or path.name.startswith(
            ".syncthing."
        ):
            continue
        facts = path.lstat()
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))
        elif path.is_dir():
            found[name] = ("directory", facts.st_mode & 0o777)
        else:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found[name] = ("file", facts.st_size, facts.st_mode & 0o777, facts.st_mtime_ns, digest)
    return found


def fill(root: Path, seed: int) -> None:
    """Small files in forty directories, one of several blocks, an empty one, a link."""
    draw = random.Random(seed)
    for number in range(FILES):
        directory = root / f"s{seed}" / str(number % 40)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"f{number}").write_bytes(
            draw.randbytes(draw.choice((0, 1, 100, 3000, 200_000 if number % 50 == 0 else 500)))
        )
    (root / f"link{seed}").symlink_to("nowhere")
    (root / f"ä{seed}").write_bytes(draw.randbytes(5_000_000))


class Ours:
    """Our device, with a folder, beside a real one."""

    def __init__(self, base: Path, peer: Peer) -> None:
        self.folder = base / "ours"
        self.folder.mkdir()
        (self.folder / ".stfolder").mkdir()
        self.peer = peer
        self.theirs = _core.sync_device_id(base64.b32encode(peer.ids[0]).decode().rstrip("="))
        self.daemon: _core.SyncDaemon | None = None

    def start(self) -> None:
        config = {
            "name": "ours",
            "devices": [{"id": self.theirs, "name": "real", "addresses": [f"tcp://127.0.0.1:{self.peer.port}"]}],
            "folders": [{"id": FOLDER, "path": str(self.folder), "members": [{"device": self.theirs}]}],
        }
        self.daemon = _core.SyncDaemon(str(self.peer.ours), json.dumps(config), ["tcp://127.0.0.1:0"])

    def stop(self) -> None:
        if self.daemon is not None:
            self.daemon.stop()
            self.daemon = None

    def status(self) -> dict[str, Any]:
        assert self.daemon is not None
        found: dict[str, Any] = json.loads(self.daemon.status())["folders"][0]
        return found

    def settle(self) -> Tree:
        """Until both have the same, and neither has anything to do."""
        self.peer.ask(f"db/scan?folder={FOLDER}", method="POST")

        def same() -> bool:
            if self.status()["state"] != "idle":
                return False
            try:
                return tree(self.folder) == tree(self.peer.folder)
            except FileNotFoundError:
                return False  # it went while it was looked at

        until(same, self.differences)
        return tree(self.folder)

    def differences(self) -> str:
        one, other = tree(self.folder), tree(self.peer.folder)
        names = [name for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)]
        shown = [(name, one.get(name), other.get(name)) for name in names[:5]]
        return f"{len(names)} differ: {shown}; {self.status()}"

    def no_failures(self) -> None:
        """Invariant 17: the real one has nothing to complain of, and sees us complete."""
        own = _core.sync_identity(str(self.peer.ours))
        kinds = "Failure,FolderErrors,ItemFinished"
        events = self.peer.ask(f"events?since=0&timeout=1&events={kinds}") or []
        wrong = [one for one in events if one["type"] != "ItemFinished" or one["data"].get("error")]
        assert not wrong, wrong[:3]

        def complete() -> bool:
            found = self.peer.ask(f"db/completion?folder={FOLDER}&device={own}")
            return bool(found["completion"] == 100)

        until(complete, lambda: str(self.peer.ask(f"db/completion?folder={FOLDER}&device={own}")))


def until(check: Callable[[], bool], words: Callable[[], str], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, words()
        time.sleep(0.1)


def program(which: str) -> str:
    """One of the real ones."""
    return str(peers.need("syncthing") if which == "today's" else peers.need_old_syncthing())


@contextmanager
def pair(which: str, base: Path) -> Iterator[Ours]:
    with running(program(which), lambda folder: fill(folder, 1)) as peer:
        ours = Ours(base, peer)
        fill(ours.folder, 2)
        ours.start()
        try:
            yield ours
        finally:
            ours.stop()


@pytest.mark.parametrize("which", ["today's", "Debian's"])
def test_a_folder_both_ways(which: str, tmp_path: Path) -> None:
    with pair(which, tmp_path) as ours:
        here, there = ours.folder, ours.peer.folder
        found = ours.settle()
        assert len(found) >= 2 * FILES

        # Edits, deletions, renames of files and directories, modes, changes of kind: on each side.
        (here / "s1/0/f0").write_bytes(b"edited here")
        (here / "s1/1/f1").unlink()
        shutil.rmtree(here / "s1/2")
        (here / "s1/3").rename(here / "s1/renamed")
        (here / "s2/4/f4").rename(here / "s2/4/moved")
        (there / "s2/0/f0").write_bytes(b"edited there")
        (there / "s2/0/f0").chmod(0o700)
        (there / "s2/1/f1").unlink()
        shutil.rmtree(there / "s2/2")
        (there / "s2/3").rename(there / "s2/renamed")
        (there / "s2/5/f5").unlink()
        (there / "s2/5/f5").mkdir()
        (there / "s2/5/f5/in").write_text("inside")
        (here / "link1").unlink()
        (here / "link1").write_text("no link any more")
        found = ours.settle()
        assert found["s1/0/f0"][-1] == hashlib.sha256(b"edited here").hexdigest()
        assert found["s2/0/f0"][-1] == hashlib.sha256(b"edited there").hexdigest()
        assert not {"s1/1/f1", "s2/1/f1", "s1/2", "s2/2", "s1/3", "s2/3", "s2/4/f4"} & found.keys()
        assert {"s1/renamed/f3", "s2/renamed/f3", "s2/4/moved"} <= found.keys()
        assert [found[name][0] for name in ("s2/5/f5/in", "link1")] == ["file", "file"]
        # What went here by the word of the other is kept here.
        kept = {path.name.split("~")[0] for path in (here / ".stversions").rglob("*") if path.is_file()}
        assert {"f1", "f0", "f5"} <= kept
        ours.no_failures()


@pytest.mark.parametrize("which", ["today's", "Debian's"])
def test_a_conflict_keeps_both(which: str, tmp_path: Path) -> None:
    with pair(which, tmp_path) as ours:
        ours.settle()
        ours.stop()
        (ours.folder / "s1/0/f0").write_bytes(b"by us")
        (ours.peer.folder / "s1/0/f0").write_bytes(b"by them")
        ours.start()
        found = ours.settle()
        digests = {facts[-1] for facts in found.values()}
        assert {hashlib.sha256(text).hexdigest() for text in (b"by us", b"by them")} <= digests
        assert sum(".sync-conflict-" in name for name in found) == 1
        ours.no_failures()


def test_what_is_ignored_here_stays_here(tmp_path: Path) -> None:
    with pair("today's", tmp_path) as ours:
        ours.settle()
        (ours.folder / ".stignore").write_text("*.private\n/s1/7\n")
        (ours.folder / "mine.private").write_text("mine")
        (ours.peer.folder / "s1/7/new").write_text("not wanted here")
        (ours.folder / "last").write_text("so that there is something to wait for")
        ours.peer.ask(f"db/scan?folder={FOLDER}", method="POST")
        until((ours.peer.folder / "last").exists, ours.differences)
        time.sleep(2)
        assert not (ours.peer.folder / "mine.private").exists()
        assert (ours.peer.folder / "s1/7/f7").exists()
        assert not (ours.folder / "s1/7/new").exists()
