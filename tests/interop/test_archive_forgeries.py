"""Attacks on locks, holds and disposals: by somebody who writes to the files, and by somebody who has the log's key.

Each is named by our verify, and the same by the verifier for strangers (research: archive, attacks 13 to 17, 22 and 24).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from archives import stranger
from obhut.archive.record import LOG, Document, object_key, record_key
from obhut.archive.vault import Draft
from offices import Office, at, leaf

pytestmark = [pytest.mark.interop, pytest.mark.needs("ssh-keygen")]

#: The day of the honest part.
DAY = date(2026, 11, 27)


class Attacked(Office):
    """Documents of an honest archive: two that are settled, one that is held, two whose law has ended."""

    settled: list[str]
    held: str
    hold_id: str
    ended: list[str]
    #: An audit record: one of the settled documents was taken out.
    read: str

    def document(self, id: str) -> Document:
        return Document.parse(self.vault().record(id))

    def object(self, id: str) -> str:
        return object_key(self.document(id).digest)

    def lies(self, kind: str, previous: int | None = None, **facts: Any) -> str:
        """A statement that no command of ours would file: signed with the log's key; gives its id."""
        category, event = ("de/voucher", self.event_of(previous)) if kind == "disposal" else (None, None)
        if kind == "disposal" and previous == leaf(self.read):
            category, event = "audit/read", str(DAY)  # what the log said when it began
        return self.says(kind, previous, category, event, facts)

    def says(
        self, kind: str, previous: int | None, category: str | None, event: str | None, facts: dict[str, Any]
    ) -> str:
        with self.vault().writing(self.key) as intake:
            filed = intake.drafted([Draft(kind, facts, previous, category, event)], at(self.today))
            intake.file(filed)
        return filed[0].statement.id

    def lies_after_people(self) -> int:
        """The leaf of the last change of people."""
        from obhut.archive.actions.survey import survey

        last = survey(self.vault()).ledger.last_person
        assert last is not None
        return last

    def event_of(self, index: int | None) -> str:
        return "2026-03-01" if any(leaf(name) == index for name in self.settled) else "2001-01-01"

    def gone(self, id: str) -> None:
        """Raw files, removed."""
        if id != self.read:
            (self.root / self.object(id)).unlink()
        (self.root / record_key(id)).unlink()

    def certified(self, id: str, proposal: str, clock: date) -> str:
        """A disposal that the log states, and the document, or audit record, gone."""
        made = self.lies("disposal", leaf(id), proposal=proposal, clock=at(clock), clocks={"host": at(clock)},
                         end="2009-12-31", law="AO", policy=1, object="removed", copies=[])  # fmt: skip
        self.gone(id)
        return made

    def judged(self) -> set[str]:
        """What verify names; strangers name the same, and refuse."""
        found = {fault.object for fault in self.verify().faults}
        ran = stranger(self.base, "--store", self.root, "--key", self.root / f"{LOG}.vkey", today=self.today)
        named = {line.split(": ")[1] for line in ran.stdout.splitlines() if line.startswith("FAULT: ")}
        assert (named, ran.returncode, ran.stderr) == (found, int(bool(found)), ""), ran.stdout
        return found


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Attacked:
    office = Attacked(tmp_path_factory.mktemp("honest"), audit=True, today=DAY - timedelta(days=40))
    office.enrol("anna", "bert")
    office.settled = office.file(b"one", b"two", event=date(2026, 3, 1))
    office.wait(15)
    office.settle()
    [office.held] = office.file(b"held", event=date(2001, 1, 1))
    office.ended = office.file(b"old", b"older", event=date(2001, 1, 1))
    office.hold_id = office.hold(office.held)
    office.read = office.take(office.settled[0])
    office.go_to(DAY)
    office.sound()
    return office


@pytest.fixture
def office(honest: Attacked, tmp_path: Path) -> Attacked:
    shutil.copytree(honest.base, tmp_path / "copy")
    copy = Attacked(tmp_path / "copy", create=False, today=DAY)
    copy.settled, copy.held, copy.hold_id, copy.ended = honest.settled, honest.held, honest.hold_id, honest.ended
    copy.read = honest.read
    return copy


def test_nothing_is_said_of_what_is_honest(office: Attacked) -> None:
    assert office.judged() == set()


def dated(path: Path, day: date) -> None:
    noon = int((day - date(1970, 1, 1)).total_seconds())
    os.utime(path, (noon, noon))


def unprotected(office: Attacked) -> None:
    shutil.rmtree(office.root / "holds")
    dated(office.root / record_key(office.held), DAY)


def described_anew(office: Attacked) -> None:
    path = office.root / "archive.json"
    path.chmod(0o640)
    path.write_bytes(path.read_bytes().replace(b'"de"', b'"ch"'))


