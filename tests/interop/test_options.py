"""The page of restic's options says of each whether we take it, and how: held against the help of the real restic."""

from __future__ import annotations

import re
import subprocess
from functools import cache
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
GENERAL: Final = "Options of every command"
STATES: Final = ("same", "differs", "not there")


@cache
def help_of(*words: str | Path) -> str:
    return subprocess.run([*words, "--help"], capture_output=True, text=True, check=True, timeout=60).stdout


def options(text: str) -> dict[str, str]:
    """The long options that a help text lists, with their short forms."""
    found = re.findall(r"^ +(?:-([A-Za-z]), )?(--[a-z0-9-]+)", text, re.MULTILINE)
    return {long: short for short, long in found}


def of_restic(command: str) -> tuple[dict[str, str], dict[str, str]]:
    """The options of a command of restic, and those that all commands have."""
    own, general = help_of(peers.need("restic"), *command.split()).split("\nGlobal Flags:\n")
    return options(own), options(general)


def of_ours(command: str) -> dict[str, str]:
    return options(help_of(obhut_program(), "backup", *COMMANDS[command].split()))


def part(command: str) -> str:
    """The part of the page below the heading that names the command."""
    parts = dict(re.findall(r"^## (.+)\n([^#]*)", PAGE, re.MULTILINE))
    [text] = [text for heading, text in parts.items() if command in heading.split(", ")]
    return str(text)


def told(command: str) -> dict[str, str]:
    """What the page says of the options in a part, each once."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part(command).splitlines() if "--" in line
            and line.startswith("| ")]  # fmt: skip
    assert all(state in STATES for state, _, _ in rows)
    assert all(bool(why) == (state != "same") for state, _, why in rows), "what is not the same has a reason"
    found = [(name, state) for state, names, _ in rows for name in re.findall(r"`(--[a-z0-9-]+)`", names)]
    assert len(dict(found)) == len(found), "an option stands on the page twice"
    return dict(found)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_on_the_page_and_what_it_says_is_so(command: str) -> None:
    own, general = of_restic(command)
    assert len(general) > 20, "the help was read"
    assert told(command).keys() == own.keys() - {"--help"}
    assert told(GENERAL).keys() == general.keys() | {"--help"}
    ours = of_ours(command)
    for name, state in (told(command) | told(GENERAL)).items():
        assert (name in ours) == (state != "not there"), name
        if state != "not there":
            short = (own | general)[name]
            assert ours[name] == short, f"{name}: -{short}"


def test_what_we_have_beyond_is_on_the_page() -> None:
    common = set.intersection(*(set(of_ours(command)) for command in COMMANDS))
    for command in COMMANDS:
        own, general = of_restic(command)
        for name in of_ours(command).keys() - own.keys() - general.keys():
            place = part(GENERAL if name in common else command)
            assert f"`{name}`" in place.split("More than restic has:")[1], (command, name)


def test_every_command_of_restic_is_on_the_page() -> None:
    listed = set(re.findall(r"^  ([a-z]+) {2,}\S", help_of(peers.need("restic")), re.MULTILINE))
    assert {"backup", "mount", "version"} <= listed
    table, there = part("Commands").split("Not there yet:")
    here = {word.split()[0] for word in COMMANDS} | {"version", "help"}
    assert set(re.findall(r"`([a-z]+)`", table)) & listed == here
    assert {word for word in listed if f"`{word}`" in there} == listed - here


def test_version_takes_what_the_page_says() -> None:
    ours = options(help_of(obhut_program(), "version"))
    assert set(ours) & set(told(GENERAL)) == {"--help", "--json"}
