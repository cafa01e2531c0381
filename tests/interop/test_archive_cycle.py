"""The whole life of documents, by a clock that tests set: settled, held, released, proposed, signed, disposed of.

Judged by tessera's fsck on the log, by ssh-keygen on signatures, and by the verifier for strangers on everything.
"""

from __future__ import annotations

import subprocess
from datetime import date, timedelta
from pathlib import Path

import pytest

from archives import ORIGIN, Silent
from obhut.archive.actions import dispose, look, people, put, read, settle
from obhut.archive.record import object_key, record_key
from obhut.archive.statement import Statement, approval_text
from obhut.errors import ObhutError
from offices import Office, accepted_by_strangers, at, document, locked_until

pytestmark = [pytest.mark.interop, pytest.mark.needs("ssh-keygen")]

SECRET = b"Rechnung an Frau Muster, Konto 4711"


@pytest.fixture
def office(tmp_path: Path) -> Office:
    office = Office(tmp_path)
    office.enrol("anna", "bert")
    return office


def refused(id: str, text: str | None = None) -> pytest.RaisesExc[ObhutError]:
    return pytest.RaisesExc(ObhutError, match=text, check=lambda error: error.id == id)


def bringing(name: str, signature: str) -> people.Signatory:
    """Somebody whose signature was made elsewhere."""
    return people.Signatory(name, lambda _: signature)


def test_a_whole_cycle(office: Office) -> None:
    [voucher, kept] = office.file(SECRET, b"another", event=date(2026, 3, 1))
    paper = document(office, voucher)
    keys = [object_key(paper.digest), record_key(voucher)]
    assert {locked_until(office, key) for key in keys} == {office.today + timedelta(days=30)}

    office.wait(13)
    assert office.settle().documents == 0
    office.wait(2)
    assert (office.settle().documents, office.settle().documents) == (2, 0)
    # Eight years from the end of 2026, and no time zone is early.
    assert {locked_until(office, key) for key in keys} == {date(2035, 1, 2)}
    office.sound()

    hold = office.hold(voucher)
    for day in (date(2034, 12, 31), date(2035, 1, 1)):
        office.go_to(day)
        assert office.propose() is None
    office.go_to(date(2035, 1, 2))
    first = office.propose()
    assert first is not None
    assert office.approve(first, "anna", "bert").covers == {int(kept.split("-")[0])}, "what is held is not proposed"
    assert len(office.dispose(first).certificates) == 1
    assert office.release(hold) == 1

    office.go_to(date(2035, 3, 1))
    proposal = office.propose()
    assert proposal is not None
    with refused("proposal-unapproved", "nobody has signed"):
        office.dispose(proposal)
    office.approve(proposal, "anna")
    with refused("proposal-unapproved", "anna has signed"):
        office.dispose(proposal)
    office.approve(proposal, "bert")
    assert SECRET in office.bytes_of_everything()
    [certificate] = office.dispose(proposal).certificates

    # The content is gone, and whatever was said of it; the log verifies, for everybody.
    left = office.bytes_of_everything()
    for gone in (SECRET, paper.digest.encode(), paper.name.encode(), paper.salt.hex().encode(), b"/sources/"):
        assert gone not in left
    verdict = office.sound()
    assert (verdict.documents, verdict.disposed, verdict.objects) == (0, 2, 0)
    assert "2 were disposed of" in accepted_by_strangers(office)

    facts = certificate.statement.facts
    assert (facts["end"], facts["object"], facts["proposal"]) == ("2034-12-31", "removed", proposal)
    assert facts["copies"] == ["the backup of the office"]
    assert facts["clocks"] == {"host": at(office.today), "example.net/witness": at(office.today)}
    assert look.show(office.vault(), voucher, office.today)["certificate"] == certificate.statement.id
    with refused("document-unknown"):
        read.receipt_of(office.vault(), voucher)


def test_signatures_are_what_ssh_keygen_takes_for_such(office: Office, tmp_path: Path) -> None:
    office.file(b"old", category="letter", event=date(2001, 1, 1))
    proposal = office.propose()
    assert proposal is not None
    state = office.approve(proposal, "anna", "bert")
    text = approval_text(ORIGIN, proposal, state.digest)
    (tmp_path / "allowed").write_text(
        "".join(f"{name} {office.key_of(name).with_suffix('.pub').read_text()}" for name in ("anna", "bert"))
    )
    for name, leaf in state.signers.items():
        [key] = [key for key in office.vault().store.keys("records") if key.startswith(f"records/000/{leaf:03}-")]
        (tmp_path / "sig").write_text(Statement.parse(office.vault().store.get(key)).facts["signature"])
        command = ["ssh-keygen", "-Y", "verify", "-f", "allowed", "-I", name, "-n", "obhut-archive", "-s", "sig"]
        ran = subprocess.run(command, cwd=tmp_path, input=text, capture_output=True, check=False)
        assert ran.returncode == 0, ran.stderr


