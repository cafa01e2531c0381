"""What the log keeps besides documents: classes of one's own, and locks on what it is made of."""

from __future__ import annotations

import contextlib
import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from archives import Broken, Failing, Silent, stranger
from obhut.archive.actions import put, rules, settle
from obhut.archive.classes import Class
from obhut.archive.record import LOG, keys_of, record_key
from obhut.errors import ObhutError
from offices import Office, accepted_by_strangers, at, document, locked_until
from program import Obhut

pytestmark = [pytest.mark.interop, pytest.mark.needs("ssh-keygen")]


@pytest.fixture
def office(tmp_path: Path) -> Office:
    office = Office(tmp_path)
    office.enrol("anna", "bert")
    return office


def refused(id: str, text: str | None = None) -> pytest.RaisesExc[ObhutError]:
    return pytest.RaisesExc(ObhutError, match=text, check=lambda error: error.id == id)


def test_the_log_is_locked_as_long_as_its_documents(office: Office, tmp_path: Path) -> None:
    office.file(*[b"document %d" % number for number in range(300)], event=date(2026, 3, 1))
    office.wait(15)
    assert office.settle().documents == 300
    statements = [record_key(f"{index}-{name}") for index, name in first_names(office, 3)]
    log = [f"{LOG}/tile/0/000", f"{LOG}/tile/entries/000", f"{LOG}.vkey", "archive.json", *statements]
    assert {locked_until(office, key) for key in log} == {date(2035, 1, 2)}
    office.sound()
    for key in (log[0], log[3], log[4]):
        times = (office.root / key).stat()
        os.utime(office.root / key)
        words = {fault.object: fault.what for fault in office.verify().faults}
        assert words.keys() == {key}
        assert "documents have to last until 2035-01-02" in words[key]
        ran = stranger(office.base, "--store", office.root, today=office.today)
        assert f"FAULT: {key}: its lock ends" in ran.stdout
        # The next one finds it only if it has to look at everything.
        os.utime(office.root / key, ns=(times.st_atime_ns, times.st_mtime_ns))
    # A longer day moves all of it.
    office.file(b"longer", category="book", event=date(2026, 3, 1))
    office.wait(15)
    office.settle()
    assert {locked_until(office, key) for key in log} == {date(2037, 1, 2)}
    office.sound()


def first_names(office: Office, count: int) -> list[tuple[int, str]]:
    """Index and random part of the first records."""
    keys = sorted(office.vault().store.keys("records/000"))[:count]
    return [(number, key.rpartition("-")[2]) for number, key in enumerate(keys)]


class TestOwnClasses:
    """Rules that no law makes: in the log, for everybody to count by."""

    def rule(self, office: Office, name: str, years: int, **more: Any) -> Class:
        wish = rules.Wish(name, years, **({"start": "calendar year", "what": "raw data", "law": "sponsor"} | more))
        return rules.rule(office.vault(), office.key, wish, at(office.today))

    def test_from_the_rule_to_the_end(self, office: Office) -> None:
        with refused("class-unknown"):
            office.file(b"data", category="research")
        made = self.rule(office, "research", 15)
        assert (made.name, made.years_on(office.today)) == ("own/research", 15)
        [one] = office.file(b"data", category="research", event=date(2026, 3, 1))
        assert document(office, one).category == "own/research"
        office.wait(15)
        office.settle()
        assert locked_until(office, record_key(one)) == date(2042, 1, 2)
        # Longer: the lock is extended before the log says so.
        self.rule(office, "own/research", 20)
        assert {locked_until(office, key) for key in keys_of(document(office, one))} == {date(2047, 1, 2)}
        office.sound()
        accepted_by_strangers(office)
        office.go_to(date(2047, 1, 1))
        assert office.propose() is None
        office.go_to(date(2047, 1, 2))
        [certificate] = office.let_go().certificates
        assert certificate.statement.facts["law"] == "sponsor"
        office.sound()
        accepted_by_strangers(office)

    def test_a_class_only_grows(self, office: Office) -> None:
        self.rule(office, "research", 15)
        for years in (1, 15):
            with refused("unlawful", "only grows"):
                self.rule(office, "research", years)
        with refused("unlawful", "another way"):
            self.rule(office, "research", 16, start="event")
        with refused("unlawful", "of this version"):
            self.rule(office, "own/date", 16)
        for name in ("de/voucher", "own/A", "own/", "own/a/b", "own/" + "x" * 60):
            with refused("invalid-argument"):
                self.rule(office, name, 15)
        for years in (0, -1, 101):
            with refused("invalid-argument"):
                self.rule(office, "other", years)
        with refused("invalid-argument", "needs --what"):
            self.rule(office, "other", 5, what=None)

    def test_one_whose_event_comes_later(self, office: Office) -> None:
        self.rule(office, "patent", 3, start="event", later=True)
        wish = put.Wish([office.source("patent", b"patent")], "patent", None, "host", open=True)
        [(entry, _)] = list(put.put(office.vault(), office.key, wish, at(office.today), Silent()))
        office.wait(15)
        assert office.settle().open == 1
        _, end = settle.tell_event(
            office.vault(), office.key, entry.document.id, office.today, "lapsed", at(office.today)
        )
        assert end == office.today.replace(year=office.today.year + 3)
        office.sound()
        accepted_by_strangers(office)

    @pytest.mark.parametrize("kept", [False, True])
    def test_a_stop_while_it_grows(self, tmp_path: Path, *, kept: bool) -> None:
        """Longer locks and no rule, or both; never a rule whose locks are short."""
        for number in range(1, 6):
            base = tmp_path / f"{number}"
            base.mkdir()
            office = Office(base)
            self.rule(office, "research", 15)
            office.file(b"data", category="research", event=date(2026, 3, 1))
            office.wait(15)
            office.settle()
            store = Failing(office.root, number, kept=kept)
            wish = rules.Wish("own/research", 20)
            try:
                rules.rule(office.vault(store), office.key, wish, at(office.today))
            except Broken:
                assert office.verify().faults == []
                with contextlib.suppress(ObhutError):
                    rules.rule(office.vault(), office.key, wish, at(office.today))
            office.sound()
            accepted_by_strangers(office)


def test_the_commands(tmp_path: Path) -> None:
    obhut = Obhut(tmp_path)
    obhut.environ["OBHUT_ARCHIVE"] = str(tmp_path / "archive")
    (tmp_path / "data").write_text("data")
    assert obhut("archive", "init", "--name", "a.example/x").code == 0
    words = ("archive", "rule", "research", "--from", "calendar year", "--what", "raw data", "--why", "sponsor")
    run = obhut(*words, "--years", "15")
    assert (run.code, run.out) == (0, "own/research: 15 years from the end of the calendar year\n"), run.err
    [made] = obhut("archive", "rule", "own/research", "--years", "20", "--json").json()
    assert (made["class"], made["years"], made["law"]) == ("own/research", 20, "sponsor")
    assert "raw data" in obhut("archive", "classes").out
    run = obhut("archive", "put", "data", "--class", "research", "--event-date", "2026-03-01")
    assert run.out.endswith("archived 1 documents as own/research, kept until 2046-12-31 at least\n"), run.err
    assert "2046-12-31" in obhut("archive", "list").out
    run = obhut("archive", "rule", "research", "--years", "5")
    assert (run.code, "[unlawful]" in run.err, "only grows" in run.err) == (1, True, True), run.err
    run = obhut("archive", "put", "data", "--class", "nonsense")
    assert (run.code, "own/research" in run.err) == (1, True), run.err
    assert obhut("archive", "verify").code == 0
