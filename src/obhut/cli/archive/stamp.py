"""``obhut archive stamp``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from obhut.cli.archive.desk import writing_desk
from obhut.cli.lazy import ExamplesCommand

if TYPE_CHECKING:
    from obhut.archive.actions.stamp import Outcome
    from obhut.cli.archive.desk import Desk


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut archive stamp -s /srv/archive --authority notary --url https://tsa.example.org --certificates notary.pem
    obhut archive stamp -s /srv/archive
    """,
)
@writing_desk
@click.option("--authority", metavar="NAME", help="First name an authority: what it is called here.")
@click.option("--url", metavar="URL", help="Its address.")
@click.option("--certificates", metavar="FILE", help="Its certificates in PEM: the root, and what is between.")
@click.option("--remove", metavar="NAME", help="Ask this authority no longer; its stamps stay.")
def stamp(desk: Desk, authority: str | None, url: str | None, certificates: str | None, remove: str | None) -> None:
    """Have the newest state of the log stamped with the time (RFC 3161), by every authority that was named.

    A stamp covers all documents so far: that they were there at that time, says somebody else. Run it every hour, from
    cron; the log's key is needed to name an authority, not to stamp. What goes out is one hash and nothing else.
    """
    from obhut.archive.actions import stamp as acts
    from obhut.errors import ObhutError

    given = [value for value in (authority, url, certificates) if value is not None]
    if len(given) not in {0, 3} or (given and remove):
        raise click.UsageError("--authority, --url and --certificates belong together, and --remove stands alone")
    vault = desk.vault()
    if remove is not None:
        acts.remove_authority(vault, desk.key_path(vault.origin), remove, desk.now)
        if not desk.json:
            desk.reporter.say(f"{remove} is asked no longer")
        return
    if authority is not None and url is not None and certificates is not None:
        pem = _read(certificates)
        acts.add_authority(vault, desk.key_path(vault.origin), authority, url, pem, desk.now)
    failed = []
    for outcome in acts.stamp(vault, desk.clock() // 1_000_000_000):
        _tell(desk, outcome)
        if outcome.stamp is None:
            failed.append(outcome)
    if failed:
        raise ObhutError("stamp-refused", failed[0].authority, failed[0].why)


def _tell(desk: Desk, outcome: Outcome) -> None:
    if outcome.stamp is None:
        return
    made = outcome.stamp
    if desk.json:
        facts = {"authority": made.authority, "size": made.size, "time": made.time, "new": outcome.new, "key": made.key}
        desk.reporter.line({"message_type": "stamped", **facts})
    else:
        word = "stamped" if outcome.new else "had stamped already"
        desk.reporter.say(f"{made.authority} {word} the log of {made.size} entries at {made.time}")


def _read(name: str) -> str:
    from pathlib import Path

    from obhut.errors import ObhutError

    try:
        return Path(name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ObhutError("io", name, getattr(error, "strerror", None) or "it is no text") from None
