"""What is said while a command waits for a lock."""

from __future__ import annotations

import json
from typing import Any

import pytest

from obhut.backup.sizes import format_span, parse_seconds
from obhut.backup.waiting import Waiting, wording

HOLDER: dict[str, Any] = {
    "lock": "ab" * 32, "exclusive": True, "hostname": "attic", "username": "anna", "pid": 4711,
    "time": "2026-08-01T12:30:00.5Z", "stale": False, "seconds": 300.0,
}  # fmt: skip


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("obhut.backup.waiting.local_offset", lambda _: 0)


def test_who_since_when_and_how_long() -> None:
    assert wording(HOLDER, "cellar") == (
        "the repository is locked exclusively by process 4711 of anna on attic (lock of 2026-08-01 12:30:00); "
        "waiting up to 5m for it"
    )
    shared = wording(HOLDER | {"exclusive": False, "stale": True}, "attic")
    assert shared.startswith("the repository is locked by process 4711 of anna on this machine (")
    assert "obhut backup unlock" in shared
    assert "unlock" not in wording(HOLDER, "attic")


def test_the_writer_of_a_lock_cannot_write_on_the_terminal() -> None:
    odd = HOLDER | {"username": "a\x1b[31m", "hostname": "h\n", "time": "noon\x07"}
    text = wording(odd, "attic")
    assert text.isprintable()
    assert "a\\x1b[31m on h\\x0a (lock of noon\\x07)" in text


@pytest.mark.parametrize("text", ["30s", "5m", "1h30m", "2h", "1h0m5s", "0s"])
def test_spans_are_written_as_they_are_read(text: str) -> None:
    assert format_span(parse_seconds(text)) == text.replace("0m", "") if "h0m" in text else text


class Said:
    def __init__(self, *, json: bool, verbosity: int) -> None:
        self.json, self.verbosity = json, verbosity
        self.warned: list[str] = []
        self.logged: list[str] = []

    def warn(self, text: str) -> None:
        self.warned.append(text)

    def say(self, text: str) -> None:
        self.logged.append(text)


@pytest.mark.parametrize(("json_wanted", "verbosity", "warned"), [(False, 1, 1), (True, 1, 0), (False, 0, 0)])
def test_people_are_told_and_scripts_only_by_the_log(json_wanted: bool, verbosity: int, warned: int) -> None:
    said: Any = Said(json=json_wanted, verbosity=verbosity)
    Waiting(said, "cellar").output(json.dumps(HOLDER).encode() + b"\n")
    assert (len(said.warned), len(said.logged)) == (warned, 1 - warned)
