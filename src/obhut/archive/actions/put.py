"""Taking documents in."""

from __future__ import annotations

import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from obhut.archive import classes, receipt
from obhut.archive.actions.rules import find_class
from obhut.archive.stamps import STAMPS
from obhut.archive.statement import LONGEST
from obhut.archive.vault import Incoming
from obhut.errors import ObhutError
from obhut.gojson import as_written
from obhut.log import tiles
from obhut.world import durable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from obhut.archive.vault import Intake, Logged, Vault
    from obhut.job import Reporter
    from obhut.log.note import Note

#: A group of documents ends at so many, and at so many bytes: what one checkpoint covers.
GROUP: Final = tiles.WIDTH
GROUP_BYTES: Final = 256 << 20

#: So many races in a row a group may lose: each was won by somebody.
LOST: Final = 20


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be archived, and as what."""

    paths: Sequence[bytes]
    category: str
    #: The day that the class counts from; without it the day on which each file was last written.
    event: date | None
    host: str
    #: The event has not come yet.
    open: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A file that may be archived."""

    path: Path
    size: int
    event: date | None


def put(
    vault: Vault, key_path: Path, wish: Wish, now: str, reporter: Reporter
) -> Iterator[tuple[Logged, dict[str, Any]]]:
    """Archives files; gives each with its receipt, a group at a time, once it is durable and logged.

    All files are looked at before anything is written. ``now`` is RFC 3339 UTC.
    """
    category = find_class(vault, wish.category)
    # East of Greenwich today is tomorrow for a while.
    latest = date.fromisoformat(now[:10]) + timedelta(days=1)
    if category.later and wish.event is None and not wish.open:
        raise ObhutError("event-unknown", category.name, category.english)
    if wish.event is not None and wish.event.year > latest.year + LONGEST:
        raise ObhutError("invalid-argument", "--event-date", f"{wish.event} is more than {LONGEST} years ahead")
    if wish.event is not None and wish.event > latest and category.start != "event":
        raise ObhutError("invalid-argument", "--event-date", f"{wish.event} lies in the future")
    found = [_look(Path(os.fsdecode(path)), wish, latest) for path in wish.paths]
    work = _Work(vault, list(groups(found)), category.name, wish, now)
    while work.left:
        try:
            with vault.writing(key_path) as intake:
                tell_recovered(intake, reporter, work.begun)
                yield from work.answered(intake)
                with closing(work.taken(intake)) as parts:
                    for taken in parts:
                        reporter.progress(
                            "archive", _counters(work.done, len(found)), [os.fsencode(taken.group[0].path)]
                        )
                        yield from work.put(intake, taken)
                        if vault.store.wanted():
                            break
        except ObhutError as error:
            if not work.is_tried_again(error):
                raise
    reporter.end_progress()


class _Work:
    """Groups of documents on their way into an archive."""

    def __init__(self, vault: Vault, groups: list[list[Found]], category: str, wish: Wish, now: str) -> None:
        self._vault = vault
        #: Those that are not in yet, the next one last.
        self.left = groups[::-1]
        self._category, self._wish, self._now = category, wish, now
        self.done = 0
        #: What was begun of the next group in a turn that failed.
        self.begun: list[Logged] = []
        self._lost = 0

    def taken(self, intake: Intake) -> Generator[_Taken]:
        """Groups as they come in; while one waits for the medium, the next is read, and no further one.

        What was read ahead goes when this is closed: another process has its turn, and may take away what it finds half
        written.
        """
        parts = iter(self.left[::-1])
        if (first := next(parts, None)) is None:
            return
        taken = _take(intake, first, self._now)
        with ThreadPoolExecutor(1) as ahead:
            for following in parts:
                coming = ahead.submit(_take, intake, following, self._now)
                yield taken
                taken = coming.result()
        yield taken

    def put(self, intake: Intake, taken: _Taken) -> Iterator[tuple[Logged, dict[str, Any]]]:
        """Archives the next group."""
        try:
            with taken.staged or nullcontext():
                entries, note = intake.put(_incoming(taken, self._category, self._wish, self._now), taken.staged)
        except ObhutError:
            self.begun = intake.begun
            raise
        self._lost = 0
        self.done += len(self.left.pop())
        return zip(entries, receipts(self._vault, entries, note), strict=True)

    def answered(self, intake: Intake) -> Iterator[tuple[Logged, dict[str, Any]]]:
        """What is in the log of the group that lost a race: whoever was faster may have found it whole, or we did now."""
        logged = intake.logged(self.begun)
        if logged:
            there = {entry.document.index for entry in logged}
            pairs = zip(self.left.pop(), self.begun, strict=True)
            rest = [file for file, entry in pairs if entry.document.index not in there]
            self.left += [rest] if rest else []
            self.done += len(logged)
            yield from zip(logged, receipts(self._vault, logged, self._vault.stated().note), strict=True)
        self.begun = []

    def is_tried_again(self, error: ObhutError) -> bool:
        """Whether the group lost a race in a bucket, of which nothing is left: somebody else was faster, not for ever."""
        self._lost += 1
        return error.id == "archive-raced" and self._lost <= LOST


