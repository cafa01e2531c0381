"""A stop at each step of holds, settling, withdrawal and disposal: nothing that was answered is lost, nothing is logged twice."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from archives import Broken, Failing
from obhut.archive.actions import read
from obhut.archive.actions.survey import survey
from obhut.archive.keyfile import next_path
from obhut.archive.store import LocalStore
from offices import Office, leaf

pytestmark = [pytest.mark.interop, pytest.mark.needs("ssh-keygen")]


class Prepared(Office):
    """Three documents whose law has ended (two of them the same bytes), one that is new; a hold; a proposal that is signed."""

    ids: list[str]
    hold_id: str
    proposal: str


@pytest.fixture(scope="module", params=["plain", "sealed"])
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    office = Prepared(tmp_path_factory.mktemp("prepared"), sealed=request.param == "sealed")
    office.enrol("anna", "bert")
    ended = office.file(b"old", b"older", b"old", event=date(2001, 1, 1))
    office.wait(40)
    proposal = office.propose()
    assert proposal is not None
    office.approve(proposal, "anna", "bert")
    office.ids = [*ended, *office.file(b"new", event=date(2026, 1, 1))]
    office.wait(15)
    office.hold_id = office.hold(office.ids[3])
    office.proposal = proposal
    return office


def copied(prepared: Prepared, base: Path) -> Prepared:
    shutil.copytree(prepared.base, base)
    copy = Prepared(base, create=False, today=prepared.today)
    copy.ids, copy.hold_id, copy.proposal = prepared.ids, prepared.hold_id, prepared.proposal
    return copy


#: What is done, and what holds once it was answered.
ACTS: dict[str, tuple[Callable[[Prepared, LocalStore], object], Callable[[Prepared], bool]]] = {
    "hold": (
        lambda o, store: o.hold(o.ids[0], o.ids[1], store=store),
        lambda o: all(survey(o.vault()).ledger.held(leaf(name), o.today) for name in o.ids[:2]),
    ),
    "release": (
        lambda o, store: o.release(o.hold_id, store=store),
        lambda o: not survey(o.vault()).ledger.held(leaf(o.ids[3]), o.today) and not o.vault().store.held(),
    ),
    "settle": (
        lambda o, store: o.settle(store=store),
        lambda o: survey(o.vault()).ledger.settled_through() == leaf(o.ids[3]) + 1,
    ),
    "rotate": (
        lambda o, store: o.rotate(store=store),
        lambda o: 1 <= len(o.vault().keys.handovers) <= 2 and not next_path(o.key).exists(),
    ),
    "dispose": (
        lambda o, store: o.dispose(o.proposal, store=store),
        lambda o: [document.id for document in read.documents(o.vault())] == o.ids[3:] and len(o.vault().store.keys("objects")) == 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("name", ACTS)
def test_a_call_that_fails_and_may_have_been_done(prepared: Prepared, tmp_path: Path, name: str, *, kept: bool) -> None:
    act, holds = ACTS[name]
    at = 0
    while True:
        at += 1
        office = copied(prepared, tmp_path / str(at))
        before = office.verify()
        store = Failing(office.root, at, kept=kept)
        try:
            act(office, store)
        except Broken:
            # A stop is no fault, nor does it lose what was there.
            between = office.verify()
            assert between.faults == [], f"{at}"
            assert before.documents - 3 <= between.documents + between.disposed <= before.documents
            assert office.accepted()
            act(office, LocalStore(office.root))
        else:
            assert store.calls < at
            break
        office.settle()
        assert holds(office), f"{at}"
        verdict = office.sound()
        assert verdict.documents + verdict.disposed == len(office.ids)
        # No certificate twice, no hold that nobody answered for but the one that was begun.
        assert verdict.disposed == (3 if name == "dispose" else 0)
        shutil.rmtree(office.base)
    assert at > {"hold": 4, "release": 4, "settle": 3, "rotate": 3, "dispose": 8}[name]
