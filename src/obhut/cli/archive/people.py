"""``obhut archive enrol`` and ``obhut archive dismiss``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from obhut.cli.archive.desk import signing, writing_desk
from obhut.cli.lazy import ExamplesCommand

if TYPE_CHECKING:
    from obhut.cli.archive.desk import Desk


def _change(
    desk: Desk,
    action: str,
    name: str,
    key: str | None,
    chosen: tuple[str | None, str | None, str | None],
    *,
    shown: bool,
) -> None:
    from obhut.archive.actions import people
    from obhut.cli.archive.desk import signatory

    vault = desk.vault()
    if shown:
        desk.console.out_bytes(people.vouching_text(vault, action, name, key))
        return
    filed = people.change(vault, desk.key_path(vault.origin), action, name, key, signatory(*chosen), desk.now)
    if desk.json:
        desk.reporter.line({"message_type": "person", "id": filed.statement.id, "action": action, "name": name})
    elif action == "enrol":
        desk.reporter.say(f"{name} may sign from now on")
    else:
        desk.reporter.say(f"the signature of {name} does not count any longer")


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut archive enrol anna --key anna_id_ed25519.pub -s /srv/archive
    obhut archive enrol carla --key carla.pub -s /srv/archive --voucher anna --sign-with ~/.ssh/id_ed25519
    """,
)
@click.argument("name")
@writing_desk
@click.option("--key", required=True, metavar="FILE", help="That person's public SSH key (Ed25519, id_ed25519.pub).")
@signing("voucher")
def enrol(
    desk: Desk,
    name: str,
    key: str,
    signer: str | None,
    sign_with: str | None,
    signature: str | None,
    *,
    shown: bool,
) -> None:
    """Let somebody sign what is to vanish: two people have to.

    The first two are enrolled by whoever keeps the archive. From the third one on somebody who is enrolled has to vouch.
    """
    from pathlib import Path

    from obhut.archive.actions.people import read_key

    _change(desk, "enrol", name, read_key(Path(key)), (signer, sign_with, signature), shown=shown)


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut archive dismiss anna -s /srv/archive --voucher bert --sign-with ~/.ssh/id_ed25519
    """,
)
@click.argument("name")
@writing_desk
@signing("voucher")
def dismiss(
    desk: Desk, name: str, signer: str | None, sign_with: str | None, signature: str | None, *, shown: bool
) -> None:
    """Let somebody's signature count no longer. Somebody else who is enrolled has to vouch; what was signed before stays."""
    _change(desk, "dismiss", name, None, (signer, sign_with, signature), shown=shown)