def test_the_same_bytes_in_two_classes_go_with_the_longer_one(office: Office) -> None:
    """Attack 24 of the list: the shorter class ends, and the bytes stay."""
    event = date(2026, 3, 1)
    [letter] = office.file(b"same", category="letter", event=event)
    [book] = office.file(b"same", category="book", event=event)
    office.wait(15)
    office.settle()
    key = object_key(document(office, letter).digest)
    assert locked_until(office, record_key(letter)) == date(2033, 1, 2)
    assert locked_until(office, record_key(book)) == locked_until(office, key) == date(2037, 1, 2)
    office.go_to(date(2033, 1, 2))
    [certificate] = office.let_go().certificates
    assert certificate.statement.facts["object"] == "kept"
    assert (office.sound().documents, office.root.joinpath(key).read_bytes()) == (1, b"same")
    office.go_to(date(2037, 1, 2))
    [certificate] = office.let_go().certificates
    assert certificate.statement.facts["object"] == "removed"
    assert office.sound().objects == 0


def test_a_longer_class_after_the_end_of_a_shorter_one_extends_the_lock_before_it_is_logged(office: Office) -> None:
    [_] = office.file(b"same", category="private-property", event=date(2026, 3, 1))
    office.wait(15)
    office.settle()
    office.go_to(date(2028, 12, 30))
    [later] = office.file(b"same", category="book", event=office.today)
    key = object_key(document(office, later).digest)
    assert locked_until(office, key) == office.today + timedelta(days=30)
    office.sound()


def test_the_object_that_a_misfiled_document_shares_is_kept(office: Office) -> None:
    [wrong] = office.file(b"private", category="book")
    withdrawal = office.withdraw(wrong)
    office.approve(withdrawal, "bert", "anna")
    [right] = office.file(b"private", category="letter")
    office.wait(15)
    settled = office.settle()
    assert (settled.documents, settled.withdrawn) == (1, 1)
    outcome = office.dispose(withdrawal)
    assert [why for _, why in outcome.kept] == ["locked until 2026-12-27T12:00:00Z"]
    office.wait(16)
    assert [filed.statement.facts["object"] for filed in office.dispose(withdrawal).certificates] == ["kept"]
    assert {found.id for found in read.documents(office.vault())} == {right}
    office.sound()
    accepted_by_strangers(office)


class TestWithdrawal:
    def test_two_people_in_time(self, office: Office) -> None:
        [one] = office.file(b"love letter", category="book")
        office.wait(10)
        withdrawal = office.withdraw(one)
        office.approve(withdrawal, "anna", "bert")
        office.wait(30)
        assert office.settle().withdrawn == 1
        [certificate] = office.dispose(withdrawal).certificates
        assert (certificate.statement.facts["end"], certificate.statement.facts["law"]) == (None, None)
        assert b"love letter" not in office.bytes_of_everything()
        assert office.sound().disposed == 1

    def test_the_second_signature_came_too_late(self, office: Office) -> None:
        [one] = office.file(b"love letter", category="book")
        withdrawal = office.withdraw(one)
        office.approve(withdrawal, "anna")
        office.wait(15)
        assert office.settle().documents == 1
        office.approve(withdrawal, "bert")
        office.wait(30)
        assert office.dispose(withdrawal).kept == [(one, "the time to withdraw it had passed")]
        assert office.sound().documents == 1
        # It came to nothing: the document ends like any other.
        office.go_to(date(2037, 1, 2))
        assert len(office.let_go().certificates) == 1

    def test_what_is_settled_cannot_be_withdrawn(self, office: Office) -> None:
        [one] = office.file(b"x")
        office.wait(15)
        office.settle()
        with refused("unlawful", "the time to withdraw"):
            office.withdraw(one)

    def test_a_hold_wins(self, office: Office) -> None:
        [one] = office.file(b"x")
        withdrawal = office.withdraw(one)
        office.approve(withdrawal, "anna", "bert")
        hold = office.hold(one)
        office.wait(40)
        assert office.dispose(withdrawal).kept == [(one, f"it is held ({hold})")]
        office.sound()


