"""RFC 3161 time stamps by an authority that is openssl; judged by openssl, by our verify, and by strangers."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from archives import stranger
from authorities import Authority, serving
from obhut.archive import openssl, receipt
from obhut.archive.actions import read, stamp
from obhut.archive.record import LOG
from obhut.archive.stamps import note_key, stamp_of
from obhut.archive.vault import Draft
from obhut.errors import ObhutError
from obhut.world.web import WebError
from offices import Office, at
from program import Obhut

pytestmark = pytest.mark.interop


def seconds() -> int:
    return int(time.time())


class Stamped(Office):
    """An archive whose log an authority stamps; today is the machine's day, for openssl stamps by the machine's clock."""

    ids: list[str]

    def __init__(self, base: Path, *, create: bool = True) -> None:
        super().__init__(base, create=create, today=datetime.now(UTC).date())

    def add(self, authority: Authority, name: str = "notary") -> None:
        stamp.add_authority(self.vault(), self.key, name, "http://127.0.0.1/", authority.pem, at(self.today))

    def stamp(self, ask: stamp.Ask, now: int | None = None) -> list[stamp.Outcome]:
        return stamp.stamp(self.vault(), now or seconds(), ask)

    def judged(self) -> dict[str, str]:
        """What verify names, and why; strangers name the same."""
        found = {fault.object: fault.what for fault in self.verify().faults}
        ran = stranger(self.base, "--store", self.root, "--key", self.root / f"{LOG}.vkey", today=self.today)
        named = {line.split(": ")[1] for line in ran.stdout.splitlines() if line.startswith("FAULT: ")}
        assert (named, ran.returncode, ran.stderr) == (set(found), int(bool(found)), ""), ran.stdout
        return found

    def stamps(self) -> list[Path]:
        return sorted(self.root.glob("stamps/1/*/*.tsr"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "a")


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Stamped:
    """Two documents under one stamp, a third under a second one."""
    office = Stamped(tmp_path_factory.mktemp("honest"))
    office.ids = office.file(b"one", b"two")
    office.add(authority)
    office.stamp(authority.ask)
    office.ids += office.file(b"three")
    office.stamp(authority.ask)
    assert office.sound().stamps
    return office


@pytest.fixture
def office(honest: Stamped, tmp_path: Path) -> Stamped:
    shutil.copytree(honest.base, tmp_path / "copy")
    copy = Stamped(tmp_path / "copy", create=False)
    copy.ids = honest.ids
    return copy


def refused(id: str, text: str | None = None) -> pytest.RaisesExc[ObhutError]:
    return pytest.RaisesExc(ObhutError, match=text, check=lambda error: error.id == id)


def test_a_stamp_is_what_openssl_takes_for_one(office: Stamped, authority: Authority) -> None:
    assert len(office.stamps()) == 2
    for path in office.stamps():
        command = ["openssl", "ts", "-verify", "-data", str(path.parent / "checkpoint"), "-in", str(path),
                   "-CAfile", str(authority.certificates)]  # fmt: skip
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
    # The note that was stamped is the checkpoint, letter for letter.
    assert office.vault().store.get(note_key(5)) == office.vault().store.get(f"{LOG}/checkpoint")
    assert office.judged() == {}


def test_a_log_is_stamped_again_when_it_grew_or_its_stamp_ages(office: Stamped, authority: Authority) -> None:
    assert [outcome.new for outcome in office.stamp(authority.ask)] == [False]
    time.sleep(1.1)  # its name says the second
    assert [outcome.new for outcome in office.stamp(authority.ask, seconds() + 91 * 86400)] == [
        # The clock of the machine has not gone on, so the answer is of now: it is kept beside the first one.
        True
    ]
    # And in the same second once more: one of the two is enough.
    later = seconds() + 182 * 86400
    assert len({outcome.stamp for _ in range(3) for outcome in office.stamp(authority.ask, later)}) <= 3
    office.file(b"four")
    assert [outcome.new for outcome in office.stamp(authority.ask)] == [True]
    assert office.judged() == {}


class TestReceipts:
    def given(self, office: Stamped, made: dict[str, Any], *more: str | Path) -> tuple[int, str]:
        (office.base / "r").write_bytes(receipt.encode(made))
        ran = stranger(office.base, office.base / "r", "--key", office.root / f"{LOG}.vkey", *more)
        assert ran.stderr == ""
        return ran.returncode, ran.stdout

    def test_the_first_stamp_or_the_newest(self, office: Stamped, authority: Authority) -> None:
        first = read.receipt_of(office.vault(), office.ids[0])
        newest = read.receipt_of(office.vault(), office.ids[0], renew=True)
        sizes = [int(made["checkpoint"].split("\n")[1]) for made in (first, newest)]
        assert sizes == [4, 5]
        for made in (first, newest, read.receipt_of(office.vault(), office.ids[2])):
            code, out = self.given(office, made, "--authority", authority.certificates)
            assert (code, "stamped the checkpoint at 20" in out) == (0, True), out
            assert self.given(office, made)[0] == 0

    def test_pending_until_it_is_stamped(self, office: Stamped, authority: Authority, tmp_path: Path) -> None:
        [(entry, put)] = office.put(b"new", now=at(office.today))
        assert put["stamp"] == read.receipt_of(office.vault(), entry.document.id)["stamp"] == "pending"
        code, out = self.given(office, put)
        assert (code, "Time stamp: pending." in out) == (0, True)
        assert self.given(office, put, "--authority", authority.certificates)[0] == 1
        office.stamp(authority.ask)
        assert read.receipt_of(office.vault(), entry.document.id)["stamp"]["authority"] == "notary"
        bare = Office(tmp_path)
        [(_, put)] = bare.put(b"x")
        assert put["stamp"] == "none configured"

    @pytest.mark.parametrize(
        "change",
        [
            lambda s: {"time": "2020-01-01T00:00:00Z"},
            lambda s: {"reply": ""},
            lambda s: {"reply": "!"},
            lambda s: {"reply": base64.b64encode(base64.b64decode(s["reply"])[:-1]).decode()},
            lambda s: {"certificates": ""},
            lambda s: {"certificates": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
        ],
    )
    def test_altered_ones_are_refused(
        self, office: Stamped, change: Callable[[dict[str, str]], dict[str, str]]
    ) -> None:
        made = read.receipt_of(office.vault(), office.ids[0])
        altered = made | {"stamp": made["stamp"] | change(made["stamp"])}
        code, out = self.given(office, altered)
        assert (code, "REFUSED: " in out) == (1, True)

    def test_every_byte_of_the_answer_counts_or_is_not_signed(self, office: Stamped, authority: Authority) -> None:
        """A forged answer is refused; a byte outside what is signed changes neither hash nor time."""
        made = read.receipt_of(office.vault(), office.ids[0])
        raw = base64.b64decode(made["stamp"]["reply"])
        taken = 0
        for place in range(0, len(raw), 101):
            forged = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
            altered = made | {"stamp": made["stamp"] | {"reply": base64.b64encode(forged).decode()}}
            code, out = self.given(office, altered, "--authority", authority.certificates)
            taken += code == 0
            assert code == 1 or made["stamp"]["time"] in out
        # The root that it brings along is nobody's business: whom it must come from is known from elsewhere.
        assert taken < 6

    def test_the_stamp_of_another_checkpoint(self, office: Stamped) -> None:
        first = read.receipt_of(office.vault(), office.ids[0])
        newest = read.receipt_of(office.vault(), office.ids[0], renew=True)
        assert self.given(office, first | {"stamp": newest["stamp"]})[0] == 1


class TestAttacks:
    """Attacks 9 to 11 of the list, and on the files of stamps."""

    def test_another_authority(self, office: Stamped, tmp_path: Path) -> None:
        """Its own root, its own key: the log names somebody else."""
        forger = Authority(tmp_path / "forger")
        path = office.stamps()[0]
        reply = forger.answer(openssl.stamp_query(sha256((path.parent / "checkpoint").read_bytes()).digest()))
        path.chmod(0o640)
        path.write_bytes(reply)
        assert set(office.judged()) == {os.path.relpath(path, office.root)}

    @pytest.mark.parametrize("use", ["serverAuth", "timeStamping,serverAuth"])
    def test_a_certificate_for_something_else(self, office: Stamped, tmp_path: Path, use: str) -> None:
        wrong = Authority(tmp_path / "wrong", use=use)
        office.add(wrong, "wrong")
        try:
            reply = {outcome.authority: outcome for outcome in office.stamp(wrong.ask)}["wrong"]
        except subprocess.CalledProcessError:
            return  # openssl itself does not sign with it
        assert (reply.stamp, reply.new) == (None, False)
        assert reply.why

    def test_the_answer_to_another_question(self, office: Stamped, authority: Authority) -> None:
        office.file(b"new")
        kept = authority.answer(openssl.stamp_query(bytes(32)))
        outcomes = office.stamp(lambda _url, _query: kept)
        assert [outcome.stamp for outcome in outcomes] == [None]
        assert len(office.stamps()) == 2

    def test_stamps_change_places(self, office: Stamped) -> None:
        first, second = office.stamps()
        one, other = first.read_bytes(), second.read_bytes()
        for path, data in ((first, other), (second, one)):
            path.chmod(0o640)
            path.write_bytes(data)
        assert set(office.judged()) == {os.path.relpath(path, office.root) for path in (first, second)}

    def test_a_name_that_says_another_time(self, office: Stamped) -> None:
        path = office.stamps()[0]
        path.rename(path.with_name("notary-20200101T000000Z.tsr"))
        [fault] = office.judged().values()
        assert "it was made at" in fault

    def test_the_stamped_note_is_gone_or_of_another_log(self, office: Stamped, tmp_path: Path) -> None:
        first, second = office.stamps()
        (first.parent / "checkpoint").unlink()
        (tmp_path / "other").mkdir()
        other = Office(tmp_path / "other")
        (second.parent / "checkpoint").chmod(0o640)
        (second.parent / "checkpoint").write_bytes(other.vault().store.get(f"{LOG}/checkpoint"))
        assert set(office.judged()) == {os.path.relpath(path, office.root) for path in (first, second)}

    def test_what_is_no_stamp(self, office: Stamped) -> None:
        (office.root / "stamps/1/4/note.txt").write_text("x")
        assert set(office.judged()) == {"stamps/1/4/note.txt"}
        assert stamp_of("stamps/1/04/notary-20200101T000000Z.tsr") is None

    def test_a_statement_that_speaks_of_a_day_after_its_stamp(self, office: Stamped, authority: Authority) -> None:
        """Whoever has the log's key claims that it was 2035; the authority saw the log before."""
        with office.vault().writing(office.key) as intake:
            facts = {"documents": [office.ids[0]], "who": "x", "why": "x", "until": None}
            filed = intake.drafted([Draft("hold", facts)], at(office.today + timedelta(days=3)))
            intake.file(filed, lambda: None)
        office.stamp(authority.ask)
        office.wait(30)
        office.settle()  # marks what is held
        found = office.judged()
        assert found == {f"leaf {filed[0].statement.index}": found[f"leaf {filed[0].statement.index}"]}
        assert "stamped before" in next(iter(found.values()))

    def test_an_expired_certificate_holds_at_the_time_of_the_stamp(self, office: Stamped, tmp_path: Path) -> None:
        end = datetime.now(UTC) + timedelta(seconds=12)
        short = Authority(tmp_path / "short", end=end.strftime("%y%m%d%H%M%SZ"))
        office.add(short, "short")

        def answer(_url: str, query: bytes) -> bytes:
            return short.answer(query)

        outcomes = {outcome.authority: outcome for outcome in office.stamp(answer)}
        assert outcomes["short"].new
        assert outcomes["notary"].stamp is None, "its certificates are others"
        time.sleep(max(0.0, (end - datetime.now(UTC)).total_seconds() + 1.5))
        assert office.judged() == {}
        later = office.file(b"later")
        assert {outcome.stamp for outcome in office.stamp(answer)} == {None}, "it stamps no more"
        assert read.receipt_of(office.vault(), later[0])["stamp"] == "pending"


