"""Looking without changing: snapshots, ls, check, list, cat."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from obhut import gojson
from obhut.backup import select
from obhut.backup import snapshot as model
from obhut.backup.select import Filter
from obhut.backup.session import find_snapshot, load_snapshots
from obhut.backup.snapshot import is_id
from obhut.errors import ObhutError, converted
from obhut.job import Reporter, collect, watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from obhut import _core
    from obhut.backup.snapshot import Snapshot

KINDS: Final = ("blobs", "packs", "index", "snapshots", "keys", "locks")
OBJECTS: Final = ("config", "index", "snapshot", "key", "masterkey", "lock", "pack", "blob", "tree")
#: The files that an object of ``cat`` is found among, for prefixes.
_FOLDERS: Final = {"index": "index", "key": "keys", "lock": "locks", "pack": "packs"}


def ls(
    repository: _core.Repository,
    name: str,
    wanted: Filter,
    paths: Sequence[bytes],
    reporter: Reporter,
    *,
    recursive: bool,
    form: str,
    human: bool,
    sort: str,
    reverse: bool,
    found: Callable[[Snapshot], None],
) -> None:
    """Lists the files of a snapshot."""
    snapshot, subpath = find_snapshot(repository, name, wanted, reporter)
    tree = subtree(repository, snapshot.tree, subpath)
    # What is shown begins at the folder: so does the snapshot, as in restic.
    found(replace(snapshot, tree=tree, raw={**snapshot.raw, "tree": tree}))
    with converted():
        job = repository.ls(
            tree, paths=list(paths), recursive=recursive, format=form, human=human, sort=sort, reverse=reverse
        )
    watch(job, reporter)


def check_subset(text: str) -> str:
    """``1/5``, ``10%`` or a size; raises ``ValueError``."""
    text = text.strip()
    match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text, re.ASCII)
    if match is not None:
        part, parts = int(match[1]), int(match[2])
        if not 1 <= part <= parts <= 256:
            raise ValueError("n/t: n from 1 to t, t at most 256")
        return text
    match = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)%", text, re.ASCII)
    if match is not None:
        if not 0 < float(match[1]) <= 100:
            raise ValueError("a share above 0% and at most 100%")
        return text
    from obhut.backup.sizes import parse_bytes

    if (size := parse_bytes(text)) == 0:
        raise ValueError("a size above 0")
    return str(size)


class _Muted:
    """Passes on all but the items that failed: whoever comes after finds them again."""

    def __init__(self, inner: Reporter) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def item_error(self, item: bytes, during: str, error: ObhutError) -> None:
        pass


def chosen(repository: _core.Repository, names: Sequence[str], wanted: Filter, reporter: Reporter) -> list[str] | None:
    """The ids of the snapshots that a check looks at; ``None`` = all. None that fits is an error: nothing is proven.

    A snapshot that cannot be read might fit, so it is looked at (and found damaged), unless others are named.
    """
    if not names and not wanted:
        return None
    with converted():
        lines, _ = collect(repository.list_files("snapshots"), reporter)
    listed = sorted(line.decode("ascii") for line in lines)
    if not listed:
        return None
    muted: Any = _Muted(reporter)
    readable = load_snapshots(repository, muted, strict=False)
    unreadable = set(listed) - {snapshot.id for snapshot in readable}
    damaged = {name: [i for i in unreadable if name and i.startswith(name)] for name in names}
    sound = [name for name in names if not damaged.get(name)]
    if names:
        ids = [i for found in damaged.values() for i in found]
        ids += [s.id for s in select.find_all(readable, sound, wanted)] if sound else []
    else:
        ids = [*(s.id for s in select.find_all(readable, (), wanted)), *unreadable]
    if not ids:
        raise ObhutError("snapshot-missing", f"that fits ({wanted.described()})")
    reporter.say(f"checking {len(set(ids))} of {len(listed)} snapshots")
    return sorted(set(ids))


def check(
    repository: _core.Repository,
    reporter: Reporter,
    *,
    read_data: bool,
    subset: str,
    threads: int,
    only: list[str] | None = None,
) -> dict[str, Any]:
    """Checks the repository; every finding goes to the reporter. Gives the figures."""
    with converted():
        job = repository.check(read_data=read_data, subset=subset, threads=threads, only=only)
    return watch(job, reporter, "check")


def shown_check(result: dict[str, Any]) -> dict[str, Any]:
    """As ``check --json`` shows it."""
    return {
        "message_type": "summary",
        "num_errors": result["num_errors"],
        "broken_packs": result["broken_packs"] or None,
        "suggest_repair_index": result["suggest_repair_index"],
        "suggest_prune": result["suggest_prune"],
    }


def list_files(repository: _core.Repository, kind: str, reporter: Reporter) -> None:
    """Ids of one kind, a line each."""
    if kind not in KINDS:
        raise ObhutError("invalid-argument", kind, f"one of {', '.join(KINDS)}")
    with converted():
        job = repository.list_files(kind)
    watch(job, reporter)


def full_id(repository: _core.Repository, kind: str, prefix: str, reporter: Reporter) -> str:
    """The one id of a kind that begins with ``prefix``."""
    if is_id(prefix):
        return prefix
    with converted():
        job = repository.list_files(kind)
    lines, _ = collect(job, reporter)
    matches = sorted(
        {line.decode("ascii", "replace") for line in lines if prefix and line.startswith(os.fsencode(prefix))}
    )
    if len(matches) > 1:
        raise ObhutError("id-ambiguous", prefix)
    if not matches:
        raise ObhutError("id-missing", prefix)
    return matches[0]


def _pretty(data: bytes) -> bytes:
    """JSON indented as restic prints it; anything else as it is."""
    try:
        value = gojson.loads(data)
    except ValueError:
        return data
    return json.dumps(value, indent=2, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def cat(repository: _core.Repository, what: str, name: str, reporter: Reporter) -> bytes:
    """One object of the repository, decrypted."""
    if what not in OBJECTS:
        raise ObhutError("invalid-argument", what, f"one of {', '.join(o for o in OBJECTS if o != 'masterkey')}")
    if what == "masterkey":
        raise ObhutError("invalid-argument", what, "the master key never leaves the core")
    if what != "config" and not name:
        raise ObhutError("invalid-argument", what, "needs an id")
    if what == "snapshot":
        snapshot, _ = find_snapshot(repository, name, Filter(), reporter)
        return _pretty(gojson.dumps(model.ordered(snapshot.raw)).encode("utf-8", "replace"))
    if what == "tree":
        return _tree(repository, name, reporter)
    ident = full_id(repository, _FOLDERS[what], name, reporter) if what in _FOLDERS else name
    if what == "blob" and not is_id(name):
        raise ObhutError("invalid-argument", name, "a blob needs its full id")
    with converted():
        data = repository.cat(what, ident if what != "config" else "")
    return _pretty(data) if what in {"config", "key", "lock"} else data + (b"\n" if what == "index" else b"")


def _tree(repository: _core.Repository, name: str, reporter: Reporter) -> bytes:
    """The tree of ``SNAPSHOT:PATH``."""
    snapshot, path = find_snapshot(repository, name, Filter(), reporter)
    with converted():
        return repository.cat("tree", subtree(repository, snapshot.tree, path))


def subtree(repository: _core.Repository, tree: str, path: str) -> str:
    """The tree of a folder in a tree: walks down, a folder at a time."""
    for part in filter(None, os.fsencode(path).split(b"/")):
        with converted():
            value = gojson.loads(repository.cat("tree", tree))
        nodes = value.get("nodes", []) if isinstance(value, dict) else []
        entry = next((node for node in nodes if _unquoted(node.get("name", "")) == part), None)
        if entry is None or not is_id(entry.get("subtree")):
            raise ObhutError("path-missing", path)
        tree = entry["subtree"]
    return tree


_ESCAPE: Final = re.compile(rb"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))", re.DOTALL)
_LETTERS: Final = dict(zip(b"abfnrtv", b"\a\b\f\n\r\t\v", strict=True))


def _unquoted(name: str) -> bytes:
    """The bytes of a node's name (formats: restic 10, "quoted twice")."""

    def value(match: re.Match[bytes]) -> bytes:
        if match[1]:
            return bytes([int(match[1], 16)])
        if match[2] or match[3]:
            return chr(int(match[2] or match[3], 16)).encode("utf-8", "replace")
        return bytes([_LETTERS.get(match[4][0], match[4][0])])

    return _ESCAPE.sub(value, name.encode("utf-8", "replace"))
