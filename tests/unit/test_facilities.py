"""A test is skipped by one module only, and never where everything is required."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import facilities

TESTS = Path(__file__).resolve().parents[1]
#: Ways to leave a test out, under ``pytest``, ``pytest.mark`` or ``unittest``.
WAYS = {"skip", "skipif", "importorskip", "skipIf", "skipUnless", "SkipTest", "xfail", "skipTest"}


def ways_out(text: str) -> list[str]:
    """Where a source file leaves tests out."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and node.attr in WAYS:
            found.append(f"line {node.lineno}: {ast.unparse(node)}")
        if isinstance(node, ast.ImportFrom) and node.module in {"pytest", "unittest", "_pytest.outcomes"}:
            found += [f"line {node.lineno}: {alias.name}" for alias in node.names if alias.name in WAYS]
    return found


def test_only_one_module_skips() -> None:
    files = sorted(TESTS.rglob("*.py"))
    assert len(files) > 50
    found = {str(path.relative_to(TESTS)): ways_out(path.read_text("utf-8")) for path in files}
    assert {path: ways for path, ways in found.items() if ways} == {"facilities.py": [found["facilities.py"][0]]}


@pytest.mark.parametrize(
    "text",
    [
        "import pytest\npytest.skip('no')",
        "import pytest\npytestmark = [pytest.mark.skipif(True, reason='x')]",
        "import pytest\n@pytest.mark.skip\ndef test(): ...",
        "from pytest import skip",
        "import pytest\ncore = pytest.importorskip('core')",
        "import unittest\nraise unittest.SkipTest",
    ],
)
def test_the_rule_sees_every_way(text: str) -> None:
    assert ways_out(text)


def test_a_missing_facility_skips_fails_or_is_excused(monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome(name: str) -> str:
        try:
            facilities.absent(name, "there is none")
        except BaseException as ended:  # noqa: BLE001
            return type(ended).__name__

    monkeypatch.delenv("OBHUT_REQUIRE_PEERS", raising=False)
    monkeypatch.delenv("OBHUT_WITHOUT", raising=False)
    assert outcome("fuse") == "Skipped"
    monkeypatch.setenv("OBHUT_REQUIRE_PEERS", "1")
    assert outcome("fuse") == "Failed"
    monkeypatch.setenv("OBHUT_WITHOUT", "loop,fuse")
    assert [outcome(name) for name in ("fuse", "loop", "strace")] == ["Skipped", "Skipped", "Failed"]


INNER = """
import pytest
import facilities

@pytest.fixture
def made():
    raise AssertionError("a fixture was made before the facility was looked for")

@pytest.mark.needs("strace")
def test_traces(made): ...

@pytest.mark.root
def test_as_root(made): ...
"""


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "2 skipped"),
        ({"OBHUT_REQUIRE_PEERS": "1"}, "2 errors"),
        ({"OBHUT_REQUIRE_PEERS": "1", "OBHUT_WITHOUT": "strace"}, "1 skipped, 1 error"),
        ({"OBHUT_REQUIRE_PEERS": "1", "OBHUT_WITHOUT": "strace,root"}, "2 skipped"),
        ({"OBHUT_WITHOUT": "starce"}, "OBHUT_WITHOUT names starce; there are"),
    ],
)
def test_marks_are_judged_before_fixtures(environment: dict[str, str], said: str, tmp_path: Path) -> None:
    """A whole run of pytest with our rules, on a machine that has nothing."""
    nothing = "import facilities\nfacilities.PROBES.update(strace=lambda: 'no strace', root=lambda: 'no root')\n"
    (tmp_path / "conftest.py").write_text((TESTS / "conftest.py").read_text() + nothing)
    (tmp_path / "test_inner.py").write_text(INNER)
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        TESTS.parent / "pyproject.toml",
    ]
    command += [f"--rootdir={tmp_path}", "--override-ini=filterwarnings=default", tmp_path]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("OBHUT_", "PYTEST_"))}
    env |= {"PYTHONPATH": str(TESTS), **environment}
    ran = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, check=False)
    assert said in ran.stdout + ran.stderr


def test_a_facility_is_tried_out() -> None:
    """On this machine a probe says nothing, or why not."""
    for name in facilities.PROBES:
        reason = facilities.lacking(name)
        assert reason is None or len(reason) > 10


def test_the_probe_prints_what_is_not_there() -> None:
    """As ``.ci/run`` asks."""
    command: list[str | Path] = [sys.executable, TESTS / "facilities.py", *facilities.PROBES]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    gone = {name for name in facilities.PROBES if facilities.lacking(name) is not None}
    assert set(filter(None, ran.stdout.strip().split(","))) == gone
    assert {line.split(":")[0] for line in ran.stderr.splitlines()} == gone