class TestHolds:
    def test_they_are_counted(self, office: Office) -> None:
        [one, two] = office.file(b"one", b"two", event=date(2001, 1, 1))
        first, second = office.hold(one, two), office.hold(one)
        office.wait(40)
        proposal = office.propose()
        assert proposal is None
        assert office.release(first) == 1, "the second one still holds one of them"
        assert office.vault().store.held() == sorted([object_key(document(office, one).digest), record_key(one)])
        office.sound()
        assert office.release(second) == 1
        assert office.vault().store.held() == []
        assert len(office.let_go().certificates) == 2

    def test_after_the_proposal(self, office: Office) -> None:
        [one] = office.file(b"one", event=date(2001, 1, 1))
        office.wait(40)
        proposal = office.propose()
        assert proposal is not None
        office.approve(proposal, "anna", "bert")
        hold = office.hold(one)
        assert office.dispose(proposal).kept == [(one, f"it is held ({hold})")]
        office.release(hold)
        assert len(office.dispose(proposal).certificates) == 1
        office.sound()

    def test_to_a_day(self, office: Office) -> None:
        [one] = office.file(b"one", event=date(2001, 1, 1))
        office.hold(one, until=office.today + timedelta(days=50))
        office.wait(50)
        assert office.propose() is None
        office.wait(1)
        office.settle()
        assert office.vault().store.held() == []
        assert len(office.let_go().certificates) == 1
        office.sound()

    def test_what_is_unknown_or_ended(self, office: Office) -> None:
        [one] = office.file(b"one")
        with refused("document-unknown"):
            office.hold("1-0011223344556677")
        with refused("document-unknown"):
            office.hold(one.replace("-", "0-"))
        hold = office.hold(one)
        for wrong in (one, "x", hold[:-1] + ("0" if hold[-1] != "0" else "1")):
            with refused("hold-unknown"):
                office.release(wrong)
        size = office.vault().stated().checkpoint.size
        assert [office.release(hold), office.release(hold)] == [1, 1]
        assert office.vault().stated().checkpoint.size == size + 1, "it is said once"


class TestEventsThatComeLater:
    """A contract runs, and nobody knows how long: its years begin when it has ended."""

    @pytest.fixture
    def contract(self, office: Office) -> str:
        path = office.source("contract", b"contract")
        wish = put.Wish([path], "contract", None, "host", open=True)
        [(entry, _)] = list(put.put(office.vault(), office.key, wish, at(office.today), Silent()))
        return entry.document.id

    def tell(self, office: Office, one: str, day: date) -> date | None:
        _, end = settle.tell_event(office.vault(), office.key, one, day, "terminated", at(office.today))
        return end

    def test_it_stays_until_then_and_six_years_more(self, office: Office, contract: str) -> None:
        assert document(office, contract).event is None
        office.wait(15)
        assert (office.settle().open, office.settle().open) == (1, 0)
        keys = sorted([object_key(document(office, contract).digest), record_key(contract)])
        assert office.vault().store.held() == keys, "marked like what is held"
        office.sound()
        accepted_by_strangers(office)
        office.go_to(date(2050, 1, 1))
        assert office.propose() is None
        with refused("invalid-argument", "future"):
            self.tell(office, contract, date(2050, 6, 1))
        assert self.tell(office, contract, date(2049, 12, 31)) == date(2055, 12, 31)
        assert {locked_until(office, key) for key in keys} == {date(2056, 1, 2)}
        assert office.vault().store.held() == []
        office.sound()
        # It may be said again, for a later day.
        assert self.tell(office, contract, date(2050, 1, 1)) == date(2056, 12, 31)
        with refused("unlawful", "only to a later day"):
            self.tell(office, contract, date(2049, 1, 1))
        office.go_to(date(2057, 1, 1))
        assert office.propose() is None
        office.go_to(date(2057, 1, 2))
        assert len(office.let_go().certificates) == 1
        office.sound()
        accepted_by_strangers(office)

    def test_before_it_is_settled(self, office: Office, contract: str) -> None:
        assert self.tell(office, contract, office.today) == date(2032, 12, 31)
        office.wait(15)
        assert (office.settle().open, office.vault().store.held()) == (0, [])
        assert locked_until(office, record_key(contract)) == date(2033, 1, 2)
        office.sound()

    def test_it_is_never_guessed(self, office: Office, contract: str) -> None:
        with refused("event-unknown"):
            list(
                put.put(office.vault(), office.key, put.Wish([], "contract", None, "host"), at(office.today), Silent())
            )
        [voucher] = office.file(b"voucher")
        with refused("unlawful", "its event is known"):
            self.tell(office, voucher, office.today)
        with refused("document-unknown"):
            self.tell(office, contract[:-1] + ("0" if contract[-1] != "0" else "1"), office.today)

    def test_a_rule_of_ones_own(self, office: Office) -> None:
        [one] = office.file(b"minutes", category="date", event=date(2030, 5, 6))
        office.wait(15)
        office.settle()
        assert locked_until(office, record_key(one)) == date(2030, 5, 8)
        office.go_to(date(2030, 5, 8))
        assert len(office.let_go().certificates) == 1
        office.sound()


