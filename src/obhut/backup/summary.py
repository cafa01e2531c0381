"""The figures of a backup: what the core counted, as the snapshot and ``--json`` show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from obhut.backup.sizes import format_bytes, format_seconds
from obhut.backup.stamp import NANOS, Stamp

if TYPE_CHECKING:
    from collections.abc import Mapping

COUNTS: Final = (
    "files_new", "files_changed", "files_unmodified", "dirs_new", "dirs_changed", "dirs_unmodified", "data_blobs",
    "tree_blobs", "data_added", "data_added_packed", "total_files_processed", "total_bytes_processed",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of one backup and when it ran."""

    counts: Mapping[str, int]
    start: Stamp
    end: Stamp

    @classmethod
    def from_result(cls, result: Mapping[str, Any], start: Stamp, end: Stamp) -> Summary:
        """From the core's result; a count that is missing is a defect and raises ``KeyError``."""
        return cls({name: int(result[name]) for name in COUNTS}, start, end)

    def stored(self) -> dict[str, Any]:
        """As a snapshot stores it."""
        return {"backup_start": self.start.format(), "backup_end": self.end.format(), **self.counts}

    def shown(self, snapshot_id: str, *, dry_run: bool) -> dict[str, Any]:
        """The last line of ``run --json``."""
        line: dict[str, Any] = {"message_type": "summary", **self.counts}
        line["total_duration"] = (self.end.ns - self.start.ns) / NANOS
        line["backup_start"] = self.start.format()
        line["backup_end"] = self.end.format()
        if snapshot_id:
            line["snapshot_id"] = snapshot_id
        if dry_run:
            line["dry_run"] = True
        return line

    def lines(self, *, dry_run: bool, verbose: bool) -> list[str]:
        """For people."""
        c = self.counts
        added = f"{format_bytes(c['data_added'])} ({format_bytes(c['data_added_packed'])} stored)"
        lines = [
            "",
            f"Files:       {c['files_new']:5} new, {c['files_changed']:5} changed, {c['files_unmodified']:5} unmodified",
            f"Dirs:        {c['dirs_new']:5} new, {c['dirs_changed']:5} changed, {c['dirs_unmodified']:5} unmodified",
        ]
        if verbose:
            lines += [f"Data Blobs:  {c['data_blobs']:5} new", f"Tree Blobs:  {c['tree_blobs']:5} new"]
        took = format_seconds((self.end.ns - self.start.ns) / NANOS)
        lines += [
            f"{'Would add' if dry_run else 'Added'} to the repository: {added}",
            "",
            f"processed {c['total_files_processed']} files, {format_bytes(c['total_bytes_processed'])} in {took}",
        ]
        return lines
