"""Shared by all tests: Hypothesis profiles, a clean environment, the marks for what a machine lacks."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

import facilities

if TYPE_CHECKING:
    from pathlib import Path

pytest.register_assert_rewrite("tools", "trees", "deviations", "peers", "straced", "write_order", "fault_worlds")

settings.register_profile("dev", max_examples=30, deadline=None)
settings.register_profile("ci", max_examples=60, deadline=None, print_blob=True)
settings.register_profile(
    "nightly", max_examples=2000, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_configure() -> None:
    """Ctrl-C works in what tests start. A facility that nobody knows is a slip."""
    # Whoever is started in the background by a shell ignores SIGINT, and so do its children.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    unknown = facilities.excused() - facilities.NAMES
    if unknown:
        known = ", ".join(sorted(facilities.NAMES))
        raise pytest.UsageError(f"OBHUT_WITHOUT names {', '.join(sorted(unknown))}; there are {known}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """What a test is marked to need is looked for before its fixtures are made."""
    if item.get_closest_marker("root"):
        facilities.need("root")
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            facilities.need(name)


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration, cache, password or colour of the machine reaches a test."""
    for name in list(os.environ):
        if name.startswith(("RESTIC_", "RUSTIC_", "AWS_")) or (
            name.startswith("OBHUT_") and name not in {"OBHUT_PEERS", "OBHUT_REQUIRE_PEERS", "OBHUT_WITHOUT"}
        ):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
