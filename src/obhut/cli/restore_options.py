"""From the command line of ``restore`` to the options of its action."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from obhut.backup.actions.restore import Options
from obhut.backup.sources import read_patterns

if TYPE_CHECKING:
    from obhut.cli.front import Front


def restore_options(front: Front, values: dict[str, Any]) -> Options:
    """Checks and completes."""
    environ = os.environb

    def both(name: str) -> tuple[bytes, ...]:
        return (*values[name], *read_patterns(values[f"{name}_file"], environ))

    return Options(
        name=values["name"],
        target=values["target"],
        wanted=front.filter(values["hosts"], values["tags"], values["paths"]),
        includes=both("include"),
        iincludes=both("iinclude"),
        excludes=both("exclude"),
        iexcludes=both("iexclude"),
        overwrite=values["overwrite"],
        delete=values["delete"],
        dry_run=values["dry_run"],
        sparse=values["sparse"],
        verify=values["verify"],
        sync=not values["no_sync"],
        xattrs=not values["no_xattrs"],
        include_xattrs=values["include_xattr"],
        exclude_xattrs=values["exclude_xattr"],
        owners_by_name=values["ownership_by_name"],
        threads=front.threads,
    )
