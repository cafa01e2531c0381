"""``obhut backup``: the table of its verbs."""

from __future__ import annotations

from typing import Any

import click

from obhut.cli.lazy import LazyGroup
from obhut.cli.options import common_before

_HERE = "obhut.cli.backup"
VERBS = {
    "init": (f"{_HERE}.init", "init", "Create a repository."),
    "run": (f"{_HERE}.run", "run", "Back up files and folders into a new snapshot."),
    "snapshots": (f"{_HERE}.snapshots", "snapshots", "List the snapshots."),
    "ls": (f"{_HERE}.ls", "ls", "List the files in a snapshot."),
    "restore": (f"{_HERE}.restore", "restore", "Restore a snapshot, or a path of it."),
    "check": (f"{_HERE}.check", "check", "Check the repository for errors."),
    "forget": (f"{_HERE}.forget", "forget", "Remove snapshots by policy or by id."),
    "prune": (f"{_HERE}.prune", "prune", "Remove data that no snapshot needs."),
    "key": (f"{_HERE}.key", "key", "List, add, remove and change passwords."),
    "unlock": (f"{_HERE}.unlock", "unlock", "Remove locks that were left behind."),
    "cat": (f"{_HERE}.cat", "cat", "Print an object of the repository."),
    "list": (f"{_HERE}.list_files", "list_files", "List the ids of objects."),
}


@click.command(cls=LazyGroup, lazy=VERBS, context_settings={"help_option_names": ["-h", "--help"]})
@common_before
def backup(**_: Any) -> None:
    """Back up into a restic-format repository, and get everything back.

    \b
    A first backup:
      obhut backup init -r /mnt/disk/repo
      obhut backup run -r /mnt/disk/repo ~/Documents
      obhut backup snapshots -r /mnt/disk/repo
      obhut backup restore latest -r /mnt/disk/repo --target /tmp/back

    restic and rustic read and write the same repositories.
    """  # noqa: D301  (click's mark for a block that keeps its lines)
