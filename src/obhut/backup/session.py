"""Opening a repository and holding its lock.

Locks (formats: restic 13): reading and writing commands take a shared lock, ``forget``, ``prune``, ``check``,
``key remove`` and ``key passwd`` an exclusive one. A lock is released on every way out of the block.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from obhut import _core, signals
from obhut.backup import select
from obhut.backup import snapshot as model
from obhut.backup.user import username
from obhut.backup.waiting import Waiting
from obhut.errors import ObhutError, converted, core_error
from obhut.job import Reporter, collect, watch
from obhut.passwords import PROMPTS, Question
from obhut.storage.urls import open_location

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from obhut.backup.select import Filter
    from obhut.backup.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Access:
    """How a repository is reached."""

    location: str
    question: Question
    #: Of this machine; locks carry it.
    host: str
    key_hint: str | None = None
    compression: str = "auto"
    #: Bytes; 0 = default.
    pack_size: int = 0
    extra_verify: bool = True
    threads: int = 0
    #: Base of the local cache; ``None`` = no cache.
    cache_dir: bytes | None = None
    #: KiB per second; 0 = no limit.
    limit_upload: int = 0
    limit_download: int = 0
    retry_lock: float = 0.0
    #: Seconds for which a call to the storage is tried again.
    retry_storage: float = 900.0


def open_store(access: Access) -> _core.Store:
    """The storage with its wrappers."""
    with converted():
        store = open_location(access.location)
        remote = not store.is_local()
        if access.threads == 1 and not remote:  # one thread writes: docs/design/faults.md
            store = store.with_one_writer()
        if remote:
            store = store.with_retry(access.retry_storage)
        if access.limit_upload or access.limit_download:
            store = store.with_limits(access.limit_upload << 10, access.limit_download << 10)
        if access.cache_dir is not None and remote:  # a disk is no faster than a disk
            store = store.with_cache(access.cache_dir)
    return store


def open_repository(access: Access, environ: Mapping[str, str], reporter: Reporter) -> _core.Repository:
    """Opens the repository; a person who mistypes the password is asked again. Oddities become warnings."""
    repository = _open(access, environ)
    for code, thing, detail in repository.warnings():
        reporter.warn(f"warning: {core_error(code, thing, detail).message}")
    return repository


def _open(access: Access, environ: Mapping[str, str]) -> _core.Repository:
    store = open_store(access)
    for attempt in range(1, PROMPTS + 1):
        password, typed = access.question.answer(environ)
        try:
            with converted():
                return _core.Repository.open(
                    store,
                    password.reveal(),
                    username=username(),
                    hostname=access.host,
                    key_hint=access.key_hint or None,
                    compression=access.compression,
                    pack_size=access.pack_size,
                    extra_verify=access.extra_verify,
                    threads=access.threads,
                )
        except ObhutError as error:
            if error.id != "wrong-password" or not typed or attempt == PROMPTS:
                raise
    raise AssertionError


@dataclass(frozen=True, slots=True)
class Held:
    """The lock of a block; of one that needs none it does nothing."""

    _lock: _core.Lock | None = None

    def share(self) -> None:
        """Turns an exclusive lock into a shared one, without a moment in which none is held."""
        if self._lock is not None:
            with signals.shielded(), converted():
                self._lock.share()

    def release(self) -> None:
        """Before the block ends, since another lock is to be taken: it is an error if ours stays and keeps us out."""
        if self._lock is not None:
            with signals.shielded(), converted():
                self._lock.release()


@contextmanager
def locked(
    repository: _core.Repository,
    access: Access,
    reporter: Reporter,
    *,
    exclusive: bool = False,
    wanted: bool = True,
) -> Iterator[Held]:
    """Holds a lock for the block. ``wanted`` is false for ``--no-lock`` and for dry runs that need none.

    A lock that cannot be removed when the block ends does not turn what it has done into a failure, nor does it hide
    why it failed: it is a warning.
    """
    if not wanted:
        yield Held()
        return
    with converted():
        job = repository.lock(exclusive=exclusive, retry_seconds=access.retry_lock)
    waiting: Any = Waiting(reporter, access.host)
    try:
        watch(job, waiting)
    except BaseException:
        # The job may have got the lock in the very moment in which it was told to stop.
        with suppress(_core.CoreError):
            _release(repository.take_lock(job), reporter)
        raise
    lock: _core.Lock | None = None
    try:
        with signals.shielded(), converted():
            lock = repository.take_lock(job)
        signals.raise_if_caught()
        yield Held(lock)
    finally:
        if lock is not None:
            _release(lock, reporter)


def _release(lock: _core.Lock, reporter: Reporter) -> None:
    try:
        with signals.shielded(), converted():
            lock.release()
    except ObhutError as error:
        reporter.warn(f"warning: our lock stays, remove it with `obhut backup unlock`: {error.message}")


def load_snapshots(repository: _core.Repository, reporter: Reporter, *, strict: bool) -> list[Snapshot]:
    """All snapshots, in the order of their ids. With ``strict`` one that cannot be read ends the command."""
    found, unreadable = _read_snapshots(repository, reporter)
    if strict and unreadable:
        raise _unreadable(unreadable)
    return found


def find_snapshot(repository: _core.Repository, name: str, wanted: Filter, reporter: Reporter) -> tuple[Snapshot, str]:
    """The snapshot that ``ID``, ``latest``, ``ID:PATH`` or ``latest:PATH`` means, and the path.

    Where a file that cannot be read may be the one that is meant, another is not taken in its place: nobody would
    notice that what is restored is older than asked for.
    """
    found, unreadable = _read_snapshots(repository, reporter)
    head, _ = select.split_name(name)
    if doubtful := [ident for ident in unreadable if head == "latest" or (head and ident.startswith(head))]:
        raise _unreadable(doubtful)
    return select.find(found, name, wanted)


def _unreadable(idents: list[str]) -> ObhutError:
    return ObhutError("snapshots-unreadable", ", ".join(sorted(ident[:8] for ident in idents)))


def _read_snapshots(repository: _core.Repository, reporter: Reporter) -> tuple[list[Snapshot], list[str]]:
    """All that can be read, in the order of their ids, and the ids of the others, which the reporter was told."""
    with converted():
        job = repository.snapshots()
    lines, failed = collect(job, reporter)
    found: list[Snapshot] = []
    unreadable = [item.decode("ascii", "replace").removeprefix("snapshot ") for item, _ in failed]
    for line in lines:
        try:
            found.append(model.parse_line(line))
        except ValueError as error:
            ident = line[7:71]
            unreadable.append(ident.decode("ascii", "replace"))
            reporter.item_error(ident, "check", ObhutError("damaged", f"snapshot {unreadable[-1][:8]}", str(error)))
    return sorted(found, key=lambda snapshot: snapshot.id), unreadable


def second(access: Access, location: str, question: Question, key_hint: str | None) -> Access:
    """Access to another repository with the same machine settings."""
    return replace(access, location=location, question=question, key_hint=key_hint)
