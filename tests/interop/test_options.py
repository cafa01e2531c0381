"""The page of restic's options and commands says all that we do not take: held against the help of the real restic."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

import peers
from tools import obhut_program

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

PAGE: Final = (Path(__file__).parents[2] / "docs" / "reference" / "restic-options.md").read_text()
#: restic's commands that we have, and what they are called here.
COMMANDS: Final = {
    "backup": "run",
    **{
        word: word
        for word in ("cat", "check", "forget", "init", "list", "ls", "prune", "restore", "snapshots", "unlock")
    },
    **{f"key {word}": f"key {word}" for word in ("add", "list", "passwd", "remove")},
}


def help_of(*words: str | Path) -> str:
    return subprocess.run([*words, "--help"], capture_output=True, text=True, check=True, timeout=60).stdout


def options(text: str) -> dict[str, str]:
    """The long options that a help text lists, with their short forms."""
    found = re.findall(r"^ +(?:-([A-Za-z]), )?(--[a-z0-9-]+)", text, re.MULTILINE)
    return {long: short for short, long in found}


def rows(heading: str) -> list[list[str]]:
    """The table below a heading."""
    part = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ") and not line.startswith("|---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


@pytest.mark.parametrize("theirs", COMMANDS)
def test_what_is_not_taken_is_on_the_page_and_nothing_else(theirs: str) -> None:
    wanted = options(help_of(peers.need("restic"), *theirs.split()))
    ours = options(help_of(obhut_program(), "backup", *COMMANDS[theirs].split()))
    told = {name.strip("`") for name, where, _ in rows("Options") if where in {"all", theirs}}
    assert wanted.keys() - ours.keys() == told
    assert len(wanted) > 25, "the help was read"


def test_short_forms_are_the_same() -> None:
    for theirs, mine in COMMANDS.items():
        wanted = options(help_of(peers.need("restic"), *theirs.split()))
        ours = options(help_of(obhut_program(), "backup", *mine.split()))
        other = {name: (short, ours[name]) for name, short in wanted.items() if name in ours and short != ours[name]}
        assert other == {}, theirs


def test_every_command_of_restic_is_on_the_page() -> None:
    listed = set(re.findall(r"^  ([a-z]+) {2,}\S", help_of(peers.need("restic")), re.MULTILINE))
    assert {"backup", "mount", "version"} <= listed
    part = PAGE.split("## Commands\n")[1]
    missing = {word for word in listed if f"`{word}`" not in part}
    assert missing == set()
    here = {word.split()[0] for word in COMMANDS}
    there = part.split("Not there yet:")[1]
    assert not {word for word in here if f"`{word}`" in there}
    assert all(f"`{word}`" in there for word in listed - here - {"version", "help"})
