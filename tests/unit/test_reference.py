"""The reference pages are what the program says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from obhut.catalogue import CATALOGUE
from obhut.cli.reference import EXIT_CODES, PAGES, all_commands

DOCS = Path(__file__).parents[2] / "docs" / "reference"


@pytest.mark.parametrize("name", PAGES)
def test_page_is_up_to_date(name: str) -> None:
    made = PAGES[name]()
    assert (DOCS / name).read_text("utf-8") == made, "run: python -m obhut.cli.reference docs/reference"


def test_every_command_has_a_heading_and_every_option_a_row() -> None:
    page = (DOCS / "commands.md").read_text("utf-8")
    paths = [path for path, _ in all_commands()]
    assert {"obhut backup run", "obhut backup key passwd", "obhut errors", "obhut version"} <= set(paths)
    for path, command in all_commands():
        assert f"\n## {path}\n" in page
        assert command.help, path
        for option in command.params:
            for name in option.opts:
                assert not name.startswith("-") or f"`{name}`" in page


def test_every_exit_code_is_explained() -> None:
    assert {entry.exit_code for entry in CATALOGUE.values()} <= set(EXIT_CODES)
