"""``obhut archive`` as a person and as a script use it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from program import Obhut

NAME = "example.org/archive"


@pytest.fixture
def obhut(tmp_path: Path) -> Obhut:
    user = Obhut(tmp_path)
    user.environ["OBHUT_ARCHIVE"] = str(tmp_path / "archive")
    (tmp_path / "invoice.txt").write_text("Rechnung 1\n")
    (tmp_path / "contract.txt").write_text("Vertrag\n")
    return user


def test_a_first_archive(obhut: Obhut, tmp_path: Path) -> None:
    run = obhut("archive", "init", "--name", NAME)
    assert run.code == 0, run.err
    key = tmp_path / "home/.local/share/obhut/archive-keys/example.org_archive.key"
    assert str(key) in run.out
    assert key.stat().st_mode & 0o777 == 0o600
    assert "root" in run.out
    (tmp_path / "receipts").mkdir()
    run = obhut("archive", "put", "invoice.txt", "contract.txt", "--class", "voucher", "--event-date", "2026-03-01",
                "--receipts", "receipts")  # fmt: skip
    assert run.code == 0, run.err
    first, second, summary = run.out.splitlines()
    assert first.endswith("  invoice.txt")
    assert second.endswith("  contract.txt")
    assert summary == "archived 2 documents as de/voucher, kept until 2034-12-31 at least"
    made = first.split()[0]
    run = obhut("archive", "list")
    assert made in run.out
    assert "2034-12-31" in run.out
    assert "2 documents" in run.out
    assert obhut("archive", "verify").out.endswith("everything is as it was logged\n")
    assert obhut("archive", "get", made, "-o", "back.txt").code == 0
    assert (tmp_path / "back.txt").read_text() == "Rechnung 1\n"
    assert obhut("archive", "receipt", made, "-o", "later.receipt").code == 0
    assert obhut("archive", "verifier", "-o", "check.py").code == 0
    for receipt in (f"receipts/{made}.receipt", "later.receipt"):
        command = [sys.executable, "-I", "check.py", receipt, "invoice.txt", "--key", "archive/log/1.vkey"]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert json.loads(obhut("archive", "receipt", made).out)["id"] == made


def test_everything_as_json(obhut: Obhut) -> None:
    [made] = obhut("archive", "init", "--name", NAME, "--json").json()
    assert made["message_type"] == "initialized"
    archived = obhut("archive", "put", "invoice.txt", "--class", "letter", "--json").json()
    assert [line["message_type"] for line in archived] == ["archived"]
    assert archived[0]["receipt"]["log_key"] == made["log_key"]
    [listed] = obhut("archive", "list", "--json").json()
    assert (listed["id"], listed["class"], listed["name"]) == (archived[0]["id"], "de/letter", "invoice.txt")
    [verdict] = obhut("archive", "verify", "--json").json()
    assert (verdict["size"], verdict["documents"], verdict["objects"], verdict["faults"]) == (2, 1, 1, [])
    [copied] = obhut("archive", "get", listed["id"], "-o", "out", "--json").json()
    assert copied["size"] == 11
    assert {line["class"] for line in obhut("archive", "classes", "--json").json()} >= {"de/voucher", "ch/record"}


@pytest.mark.parametrize(
    ("arguments", "code", "id"),
    [
        (["put", "absent", "--class", "voucher"], 1, "document-missing"),
        (["put", ".", "--class", "voucher"], 1, "document-missing"),
        (["put", "invoice.txt", "--class", "vouchers"], 1, "class-unknown"),
        (["put", "invoice.txt", "--class", "voucher", "--event-date", "2999-01-01"], 1, "invalid-argument"),
        (["put", "invoice.txt", "--class", "voucher", "--receipts", "invoice.txt"], 1, "io"),
        (["put", "absent", "--class", "voucher", "--receipts", "new"], 1, "document-missing"),
        (["put", "invoice.txt", "--class", "contract"], 1, "event-unknown"),
        (["put", "invoice.txt", "--class", "voucher", "--key-file", "absent"], 1, "archive-key"),
        (["put", "invoice.txt", "--class", "voucher", "--store", "absent"], 10, "archive-missing"),
        (["verify", "--store", "absent"], 10, "archive-missing"),
        (["verify", "--store", "ftp://bucket"], 1, "archive-place"),
        (["get", "0-0011223344556677", "-o", "out"], 1, "document-unknown"),
        (["get", "../x", "-o", "out"], 1, "document-unknown"),
        (["receipt", "x"], 1, "document-unknown"),
        (["init", "--name", NAME], 1, "archive-exists"),
        (["init", "--name", NAME, "--store", "second"], 1, "archive-key-exists"),
        (["init", "--name", "a b", "--store", "second"], 1, "invalid-argument"),
        (["verifier", "-o", "invoice.txt"], 1, "output-exists"),
    ],
)
def test_what_is_refused_says_why_and_changes_nothing(
    obhut: Obhut, tmp_path: Path, arguments: list[str], code: int, id: str
) -> None:
    assert obhut("archive", "init", "--name", NAME).code == 0
    before = sorted(tmp_path.rglob("*"))
    run = obhut("archive", *arguments)
    assert (run.code, run.out) == (code, "")
    assert f"[{id}]" in run.err
    assert "next: " in run.err
    assert "Traceback" not in run.err
    assert sorted(tmp_path.rglob("*")) == before
    run = obhut("archive", *arguments, *([] if arguments[0] == "verifier" else ["--json"]))
    assert run.code == code


def test_no_archive_was_named(obhut: Obhut) -> None:
    run = obhut("archive", "verify", OBHUT_ARCHIVE=None)
    assert run.code == 2
    assert "[archive-unspecified]" in run.err


def test_a_day_that_is_none(obhut: Obhut) -> None:
    run = obhut("archive", "put", "invoice.txt", "--class", "voucher", "--event-date", "2026-02-30")
    assert run.code == 2
    assert "2026-03-01" in run.err


def test_classes_in_both_languages(obhut: Obhut) -> None:
    assert "Buchungsbelege" in obhut("archive", "classes", "--language", "de").out
    assert "invoices" in obhut("archive", "classes").out
