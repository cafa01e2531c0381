"""The block that holds a lock: no way out of it leaves the lock."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

import pytest

import cheap
from obhut import _core, signals
from obhut.backup import session
from obhut.errors import ObhutError
from tools import PASSWORD

if TYPE_CHECKING:
    from pathlib import Path


class Silent:
    """A reporter without ears."""

    verbosity = 1
    json = False

    def warn(self, text: str) -> None:
        raise AssertionError(text)


@pytest.fixture
def repository(tmp_path: Path) -> _core.Repository:
    cheap.init(tmp_path / "repository")
    store = _core.Store.local(os.fsencode(tmp_path / "repository"))
    return _core.Repository.open(store, PASSWORD.encode(), username="u", hostname="h")


def test_a_stop_in_the_moment_in_which_the_lock_was_got_leaves_none(
    repository: _core.Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[Any] = []

    def watch(job: Any, _: object) -> None:
        while not job.wait(1.0):
            pass
        assert os.listdir(tmp_path / "repository" / "locks")
        # Nobody may rely on the job's end, for who knows when that is.
        jobs.append(job)
        raise signals.Interrupted(2)

    monkeypatch.setattr(session, "watch", watch)
    access = session.Access("", cast("Any", None), "h")
    with pytest.raises(signals.Interrupted), session.locked(repository, access, cast("Any", Silent())):
        raise AssertionError
    assert os.listdir(tmp_path / "repository" / "locks") == []


def test_an_error_in_the_block_leaves_none(repository: _core.Repository, tmp_path: Path) -> None:
    access = session.Access("", cast("Any", None), "h")

    def fail() -> None:
        with session.locked(repository, access, cast("Any", Silent()), exclusive=True):
            assert len(os.listdir(tmp_path / "repository" / "locks")) == 1
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert os.listdir(tmp_path / "repository" / "locks") == []


def test_an_exclusive_lock_is_shared_within_its_block(repository: _core.Repository, tmp_path: Path) -> None:
    access, reporter = session.Access("", cast("Any", None), "h"), cast("Any", Silent())

    def another(*, exclusive: bool) -> None:
        with session.locked(repository, access, reporter, exclusive=exclusive):
            pass

    with session.locked(repository, access, reporter, exclusive=True) as held:
        with pytest.raises(ObhutError, match="exclusive lock"):
            another(exclusive=False)
        held.share()
        assert len(os.listdir(tmp_path / "repository" / "locks")) == 1
        another(exclusive=False)
        with pytest.raises(ObhutError, match="lock"):
            another(exclusive=True)
    assert os.listdir(tmp_path / "repository" / "locks") == []
    another(exclusive=True)
