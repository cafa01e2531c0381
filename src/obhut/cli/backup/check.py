"""``obhut backup check``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from obhut.cli.lazy import ExamplesCommand
from obhut.cli.options import Parsed, common, snapshot_filter

if TYPE_CHECKING:
    from obhut.cli.front import Front


def _subset(text: str) -> str:
    from obhut.backup.actions.inspect import check_subset

    return check_subset(text)


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut backup check -r /mnt/disk/repo
    obhut backup check -r /mnt/disk/repo --read-data
    obhut backup check -r /mnt/disk/repo --read-data-subset 1/10
    obhut backup check -r /mnt/disk/repo --read-data-subset 5%
    obhut backup check -r /mnt/disk/repo --read-data --host anna latest
    """,
)
@click.argument("ids", nargs=-1, metavar="[SNAPSHOT]...")
@common
@snapshot_filter
@click.option("--read-data", is_flag=True, help="Read and verify all data as well.")
@click.option(
    "--read-data-subset",
    type=Parsed("subset", _subset),
    help="A part of it: n/t, a share (5%), a size (10G).",
)
@click.option("--with-cache", is_flag=True, help="Trust the local cache (default: read everything from the storage).")
def check(
    front: Front,
    ids: tuple[str, ...],
    hosts: tuple[str, ...],
    tags: tuple[tuple[str, ...], ...],
    paths: tuple[str, ...],
    read_data: bool,
    read_data_subset: str | None,
    with_cache: bool,
) -> int:
    """Check the repository for errors.

    Without options: indexes, sizes of packs, snapshots and trees. Exit code 1 if something is wrong.

    With SNAPSHOT or a filter only those snapshots' trees, and of the data only what they use.
    """
    from dataclasses import replace

    from obhut.backup.actions.inspect import check as examine
    from obhut.backup.actions.inspect import chosen, shown_check
    from obhut.backup.session import locked, open_repository
    from obhut.errors import ObhutError

    if read_data and read_data_subset:
        raise click.UsageError("use only one of --read-data and --read-data-subset")
    reporter = front.reporter
    reporter.plain_errors = True
    reporter.drop_output = front.json  # hints are for people
    access = front.access() if with_cache else replace(front.access(), cache_dir=None)
    repository = open_repository(access, front.environ, front.reporter)
    with locked(repository, access, reporter, exclusive=True, wanted=not front.common.no_lock):
        only = chosen(repository, ids, front.filter(hosts, tags, paths), reporter)
        result = examine(
            repository, reporter, read_data=read_data, subset=read_data_subset or "", threads=front.threads, only=only
        )
    if front.json:
        reporter.line(shown_check(result))
    elif not result["num_errors"]:
        reporter.say("no errors were found")
    if result["num_errors"]:
        raise ObhutError("check-failed", f"{result['num_errors']} errors")
    return 0