def tell_recovered(intake: Intake, reporter: Reporter, own: Sequence[Logged]) -> None:
    """Says what an earlier stop had left, unless it is our ``own``."""
    known = {entry.document.id for entry in own}
    logged = [entry for entry in intake.recovered[0] if entry.document.id not in known]
    dropped = [name for name in intake.recovered[1] if name not in known]
    if logged:
        names = ", ".join(entry.document.id for entry in logged)
        reporter.warn(f"an earlier run was stopped before it answered; these documents of it are archived now: {names}")
    if dropped:
        reporter.warn(f"{len(dropped)} documents of a run that was stopped are not archived; put them in again")


def groups(found: Sequence[Found]) -> Iterator[list[Found]]:
    """Files in groups: at least one, and no more than fit under one checkpoint."""
    group: list[Found] = []
    size = 0
    for file in found:
        if group and (len(group) == GROUP or size + file.size > GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(file)
        size += file.size
    if group:
        yield group


@dataclass(frozen=True, slots=True)
class _Taken:
    """A group whose bytes were read: SHA-256 in hex and size of each, and copies, where the archive takes them so."""

    group: list[Found]
    hashes: list[tuple[str, int]]
    staged: durable.Staged | None


def _take(intake: Intake, group: list[Found], now: str) -> _Taken:
    paths = [os.fsencode(file.path) for file in group]
    if (staged := intake.stage(paths, now)) is not None:
        return _Taken(group, staged.hashes, staged)
    try:
        return _Taken(group, durable.hash_files(paths), None)
    except ObhutError as error:
        raise ObhutError("document-missing", error.object, error.detail) from error


def _incoming(taken: _Taken, category: str, wish: Wish, now: str) -> list[Incoming]:
    return [
        Incoming(
            path=os.fsencode(file.path),
            digest=digest,
            size=size,
            name=as_written(file.path.name),
            category=category,
            event=file.event.isoformat() if file.event else None,
            policy=classes.POLICY,
            received=now,
            source={"host": wish.host, "path": as_written(str(file.path.absolute()))},
        )
        for file, (digest, size) in zip(taken.group, taken.hashes, strict=True)
    ]


def receipts(
    vault: Vault, entries: Sequence[Logged], note: Note, stamp: dict[str, str] | None = None
) -> Iterator[dict[str, Any]]:
    """A receipt for each document under one checkpoint, and with its stamp if there is one."""
    from obhut.log.note import Checkpoint

    checkpoint = Checkpoint.parse(note.text)
    reader = tiles.Reader(checkpoint.size, vault.fetch)
    said: str | dict[str, str] = stamp or (receipt.PENDING if vault.store.any(STAMPS) else receipt.NO_STAMP)
    hops = receipt.hops(vault.keys, checkpoint.size, vault.fetch)
    for entry in entries:
        yield receipt.make(entry, checkpoint, note, vault.keys.at(checkpoint.size), reader, said, hops)


def _look(path: Path, wish: Wish, latest: date) -> Found:
    shown = as_written(str(path))
    try:
        facts = path.stat()
    except OSError as error:
        raise ObhutError("document-missing", shown, error.strerror or "") from None
    if not stat.S_ISREG(facts.st_mode):
        raise ObhutError("document-missing", shown, "it is no regular file; an archive takes files one by one")
    if not os.access(path, os.R_OK):
        raise ObhutError("document-missing", shown, "it may not be read")
    event = None if wish.open else wish.event or _written(shown, facts.st_mtime, latest)
    return Found(path, facts.st_size, event)


def _written(shown: str, seconds: float, latest: date) -> date:
    """The day, where we are, on which a file was last written."""
    try:
        day = date(*time.localtime(seconds)[:3])
    except (ValueError, OverflowError, OSError):
        day = date.max
    if day > latest:
        detail = "it was last written on a day that is yet to come; say which day counts with --event-date"
        raise ObhutError("document-missing", shown, detail)
    return day


def _counters(done: int, total: int) -> dict[str, int]:
    return {"items_done": done, "total_items": total, "bytes_done": 0, "total_bytes": 0, "total_known": 1, "errors": 0}
