"""Taking documents in."""

from __future__ import annotations

import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
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
    from collections.abc import Iterator, Sequence

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
    work = _Work(vault, _hashed(groups(found)), category.name, wish, now)
    while work.group:
        try:
            with vault.writing(key_path) as intake:
                tell_recovered(intake, reporter, work.begun)
                yield from work.answered(intake)
                begun = work.done
                while work.group and not (work.done > begun and vault.store.wanted()):
                    reporter.progress("archive", _counters(work.done, len(found)), [os.fsencode(work.group[0].path)])
                    yield from work.put(intake)
                    work.go_on()
        except ObhutError as error:
            if not work.is_tried_again(error):
                raise
    reporter.end_progress()


class _Work:
    """Groups of documents on their way into an archive."""

    def __init__(
        self,
        vault: Vault,
        groups: Iterator[tuple[list[Found], list[tuple[str, int]]]],
        category: str,
        wish: Wish,
        now: str,
    ) -> None:
        self._vault, self._groups = vault, groups
        self._words = category, wish, now
        #: The next group; nothing once all are in.
        self.group: list[Found] = []
        self._hashes: list[tuple[str, int]] = []
        self.done = 0
        #: What was begun of this group in a turn that failed.
        self.begun: list[Logged] = []
        self._lost = 0
        self.go_on()

    def put(self, intake: Intake) -> Iterator[tuple[Logged, dict[str, Any]]]:
        """Archives the next group."""
        try:
            entries, note = intake.put(_incoming(self.group, self._hashes, *self._words))
        except ObhutError:
            self.begun = intake.begun
            raise
        self._lost = 0
        self.done += len(self.group)
        return zip(entries, receipts(self._vault, entries, note), strict=True)

    def answered(self, intake: Intake) -> Iterator[tuple[Logged, dict[str, Any]]]:
        """What is in the log of the group that lost a race: whoever was faster may have found it whole, or we did now."""
        logged = intake.logged(self.begun)
        if logged:
            there = {entry.document.index for entry in logged}
            left = [
                (file, facts)
                for file, facts, entry in zip(self.group, self._hashes, self.begun, strict=True)
                if entry.document.index not in there
            ]
            self.group, self._hashes = [file for file, _ in left], [facts for _, facts in left]
            self.done += len(logged)
            yield from zip(logged, receipts(self._vault, logged, self._vault.stated().note), strict=True)
        self.begun = []
        if not self.group:
            self.go_on()

    def is_tried_again(self, error: ObhutError) -> bool:
        """Whether the group lost a race in a bucket, of which nothing is left: somebody else was faster, not for ever."""
        self._lost += 1
        return error.id == "archive-raced" and self._lost <= LOST

    def go_on(self) -> None:
        """To the next group."""
        self.group, self._hashes = next(self._groups, ([], []))


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


def _hashed(parts: Iterator[list[Found]]) -> Iterator[tuple[list[Found], list[tuple[str, int]]]]:
    """Groups with their hashes; while one waits for the medium, the next is hashed, and no further one."""
    if (group := next(parts, None)) is None:
        return
    hashes = _hash(group)
    with ThreadPoolExecutor(1) as ahead:
        for following in parts:
            coming = ahead.submit(_hash, following)
            yield group, hashes
            group, hashes = following, coming.result()
    yield group, hashes


def _hash(group: Sequence[Found]) -> list[tuple[str, int]]:
    try:
        return durable.hash_files([os.fsencode(file.path) for file in group])
    except ObhutError as error:
        raise ObhutError("document-missing", error.object, error.detail) from error


def _incoming(
    group: Sequence[Found], hashes: Sequence[tuple[str, int]], category: str, wish: Wish, now: str
) -> list[Incoming]:
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
        for file, (digest, size) in zip(group, hashes, strict=True)
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
