"""An archive that belongs to somebody else: who may read reads, nobody else does anything, and nothing is half done.

The superuser is denied nothing, so he runs without the right to pass by permissions, and the files are given away.
"""

from __future__ import annotations

import os
import subprocess
from datetime import date
from pathlib import Path

import pytest

from obhut.archive.record import LOG
from offices import Office
from program import PROGRAM, Obhut, Run

pytestmark = [pytest.mark.root, pytest.mark.interop, pytest.mark.timeout(300)]

SOMEBODY = 12345
WITHOUT = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner,-chown",
           "--inh-caps=-dac_override,-dac_read_search,-fowner,-chown"]  # fmt: skip


class Denied(Office):
    """An archive of another user; those of group 0, which is ours, may look if it is theirs."""

    ids: list[str]

    def given_away(self, group: int) -> None:
        for path in [self.root, *self.root.rglob("*")]:
            os.chown(path, SOMEBODY, group)

    def run(self, *words: str) -> Run:
        obhut = Obhut(self.base)
        done = subprocess.run(
            [*WITHOUT, *PROGRAM, "archive", *words, "--store", str(self.root)],
            env=obhut.environ, capture_output=True, check=False, timeout=60, cwd=self.base,
        )  # fmt: skip
        return Run(done.returncode, done.stdout.decode(), done.stderr.decode())

    def facts(self) -> dict[str, tuple[bytes, float]]:
        return {str(path): (path.read_bytes(), path.stat().st_mtime) for path in self.files()}


@pytest.fixture
def office(tmp_path: Path) -> Denied:
    office = Denied(tmp_path, today=date(2026, 11, 1))
    office.ids = office.file(b"one", b"two")
    (tmp_path / "new").write_text("new")
    return office


def writing(office: Denied) -> list[list[str]]:
    key = ["--key-file", str(office.key)]
    return [
        ["put", "new", "--class", "voucher", *key],
        ["hold", office.ids[0], "--who", "x", "--why", "x", *key],
        ["settle", *key],
    ]


def test_who_may_only_read_reads_and_changes_nothing(office: Denied, tmp_path: Path) -> None:
    office.given_away(0)
    before = office.facts()
    for words in (["verify"], ["status"], ["list"], ["show", office.ids[0]], ["receipt", office.ids[0]],
                  ["get", office.ids[0], "-o", "out"], ["mirror", "--to", "second"]):  # fmt: skip
        run = office.run(*words)
        assert run.code == 0, run.err
    assert (tmp_path / "out").read_bytes() == b"one"
    assert office.run("verify", "--store", "second").code == 0
    for words in writing(office):
        run = office.run(*words)
        assert (run.code, "[permission-denied]" in run.err, "Traceback" in run.err) == (1, True, False), run.err
    assert office.facts() == before


def test_others_see_nothing(office: Denied, tmp_path: Path) -> None:
    office.given_away(SOMEBODY)
    before = office.facts()
    for words in (
        ["verify"],
        ["list"],
        ["get", office.ids[0], "-o", "out"],
        ["mirror", "--to", "second"],
        *writing(office),
    ):
        run = office.run(*words)
        assert (run.code, "[permission-denied]" in run.err, "Traceback" in run.err) == (1, True, False), run.err
        assert run.out == ""
    assert office.facts() == before
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize("name", ["records/000", "objects", f"{LOG}/tile"])
def test_a_part_that_may_not_be_read_is_named(office: Denied, name: str) -> None:
    """Rights that were set wrongly are no reason to believe that something is there, or to crash."""
    os.chown(office.root / name, SOMEBODY, SOMEBODY)
    (office.root / name).chmod(0o700)
    for words in (
        ["verify"],
        ["list"],
        ["status"],
        ["put", "new", "--class", "voucher", "--key-file", str(office.key)],
    ):
        run = office.run(*words)
        assert "Traceback" not in run.err, run.err
        if words[0] in {"list", "status"} and name == "objects":
            assert run.code == 0
            continue
        assert run.code == 1, (words, run.out)