def test_one_authority_down_does_not_stop_the_other(office: Stamped, authority: Authority) -> None:
    office.add(authority, "second")

    def ask(_url: str, query: bytes) -> bytes:
        asked.append(query)
        if len(asked) == 1:
            raise WebError("timed out")
        return authority.answer(query)

    asked: list[bytes] = []
    first, second = office.stamp(ask)
    assert (first.authority, first.stamp, first.why) == ("notary", None, "timed out")
    assert (second.authority, second.new) == ("second", True)
    assert office.judged() == {}


def test_a_stamp_is_a_second_clock(office: Stamped, authority: Authority) -> None:
    office.file(b"old", event=date(2001, 1, 1))
    office.stamp(authority.ask)
    [*_, reading] = stamp.readings(office.vault())
    assert (reading.by, reading.time[:10]) == ("notary", str(office.today))
    path = office.stamps()[0]
    path.chmod(0o640)
    path.write_bytes(path.read_bytes()[:-4])
    with refused("archive-damaged"):
        stamp.readings(office.vault())


def test_authorities_that_are_not(office: Stamped, authority: Authority) -> None:
    for name, pem, error in (
        ("Notary", authority.pem, "invalid-argument"),
        ("../x", authority.pem, "invalid-argument"),
        ("other", "nothing", "invalid-argument"),
        ("notary", authority.pem, "unlawful"),
    ):
        with refused(error):
            stamp.add_authority(office.vault(), office.key, name, "http://x/", pem, at(office.today))
    stamp.remove_authority(office.vault(), office.key, "notary", at(office.today))
    with refused("unlawful"):
        stamp.remove_authority(office.vault(), office.key, "notary", at(office.today))
    with refused("authority-missing"):
        office.stamp(authority.ask)
    assert office.judged() == {}, "its stamps stay"


