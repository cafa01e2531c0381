"""Holds, people, proposals and disposal as a person and as a script use them; keys and signatures by ssh-keygen."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import date, timedelta
from pathlib import Path

import pytest

from archives import ORIGIN
from obhut.archive.description import Description
from obhut.archive.store import LocalStore
from obhut.archive.vault import Vault
from offices import Office, at, leaf
from program import Obhut

pytestmark = [pytest.mark.interop, pytest.mark.needs("ssh-keygen")]


class Desk(Obhut):
    """Somebody at the command line, before an archive whose first documents came in 40 days ago, or some years and audited."""

    def __init__(self, base: Path, years: int = 0) -> None:
        super().__init__(base)
        from datetime import UTC, datetime

        today = datetime.now(UTC).date() - timedelta(days=40 + 365 * years)
        self.office = Office(base, create=not years, today=today)
        if years:
            store = LocalStore(self.office.root)
            described = Description(ORIGIN, "de", (12, 31), at(today), store.lock_mode, audit=True)
            Vault.create(store, self.office.key, described)
        self.old = self.office.file(b"old", event=date(2001, 1, 1))[0]
        self.new = self.office.file(b"new")[0]
        self.environ["OBHUT_ARCHIVE"] = str(self.office.root)
        for name in ("anna", "bert", "carla"):
            self.office.key_of(name)

    def archive(self, *words: str) -> str:
        """Runs a command that ends well; gives what it printed."""
        run = self("archive", *words, *self.key(words[0]))
        assert run.code == 0, run.err
        return run.out

    def refused(self, id: str, *words: str) -> str:
        """Runs a command that is refused and changes nothing; gives what it said."""
        before = {path: path.read_bytes() for path in self.office.files()}
        run = self("archive", *words, *self.key(words[0]))
        assert (run.code, f"[{id}]" in run.err, "next: " in run.err) == (1, True, True), run.err
        assert {path: path.read_bytes() for path in self.office.files()} == before
        return run.err

    def key(self, verb: str) -> list[str]:
        reading = {"status", "show", "list", "get", "verify", "witness"}
        return [] if verb in reading else ["--key-file", str(self.office.key)]

    def enrol(self, name: str, *more: str) -> list[str]:
        return ["enrol", name, "--key", f"keys/{name}.pub", *more]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_from_enrolment_to_certificate(desk: Desk, tmp_path: Path) -> None:
    for name in ("anna", "bert"):
        assert desk.archive(*desk.enrol(name)) == f"{name} may sign from now on\n"
    assert "has to vouch" in desk.refused("unlawful", *desk.enrol("carla"))
    desk.archive(*desk.enrol("carla", "--voucher", "anna", "--sign-with", "keys/anna"))
    assert "2 documents are locked for as long as the law asks; 0 wait" in desk.archive("settle")
    held = desk.archive("hold", desk.old, "--who", "court", "--why", "lawsuit", "--until", "2099-12-31")
    assert "keeps 1 documents until 2099-12-31" in held
    desk.archive("witness", "--state", "judge", "--name", "example.net/witness", "-o", "now.checkpoint")
    clock = ("--checkpoint", "now.checkpoint", "--witness", "judge/witness.vkey")
    desk.refused("second-clock", "propose")
    assert "nothing may go" in desk.archive("propose", *clock)
    assert "no other hold keeps 1 of its documents" in desk.archive(
        "release", held.split()[1], "--who", "court", "--why", "settled"
    )
    assert desk.archive("propose", *clock, "--dry-run").splitlines()[2].split()[0] == desk.old
    proposal = desk.archive("propose", *clock).splitlines()[-2].split()[1].rstrip(":")
    assert "made on" not in desk.refused("proposal-unapproved", "dispose", proposal, *clock)
    assert desk.archive("approve", proposal, "--as", "anna", "--sign-with", "keys/anna").startswith("signed by anna, 2")
    # The second one signs on another machine.
    (tmp_path / "text").write_text(desk.archive("approve", proposal, "--print"))
    subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-n", "obhut-archive", "-f", "keys/carla", "text"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    assert "signed by anna and carla" in desk.archive("approve", proposal, "--as", "carla", "--signature", "text.sig")
    status = desk.archive("status")
    assert "anna, bert, carla" in status
    assert "anna, carla (2 of 2)" in status
    assert "1 documents are gone" in desk.archive("dispose", proposal, *clock)
    shown = desk.archive("show", desk.old)
    assert "certificate" in shown
    assert "2009-12-31" in shown
    assert "document-0" not in shown
    assert "1 documents in 1 objects, 3 B; 1 were disposed of" in desk.archive("verify")
    desk.refused("document-unknown", "get", desk.old, "-o", "out")
    assert "the signature of bert does not count any longer" in desk.archive(
        "dismiss", "bert", "--voucher", "anna", "--sign-with", "keys/anna"
    )


def test_everything_as_json(desk: Desk) -> None:
    for name in ("anna", "bert"):
        [line] = desk("archive", *desk.enrol(name), *desk.key("enrol"), "--json").json()
        assert (line["message_type"], line["action"]) == ("person", "enrol")

    def said(*words: str) -> list[dict[str, object]]:
        run = desk("archive", *words, *desk.key(words[0]), "--json")
        assert run.code == 0, run.err
        return run.json()

    [held] = said("hold", desk.new, "--who", "x", "--why", "y")
    assert (held["documents"], held["until"]) == ([desk.new], None)
    [released] = said("release", str(held["id"]), "--who", "x", "--why", "y")
    assert released["free"] == 1
    said("witness", "--state", "judge", "--name", "example.net/witness", "-o", "now.checkpoint")
    clock = ("--checkpoint", "now.checkpoint", "--witness", "judge/witness.vkey")
    may_go, proposed = said("propose", *clock)
    assert (may_go["id"], may_go["ended"]) == (desk.old, "2009-12-31")
    assert proposed["documents"] == [desk.old]
    proposal = str(proposed["id"])
    [one] = said("approve", proposal, "--as", "anna", "--sign-with", "keys/anna")
    [two] = said("approve", proposal, "--as", "bert", "--sign-with", "keys/bert")
    assert (one["signed"], two["signed"], two["needed"]) == (["anna"], ["anna", "bert"], 2)
    [status] = said("status")
    assert isinstance(status["proposals"], list)
    assert status["proposals"][0]["signed"] == ["anna", "bert"]
    [gone] = said("dispose", proposal, *clock)
    assert (gone["message_type"], gone["object"], gone["end"]) == ("disposed", "removed", "2009-12-31")
    [settled] = said("settle")
    assert (settled["documents"], settled["waiting"]) == (1, 0)
    [record] = said("show", desk.new)
    assert (record["class"], record["settled"]) == ("de/voucher", str(date.today()))
    [certificate] = said("show", str(gone["certificate"]))
    assert certificate["type"] == "disposal"
    [verdict] = said("verify")
    assert (verdict["documents"], verdict["disposed"], verdict["faults"]) == (1, 1, [])
    [listed] = said("list")
    assert leaf(str(listed["id"])) == leaf(desk.new)


def test_what_is_refused_says_why_and_changes_nothing(desk: Desk, tmp_path: Path) -> None:
    desk.archive(*desk.enrol("anna"))
    desk.archive(*desk.enrol("bert"))
    (tmp_path / "no.sig").write_text("x")
    unknown = "9-0011223344556677"
    for error, words in (
        ("document-unknown", ["hold", unknown, "--who", "x", "--why", "y"]),
        ("document-unknown", ["hold", desk.old, "1", "--who", "x", "--why", "y"]),
        ("hold-unknown", ["release", unknown, "--who", "x", "--why", "y"]),
        ("hold-unknown", ["release", desk.old, "--who", "x", "--why", "y"]),
        ("document-unknown", ["propose", "--withdraw", unknown, "--why", "y"]),
        ("proposal-unknown", ["approve", unknown, "--as", "anna", "--sign-with", "keys/anna"]),
        ("proposal-unknown", ["approve", unknown, "--print"]),
        ("second-clock", ["dispose", unknown]),
        ("unlawful", desk.enrol("anna", "--voucher", "bert", "--sign-with", "keys/bert")),
        ("unlawful", ["enrol", "anne", "--key", "keys/anna.pub", "--voucher", "bert", "--sign-with", "keys/bert"]),
        ("person-key", ["enrol", "anne", "--key", "absent"]),
        ("person-key", ["enrol", "anne", "--key", "keys/anna"]),
        ("person-unknown", ["dismiss", "nobody", "--voucher", "bert", "--sign-with", "keys/bert"]),
        ("signature-refused", ["dismiss", "anna", "--voucher", "bert", "--sign-with", "absent"]),
        ("signature-refused", ["dismiss", "anna", "--voucher", "bert", "--signature", "absent"]),
        ("unlawful", ["dismiss", "anna", "--voucher", "bert", "--signature", "no.sig"]),
        ("unlawful", ["dismiss", "anna"]),
        ("document-unknown", ["show", unknown]),
        ("document-unknown", ["show", "x"]),
    ):
        desk.refused(error, *words)
    for wrong in (
        ["hold", desk.old, "--why", "y"],
        ["propose", "--withdraw", desk.old],
        ["propose", "--checkpoint", "x"],
        ["approve", unknown],
        ["approve", unknown, "--as", "anna"],
        ["approve", unknown, "--sign-with", "keys/anna"],
        ["approve", unknown, "--as", "anna", "--sign-with", "a", "--signature", "b"],
        ["hold", desk.old, "--who", "x", "--why", "y", "--until", "tomorrow"],
        ["init", "--store", "other", "--name", "a/b", "--business-year-end", "13-01"],
    ):
        assert desk("archive", *wrong).code == 2, wrong
    assert not os.path.lexists(tmp_path / "other")


def test_a_swiss_business_year(tmp_path: Path) -> None:
    obhut = Obhut(tmp_path)
    (tmp_path / "file").write_text("x")
    line = (
        "archive",
        "init",
        "--store",
        "a",
        "--name",
        "example.ch/a",
        "--country",
        "ch",
        "--business-year-end",
        "06-30",
    )
    assert obhut(*line).code == 0
    put = obhut("archive", "put", "file", "--store", "a", "--class", "record", "--event-date", "2026-07-01")
    assert "as ch/record, kept until 2037-06-30" in put.out
    [made] = obhut("archive", "list", "--store", "a", "--json").json()
    assert made["keep_until"] == "2037-06-30"
    assert json.loads((tmp_path / "a/archive.json").read_bytes())["business_year_end"] == "06-30"


def test_an_archive_that_logs_who_takes_documents_out(tmp_path: Path) -> None:
    obhut = Obhut(tmp_path)
    obhut.environ["OBHUT_ARCHIVE"] = "archive"
    (tmp_path / "file").write_text("x")
    assert obhut("archive", "init", "--name", "example.org/a", "--audit").code == 0
    [put] = obhut("archive", "put", "file", "--class", "letter", "--json").json()
    assert obhut("archive", "get", put["id"], "-o", "out").code == 0
    assert obhut("archive", "receipt", put["id"], "-o", "receipt").code == 0
    [verdict] = obhut("archive", "verify", "--json").json()
    assert (verdict["size"], verdict["faults"]) == (4, [])
    records = sorted((tmp_path / "archive/records/000").iterdir())
    said = [json.loads(path.read_bytes()) for path in records[2:]]
    assert [(one["type"], one["facts"]["action"], one["facts"]["documents"]) for one in said] == [
        ("read", "get", [put["id"]]),
        ("read", "receipt", [put["id"]]),
    ]
    assert all("@" in one["facts"]["who"] for one in said)
    # The log says it before anything is given; without the key nothing is.
    run = obhut("archive", "get", put["id"], "-o", "second", "--key-file", "absent")
    assert (run.code, "[archive-key]" in run.err, (tmp_path / "second").exists()) == (1, True, False)
    run = obhut("archive", "get", "1-0011223344556677", "-o", "second")
    assert (run.code, "[document-unknown]" in run.err) == (1, True)
    [verdict] = obhut("archive", "verify", "--json").json()
    assert (verdict["size"], verdict["reads"]) == (4, 2)
    assert "2 audit records; 0 were disposed of" in obhut("archive", "verify").out
    first, second = obhut("archive", "list", "--reads", "--json").json()
    assert (first["documents"], first["action"], second["action"]) == ([put["id"]], "get", "receipt")
    end = f"{date.today().year + 3}-12-31"
    assert first["keep_until"] == end
    run = obhut("archive", "list", "--reads")
    assert (first["id"] in run.out, second["who"] in run.out, end in run.out, "2 audit records" in run.out) == (
        True,
    ) * 4
    assert "1 documents" in obhut("archive", "list").out
    [shown] = obhut("archive", "show", put["id"], "--json").json()
    assert shown["reads"] == [first["id"], second["id"]]
    [shown] = obhut("archive", "show", first["id"], "--json").json()
    assert (shown["class"], shown["keep_until"], shown["who"]) == ("audit/read", end, first["who"])
    assert "2 audit records of who took documents out; 0 disposed of" in obhut("archive", "status").out


def test_the_end_of_audit_records(tmp_path: Path) -> None:
    """Of an archive that was made five years ago, by the machine's clock."""
    desk = Desk(tmp_path, years=5)
    read = desk.office.take(desk.new)
    assert "audit/read" in desk("archive", "classes").out
    for name in ("anna", "bert"):
        desk.archive(*desk.enrol(name))
    desk.archive("witness", "--state", "judge", "--name", "example.net/witness", "-o", "now.checkpoint")
    clock = ("--checkpoint", "now.checkpoint", "--witness", "judge/witness.vkey")
    hold = desk.archive("hold", desk.old, "--who", "court", "--why", "lawsuit").split()[1]
    shown = desk.archive("propose", *clock, "--dry-run").splitlines()
    assert shown[2].split()[:2] == [read, "audit/read"]
    desk.archive("release", hold, "--who", "court", "--why", "ended")
    said = desk.archive("propose", *clock).splitlines()[-2]
    assert said.endswith(": 1 documents and 1 audit records")
    proposal = said.split()[1].rstrip(":")
    for name in ("anna", "bert"):
        desk.archive("approve", proposal, "--as", name, "--sign-with", f"keys/{name}")
    hold = desk.archive("hold", desk.old, "--who", "court", "--why", "lawsuit").split()[1]
    assert "1 audit records are gone, each with a certificate in the log; 1 stay" in desk.archive(
        "dispose", proposal, *clock
    )
    desk.archive("release", hold, "--who", "court", "--why", "ended")
    run = desk("archive", "dispose", proposal, *clock, *desk.key("dispose"), "--json")
    assert [line["class"] for line in run.json()] == ["de/voucher"]
    assert "certificate" in desk.archive("show", read)
    assert "0 audit records of who took documents out; 1 disposed of" in desk.archive("status")
    assert "0 audit records" in desk.archive("list", "--reads")
    assert "0 audit records; 1 were disposed of" in desk.archive("verify")
