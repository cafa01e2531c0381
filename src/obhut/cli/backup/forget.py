"""``obhut backup forget``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from obhut.cli.lazy import ExamplesCommand
from obhut.cli.options import GROUP, TAGS, Parsed, common, long_host_filter
from obhut.cli.prune_options import prune_options

if TYPE_CHECKING:
    from obhut.cli.front import Front


def _count(text: str) -> int:
    from obhut.backup.retention import parse_count

    return parse_count(text)


def _span(text: str) -> Any:
    from obhut.backup.duration import Duration

    return Duration.parse(text)


COUNT = Parsed("n", _count)
SPAN = Parsed("duration", _span)


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut backup forget -r /mnt/disk/repo --keep-daily 7 --keep-weekly 5 --keep-monthly 12 --dry-run
    obhut backup forget -r /mnt/disk/repo --keep-last 1 --group-by '' --prune
    obhut backup forget -r /mnt/disk/repo --keep-within 1y6m --keep-tag important
    obhut backup forget -r /mnt/disk/repo 1a2b3c4d
    """,
)
@click.argument("ids", nargs=-1, metavar="[SNAPSHOT]...")
@click.option("-l", "--keep-last", type=COUNT, help="The newest N (or 'unlimited').")
@click.option("-H", "--keep-hourly", type=COUNT, help="The newest of each of the last N hours that have one.")
@click.option("-d", "--keep-daily", type=COUNT, help="… days.")
@click.option("-w", "--keep-weekly", type=COUNT, help="… weeks.")
@click.option("-m", "--keep-monthly", type=COUNT, help="… months.")
@click.option("-y", "--keep-yearly", type=COUNT, help="… years.")
@click.option("--keep-within", type=SPAN, help="All within this time of the newest (1y5m7d2h).")
@click.option("--keep-within-hourly", type=SPAN, help="One an hour within this time.")
@click.option("--keep-within-daily", type=SPAN, help="One a day within this time.")
@click.option("--keep-within-weekly", type=SPAN, help="One a week within this time.")
@click.option("--keep-within-monthly", type=SPAN, help="One a month within this time.")
@click.option("--keep-within-yearly", type=SPAN, help="One a year within this time.")
@click.option("--keep-tag", multiple=True, type=TAGS, help="All with these tags (several: any of them).")
@click.option(
    "--unsafe-allow-remove-all", is_flag=True, help="Without --keep options: remove all that the filter fits."
)
@common
@long_host_filter
@click.option("-c", "--compact", is_flag=True, help="Shorter tables.")
@click.option(
    "-g", "--group-by", type=GROUP, default="host,paths", help="Apply the policy to each group: host, paths, tags."
)
@click.option("-n", "--dry-run", is_flag=True, help="Change nothing, say what would be done.")
@click.option("--prune", "then_prune", is_flag=True, help="Prune afterwards, if something was removed.")
@prune_options
def forget(front: Front, **values: Any) -> int:
    """Remove snapshots by policy or by id.

    The data stays until `prune` (or --prune). Each group keeps at least one snapshot.
    """
    from obhut.cli.forgetting import forget as do_forget

    return do_forget(front, values)
