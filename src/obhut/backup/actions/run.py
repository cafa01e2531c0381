"""Backing up: parent, job of the core, snapshot file, directory cache, in this order.

The snapshot is written last (formats: restic 14), and only if something was saved; what the core learned about
directories is bound to the snapshot after it exists.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from obhut import __version__, signals
from obhut.backup import select
from obhut.backup import snapshot as model
from obhut.backup.group import GroupBy
from obhut.backup.session import load_snapshots
from obhut.backup.sources import absolute, as_text, divide_existing, shown
from obhut.backup.stamp import Stamp
from obhut.backup.summary import Summary
from obhut.backup.user import username
from obhut.errors import ObhutError, converted
from obhut.job import Reporter, watch
from obhut.passwords import child_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from obhut import _core
    from obhut.backup.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Options:
    """What to back up and how."""

    targets: tuple[bytes, ...] = ()
    host: str = ""
    tags: tuple[str, ...] = ()
    time: Stamp | None = None
    parent: str | None = None
    force: bool = False
    group_by: GroupBy = field(default_factory=lambda: GroupBy(host=True, paths=True))
    excludes: tuple[bytes, ...] = ()
    iexcludes: tuple[bytes, ...] = ()
    #: Patterns of ``--exclude-file``: used, but not recorded in the snapshot (as restic does).
    excludes_of_files: tuple[bytes, ...] = ()
    exclude_if_present: tuple[bytes, ...] = ()
    exclude_caches: bool = False
    exclude_larger_than: int = 0
    one_file_system: bool = False
    ignore_ctime: bool = False
    ignore_inode: bool = False
    with_atime: bool = False
    dry_run: bool = False
    skip_if_unchanged: bool = False
    threads: int = 0
    #: Estimate the whole beside the backup.
    scan: bool = True
    #: Base of the directory cache; ``None`` = off.
    cache_dir: bytes | None = None
    #: Back up standard input (or a command's output) as this file.
    stdin_name: str | None = None
    command: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What was done."""

    summary: Summary
    #: Empty if no snapshot was written (dry run, unchanged).
    snapshot_id: str
    parent: Snapshot | None
    #: Sources or items that are not in the snapshot.
    incomplete: bool


class _Counting:
    """Passes everything on and counts the items that failed."""

    def __init__(self, inner: Reporter) -> None:
        self._inner = inner
        self.errors = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def item_error(self, item: bytes, during: str, error: ObhutError) -> None:
        self.errors += during != "scan"
        self._inner.item_error(item, during, error)


def run(repository: _core.Repository, options: Options, reporter: Reporter, clock: Callable[[], int]) -> Result:
    """Backs up. The caller holds a shared lock (none for a dry run)."""
    start = Stamp.local(clock())
    time = options.time or start
    counting: Any = _Counting(reporter)
    if options.stdin_name is not None:
        paths = [os.path.normpath("/" + options.stdin_name).encode("utf-8", "surrogateescape")]
        paths = [b"/" + paths[0].lstrip(b"/")]
        targets: list[bytes] = []
    else:
        targets = _existing(options.targets, counting)
        paths = [absolute(target) for target in targets]
    parent = _parent(repository, options, paths, time, reporter)
    if options.stdin_name is not None:
        result = _stream(repository, options, paths[0], counting)
    else:
        result = _files(repository, options, targets, parent, counting)
    _tell_notices(result, reporter)
    summary = Summary.from_result(result, start, Stamp.local(clock()))
    unchanged = options.skip_if_unchanged and parent is not None and parent.tree == result["tree"]
    saved = ""
    if not options.dry_run and not unchanged:
        saved = _save(repository, options, paths, time, parent, result, summary)
        _remember(repository, options, result, saved, reporter)
    return Result(summary, saved, parent, incomplete=counting.errors > 0 or bool(result["missing_targets"]))


#: What the core noticed that is no failure: the words, and from which level on they are told.
_NOTICES: Final = {
    "socket-skipped": ("sockets cannot be backed up", 2),
    "tagfile-unusable": ("the tag file cannot be read, so its folder is not left out", 1),
    "source-changed": ("changed while it was read", 1),
    "names-unavailable": ("cannot be found out now; its number is recorded without a name", 1),
    "repository-inside-source": ("the repository lies inside the source; exclude it, or it grows with every backup", 1),
}


def _tell_notices(result: dict[str, Any], reporter: Reporter) -> None:
    for notice in result["notices"]:
        words, level = _NOTICES.get(notice["code"], (notice["code"], 1))
        if not reporter.json and reporter.verbosity >= level:
            reporter.warn(f"notice: {notice['item']}: {words}")


def _existing(names: tuple[bytes, ...], reporter: Any) -> list[bytes]:
    if not names:
        raise ObhutError("source-unspecified")
    targets, missing = divide_existing(names)
    for name, reason in missing:
        reporter.item_error(name, "archival", ObhutError("source-missing", shown(name), reason))
    if not targets:
        raise ObhutError("nothing-saved", detail="none of the sources exists")
    return targets


