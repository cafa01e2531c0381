"""The catalogue of errors and the core's table agree, and every entry is complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from obhut import _core
from obhut.catalogue import CATALOGUE
from obhut.errors import ObhutError, core_error

ERROR_RS = Path(__file__).parents[2] / "crates" / "obhut-core" / "src" / "error.rs"


def codes_of_the_core() -> list[str]:
    table = ERROR_RS.read_text().split("\ncodes! {", 1)[1].split("\n}", 1)[0]
    return re.findall(r'^\s*\w+ = "([a-z-]+)",$', table, re.MULTILINE)


def test_core_and_catalogue_agree_in_order() -> None:
    assert [name for name, entry in CATALOGUE.items() if entry.core] == codes_of_the_core()


def test_the_built_core_agrees() -> None:
    assert [name for name, entry in CATALOGUE.items() if entry.core] == list(_core.ERROR_CODES)


@pytest.mark.parametrize("id", CATALOGUE)
def test_entry_is_complete(id: str) -> None:
    entry = CATALOGUE[id]
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", id)
    for text in (entry.what_about("X"), entry.what_about(""), entry.why, entry.next_step):
        assert text[0].isupper()
        assert text.endswith((".", "…"))
        assert "{" not in text
    assert entry.exit_code in {1, 2, 3, 10, 11, 12, 130, 141}


def test_exit_codes_are_restics() -> None:
    wanted = {"repository-missing": 10, "repository-locked": 11, "wrong-password": 12, "backup-incomplete": 3,
              "cancelled": 130, "usage": 2, "damaged": 1, "password-missing": 12}  # fmt: skip
    assert {name: ObhutError(name).exit_code for name in wanted} == wanted


def test_message_is_one_line_with_object_detail_and_id() -> None:
    error = ObhutError("repository-missing", "/srv/r", "no file config")
    assert str(error) == "There is no repository at /srv/r: no file config [repository-missing]"


def test_an_unknown_code_of_the_core_is_a_defect() -> None:
    assert core_error("no-such-code", "x", "y").id == "internal"
    assert ObhutError("no-such-id").exit_code == 1
