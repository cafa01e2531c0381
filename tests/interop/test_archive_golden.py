"""Archives as earlier versions wrote them verify for ever: by ours, by tessera, by the verifier for strangers."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

import golden
from archives import Silent, accepted, stranger
from obhut.archive.actions import look, read, verify
from obhut.archive.actions.survey import survey
from obhut.archive.record import LOG
from obhut.archive.store import LocalStore
from obhut.archive.vault import Vault

pytestmark = pytest.mark.interop

DATA = Path(__file__).resolve().parent.parent / "data" / "archives"
KEPT = sorted(path.name for path in DATA.glob("*.tar.gz"))


@pytest.fixture(params=KEPT)
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    with tarfile.open(DATA / request.param) as tar:
        tar.extractall(tmp_path, filter="tar")
    return tmp_path


def test_they_verify(base: Path) -> None:
    vault = Vault.open(LocalStore(base / "archive"), lambda _: base / "archive.identity")
    verdict = verify.verify(vault, golden.LOOKED_AT, Silent(), contents=True)
    assert (verdict.faults, verdict.remarks) == ([], [])
    assert (verdict.documents, verdict.disposed) == (golden.LEFT, golden.GONE)
    assert verdict.stamps
    assert accepted(base / "archive" / LOG, base / "archive" / f"{LOG}.vkey")
    identity: list[str | Path] = (
        ["--identity", base / "archive.identity"] if (base / "archive.identity").exists() else []
    )
    ran = stranger(base, "--store", base / "archive", *identity, today=golden.LOOKED_AT)
    assert ran.returncode == 0, ran.stdout
    assert f"{golden.LEFT} documents" in ran.stdout


def test_what_is_in_them_is_understood(base: Path) -> None:
    vault = Vault.open(LocalStore(base / "archive"), lambda _: base / "archive.identity")
    ledger = survey(vault).ledger
    assert {person.name for person in ledger.people.values()} == {"anna", "bert"}
    assert ledger.classes["own/research"].years_on(golden.LOOKED_AT) == 15
    documents = list(read.documents(vault))
    contents = {}
    for document in documents[:4]:
        read.copy_out(vault, document.id, base / "out")
        contents[document.category] = (base / "out").read_bytes()
        (base / "out").unlink()
    assert contents["own/research"] == b"same"
    [lease] = [document for document in documents if document.category == "de/contract"]
    assert look.show(vault, lease.id, golden.LOOKED_AT)["keep_until"] == "2040-12-31"


def test_both_kinds_are_kept() -> None:
    assert {"plain-1.tar.gz", "sealed-1.tar.gz"} <= set(KEPT)