def _parent(
    repository: _core.Repository, options: Options, paths: list[bytes], time: Stamp, reporter: Reporter
) -> Snapshot | None:
    if options.force or (options.stdin_name is not None and not options.skip_if_unchanged):
        return None
    snapshots = load_snapshots(repository, reporter, strict=False)
    parent = select.parent(
        snapshots,
        explicit=options.parent,
        by=options.group_by,
        host=options.host,
        targets=[as_text(path) for path in paths],
        tags=options.tags,
        time=time,
    )
    if parent is not None:
        reporter.say(f"using parent snapshot {parent.short_id}")
    else:
        reporter.say("no parent snapshot found, will read all files")
    return parent


def _files(
    repository: _core.Repository, options: Options, targets: list[bytes], parent: Snapshot | None, reporter: Any
) -> dict[str, Any]:
    with converted():
        job = repository.backup(
            targets,
            parent_tree=parent.tree if parent else None,
            parent_snapshot=parent.id if parent else None,
            excludes=[*options.excludes, *options.excludes_of_files],
            iexcludes=list(options.iexcludes),
            exclude_if_present=list(options.exclude_if_present),
            exclude_caches=options.exclude_caches,
            exclude_larger_than=options.exclude_larger_than,
            one_file_system=options.one_file_system,
            ignore_ctime=options.ignore_ctime or options.ignore_inode,
            ignore_inode=options.ignore_inode,
            with_atime=options.with_atime,
            dry_run=options.dry_run,
            verbose=_item_lines(reporter),
            json=reporter.json,
            cache_dir=None if options.dry_run else options.cache_dir,
            threads=options.threads,
            scan=options.scan and reporter.watched,
        )
    return watch(job, reporter, "backup")


def _item_lines(reporter: Any) -> int:
    """The core's level: 2 = a line for each item; restic writes them as JSON with -v, as text with -vv."""
    return 2 if reporter.json and reporter.verbosity > 1 else max(0, reporter.verbosity - 1)


def _stream(repository: _core.Repository, options: Options, name: bytes, reporter: Any) -> dict[str, Any]:
    if not options.command:
        return _stream_of(repository, options, 0, name, reporter)
    with _child(options.command) as child:
        if child.stdout is None:
            raise AssertionError
        try:
            result = _stream_of(repository, options, child.stdout.fileno(), name, reporter)
        except ObhutError as error:
            if error.id == "nothing-saved":
                _refuse_failure(child, options)  # why nothing came is more telling
            raise
        _refuse_failure(child, options)
    return result


def _refuse_failure(child: subprocess.Popen[bytes], options: Options) -> None:
    code = _ended(child)
    if code != 0:
        detail = f"exit code {code}" if code > 0 else f"ended by signal {-code}"
        raise ObhutError("command-failed", shown(options.command[0]), detail)


def _stream_of(repository: _core.Repository, options: Options, fd: int, name: bytes, reporter: Any) -> dict[str, Any]:
    with converted():
        job = repository.backup_stream(
            fd, name.lstrip(b"/"), dry_run=options.dry_run, json=reporter.json, threads=options.threads
        )
    return watch(job, reporter, "backup")


@contextmanager
def _child(command: tuple[bytes, ...]) -> Iterator[subprocess.Popen[bytes]]:
    """The source command, without our secrets; it does not outlive the block."""
    try:
        child = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=child_environment()
        )
    except OSError as error:
        raise ObhutError("command-failed", shown(command[0]), error.strerror or "") from None
    try:
        yield child
    finally:
        with signals.shielded():
            if child.stdout is not None:
                child.stdout.close()
            if child.poll() is None:
                child.terminate()
                try:
                    child.wait(0.5)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()


def _ended(child: subprocess.Popen[bytes]) -> int:
    """Waits for the end of a command whose output has ended; a signal to us breaks the wait."""
    while True:
        try:
            return child.wait(0.1)
        except subprocess.TimeoutExpired:
            signals.raise_if_caught()


def _save(
    repository: _core.Repository,
    options: Options,
    paths: list[bytes],
    time: Stamp,
    parent: Snapshot | None,
    result: dict[str, Any],
    summary: Summary,
) -> str:
    data = model.build(
        time=time,
        tree=result["tree"],
        paths=[as_text(path) for path in paths],
        hostname=options.host,
        username=username(),
        uid=os.getuid(),
        gid=os.getgid(),
        parent=parent.id if parent else None,
        excludes=[as_text(pattern) for pattern in options.excludes],
        tags=options.tags,
        program_version=f"obhut {__version__}",
        summary=summary.stored(),
    )
    with signals.shielded(), converted():
        return repository.save_snapshot(data)


def _remember(
    repository: _core.Repository, options: Options, result: dict[str, Any], saved: str, reporter: Reporter
) -> None:
    """Keeps what was learnt about directories. The snapshot is there: a cache that fails costs the next run time."""
    if options.cache_dir is None or not result.get("cache_token"):
        return
    try:
        with signals.shielded(), converted():
            repository.commit_cache(result["cache_token"], saved)
    except ObhutError as error:
        reporter.warn(f"warning: the next backup will read more, its cache could not be written: {error.message}")
