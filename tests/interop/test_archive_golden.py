"""Archives as earlier versions wrote them verify for ever: by ours, by tessera, by the verifier for strangers."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

import golden
from archives import Silent, accepted, stranger
from obhut.archive.actions import look, read, verify
from obhut.archive.actions.survey import survey
from obhut.archive.record import KEYS, LOG
from obhut.archive.store import LocalStore
from obhut.archive.vault import Vault

pytestmark = pytest.mark.interop

DATA = Path(__file__).resolve().parent.parent / "data" / "archives"
KEPT = sorted(path.name for path in DATA.glob("*.tar.gz"))


def unpacked(name: str, base: Path) -> Path:
    with tarfile.open(DATA / name) as tar:
        tar.extractall(base, filter="tar")
    return base


@pytest.fixture(params=[name for name in KEPT if "-1." in name])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return unpacked(request.param, tmp_path)


@pytest.mark.parametrize("name", KEPT)
def test_they_verify(name: str, tmp_path: Path) -> None:
    base = unpacked(name, tmp_path)
    expected = golden.EXPECTED[name.partition("-")[2].partition(".")[0]]
    vault = Vault.open(LocalStore(base / "archive"), lambda _: base / "archive.identity")
    verdict = verify.verify(vault, golden.LOOKED_AT, Silent(), contents=True)
    assert (verdict.faults, verdict.remarks) == ([], [])
    found = (verdict.documents, verdict.disposed, verdict.reads, verdict.reads_disposed, len(vault.keys.all))
    assert golden.Expected(*found) == expected
    assert verdict.stamps
    newest = vault.keys.handovers[-1:]
    public = f"{KEYS}/{newest[0].name}.vkey" if newest else f"{LOG}.vkey"
    assert accepted(base / "archive" / LOG, base / "archive" / public)
    identity: list[str | Path] = (
        ["--identity", base / "archive.identity"] if (base / "archive.identity").exists() else []
    )
    ran = stranger(base, "--store", base / "archive", *identity, today=golden.LOOKED_AT)
    assert ran.returncode == 0, ran.stdout
    assert f"{expected.documents} documents" in ran.stdout


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
    assert {f"{kind}-{number}.tar.gz" for kind in ("plain", "sealed") for number in golden.EXPECTED} == set(KEPT)