class TestClocks:
    def test_the_earlier_one_counts(self, office: Office) -> None:
        """Attack 22: whoever sets this machine's clock forward ends nothing; set back, nothing ends either."""
        office.file(b"x", event=date(2026, 3, 1))
        office.wait(15)
        office.settle()
        day = office.today
        for host, elsewhere in ((date(2040, 1, 1), day), (day, date(2040, 1, 1))):
            office.today, office.elsewhere = host, elsewhere
            assert office.propose() is None
        office.go_to(date(2040, 1, 1))
        proposal = office.propose()
        assert proposal is not None
        office.approve(proposal, "anna", "bert")
        office.elsewhere = day
        assert [why for _, why in office.dispose(proposal).kept] == ["the law asks for it until 2034-12-31"]
        office.sound()

    def test_a_clock_set_back_settles_nothing_and_shortens_no_lock(self, office: Office) -> None:
        [one] = office.file(b"x", event=date(2026, 3, 1))
        office.wait(15)
        office.settle()
        office.go_to(date(1990, 1, 1))
        [again] = office.file(b"x", event=date(1989, 1, 1))
        assert locked_until(office, object_key(document(office, one).digest)) == date(2035, 1, 2)
        assert office.settle().documents == 0
        assert document(office, again).received == "1990-01-01T12:00:00Z"
        office.go_to(date(2026, 12, 12))
        office.sound()


