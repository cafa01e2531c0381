"""``obhut backup run``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from obhut.cli.lazy import ExamplesCommand
from obhut.cli.options import GROUP, NAME, SIZE, TAGS, TIME, common, patterns

if TYPE_CHECKING:
    from obhut.cli.front import Front


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut backup run -r /mnt/disk/repo ~/Documents ~/Pictures
    obhut backup run -r /mnt/disk/repo /home -x --exclude '*.tmp' --exclude-caches
    obhut backup run -r /mnt/disk/repo --dry-run -vv /etc
    pg_dump shop | obhut backup run -r /mnt/disk/repo --stdin --stdin-filename shop.sql
    obhut backup run -r /mnt/disk/repo --stdin-from-command -- pg_dump shop
    """,
)
@click.argument("paths", nargs=-1, type=NAME, metavar="[PATH]...")
@common
@patterns
@click.option("--exclude-caches", is_flag=True, help="Leave out folders with a CACHEDIR.TAG.")
@click.option("--exclude-if-present", multiple=True, type=NAME, metavar="FILE[:HEADER]",
              help="Leave out folders that hold FILE (which begins with HEADER).")  # fmt: skip
@click.option("--exclude-larger-than", type=SIZE, help="Leave out files over this size (500k, 20M, 1G).")
@click.option("-x", "--one-file-system", is_flag=True, help="Do not cross into other file systems.")
@click.option("--files-from", multiple=True, metavar="FILE", help="Read patterns of sources from FILE, a line each.")
@click.option(
    "--files-from-verbatim", multiple=True, metavar="FILE", help="Read sources from FILE, a line each, as they are."
)
@click.option(
    "--files-from-raw", multiple=True, metavar="FILE", help="Read sources from FILE, each ended by a zero byte."
)
@click.option("--stdin", is_flag=True, help="Back up standard input, whole: excludes have no effect.")
@click.option("--stdin-filename", metavar="NAME", default="stdin", help="Its name in the snapshot.")
@click.option("--stdin-from-command", is_flag=True, help="PATH… is a command: back up its output; it must exit with 0.")
@click.option("--tag", "tags", multiple=True, type=TAGS, help="Tags for the snapshot.")
@click.option("-H", "--host", metavar="HOST", help="The host name of the snapshot.")
@click.option("--time", type=TIME, help="The time of the snapshot ('2026-08-01 12:30:00').")
@click.option("--parent", metavar="ID", help="Compare with this snapshot (default: the newest of the group).")
@click.option("-f", "--force", is_flag=True, help="Read every file again.")
@click.option("-g", "--group-by", type=GROUP, default="host,paths", help="What makes the group: host, paths, tags.")
@click.option("--ignore-ctime", is_flag=True, help="A changed ctime alone does not make a file changed.")
@click.option("--ignore-inode", is_flag=True, help="Neither inode nor ctime make a file changed.")
@click.option("--with-atime", is_flag=True, help="Record access times.")
@click.option("--skip-if-unchanged", is_flag=True, help="Write no snapshot if nothing changed.")
@click.option("-n", "--dry-run", is_flag=True, help="Change nothing, say what would be done.")
@click.option("--no-scan", is_flag=True, help="Make no estimate of the whole for the progress line.")
@click.option("--read-concurrency", type=click.IntRange(0, 1024), metavar="N", help="As --threads.")
def run(front: Front, **values: Any) -> int:
    """Back up files and folders into a new snapshot.

    Exit codes: 0 all is in the snapshot, 1 no snapshot was written, 3 the snapshot lacks some sources.
    """
    from obhut.backup.actions.run import run as back_up
    from obhut.cli.run_options import run_options
    from obhut.errors import ObhutError

    options = run_options(front, values)
    reporter = front.reporter
    with front.repository(lock=not options.dry_run, index=True) as repository:
        result = back_up(repository, options, reporter, front.clock)
    if front.json:
        reporter.line(result.summary.shown(result.snapshot_id, dry_run=options.dry_run))
    else:
        for line in result.summary.lines(dry_run=options.dry_run, verbose=front.verbosity > 1):
            reporter.say(line)
        if not options.dry_run:
            saved = f"snapshot {result.snapshot_id[:8]} saved" if result.snapshot_id else "skipped creating snapshot"
            reporter.say(saved)
    if result.incomplete:
        raise ObhutError("backup-incomplete")
    return os.EX_OK