#: What somebody does to files, and what we then name.
FILES: dict[str, tuple[Callable[[Attacked], object], Callable[[Attacked], list[str]]]] = {
    "a shortened lock": (
        lambda o: dated(o.root / o.object(o.settled[0]), date(2030, 1, 1)),
        lambda o: [o.object(o.settled[0])],
    ),
    "a lock that is missing on one record": (
        lambda o: dated(o.root / record_key(o.settled[1]), date(2020, 1, 1)),
        lambda o: [record_key(o.settled[1])],
    ),
    "the first lock shortened": (
        lambda o: dated(o.root / o.object(o.ended[0]), DAY),
        lambda o: [o.object(o.ended[0])],
    ),
    "a hold that is cleared": (
        lambda o: (o.root / "holds" / o.object(o.held)).unlink(),
        lambda o: [o.object(o.held)],
    ),
    "no lock and no hold at all": (
        unprotected,
        lambda o: [o.object(o.held), record_key(o.held)],
    ),
    "another description": (
        described_anew,
        lambda _: ["archive.json"],
    ),
    "a document removed without a word": (
        lambda o: o.gone(o.ended[0]),
        lambda o: [f"records of leaf {leaf(o.ended[0])}"],
    ),
    "an audit record removed without a word": (
        lambda o: o.gone(o.read),
        lambda o: [f"records of leaf {leaf(o.read)}"],
    ),
    "the record of a hold is gone": (
        lambda o: (o.root / record_key(o.hold_id)).unlink(),
        lambda o: [f"records of leaf {leaf(o.hold_id)}"],
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_done_to_files_is_found_and_named(office: Attacked, name: str) -> None:
    attack, named = FILES[name]
    expected = set(named(office))
    attack(office)
    assert office.judged() == expected


def index(id: str) -> str:
    return f"leaf {leaf(id)}"


class TestWhoeverHasTheLogsKey:
    """States what never was: the rules are checked by whoever reads, and the statement that breaks one is named."""

    def test_a_disposal_that_nobody_proposed(self, office: Attacked) -> None:
        made = office.certified(office.ended[0], "1-0011223344556677", DAY)
        assert office.judged() == {index(made), f"records of leaf {leaf(office.ended[0])}"}

    def test_a_disposal_that_nobody_signed(self, office: Attacked) -> None:
        proposal = office.lies("proposal", action="dispose", documents=[office.ended[0]], why="x", clock=at(DAY))
        assert office.judged() == set()
        made = office.certified(office.ended[0], proposal, DAY)
        found = office.judged()
        # No signature: it counts for nothing, and the document is missing.
        assert found == {index(made), f"records of leaf {leaf(office.ended[0])}"}

    def test_one_person_alone(self, office: Attacked) -> None:
        proposal = office.lies("proposal", action="dispose", documents=[office.ended[0]], why="x", clock=at(DAY))
        office.approve(proposal, "anna")
        made = office.certified(office.ended[0], proposal, DAY)
        assert office.judged() == {index(made), f"records of leaf {leaf(office.ended[0])}"}

    def test_a_signature_under_another_proposal(self, office: Attacked) -> None:
        first = office.lies("proposal", action="dispose", documents=[office.ended[1]], why="x", clock=at(DAY))
        state = office.approve(first, "anna", "bert")
        signatures = {
            name: office.vault().store.get(key)
            for name, at_leaf in state.signers.items()
            for key in office.vault().store.keys("records")
            if key.startswith(f"records/000/{at_leaf:03}-")
        }
        second = office.lies("proposal", action="dispose", documents=[office.ended[0]], why="x", clock=at(DAY))
        from obhut.archive.statement import Statement

        copied = [
            office.lies("approval", leaf(second), **Statement.parse(data).facts)
            for _, data in sorted(signatures.items())
        ]
        assert office.judged() == set(map(index, copied))
        made = office.certified(office.ended[0], second, DAY)
        assert index(made) in office.judged()

    def test_people_whom_nobody_vouched_for(self, office: Attacked) -> None:
        from obhut.archive.actions import people

        after = office.lies_after_people()
        key = people.read_key(office.key_of("carla").with_suffix(".pub"))
        made = office.lies("person", after, action="enrol", name="carla", key=key, voucher=None, signature=None)
        assert office.judged() == {index(made)}

    def test_before_the_end(self, office: Attacked) -> None:
        """Attack 17: the law still asks for it."""
        made = office.lies("proposal", action="dispose", documents=[office.settled[0]], why="x", clock=at(DAY))
        assert office.judged() == {index(made)}

    def test_before_the_end_by_a_clock_that_lies(self, office: Attacked) -> None:
        future = date(2035, 1, 2)
        made = office.lies("proposal", action="dispose", documents=[office.settled[0]], why="x", clock=at(future))
        assert office.judged() == {index(made)}

    def test_what_is_held(self, office: Attacked) -> None:
        proposal = office.lies("proposal", action="dispose", documents=[office.held], why="x", clock=at(DAY))
        office.approve(proposal, "anna", "bert")
        made = office.certified(office.held, proposal, DAY)
        assert {index(made), f"records of leaf {leaf(office.held)}"} <= office.judged()

    def test_a_certificate_for_what_is_still_there(self, office: Attacked) -> None:
        proposal = office.lies("proposal", action="dispose", documents=[office.ended[0]], why="x", clock=at(DAY))
        office.approve(proposal, "anna", "bert")
        office.lies("disposal", leaf(office.ended[0]), proposal=proposal, clock=at(DAY), clocks={}, end="2009-12-31",
                    law="AO", policy=1, object="removed", copies=[])  # fmt: skip
        assert office.judged() == {record_key(office.ended[0])}

    def test_a_document_that_goes_twice(self, office: Attacked) -> None:
        proposal = office.lies("proposal", action="dispose", documents=[office.ended[0]], why="x", clock=at(DAY))
        office.approve(proposal, "anna", "bert")
        office.wait(40)
        office.dispose(proposal)
        office.go_to(DAY)
        made = office.lies("disposal", leaf(office.ended[0]), proposal=proposal, clock=at(DAY), clocks={}, end=None,
                           law=None, policy=1, object="gone", copies=[])  # fmt: skip
        assert index(made) in office.judged()

    def test_a_hold_that_is_released_twice_and_settled_backwards(self, office: Attacked) -> None:
        release = {"who": "x", "why": "x"}
        first = office.lies("release", leaf(office.hold_id), **release)
        office.settle()  # takes the marks away
        second = office.lies("release", leaf(office.hold_id), **release)
        third = office.lies("settled", 0, through=1, documents=0)
        assert index(first) not in office.judged()
        assert office.judged() == {index(second), index(third)}


class TestAuditRecords:
    """Whoever has the log's key wants the traces of who took what out to vanish early, or to be taken for others."""

    def test_a_disposal_that_nobody_proposed(self, office: Attacked) -> None:
        made = office.certified(office.read, "1-0011223344556677", DAY)
        assert office.judged() == {index(made), f"records of leaf {leaf(office.read)}"}

    def test_before_its_end(self, office: Attacked) -> None:
        proposal = office.lies("proposal", action="dispose", documents=[office.read], why="x", clock=at(DAY))
        assert office.judged() == {index(proposal)}
        made = office.certified(office.read, proposal, DAY)
        assert office.judged() == {index(proposal), index(made), f"records of leaf {leaf(office.read)}"}

    def test_a_certificate_before_its_end_under_a_proposal_for_later(self, office: Attacked) -> None:
        """Signed honestly, three years from now, and the certificate says that it went today."""
        office.go_to(date(2030, 1, 2))
        proposal = office.propose()
        assert proposal is not None
        office.approve(proposal, "anna", "bert")
        made = office.certified(office.read, proposal, date(2030, 1, 1))
        # What people had signed may go on that day: its disposal is taken for begun, and the certificate for nothing.
        assert office.judged() == {index(made)}

    def test_by_a_clock_that_lies(self, office: Attacked) -> None:
        future = date(2030, 1, 2)
        proposal = office.lies("proposal", action="dispose", documents=[office.read], why="x", clock=at(future))
        office.approve(proposal, "anna", "bert")
        office.certified(office.read, proposal, future)
        assert office.judged() == {index(proposal)}

    def test_withdrawn_as_misfiled(self, office: Attacked) -> None:
        made = office.lies("proposal", action="withdraw", documents=[office.read], why="x", clock=at(DAY))
        assert office.judged() == {index(made)}

    def test_a_certificate_for_what_is_still_there(self, office: Attacked) -> None:
        office.go_to(date(2030, 1, 2))
        proposal = office.propose()
        assert proposal is not None
        office.approve(proposal, "anna", "bert")
        office.lies("disposal", leaf(office.read), proposal=proposal, clock=at(office.today), clocks={}, end="2029-12-31",
                    law="x", policy=1, object="removed", copies=[])  # fmt: skip
        assert office.judged() == {record_key(office.read)}

    @pytest.mark.parametrize(
        ("category", "event"),
        [
            ("audit/read", "2001-01-01"),  # older than it is
            ("audit/read", None),
            ("own/read", str(DAY)),
            (None, str(DAY)),
            ("audit/read", "2026-99-99"),
        ],
    )
    def test_a_class_or_a_day_that_ends_sooner(self, office: Attacked, category: str | None, event: str | None) -> None:
        facts = {"action": "get", "documents": [office.settled[0]], "who": "x"}
        made = office.says("read", None, category, event, facts)
        assert office.judged() == {index(made)}

    @pytest.mark.parametrize(
        ("category", "event"), [("audit/read", "2001-01-01"), ("de/voucher", str(DAY)), (None, None)]
    )
    def test_a_certificate_of_another_class_or_day(
        self, office: Attacked, category: str | None, event: str | None
    ) -> None:
        office.go_to(date(2030, 1, 2))
        proposal = office.propose()
        assert proposal is not None
        office.approve(proposal, "anna", "bert")
        facts: dict[str, Any] = {
            "proposal": proposal,
            "clock": at(office.today),
            "clocks": {},
            "end": None,
            "law": None,
            "policy": 1,
        }
        made = office.says("disposal", leaf(office.read), category, event, {**facts, "object": "gone", "copies": []})
        assert office.judged() == {index(made)}

    def test_a_hold_on_it_or_on_nothing(self, office: Attacked) -> None:
        made = office.lies("hold", documents=[office.read], who="x", why="x", until=None)
        again = office.lies("read", documents=[office.read], action="get", who="x")
        assert office.judged() == {index(made), index(again)}
