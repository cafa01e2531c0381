"""``obhut backup restore``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from obhut.cli.lazy import ExamplesCommand
from obhut.cli.options import NAME, common, patterns, snapshot_filter

if TYPE_CHECKING:
    from obhut.backup.snapshot import Snapshot
    from obhut.cli.front import Front


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut backup restore latest -r /mnt/disk/repo --target /tmp/back
    obhut backup restore latest:/home/anna -r /mnt/disk/repo --target /home/anna --overwrite if-changed
    obhut backup restore 1a2b3c4d -r /mnt/disk/repo --target /tmp/back --include '*.odt' --verify
    obhut backup restore latest:/srv/www -r /mnt/disk/repo --target /srv/www --delete --dry-run -vv
    """,
)
@click.argument("name", metavar="SNAPSHOT[:PATH]")
@click.option(
    "-t", "--target", type=NAME, required=True, metavar="DIR", help="Where to: paths are made anew below DIR."
)
@common
@snapshot_filter
@patterns
@click.option("-i", "--include", multiple=True, type=NAME, metavar="PATTERN", help="Only what fits PATTERN.")
@click.option("--iinclude", multiple=True, type=NAME, metavar="PATTERN", help="The same without regard to case.")
@click.option("--include-file", multiple=True, metavar="FILE", help="Read such patterns from FILE.")
@click.option("--iinclude-file", multiple=True, metavar="FILE", help="The same without regard to case.")
@click.option("--overwrite", type=click.Choice(("always", "if-changed", "if-newer", "never")), default="always",
              help="What to do with files that exist.")  # fmt: skip
@click.option("--delete", is_flag=True, help="Remove what is below DIR and not in the snapshot.")
@click.option("--sparse", is_flag=True, help="Turn zeros into holes.")
@click.option("--verify", is_flag=True, help="Read everything again and compare.")
@click.option("--no-sync", is_flag=True, help="Do not force the files to the disk at the end.")
@click.option("--ownership-by-name", is_flag=True,
              help="Owners by name, not by number; a name unknown here keeps the number.")  # fmt: skip
@click.option("--no-xattrs", is_flag=True, help="Without extended attributes and ACLs.")
@click.option("--include-xattr", multiple=True, type=NAME, metavar="PATTERN",
              help="Of extended attributes only those named like PATTERN ('user.*').")  # fmt: skip
@click.option("--exclude-xattr", multiple=True, type=NAME, metavar="PATTERN",
              help="All extended attributes but those named like PATTERN.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Change nothing, say what would be done.")
def restore(front: Front, **values: Any) -> int:
    """Restore a snapshot, or a path of it.

    With SNAPSHOT:PATH the contents of PATH come directly below DIR. Running it again finishes what was interrupted.
    """
    from obhut.backup.actions.restore import restore as bring_back
    from obhut.backup.sizes import format_bytes, format_seconds
    from obhut.cli.console import safe
    from obhut.cli.restore_options import restore_options
    from obhut.errors import ObhutError

    options = restore_options(front, values)
    reporter = front.reporter
    start = front.clock()

    def found(snapshot: Snapshot) -> None:
        target = options.target.decode("utf-8", "backslashreplace")
        reporter.say(safe(f"restoring {snapshot.described()} to {target}"))

    with front.reading(index=True) as repository:
        result = bring_back(repository, options, reporter, found)
    seconds = (front.clock() - start) / 1e9
    if front.json:
        names = ("total_files", "files_restored", "files_skipped", "files_deleted", "total_bytes", "bytes_restored",
                 "bytes_skipped")  # fmt: skip
        line = {"seconds_elapsed": int(seconds)} | {name: result[name] for name in names}
        reporter.line({"message_type": "summary"} | {name: value for name, value in line.items() if value})
    else:
        done, total = result["files_restored"], result["total_files"]
        text = (
            f"Summary: Restored {done} / {total} files/dirs"
            if done != total
            else f"Summary: Restored {total} files/dirs"
        )
        text += f" ({format_bytes(result['bytes_restored'])}) in {format_seconds(seconds)}"
        for name, word in (("files_skipped", "skipped"), ("files_deleted", "deleted")):
            text += f", {word} {result[name]} files/dirs" if result[name] else ""
        reporter.say(text)
    if result["errors"]:
        raise ObhutError("restore-incomplete", f"{result['errors']} errors")
    return os.EX_OK
