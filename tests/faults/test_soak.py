"""A minute of the soak, and that its judge can fail. The hour: ``make soak`` (figures: docs/design/soak.md)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import peers
from soak import figures
from soak.model import Action, Kept, Manifest, Model, differences, may_overlap, unlawful

SEED = os.environ.get("OBHUT_SOAK_SEED", "11")
HELD: Manifest = {"file": (1, 0o600, (0, 0), 5, 3, "hash")}


@pytest.mark.slow
@pytest.mark.interop
@pytest.mark.timeout(400)
def test_a_minute_of_random_verbs_and_kills(tmp_path: Path) -> None:
    peers.need("restic"), peers.need("rustic")
    log = tmp_path / "soak.jsonl"
    ran = subprocess.run(
        [sys.executable, "-m", "soak", "--minutes", "0.6", "--seed", SEED, "--folder", tmp_path / "soak", "--log", log],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    print(ran.stdout, ran.stderr)
    assert ran.returncode == 0
    lines: list[dict[str, Any]] = [json.loads(line) for line in log.read_text().splitlines()]
    actions = [line for line in lines if line["what"] == "action"]
    assert lines[0]["what"] == "begin"
    assert lines[-1]["what"] == "end"
    assert len(actions) >= 5, "the machine is too slow for this test to say anything"
    assert {action["tool"] for action in actions} > {"obhut"}


def model() -> Model:
    return Model({name * 64: Kept("source", HELD, "restic") for name in "ab"})


def act(verb: str, code: int, **more: Any) -> Action:
    return Action(1, more.pop("tool", "obhut"), verb, code=code, **more)


A, B, NEW = "a" * 64, "b" * 64, "c" * 64
FOUND = {A: "a0", B: "a0"}


def test_the_model_takes_what_was_acknowledged_and_what_a_killed_action_managed_to_do() -> None:
    one = model()
    assert one.settle([act("backup", 0, manifest=HELD)], {**FOUND, NEW: "a1"}) == []
    assert one.snapshots[NEW].manifest == HELD
    one = model()
    assert one.settle([act("backup", -9, killed=True)], {**FOUND, NEW: "a1"}) == []
    assert one.adopted == 1
    assert model().settle([act("backup", -9, killed=True)], FOUND) == []
    assert model().settle([act("forget", -9, killed=True, snapshots=(A, B))], {B: "a0"}) == []
    assert model().settle([act("forget", 0, snapshots=(A, B))], {}) == []


@pytest.mark.parametrize(
    ("actions", "found"),
    [
        ([], {A: "a0"}),
        ([act("prune", 0)], {A: "a0"}),
        ([act("forget", 0, snapshots=(A,))], FOUND),
        ([act("forget", 11, snapshots=(A,))], {B: "a0"}),
        ([act("forget", -9, killed=True, snapshots=(A,))], {A: "a0"}),
        ([act("backup", 0)], FOUND),
        ([act("backup", 0)], {**FOUND, NEW: "a7"}),
        ([act("backup", 0)], {**FOUND, NEW: "a1", "d" * 64: "a1"}),
    ],
)
def test_the_model_sees_every_loss(actions: list[Action], found: dict[str, str]) -> None:
    assert model().settle(actions, found) != []


def test_a_difference_in_any_field_is_one() -> None:
    assert differences(HELD, dict(HELD)) == []
    for place in range(6):
        changed = list(HELD["file"])
        changed[place] = "other"
        assert differences(HELD, {"file": tuple(changed)}) != []
    assert differences(HELD, {}) != []
    assert differences({}, HELD) != []


def test_only_lawful_exit_codes_pass() -> None:
    other = act("backup", 0, tool="restic")
    assert unlawful(act("prune", 11), [other]) == ""
    assert unlawful(act("backup", 11), [act("forget", 0)]) == ""
    assert unlawful(act("restore", -9, killed=True, signal=signal.SIGKILL), []) == ""
    assert unlawful(act("prune", 11), []) != ""
    assert unlawful(act("backup", 11), [other]) != ""
    assert unlawful(act("prune", 11), [act("backup", 0, tool="rustic")]) != ""
    assert unlawful(act("prune", 11, tool="rustic"), [other]) != ""
    assert unlawful(act("check", 1), [other]) != ""
    void = act("forget", 1, options=("--prune",), said="… [plan-void]")
    assert unlawful(void, [act("forget", 0, tool="restic", options=("--prune",))]) == ""
    assert unlawful(void, [other]) != ""
    assert not act("restore", 0, tool="rustic", killed=True).sure


def test_nothing_that_removes_or_judges_runs_beside_rustic() -> None:
    assert may_overlap(("rustic", "backup"), ("obhut", "backup"))
    assert may_overlap(("obhut", "prune"), ("restic", "backup"))
    assert not may_overlap(("rustic", "backup"), ("obhut", "prune"))
    assert not may_overlap(("rustic", "prune"), ("restic", "restore"))
    assert not may_overlap(("rustic", "backup"), ("restic", "check"))
    assert not may_overlap(("obhut", "passwd"), ("restic", "restore"))


def test_growth_is_seen() -> None:
    flat = [{"rss": 50 << 20, "descriptors": 5, "threads": 1}] * 400
    assert figures.growth(flat) == []
    for name, step in (("rss", 1 << 17), ("descriptors", 1), ("threads", 1)):
        growing = [{**size, name: size[name] + number * step} for number, size in enumerate(flat)]
        assert [line.split()[0] for line in figures.growth(growing)] == [{"rss": "memory"}.get(name, name)]
    assert figures.growth(flat[:3]) != []
