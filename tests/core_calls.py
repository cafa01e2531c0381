"""Every call of ``obhut._core`` that may take long, once each, on a small repository: what tests of the binding go through.

As a program (``core_calls.py FOLDER``) it measures, while another thread of Python counts, and prints JSON: for each call its
seconds, the counts meanwhile, and the longest time without one.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import cheap
from obhut import _core

if TYPE_CHECKING:
    from collections.abc import Callable

PASSWORD: Final = b"correct horse battery staple"
WHO: Final[dict[str, Any]] = {"username": "user", "hostname": "host"}
BACKUP: Final[dict[str, Any]] = {
    **dict.fromkeys(("parent_tree", "parent_snapshot")),
    **{name: [] for name in ("excludes", "iexcludes", "exclude_if_present")},
    **dict.fromkeys(("exclude_caches", "one_file_system", "ignore_ctime", "ignore_inode", "with_atime"), False),
    "dry_run": False,
    "json": False,
    "exclude_larger_than": 0,
    "verbose": 0,
    "threads": 2,
}
RESTORE: Final[dict[str, Any]] = {
    **{name: [] for name in ("includes", "iincludes", "excludes", "iexcludes", "include_xattrs", "exclude_xattrs")},
    **dict.fromkeys(("delete", "dry_run", "sparse", "json", "owners_by_name"), False),
    **dict.fromkeys(("verify", "sync", "xattrs"), True),
    "overwrite": "always",
    "verbose": 0,
    "threads": 2,
}
PRUNE: Final[dict[str, Any]] = {
    "max_unused": "0",
    "max_repack_bytes": 1 << 40,
    "repack_smaller_than": 0,
    "ignore_snapshots": [],
    "threads": 2,
    **dict.fromkeys(("repack_cacheable_only", "repack_small", "repack_uncompressed"), False),
}


class Calls:
    """Goes through the calls; ``around`` carries each out, knowing its name."""

    def __init__(self, base: Path, store: _core.Store, around: Callable[[str, Callable[[], Any]], Any]) -> None:
        self.base, self.store, self.around = base, store, around

    def job(self, name: str, job: _core.Job) -> Any:
        """Waits for a job in one call."""
        assert self.around(name, lambda: job.wait(60.0)), name
        return json.loads(job.result() or b"{}")

    def run(self) -> None:
        """All of them."""
        around = self.around
        repo = around("Repository.open", lambda: _core.Repository.open(self.store, PASSWORD, **WHO))
        job = repo.lock(exclusive=True, retry_seconds=0.0)
        self.job("Repository.lock", job)
        lock = repo.take_lock(job)
        around("Lock.share", lock.share)
        around("Lock.release", lock.release)
        held = [repo.lock(exclusive=False, retry_seconds=0.0)]
        held[0].wait(60.0)
        locks = [repo.take_lock(held[0])]
        around("Lock (dropped)", locks.clear)
        held = [repo.lock(exclusive=False, retry_seconds=0.0)]
        held[0].wait(60.0)
        self.job("Repository.unlock", repo.unlock(remove_all=True))
        held.clear()
        snapshot, tree = self._write(repo)
        self._read(repo, snapshot, tree)
        self._keys(repo)
        self._prune(repo, snapshot)
        jobs = [repo.check(read_data=True, subset="", threads=2)]
        around("Job (dropped)", jobs.clear)

    def _write(self, repo: _core.Repository) -> tuple[str, str]:
        source = self.base / "source"
        source.mkdir()
        for number in range(6):
            (source / f"file{number}").write_bytes(os.urandom(200_000))
        cache = os.fsencode(self.base / "cache")
        job = repo.backup([os.fsencode(source)], cache_dir=cache, **BACKUP)
        result = self.job("Repository.backup", job)
        stored = json.dumps({"time": "2026-01-01T00:00:00Z", "tree": result["tree"], "paths": [str(source)]}).encode()
        snapshot = self.around("Repository.save_snapshot", lambda: repo.save_snapshot(stored))
        self.around("Repository.commit_cache", lambda: repo.commit_cache(result["cache_token"], snapshot))
        reader, writer = os.pipe()
        os.write(writer, b"stream")
        os.close(writer)
        stream = repo.backup_stream(reader, b"name", dry_run=False, json=False, threads=1)
        os.close(reader)
        self.job("Repository.backup_stream", stream)
        # What keeps a part of a pack, so that the other part is worth a repacking.
        job = repo.backup([os.fsencode(source / "file0")], cache_dir=None, **BACKUP)
        kept = self.job("Repository.backup", job)["tree"]
        repo.save_snapshot(stored.replace(result["tree"].encode(), kept.encode()))
        return snapshot, result["tree"]

    def _read(self, repo: _core.Repository, snapshot: str, tree: str) -> None:
        self.job("Repository.snapshots", repo.snapshots())
        self.job("Repository.list_files", repo.list_files("blobs"))
        self.around("Repository.cat", lambda: repo.cat("snapshot", snapshot))
        self.job("Repository.ls", repo.ls(tree, paths=[], recursive=True, format="long", human=False))
        self.job("Repository.check", repo.check(read_data=True, subset="", threads=2))
        self.job("Repository.restore", repo.restore(tree, b"", os.fsencode(self.base / "target"), **RESTORE))

    def _keys(self, repo: _core.Repository) -> None:
        self.around("Repository.keys", repo.keys)
        added = self.around("Repository.add_key", lambda: repo.add_key(b"another", **WHO))
        self.around("Repository.remove_key", lambda: repo.remove_key(added))
        self.around("Repository.change_password", lambda: repo.change_password(b"new", **WHO))

    def _prune(self, repo: _core.Repository, snapshot: str) -> None:
        self.job("Repository.delete_snapshots", repo.delete_snapshots([snapshot]))
        plan = self.job("Repository.plan_prune", repo.plan_prune(**PRUNE))["plan"]
        self.job("Repository.repack", repo.repack(plan, threads=2))
        self.job("Repository.swap_index", repo.swap_index(plan, threads=2))
        self.job("Repository.delete_packs", repo.delete_packs(plan))


def free_functions(base: Path, around: Callable[[str, Callable[[], Any]], Any]) -> None:
    """Those without a repository, and what makes one."""
    new = _core.Store.local(os.fsencode(base / "new"))
    around("Repository.init", lambda: _core.Repository.init(new, PASSWORD, **WHO))
    around("durable_write", lambda: _core.durable_write(os.fsencode(base / "file"), b"x", 0o600))
    root = os.fsencode(base)
    around("make_folder", lambda: _core.make_folder(root + b"/made/below", 0o750))
    around(
        "put_files", lambda: _core.put_files(root, [("put/x", b"x"), ("put/y", b"y")], 0o440, replace=False, until=None)
    )
    [(digest, size)] = around("hash_files", lambda: _core.hash_files([root + b"/put/x"], 1))
    around(
        "copy_files", lambda: _core.copy_files(root, [("put/z", root + b"/put/x", digest, size)], 0o440, until=10**9)
    )
    paths = [root + b"/put/x", root + b"/put/y"]
    staged = around("StagedFiles.take", lambda: _core.StagedFiles.take(root, "put", paths, 0o440, until=None))
    around("StagedFiles.name", lambda: staged.name([(0, "put/v")]))
    around("StagedFiles.discard", staged.discard)
    ring = _core.AgeKeyring(secret := _core.age_identity(), [_core.age_recipient(secret) or ""])
    around("AgeKeyring.seal_files", lambda: ring.seal_files([(root + b"/put/x", digest, size, root + b"/sealed")], 1))
    around("AgeKeyring.read_files", lambda: ring.read_files([root + b"/sealed"], 1))
    around("AgeKeyring.copy_out", lambda: ring.copy_out(root, "put/w", root + b"/sealed", digest, size, 0o440))
    around("postpone_files", lambda: _core.postpone_files(root, [("put/z", 2 * 10**9)]))
    around("sync_folders", lambda: _core.sync_folders([root + b"/put", root]))
    around("durable_remove", lambda: _core.durable_remove(root + b"/put/z"))
    around("selftest", lambda: repeat(40, _core.selftest))
    contract = cast("Callable[[object], list[str]]", vars(_core)["_store_contract"])
    around("_store_contract", lambda: contract(_core.Store.local(os.fsencode(base / "contract"))))


def repeat(times: int, call: Callable[[], None]) -> None:
    """For a call that takes a millisecond."""
    for _ in range(times):
        call()


class Measuring(threading.Thread):
    """Counts as long as it gets the interpreter."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.times: list[float] = []
        self.measured: dict[str, tuple[float, int, float]] = {}

    def run(self) -> None:
        while True:
            self.times.append(time.perf_counter())
            time.sleep(0.001)

    def around(self, name: str, call: Callable[[], Any]) -> Any:
        """Measures a call."""
        begin = time.perf_counter()
        answer = call()
        end = time.perf_counter()
        ticks = [tick for tick in self.times if begin <= tick <= end]
        stops = [begin, *ticks, end]
        gap = max(after - before for before, after in itertools.pairwise(stops))
        self.measured[name] = (end - begin, len(ticks), gap)
        return answer


def main(base: Path) -> None:
    import ctypes

    repository = base / "repository"
    cheap.init(repository)
    measuring = Measuring()
    # Nobody is made to give the interpreter up: who does not release it keeps it.
    sys.setswitchinterval(1000)
    measuring.start()
    # The measure must see a call that keeps the interpreter.
    measuring.around("keeps", lambda: ctypes.PyDLL(None).usleep(200_000))
    Calls(base, _core.Store.local(os.fsencode(repository)), measuring.around).run()
    free_functions(base, measuring.around)
    print(json.dumps(measuring.measured))
    sys.stdout.flush()
    # Not through the end of the interpreter, for which the counting thread would have to be stopped.
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
