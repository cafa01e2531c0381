"""``obhut sync ignore``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from obhut.cli.lazy import ExamplesCommand
from obhut.cli.sync.desk import PATTERN
from obhut.cli.sync.desk import desk as with_desk
from obhut.errors import ObhutError, converted

if TYPE_CHECKING:
    from obhut.cli.sync.desk import Desk


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def ignore() -> None:
    """Say what of a folder is not synchronized: Syncthing's patterns, in its .stignore. Each device has its own."""


@ignore.command(
    "list",
    cls=ExamplesCommand,
    examples="""
    obhut sync ignore list photos
    """,
)
@click.argument("folder", metavar="F")
@with_desk
def list_patterns(desk: Desk, folder: str) -> None:
    """List the lines of .stignore; the first that fits counts."""
    from obhut.cli.console import safe
    from obhut.sync import ignores

    for number, line in enumerate(ignores.read(desk.folder(folder).path), 1):
        if desk.json:
            desk.reporter.line({"message_type": "ignore", "folder": folder, "number": number, "line": line})
        else:
            desk.console.out(safe(line))


@ignore.command(
    cls=ExamplesCommand,
    examples="""
    obhut sync ignore add photos '*.tmp' '(?d).DS_Store'
    obhut sync ignore add photos '!important.tmp' --first
    """,
)
@click.argument("folder", metavar="F")
@click.argument("patterns", metavar="PATTERN...", nargs=-1, required=True, type=PATTERN)
@with_desk
@click.option("--first", is_flag=True, help="Before all others: the first that fits counts.")
def add(desk: Desk, folder: str, patterns: tuple[str, ...], *, first: bool) -> None:
    """Add patterns to .stignore. What they fit stays where it is, and is neither sent nor taken any more."""
    from obhut.sync import ignores

    root = desk.folder(folder).path
    lines = ignores.read(root)
    new = [pattern for pattern in patterns if pattern not in lines]
    lines = [*new, *lines] if first else [*lines, *new]
    _written(root, lines, desk)
    desk.done("ignored", f"{len(new)} patterns added", folder=folder, added=new)


@ignore.command(
    cls=ExamplesCommand,
    examples="""
    obhut sync ignore remove photos '*.tmp'
    """,
)
@click.argument("folder", metavar="F")
@click.argument("patterns", metavar="PATTERN...", nargs=-1, required=True, type=PATTERN)
@with_desk
def remove(desk: Desk, folder: str, patterns: tuple[str, ...]) -> None:
    """Remove lines from .stignore, given as they stand there."""
    from obhut.sync import ignores

    root = desk.folder(folder).path
    lines = ignores.read(root)
    if missing := [pattern for pattern in patterns if pattern not in lines]:
        raise ObhutError("sync-ignores", missing[0], "there is no such line")
    _written(root, [line for line in lines if line not in patterns], desk)
    desk.done("unignored", f"{len(patterns)} patterns removed", folder=folder, removed=list(patterns))


@ignore.command(
    cls=ExamplesCommand,
    examples="""
    obhut sync ignore test photos cat.tmp 2026/cat.jpg
    """,
)
@click.argument("folder", metavar="F")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@with_desk
def test(desk: Desk, folder: str, names: tuple[str, ...]) -> None:
    """Say of names, relative to the folder, whether they are ignored."""
    from obhut.cli.console import safe
    from obhut.sync import ignores

    root = desk.folder(folder).path
    with converted():
        found = desk.core.sync_ignore_test(os.fsencode(root), ignores.read(root), list(names))
    for name, ignored in zip(names, found, strict=True):
        if desk.json:
            desk.reporter.line({"message_type": "ignore-test", "folder": folder, "name": name, "ignored": ignored})
        else:
            desk.console.out(f"{'ignored' if ignored else 'shared '}  {safe(name)}")


def _written(root: str, lines: list[str], desk: Desk) -> None:
    """Writes lines that the engine understands, or none: a file that it does not understand stops the folder."""
    from obhut.sync import ignores

    with converted():
        desk.core.sync_ignore_test(os.fsencode(root), lines, [])
    ignores.write(root, lines)
