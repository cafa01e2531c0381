"""``obhut backup ls``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from obhut.cli.lazy import ExamplesCommand
from obhut.cli.options import NAME, common, snapshot_filter

if TYPE_CHECKING:
    from obhut.backup.snapshot import Snapshot
    from obhut.cli.front import Front

#: restic's keys; ``time`` means ``mtime``.
SORT = ("name", "size", "time", "mtime", "atime", "ctime", "extension")


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut backup ls latest -r /mnt/disk/repo
    obhut backup ls latest -r /mnt/disk/repo -l /home/anna/Documents
    obhut backup ls 1a2b3c4d:/home/anna -r /mnt/disk/repo --json
    obhut backup ls latest -r /mnt/disk/repo -l --human-readable --sort size --reverse
    obhut backup ls latest -r /mnt/disk/repo --ncdu | ncdu -f -
    """,
)
@click.argument("name", metavar="SNAPSHOT[:PATH]")
@click.argument("folders", nargs=-1, type=NAME, metavar="[FOLDER]...")
@common
@snapshot_filter
@click.option("-l", "--long", is_flag=True, help="With mode, owner, size and time.")
@click.option("--recursive", is_flag=True, help="With everything below the folders that are named.")
@click.option("--human-readable", is_flag=True, help="Sizes in KiB, MiB, …")
@click.option("-s", "--sort", type=click.Choice(SORT), default="name",
              help="In this order; equal ones by path.")  # fmt: skip
@click.option("--reverse", is_flag=True, help="The last first.")
@click.option("--ncdu", is_flag=True, help="The export format of ncdu.")
def ls(
    front: Front,
    name: str,
    folders: tuple[bytes, ...],
    hosts: tuple[str, ...],
    tags: tuple[tuple[str, ...], ...],
    paths: tuple[str, ...],
    long: bool,
    recursive: bool,
    human_readable: bool,
    sort: str,
    reverse: bool,
    ncdu: bool,
) -> None:
    """List the files in a snapshot: all of them, or those in some folders."""
    from obhut import gojson
    from obhut.backup import snapshot as model
    from obhut.backup.actions.inspect import ls as list_snapshot
    from obhut.cli.console import safe

    if ncdu and front.json:
        raise click.UsageError("use only one of --json and --ncdu")
    if ncdu and (sort != "name" or reverse):
        raise click.UsageError("--ncdu has the order of the folders: neither --sort nor --reverse can be used with it")
    if any(not folder.startswith(b"/") for folder in folders):
        raise click.BadParameter("folders begin with /", param_hint="FOLDER")
    reporter = front.listing()

    def found(snapshot: Snapshot) -> None:
        if front.json:
            reporter.line(model.shown(snapshot) | {"message_type": "snapshot", "struct_type": "snapshot"})
        elif ncdu:
            head = gojson.dumps(model.ordered(snapshot.raw)).encode("utf-8", "replace")
            front.console.out_bytes(b'[1, 2, %s, [{"name":"/"}' % head)
        else:
            shown = " ".join(folder.decode("utf-8", "backslashreplace") for folder in folders)
            reporter.say(safe(f"{snapshot.described()} filtered by [{shown}]:"))

    form = "ncdu" if ncdu else "json" if front.json else "long" if long else "names"
    with front.reading(index=True) as repository:
        list_snapshot(
            repository,
            name,
            front.filter(hosts, tags, paths),
            folders,
            reporter,
            recursive=recursive,
            form=form,
            human=human_readable,
            sort=sort,
            reverse=reverse,
            found=found,
        )
    if ncdu:
        front.console.out_bytes(b"\n]\n]\n")
