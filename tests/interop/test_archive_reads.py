"""Audit records, who took which document out, have an end of their own: the whole way there, plain and sealed.

Judged by tessera's fsck on the log and by the verifier for strangers on everything.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from archives import Broken, Failing, stranger
from obhut.archive.actions import look, put, rules
from obhut.archive.actions.survey import survey
from obhut.archive.judge import read_leaves
from obhut.archive.ledger import Ledger
from obhut.archive.record import LOG, Leaf, record_key
from obhut.archive.replay import read_into
from obhut.archive.store import LocalStore
from obhut.archive.vault import Draft
from obhut.errors import ObhutError
from obhut.world import secret
from offices import Office, accepted_by_strangers, at, leaf, locked_until

pytestmark = [pytest.mark.interop, pytest.mark.needs("ssh-keygen")]

#: Three years from the end of 2026, and no time zone is early.
FREE = date(2030, 1, 2)


@pytest.fixture(params=["plain", "sealed"])
def any_office(request: pytest.FixtureRequest, tmp_path: Path) -> Office:
    office = Office(tmp_path, sealed=request.param == "sealed", audit=True)
    office.enrol("anna", "bert")
    return office


@pytest.fixture
def office(tmp_path: Path) -> Office:
    office = Office(tmp_path, audit=True)
    office.enrol("anna", "bert")
    return office


def refused(id: str, text: str | None = None) -> pytest.RaisesExc[ObhutError]:
    return pytest.RaisesExc(ObhutError, match=text, check=lambda error: error.id == id)


def leaves_of(office: Office) -> list[bytes | None]:
    vault = office.vault()
    return list(read_leaves(vault.store.get, LOG, vault.stated().checkpoint, []))


def named(office: Office) -> set[str]:
    """What verify names; strangers name the same."""
    found = {fault.object for fault in office.verify().faults}
    ran = stranger(office.base, "--store", office.root, today=office.today)
    assert {line.split(": ")[1] for line in ran.stdout.splitlines() if line.startswith("FAULT: ")} == found, ran.stdout
    return found


def replayed(office: Office, records: dict[int, bytes]) -> tuple[Any, ...]:
    """What the rules make of the history, with these records besides those that are there."""
    seen = survey(office.vault())

    def record(index: int) -> bytes | None:
        key = seen.key(index)
        return records.get(index) if key is None else office.vault().get(key)

    ledger = Ledger(office.vault().origin, secret.verify)
    faults = read_into(ledger, leaves_of(office), record)
    covers = {index: proposal.covers for index, proposal in ledger.proposals.items()}
    return faults, ledger.gone, ledger.reads, ledger.documents, ledger.events, covers, ledger.settlements, ledger.days


def test_from_taking_a_document_out_to_the_certificate(any_office: Office) -> None:
    office = any_office
    [voucher] = office.file(b"Rechnung", event=date(2026, 3, 1))
    taken = office.take(voucher)
    key = record_key(taken)
    said = Leaf.parse(leaves_of(office)[leaf(taken)] or b"")
    assert (said.category, said.event, said.kind) == ("audit/read", "2026-11-27", "read")
    assert locked_until(office, key) == office.today + timedelta(days=30)

    office.wait(15)
    settled = office.settle()
    assert (settled.documents, settled.reads, office.settle().reads) == (1, 1, 0)
    # To its own end, and not to that of the log.
    assert locked_until(office, key) == FREE
    person = next(key for key in office.vault().store.keys("records/000") if key.startswith("records/000/001-"))
    assert {locked_until(office, key) for key in (record_key(voucher), person, "archive.json")} == {date(2035, 1, 2)}
    assert office.sound().reads == 1

    for day in (FREE - timedelta(days=2), FREE - timedelta(days=1)):
        office.go_to(day)
        assert office.propose() is None
    office.go_to(FREE)
    proposal = office.propose()
    assert proposal is not None
    with refused("proposal-unapproved"):
        office.dispose(proposal)
    assert office.approve(proposal, "anna", "bert").covers == {leaf(taken)}
    record, file = office.vault().record(taken), (office.root / key).read_bytes()
    assert b"carla@office" in record
    [certificate] = office.dispose(proposal).certificates

    left = office.bytes_of_everything()
    assert not any(gone in left for gone in (b"carla@office", file, record, key.rpartition("-")[2].encode() + b"\n"))
    verdict = office.sound()
    assert (verdict.documents, verdict.disposed, verdict.reads, verdict.reads_disposed) == (1, 0, 0, 1)
    assert "0 audit records; 1 were disposed of." in accepted_by_strangers(office)
    facts = certificate.statement.facts
    assert (facts["end"], facts["object"], facts["proposal"]) == ("2029-12-31", "removed", proposal)
    shown = look.show(office.vault(), taken, office.today)
    assert (shown["type"], shown["class"], shown["certificate"]) == ("read", "audit/read", certificate.statement.id)
    # The rules need nothing of what it said.
    assert replayed(office, {}) == replayed(office, {leaf(taken): record})

    # And everything goes on, up to the end of the document.
    again = office.take(voucher)
    office.wait(15)
    assert office.settle().reads == 1
    office.go_to(date(2035, 1, 2))
    assert len(office.let_go().certificates) == 2
    with refused("document-unknown"):
        office.take(voucher)
    assert again not in {path.name for path in office.files()}
    verdict = office.sound()
    assert (verdict.disposed, verdict.reads_disposed) == (1, 2)
    accepted_by_strangers(office)


class TestWhatStopsIt:
    def test_the_earlier_clock(self, office: Office) -> None:
        [one] = office.file(b"x")
        taken = office.take(one)
        office.today, office.elsewhere = date(2040, 1, 1), FREE - timedelta(days=1)
        assert office.propose() is None
        office.go_to(FREE)
        proposal = office.propose()
        assert proposal is not None
        office.approve(proposal, "anna", "bert")
        office.elsewhere = FREE - timedelta(days=1)
        assert office.dispose(proposal).kept == [(taken, "the law asks for it until 2029-12-31")]
        office.sound()

    def test_a_clock_that_was_set_back_when_it_was_written(self, office: Office) -> None:
        [one] = office.file(b"x")
        office.go_to(date(1990, 1, 1))
        taken = office.take(one)
        office.go_to(FREE - timedelta(days=1))
        assert survey(office.vault()).ledger.end(leaf(taken), office.today) == date(2029, 12, 31)
        assert office.propose() is None
        office.sound()

    def test_its_lock(self, office: Office) -> None:
        [one] = office.file(b"x")
        taken = office.take(one)
        LocalStore(office.root).extend([(record_key(taken), 1_900_000_000)])
        office.go_to(FREE)
        proposal = office.propose()
        assert proposal is not None
        office.approve(proposal, "anna", "bert")
        assert office.dispose(proposal).kept == [(taken, "locked until 2030-03-17T17:46:40Z")]
        office.go_to(date(2030, 3, 18))
        assert len(office.dispose(proposal).certificates) == 1
        office.sound()

    def test_a_hold_on_a_document_that_it_names(self, office: Office) -> None:
        [one, two] = office.file(b"one", b"two")
        first, second = office.take(one), office.take(two)
        hold = office.hold(one)
        office.go_to(FREE)
        proposal = office.propose()
        assert proposal is not None
        assert office.approve(proposal, "anna", "bert").covers == {leaf(second)}
        later = office.hold(two)
        assert office.dispose(proposal).kept == [(second, f"it is held ({later})")]
        assert look.show(office.vault(), first, office.today)["holds"] == [hold]
        office.release(later)
        assert len(office.dispose(proposal).certificates) == 1
        office.sound()
        office.release(hold)
        [certificate] = office.let_go().certificates
        assert Leaf.parse(certificate.leaf).previous == leaf(first)
        office.sound()
        accepted_by_strangers(office)

    def test_it_is_no_document(self, office: Office) -> None:
        [one] = office.file(b"x")
        taken = office.take(one)
        with refused("document-unknown"):
            office.hold(taken)
        with refused("document-unknown"):
            office.withdraw(taken)
        with refused("document-unknown"):
            office.take(taken)
        with refused("class-unknown", "known are"):
            put.put(office.vault(), office.key, put.Wish([], "audit/read", date(2001, 1, 1), "host"), at(office.today),
                    None).__next__()  # type: ignore[arg-type]  # fmt: skip


class TestSettling:
    def test_without_any_document(self, office: Office) -> None:
        [one] = office.file(b"x", category="date", event=date(2027, 1, 31))
        office.wait(15)
        office.settle()
        taken = office.take(one)
        office.wait(13)
        assert office.settle().reads == 0
        office.wait(2)
        assert (office.settle().reads, locked_until(office, record_key(taken))) == (1, FREE)
        # What proves it lasts as long.
        assert locked_until(office, "archive.json") == FREE
        office.sound()
        for key in (record_key(taken), "archive.json"):
            os.utime(office.root / key, (1_830_000_000, 1_830_000_000))  # the document had gone by then
        assert named(office) == {record_key(taken), "archive.json"}

    def test_more_years(self, office: Office) -> None:
        [one] = office.file(b"x", event=date(2026, 3, 1))
        taken = office.take(one)
        office.wait(15)
        office.settle()
        with refused("unlawful", "only grows"):
            rules.rule(office.vault(), office.key, rules.Wish("audit/read", 2), at(office.today))
        with refused("unlawful", "another way"):
            rules.rule(office.vault(), office.key, rules.Wish("audit/read", 5, "event"), at(office.today))
        made = rules.rule(office.vault(), office.key, rules.Wish("audit/read", 5), at(office.today))
        assert (made.years_on(office.today), made.years_on(date(2026, 11, 27))) == (5, 3)
        assert locked_until(office, record_key(taken)) == date(2032, 1, 2)
        office.go_to(date(2032, 1, 1))
        assert office.propose() is None
        office.go_to(date(2032, 1, 2))
        assert len(office.let_go().certificates) == 1
        office.sound()
        accepted_by_strangers(office)


class TestOfEarlierVersions:
    """Leaves of audit records had no class and no day: they count from the next day that the log says in what stays."""

    def took(self, office: Office, id: str) -> str:
        facts = {"action": "get", "documents": [id], "who": "carla@office"}
        with office.vault().writing(office.key) as intake:
            filed = intake.drafted([Draft("read", facts)], at(office.today))
            intake.file(filed)
        return filed[0].statement.id

    def test_they_verify_and_end(self, office: Office) -> None:
        [one] = office.file(b"x", event=date(2026, 3, 1))
        taken = self.took(office, one)
        assert survey(office.vault()).ledger.event(leaf(taken)) is None
        office.go_to(date(2031, 1, 1))
        assert office.propose() is None, "nobody can say how old it is"
        assert office.settle().reads == 0
        assert survey(office.vault()).ledger.event(leaf(taken)) == office.today
        office.sound()
        # What those versions did not lock like this is no fault.
        os.utime(office.root / record_key(taken), (0, 0))
        assert named(office) == set()
        office.go_to(date(2035, 1, 1))
        assert office.propose() is None
        office.go_to(date(2035, 1, 2))
        record = office.vault().record(taken)
        assert len(office.let_go().certificates) == 2
        office.sound()
        accepted_by_strangers(office)
        faults, *_ = replayed(office, {leaf(taken): record})
        assert faults == []

    def test_a_clock_that_is_set_back(self, office: Office) -> None:
        [one] = office.file(b"x")
        taken = self.took(office, one)
        office.go_to(date(1990, 1, 1))
        office.hold(one)
        assert survey(office.vault()).ledger.event(leaf(taken)) == date(2026, 11, 27)


class TestARecordThatIsMissing:
    def test_without_a_certificate(self, office: Office) -> None:
        [one] = office.file(b"x")
        taken = office.take(one)
        (office.root / record_key(taken)).unlink()
        assert named(office) == {f"records of leaf {leaf(taken)}"}
        # Nobody can take an archive out of service by removing one.
        office.take(one)

    def test_another_one_in_its_place(self, office: Office) -> None:
        [one] = office.file(b"x")
        taken = office.take(one)
        path = office.root / record_key(taken)
        path.chmod(0o640)
        path.write_bytes(path.read_bytes().replace(b"carla", b"dora1"))
        assert named(office) == {f"leaf {leaf(taken)}", record_key(taken)}

    def test_after_the_signatures(self, office: Office) -> None:
        """A disposal that was begun: no fault, and the next run certifies it."""
        [one] = office.file(b"x")
        taken = office.take(one)
        office.go_to(FREE)
        proposal = office.propose()
        assert proposal is not None
        office.approve(proposal, "anna")
        (office.root / record_key(taken)).unlink()
        assert named(office) == {f"records of leaf {leaf(taken)}"}
        office.approve(proposal, "bert")
        assert named(office) == set()
        assert [remark.what for remark in office.verify().remarks] == ["its disposal was begun; `dispose` ends it"]
        [certificate] = office.dispose(proposal).certificates
        assert certificate.statement.facts["object"] == "gone"
        office.sound()
        accepted_by_strangers(office)


class Prepared(Office):
    """Two audit records that may go, by a proposal that is signed, and a new one; the document that they name stays."""

    id: str
    ended: list[str]
    new: str
    proposal: str


@pytest.fixture(scope="module", params=["plain", "sealed"])
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    office = Prepared(tmp_path_factory.mktemp("prepared"), sealed=request.param == "sealed", audit=True)
    office.enrol("anna", "bert")
    [office.id] = office.file(b"x", event=date(2026, 3, 1))
    office.ended = [office.take(office.id), office.take(office.id)]
    office.wait(15)
    office.settle()
    office.go_to(FREE)
    proposal = office.propose()
    assert proposal is not None
    office.approve(proposal, "anna", "bert")
    office.proposal, office.new = proposal, office.take(office.id)
    office.wait(15)
    return office


def copied(prepared: Prepared, base: Path) -> Prepared:
    shutil.copytree(prepared.base, base)
    copy = Prepared(base, create=False, today=prepared.today)
    copy.id, copy.ended, copy.new, copy.proposal = prepared.id, prepared.ended, prepared.new, prepared.proposal
    return copy


#: What is done; how many calls it makes at least; and what holds once it was answered.
ACTS: dict[str, tuple[Callable[[Prepared, LocalStore], object], int, Callable[[Prepared], bool]]] = {
    "take": (
        lambda o, store: o.take(o.id, store=store),
        3,
        lambda o: leaf(o.new) + 1 in survey(o.vault()).ledger.reads,
    ),
    "settle": (
        lambda o, store: o.settle(store=store),
        4,
        lambda o: locked_until(o, record_key(o.new)) == date(2034, 1, 2),
    ),
    "dispose": (
        lambda o, store: o.dispose(o.proposal, store=store),
        5,
        lambda o: survey(o.vault()).ledger.gone.keys() == set(map(leaf, o.ended)),
    ),
}


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("name", ACTS)
def test_a_call_that_fails_and_may_have_been_done(prepared: Prepared, tmp_path: Path, name: str, *, kept: bool) -> None:
    act, least, holds = ACTS[name]
    at_call = 0
    while True:
        at_call += 1
        office = copied(prepared, tmp_path / str(at_call))
        store = Failing(office.root, at_call, kept=kept)
        try:
            act(office, store)
        except Broken:
            # A stop is no fault, nor does it lose what was there.
            between = office.verify()
            assert between.faults == [], f"{at_call}"
            assert between.documents == 1
            assert office.accepted()
            act(office, LocalStore(office.root))
        else:
            assert store.calls < at_call
            break
        assert holds(office), f"{at_call}"
        verdict = office.sound()
        # No certificate twice.
        assert verdict.reads_disposed == (2 if name == "dispose" else 0)
        accepted_by_strangers(office)
        shutil.rmtree(office.base)
    assert at_call > least
