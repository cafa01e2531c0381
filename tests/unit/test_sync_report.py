"""What a status means to people: a cause and a next step for everything that is not as it should be."""

from __future__ import annotations

from typing import Any

import pytest

from obhut.sync import report
from obhut.sync.model import Device, Folder, Member, Settings
from sync_stand_in import id_of

PHONE = id_of("phone")
SETTINGS = Settings(
    devices=(Device(PHONE, "phone"),), folders=(Folder("photos", "/srv/photos", members=(Member(PHONE),)),)
)


def status(*, connected: bool = True, error: str | None = None, **folder: Any) -> dict[str, Any]:
    counts = {"files": 1, "directories": 0, "bytes": 1, "deleted": 0}
    one = {
        "id": "photos",
        "label": "",
        "state": "idle",
        "doubt": None,
        "local": counts,
        "global": counts,
        "need": {"items": 0, "bytes": 0},
        "troubles": [],
        "unnamed": [],
        "members": [{"device": PHONE, "completion": {"items": 0, "bytes": 0}, "shares": True}],
        **folder,
    }
    device = {"id": PHONE, "name": "phone", "connected": connected, "address": "", "error": error, "client": ""}
    return {"id": id_of("own"), "folders": [one], "devices": [device]}


def kinds(found: dict[str, Any]) -> list[str]:
    return [remark["kind"] for remark in report.joined(SETTINGS, found)["remarks"]]


def test_nothing_is_said_when_all_is_well() -> None:
    assert kinds(status()) == []


@pytest.mark.parametrize("kind", ["marker-missing", "root-missing", "other-file-system", "emptied", "ignores", "other"])
def test_a_folder_in_doubt_names_the_cause_and_a_step_that_harms_nothing(kind: str) -> None:
    found = status(state="stopped", doubt={"kind": kind, "text": "the words"}, need={"items": 3, "bytes": 9})
    [remark] = report.joined(SETTINGS, found)["remarks"]
    assert remark["kind"] == kind
    assert remark["cause"].startswith("stopped: ")
    assert "{" not in remark["cause"] + remark["next"]
    assert ("/srv/photos" in remark["cause"]) or ("the words" in remark["cause"])
    assert remark["next"]


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (status(connected=False), ["away"]),
        (status(connected=False, error="connection refused"), ["unreachable"]),
        (status(need={"items": 3, "bytes": 9}), ["behind"]),
        (status(connected=False, need={"items": 3, "bytes": 9}), ["unavailable", "away"]),
        (status(state="paused", need={"items": 3, "bytes": 9}), []),
        (status(troubles=[{"name": "a", "why": "denied"}, {"name": "b", "why": "full"}]), ["trouble", "trouble"]),
        (status(unnamed=["?"] * 9), ["unnamed"]),
        (status(members=[{"device": PHONE, "completion": {"items": 0, "bytes": 0}, "shares": False}]), ["unshared"]),
        (status(members=[{"device": PHONE, "completion": {"items": 2, "bytes": 1}, "shares": True}]), ["other-behind"]),
        ({**status(), "misconfigured": "x"}, ["misconfigured"]),
    ],
)
def test_remarks(found: dict[str, Any], wanted: list[str]) -> None:
    assert kinds(found) == wanted


def test_at_rest_has_the_same_shape() -> None:
    rest = report.at_rest(SETTINGS, "own", {PHONE: "2026-03-01T12:00:00Z", "other": "x"})
    assert [device["last_seen"] for device in rest["devices"]] == ["2026-03-01T12:00:00Z"]
    running = report.joined(SETTINGS, status())
    assert set(rest) <= set(running)
    assert set(rest["folders"][0]) <= set(running["folders"][0])


def test_progress_is_of_those_that_are_at_it() -> None:
    need = {"items": 3, "bytes": 9}
    assert report.progress(status(state="syncing", need=need)) == [
        {"id": "photos", "label": "", "items": 3, "bytes": 9}
    ]
    assert report.progress(status(state="syncing")) == report.progress(status(state="idle", need=need)) == []
