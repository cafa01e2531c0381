"""The order of writes that a repository's crash reasoning rests on (docs/design/backup.md, 5), judged from a trace.

A kill cannot show a missing ``fsync``: the kernel keeps what it was given. So the calls themselves are judged.
"Before" means: the earlier call had returned when the later one was entered, whatever their threads.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from straced import Call

_FILE: Final = re.compile(r"(?:(keys|snapshots|index|locks)/|data/[0-9a-f]{2}/)[0-9a-f]{64}$|config$")
_TEMPORARY: Final = re.compile(r"(.+)-tmp-[0-9a-f]{16}$")
_CREATE: Final = frozenset({"openat", "openat2", "creat", "open"})
_WRITE: Final = frozenset({"write", "pwrite64", "writev", "pwritev", "pwritev2"})
#: All that the durable module may do to a repository.
_KNOWN: Final = _CREATE | _WRITE | {"fchmod", "fsync", "renameat2", "unlinkat", "mkdirat"}


def kind_of(path: str) -> str:
    """``pack``, ``index``, …; empty for what is no repository file."""
    match = _FILE.match(path)
    if match is None:
        return ""
    return {None: "config" if path == "config" else "pack", "keys": "key", "snapshots": "snapshot"}.get(
        match[1], (match[1] or "").removesuffix("s")
    )


@dataclass
class Put:
    """A file that got its name."""

    path: str
    created: int
    named: int
    #: When its folder was synced after it got its name; ``None`` if it never was.
    durable: int | None = None


@dataclass
class Removal:
    """A file that lost its name."""

    path: str
    begin: int
    end: int
    durable: int | None = None


@dataclass
class _File:
    created: int
    thread: int
    written: int = -1
    write_begun: int = -1
    mode_set: bool = False
    synced: int | None = None


@dataclass
class Order:
    """The changes found in a trace, and what was wrong with single ones."""

    puts: list[Put] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def put(self, kind: str) -> list[Put]:
        return [put for put in self.puts if kind_of(put.path) == kind]

    def removed(self, kind: str) -> list[Removal]:
        return [removal for removal in self.removals if kind_of(removal.path) == kind]


def read(calls: Iterable[Call]) -> Order:
    """Follows every file from its creation to its durable name."""
    order = Order()
    files: dict[str, _File] = {}
    by_thread: dict[int, list[Call]] = defaultdict(list)
    for call in sorted((call for call in calls if call.ok), key=lambda call: call.begin):
        by_thread[call.thread].append(call)
        if call.name not in _KNOWN:
            order.problems.append(f"{call}: only the durable module's calls are expected")
        if call.name in _CREATE:
            files[call.paths[0]] = _File(call.begin, call.thread)
            if "O_EXCL" not in call.arguments:
                order.problems.append(f"{call}: created without O_EXCL")
        elif call.name in _WRITE or call.name == "fchmod" or (call.name == "fsync" and call.paths[0] in files):
            _change(order, files, call)
        elif call.name == "renameat2":
            _name(order, files, call)
        elif call.name == "unlinkat" and not _TEMPORARY.match(call.paths[0]):
            order.removals.append(Removal(call.paths[0], call.begin, call.end))
    for changes in by_thread.values():
        _folders(order, changes)
    order.problems += [f"{path}: created, but it never got a name" for path in files]
    return order


def _change(order: Order, files: dict[str, _File], call: Call) -> None:
    file = files.get(call.paths[0])
    if file is None:
        order.problems.append(f"{call}: not a file of which we saw the beginning")
    elif call.name == "fsync":
        if call.begin > file.written:
            file.synced = call.end
    elif call.name == "fchmod":
        file.mode_set = True
        file.written = call.end
    else:
        file.written, file.synced = call.end, None


def _name(order: Order, files: dict[str, _File], call: Call) -> None:
    temporary, name = call.paths
    match = _TEMPORARY.match(temporary)
    if match is None or match[1] != name:
        order.problems.append(f"{call}: not from its temporary name")
    if "RENAME_NOREPLACE" not in call.arguments:
        order.problems.append(f"{call}: could replace a file")
    file = files.pop(temporary, None)
    if file is None:
        order.problems.append(f"{call}: not a file of which we saw the beginning")
        return
    if file.synced is None or file.synced > call.begin:
        order.problems.append(f"{call}: the file was not synced before it got its name")
    if not file.mode_set:
        order.problems.append(f"{call}: its mode was not set")
    order.puts.append(Put(name, file.created, call.end))


def _folders(order: Order, changes: list[Call]) -> None:
    """A call of the durable module returns only when the folder is synced: before its thread changes anything else."""
    puts = {put.path: put for put in order.puts}
    removals = {removal.path: removal for removal in order.removals}
    made: list[str] = []
    for number, call in enumerate(changes):
        after = changes[number + 1] if number + 1 < len(changes) else None
        if call.name == "mkdirat":
            made.append(call.paths[0])
            if after is None or after.name != "mkdirat":
                _made(order, made, changes[number + 1 :])
                made = []
        touched = call.paths[-1] if call.name in {"renameat2", "unlinkat"} else None
        if touched is None or _TEMPORARY.match(touched):
            continue
        synced = after is not None and after.name == "fsync" and after.paths[0] == (os.path.dirname(touched) or ".")
        entry = puts.get(touched) if call.name == "renameat2" else removals.get(touched)
        if synced and after is not None and entry is not None:
            entry.durable = after.end
        elif call.name == "renameat2" or kind_of(touched) not in {"pack", "lock"}:
            order.problems.append(f"{call}: its folder was not synced at once")


def _made(order: Order, made: list[str], after: list[Call]) -> None:
    """New folders: their parents are synced before anything is put below them."""
    for parent in {os.path.dirname(folder) or "." for folder in made if folder != "."}:
        first = next((call for call in after if call.name in _CREATE), None)
        synced = [call for call in after if call.name == "fsync" and call.paths[0] == parent]
        if not any(first is None or call.end < first.begin for call in synced):
            order.problems.append(f"{parent}: got new folders and was not synced before they were used")


def violations(
    calls: Iterable[Call], named_by: Mapping[str, Iterable[str]] | None = None, *, locked: bool = True
) -> list[str]:
    """What is wrong with a finished run. ``named_by`` says which packs each index file names; without ``locked`` the
    command needs no lock (``init``, ``key add``)."""
    order = read(calls)
    problems = order.problems
    problems += [f"{put.path}: never durable" for put in order.puts if put.durable is None]
    _references(order, named_by or {}, problems)
    _before(order, "put", "key", "put", "config", problems)
    _before(order, "put", "index", "put", "snapshot", problems)
    _before(order, "put", "pack", "put", "snapshot", problems)
    _before(order, "put", "index", "removed", "index", problems)
    _before(order, "put", "key", "removed", "key", problems)
    _before(order, "removed", "index", "removed", "pack", problems)
    _before(order, "removed", "snapshot", "removed", "pack", problems)
    if locked:
        _locks(order, problems)
    return problems


def _references(order: Order, named_by: Mapping[str, Iterable[str]], problems: list[str]) -> None:
    packs = {os.path.basename(put.path): put for put in order.put("pack")}
    for index in order.put("index"):
        for name in named_by.get(os.path.basename(index.path), ()):
            pack = packs.get(name)
            if pack is not None and (pack.durable is None or pack.durable > index.created):
                problems.append(f"{index.path}: begun before {pack.path}, which it names, was durable")


def _before(order: Order, how: str, kind: str, how_then: str, then: str, problems: list[str]) -> None:
    """All changes of one sort are durable before the first of the other begins."""
    first: list[Put] | list[Removal] = order.put(kind) if how == "put" else order.removed(kind)
    begins = [p.created for p in order.put(then)] if how_then == "put" else [r.begin for r in order.removed(then)]
    for change in first:
        late = [begin for begin in begins if change.durable is None or change.durable > begin]
        if late:
            problems.append(f"{change.path}: {how}, but not durable when a {then} was {how_then}")


def _locks(order: Order, problems: list[str]) -> None:
    """Everything else happens while a lock is durable and its removal has not begun."""
    gone = {removal.path: removal.begin for removal in order.removed("lock")}
    held = [(put.durable or 1 << 60, gone.get(put.path, 1 << 60)) for put in order.put("lock")]
    changes = [(put.path, put.created, put.durable or put.named) for put in order.puts if kind_of(put.path) != "lock"]
    changes += [(r.path, r.begin, r.durable or r.end) for r in order.removals if kind_of(r.path) != "lock"]
    for path, begin, end in changes:
        if not any(since < begin and end < until for since, until in held):
            problems.append(f"{path}: changed without a lock")
