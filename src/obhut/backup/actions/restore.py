"""Restoring a snapshot, or a path of it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from obhut.backup.select import Filter
from obhut.backup.session import find_snapshot
from obhut.backup.sources import shown
from obhut.errors import ObhutError, converted
from obhut.job import Reporter, watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from obhut import _core
    from obhut.backup.snapshot import Snapshot

OVERWRITE = ("always", "if-changed", "if-newer", "never")


@dataclass(frozen=True, slots=True)
class Options:
    """What to restore, where, and how."""

    name: str
    target: bytes
    wanted: Filter = field(default_factory=Filter)
    includes: tuple[bytes, ...] = ()
    iincludes: tuple[bytes, ...] = ()
    excludes: tuple[bytes, ...] = ()
    iexcludes: tuple[bytes, ...] = ()
    overwrite: str = "always"
    delete: bool = False
    dry_run: bool = False
    sparse: bool = False
    verify: bool = False
    sync: bool = True
    xattrs: bool = True
    #: Patterns of names of extended attributes.
    include_xattrs: tuple[bytes, ...] = ()
    exclude_xattrs: tuple[bytes, ...] = ()
    owners_by_name: bool = False
    threads: int = 0


def check_options(options: Options) -> None:
    """Refuses what contradicts itself or endangers the whole system."""
    including, excluding = options.includes or options.iincludes, options.excludes or options.iexcludes
    if including and excluding:
        raise ObhutError("invalid-argument", "--include and --exclude", "only one of the two can be used")
    if options.include_xattrs and options.exclude_xattrs:
        raise ObhutError("invalid-argument", "--include-xattr and --exclude-xattr", "only one of the two can be used")
    if not options.xattrs and (options.include_xattrs or options.exclude_xattrs):
        raise ObhutError("invalid-argument", "--no-xattrs", "not together with --include-xattr or --exclude-xattr")
    if options.dry_run and options.verify:
        raise ObhutError("invalid-argument", "--dry-run and --verify", "only one of the two can be used")
    if options.delete and os.path.realpath(options.target) == b"/" and not (including or excluding):
        raise ObhutError("invalid-argument", "--target / --delete", "needs --include or --exclude")


def restore(
    repository: _core.Repository,
    options: Options,
    reporter: Reporter,
    found: Callable[[Snapshot], None] = lambda _: None,
) -> dict[str, Any]:
    """Restores; gives the figures and ``errors``, the number of items that failed."""
    check_options(options)
    snapshot, subpath = find_snapshot(repository, options.name, options.wanted, reporter)
    found(snapshot)
    with converted():
        job = repository.restore(
            snapshot.tree,
            os.fsencode(subpath),
            options.target,
            includes=list(options.includes),
            iincludes=list(options.iincludes),
            excludes=list(options.excludes),
            iexcludes=list(options.iexcludes),
            overwrite=options.overwrite,
            delete=options.delete,
            dry_run=options.dry_run,
            sparse=options.sparse,
            verify=options.verify,
            sync=options.sync,
            xattrs=options.xattrs,
            include_xattrs=list(options.include_xattrs),
            exclude_xattrs=list(options.exclude_xattrs),
            owners_by_name=options.owners_by_name,
            verbose=max(0, reporter.verbosity - 1),
            json=reporter.json,
            threads=options.threads,
        )
    result = watch(job, reporter, "restore")
    if result["unknown_owners"] and not reporter.json:
        unknown = ", ".join(shown(name.encode("utf-8", "surrogateescape")) for name in result["unknown_owners"])
        reporter.warn(f"notice: not known here, so the numbers of the snapshot are kept: {unknown}")
    return result | {"errors": job.progress()["errors"]}
