"""``obhut sync conflicts``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from obhut.cli.lazy import ExamplesCommand
from obhut.cli.sync.desk import desk as with_desk

if TYPE_CHECKING:
    from obhut.cli.sync.desk import Desk
    from obhut.sync.conflicts import Conflict


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def conflicts() -> None:
    """List conflicts, and settle them: two devices changed a file, both contents are kept until somebody decides."""


@conflicts.command(
    "list",
    cls=ExamplesCommand,
    examples="""
    obhut sync conflicts list
    obhut sync conflicts list photos --json
    """,
)
@click.argument("folders", metavar="[F]...", nargs=-1)
@with_desk
def list_conflicts(desk: Desk, folders: tuple[str, ...]) -> None:
    """List conflicts: the file, the copy beside it, when, and whose version has the file's name."""
    from obhut.cli.table import render
    from obhut.sync import conflicts as found_in

    settings = desk.settings()
    own = desk.own_id()
    names = {device.id[:7]: device.shown for device in settings.devices} | {own[:7]: "this device"}
    rows = []
    for folder in [settings.folder(name) for name in folders] or settings.folders:
        for one in found_in.find(Path(folder.path)):
            who = names.get(one.winner, one.winner)
            if desk.json:
                differs = one.size is None or one.size != one.copy_size
                desk.reporter.line({"message_type": "conflict", "folder": folder.id, **asdict(one), "winner_name": who,
                                    "sizes_differ": differs})  # fmt: skip
            rows.append([folder.id, [one.name, one.copy], [_shown(one.size), _shown(one.copy_size)], one.when, who])
    if desk.json:
        return
    for line in render(["Folder", "File, copy", "Size", "When", "The file is of"], rows):
        desk.console.out(line)
    if rows:
        desk.console.out("settle one with `obhut sync conflicts resolve NAME --mine|--theirs|--both`")


def _shown(size: int | None) -> str:
    from obhut.backup.sizes import format_bytes

    return "removed" if size is None else format_bytes(size)


@conflicts.command(
    cls=ExamplesCommand,
    examples="""
    obhut sync conflicts resolve letters/to-anna.odt --mine
    obhut sync conflicts resolve letters/to-anna.odt --both --folder documents
    """,
)
@click.argument("name")
@with_desk
@click.option("--mine", "keep", flag_value="mine", help="What this device had is kept.")
@click.option("--theirs", "keep", flag_value="theirs", help="What the other device had is kept.")
@click.option("--both", "keep", flag_value="both", help="The copy becomes a file of its own.")
@click.option("--folder", "ident", metavar="F", help="Of which folder, if there are several.")
def resolve(desk: Desk, name: str, keep: str | None, ident: str | None) -> None:
    """Settle the conflicts of a file; NAME is relative to its folder, that of the file or of one copy.

    Nothing is lost: what is not kept goes to the versions (.stversions), from where it can be restored. Where the copy
    came from a conflict between two other devices, theirs is the file and mine the copy.
    """
    if keep is None:
        raise click.UsageError("say what is kept: --mine, --theirs or --both")
    from obhut.errors import ObhutError
    from obhut.sync import conflicts as found_in

    settings = desk.settings()
    folders = [settings.folder(ident)] if ident else settings.folders
    found = [(f, one) for f in folders for one in found_in.find(Path(f.path)) if name in {one.name, one.copy}]
    if len({folder.id for folder, _ in found}) != 1:
        why = "several folders have such a file: name one with --folder" if found else ""
        raise ObhutError("sync-no-conflict", name, why)
    for folder, one in found:
        _settle(desk, Path(folder.path), folder.id, one, keep)


def _settle(desk: Desk, root: Path, folder: str, one: Conflict, keep: str) -> None:
    from obhut.sync import conflicts as act

    version = None
    if keep == "both":
        name = act.keep_both(root, one)
        words = f"both are kept: {one.name} and {name}"
    else:
        name = one.name
        if (keep == "mine") == act.mine_is_copy(one, desk.own_id()):
            version = act.keep_copy(root, one, desk.tag())
        else:
            version = act.keep_file(root, one, desk.tag())
        words = f"{one.name} is {'yours' if keep == 'mine' else 'theirs'}"
        if version:
            words += f"; the other one is kept as .stversions/{version}"
    desk.done("resolved", words, folder=folder, name=one.name, kept=keep, other=version or name)