def test_the_commands(tmp_path: Path, authority: Authority) -> None:
    obhut = Obhut(tmp_path)
    obhut.environ["OBHUT_ARCHIVE"] = str(tmp_path / "archive")
    (tmp_path / "file").write_text("x")
    shutil.copy(authority.certificates, tmp_path / "tsa.pem")
    assert obhut("archive", "init", "--name", "example.org/archive").code == 0
    [put] = obhut("archive", "put", "file", "--class", "letter", "--json").json()
    assert put["receipt"]["stamp"] == "none configured"
    assert "[authority-missing]" in obhut("archive", "stamp").err
    answers: list[tuple[int, bytes]] = []

    def answer(query: bytes) -> tuple[int, bytes]:
        return answers.pop() if answers else (200, authority.answer(query))

    with serving(answer) as url:
        run = obhut("archive", "stamp", "--authority", "notary", "--url", url, "--certificates", "tsa.pem")
        assert run.code == 0, run.err
        assert "notary stamped the log of 3 entries at 20" in run.out
        [line] = obhut("archive", "stamp", "--json").json()
        assert (line["authority"], line["size"], line["new"]) == ("notary", 3, False)
        obhut("archive", "put", "file", "--class", "letter")
        for wrong in ((500, b""), (200, b"no stamp"), (200, authority.answer(openssl.stamp_query(bytes(32))))):
            answers.append(wrong)
            run = obhut("archive", "stamp")
            assert (run.code, "[stamp-refused]" in run.err) == (1, True), run.err
        assert obhut("archive", "stamp").code == 0
    run = obhut("archive", "stamp")
    assert (run.code, "had stamped already" in run.out) == (0, True)
    obhut("archive", "put", "file", "--class", "letter")
    run = obhut("archive", "stamp")
    assert (run.code, "[stamp-refused]" in run.err) == (1, True)
    assert "time stamp: notary saw the log of 4 entries" in obhut("archive", "verify").out
    assert obhut("archive", "receipt", put["id"], "-o", "r").code == 0
    assert obhut("archive", "verifier", "-o", "v.py").code == 0
    ran = stranger(tmp_path, "r", "file", "--key", "archive/log/1.vkey", "--authority", "tsa.pem")
    assert (ran.returncode, "stamped the checkpoint" in ran.stdout) == (0, True), ran.stdout
    # A stamp is a second clock: no witness is needed.
    assert "nothing may go" in obhut("archive", "propose").out
    assert obhut("archive", "stamp", "--remove", "notary").code == 0
    for words in (["--url", "http://x/"], ["--remove", "x", "--authority", "x", "--url", "x", "--certificates", "x"]):
        assert obhut("archive", "stamp", *words).code == 2
    run = obhut("archive", "stamp", "--authority", "b", "--url", "ftp://x/", "--certificates", "tsa.pem")
    assert (run.code, "http://" in run.err) == (1, True)
    run = obhut("archive", "stamp", "--authority", "c", "--url", "http://x/", "--certificates", "absent")
    assert (run.code, "[io]" in run.err) == (1, True)