class TestPeople:
    def test_the_third_one_needs_somebody_who_vouches(self, office: Office) -> None:
        with refused("unlawful", "has to vouch"):
            office.enrol("carla")
        key = people.read_key(office.key_of("carla").with_suffix(".pub"))
        for voucher, why in (
            (office.signatory("dora"), "nobody is enrolled"),
            (office.signatory("anna", "bert"), "another key"),
        ):
            with refused("unlawful", why):
                people.change(office.vault(), office.key, "enrol", "carla", key, voucher, at(office.today))
        people.change(office.vault(), office.key, "enrol", "carla", key, office.signatory("anna"), at(office.today))
        office.sound()

    def test_a_signature_to_vouch_counts_once(self, office: Office) -> None:
        key = people.read_key(office.key_of("carla").with_suffix(".pub"))
        kept = office.signatory("anna").sign(people.vouching_text(office.vault(), "enrol", "carla", key))
        again = bringing("anna", kept)
        people.change(office.vault(), office.key, "enrol", "carla", key, again, at(office.today))
        people.change(office.vault(), office.key, "dismiss", "carla", None, office.signatory("bert"), at(office.today))
        with refused("unlawful", "it is not of this text"):
            people.change(office.vault(), office.key, "enrol", "carla", key, again, at(office.today))
        office.sound()

    def test_nobody_signs_twice(self, office: Office) -> None:
        office.file(b"x", event=date(2001, 1, 1))
        office.wait(40)
        proposal = office.propose()
        assert proposal is not None
        office.approve(proposal, "anna")
        with refused("unlawful", "signed already"):
            office.approve(proposal, "anna")
        # The same key under another name.
        key = people.read_key(office.key_of("anna").with_suffix(".pub"))
        with refused("unlawful", "nobody signs twice"):
            people.change(office.vault(), office.key, "enrol", "anne", key, office.signatory("bert"), at(office.today))
        # Not even after she was dismissed and came back with another name.
        people.change(office.vault(), office.key, "dismiss", "anna", None, office.signatory("bert"), at(office.today))
        people.change(office.vault(), office.key, "enrol", "anne", key, office.signatory("bert"), at(office.today))
        with refused("unlawful", "nobody signs twice"):
            dispose.approve(office.vault(), office.key, proposal, office.signatory("anne", "anna"), at(office.today))
        office.approve(proposal, "bert")
        assert len(office.dispose(proposal).certificates) == 1
        office.sound()
        accepted_by_strangers(office)

    def test_whoever_was_dismissed_signs_no_more(self, office: Office) -> None:
        office.file(b"x", event=date(2001, 1, 1))
        proposal = office.propose()
        assert proposal is not None
        people.change(office.vault(), office.key, "dismiss", "anna", None, office.signatory("bert"), at(office.today))
        with refused("unlawful", "nobody is enrolled as anna"):
            office.approve(proposal, "anna")
        with refused("unlawful", "cannot vouch for"):
            people.change(
                office.vault(), office.key, "dismiss", "bert", None, office.signatory("bert"), at(office.today)
            )
        with refused("person-unknown"):
            people.change(
                office.vault(), office.key, "dismiss", "nobody", None, office.signatory("bert"), at(office.today)
            )

    @pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
    def test_keys_of_other_kinds_are_refused(self, office: Office, kind: str, tmp_path: Path) -> None:
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", tmp_path / "key"], check=True)
        with refused("person-key"):
            people.read_key(tmp_path / "key.pub")
        with refused("person-key"):
            people.read_key(tmp_path / "key")
        with refused("person-key"):
            people.read_key(tmp_path / "absent")

    def test_a_signature_for_something_else_does_not_count(self, office: Office, tmp_path: Path) -> None:
        office.file(b"x", event=date(2001, 1, 1))
        proposal = office.propose()
        assert proposal is not None
        text = dispose.approval_of(office.vault(), proposal)
        (tmp_path / "text").write_bytes(text)
        command: list[str | Path] = [
            "ssh-keygen",
            "-Y",
            "sign",
            "-n",
            "git",
            "-f",
            office.key_of("anna"),
            tmp_path / "text",
        ]
        subprocess.run(command, check=True, capture_output=True)
        made = (tmp_path / "text.sig").read_text()
        for given, why in ((made, "made for 'git'"), ("", "no SSH signature"), (made[:-60], "no SSH signature")):
            with refused("unlawful", why):
                dispose.approve(office.vault(), office.key, proposal, bringing("anna", given), at(office.today))


def test_proposals_that_are_not(office: Office) -> None:
    [one] = office.file(b"x", event=date(2001, 1, 1))
    for wrong in (one, "x", "0-0011223344556677"):
        with refused("proposal-unknown"):
            office.dispose(wrong)
        with refused("proposal-unknown"):
            office.approve(wrong, "anna")
    proposal = office.propose()
    assert proposal is not None
    assert office.propose() is None, "what is proposed is not proposed again"


def test_what_stopped_writers_left_half_written_goes(office: Office) -> None:
    office.file(b"x")
    office.wait(15)
    assert look.status(office.vault(), at(office.today)).overdue == 1
    left = [f"{folder}/x-tmp-0011223344556677" for folder in ("log/1", "records/000", "objects/ab", "stamps/1/4")]
    for name in left:
        (office.root / name).parent.mkdir(parents=True, exist_ok=True)
        (office.root / name).write_text("half")
    assert office.settle().swept == 3
    assert [name for name in left if (office.root / name).exists()] == ["stamps/1/4/x-tmp-0011223344556677"]
    assert look.status(office.vault(), at(office.today)).overdue == 0
    assert (office.settle().swept, office.verify().faults) == (0, [])


def test_a_law_that_gets_milder_ends_sooner_and_its_lock_does_not(office: Office) -> None:
    """Vouchers before 2025 were locked for ten years; since then the law asks for eight (formats: archive 9.4)."""
    office.go_to(date(2020, 5, 4))
    [one] = office.file(b"x", event=date(2020, 5, 4))
    office.wait(15)
    office.settle()
    assert locked_until(office, record_key(one)) == date(2031, 1, 2)
    office.go_to(date(2029, 1, 2))
    proposal = office.propose()
    assert proposal is not None
    office.approve(proposal, "anna", "bert")
    assert office.dispose(proposal).kept == [(one, "locked until 2031-01-02T00:00:00Z")]
    office.go_to(date(2031, 1, 2))
    assert len(office.dispose(proposal).certificates) == 1
    office.sound()
    accepted_by_strangers(office)
