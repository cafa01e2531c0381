"""``check`` of some snapshots beside the real restic: the same verdict on the same damage."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tools import Obhut, Restic, Tool, packs

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hosts with data of their own."""
    root = tmp_path_factory.mktemp("filter")
    ours = Obhut(root / "repo")
    ours.init()
    for host in ("anna", "bob"):
        (root / host).mkdir()
        (root / host / "data").write_bytes(os.urandom(400_000))
        before = set(packs(root / "repo"))
        ours("run", "--host", host, "--tag", f"t{host}", root / host)
        (root / f"{host}.packs").write_text("\n".join(sorted(set(packs(root / "repo")) - before)))
    return root


def damaged(base: Path, tmp_path: Path, host: str) -> Path:
    """A copy of the repository in which a bit of every pack of a host's data is flipped."""
    copy = tmp_path / "repo"
    shutil.copytree(base / "repo", copy)
    biggest = max((base / f"{host}.packs").read_text().split(), key=packs(copy).__getitem__)
    pack = copy / "data" / biggest[:2] / biggest
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)
    return copy


def of_host(tool: Tool, host: str) -> str:
    return next(str(s["id"]) for s in tool.snapshots() if s["hostname"] == host)


def test_only_what_is_chosen_is_judged(base: Path, tmp_path: Path) -> None:
    repository = damaged(base, tmp_path, "bob")
    ours, theirs = Obhut(repository), Restic(repository)
    sources = {host: str(base / host) for host in ("anna", "bob")}
    for host, code in (("anna", 0), ("bob", 1)):
        ident = of_host(ours, host)
        for words in (["--host", host], ["--tag", f"t{host}"], ["--path", sources[host]], [ident], [ident[:10]]):
            for more in (["--read-data"], ["--read-data-subset", "100%"], ["--read-data-subset", "1G"]):
                ours("check", *more, *words, expect=code)
            theirs("check", "--read-data", *words, expect=code)
            # Without reading data, damage in a data pack is seen by neither.
            ours("check", *words)
    for tool in (ours, theirs):
        tool("check", "--read-data", expect=1)
        tool("check", "--read-data", "--host", "anna", "--host", "bob", expect=1)
        tool("check", "--read-data", "--host", "anna", "latest")


def test_what_was_checked_is_said(base: Path) -> None:
    ours = Obhut(base / "repo")
    assert b"checking 1 of 2 snapshots\n" in ours("check", "--host", "anna").out
    assert b"checking 1 of 2 snapshots\n" in ours("check", env={"RESTIC_HOST": "anna"}).out
    assert b"checking" not in ours("check").out
    [line] = ours("check", "--json", "--host", "anna").lines()
    assert line["num_errors"] == 0


def test_a_choice_of_nothing_proves_nothing(base: Path) -> None:
    """restic finds no errors in no snapshots; we say that there is none."""
    ours = Obhut(base / "repo")
    assert b"snapshot-missing" in ours("check", "--host", "nobody", expect=1).err
    assert b"snapshot-missing" in ours("check", "0123456789", expect=1).err
    assert b"invalid-argument" in ours("check", "--host", "anna", of_host(ours, "anna"), expect=1).err


def test_a_snapshot_that_cannot_be_read_counts(base: Path, tmp_path: Path) -> None:
    copy = tmp_path / "repo"
    shutil.copytree(base / "repo", copy)
    ours, theirs = Obhut(copy), Restic(copy)
    anna, bob = of_host(ours, "anna"), of_host(ours, "bob")
    file = copy / "snapshots" / bob
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:-1])
    for words, code in ((["--host", "anna"], 1), ([bob[:8]], 1), ([anna[:8]], 0)):
        ran = ours("check", *words, expect=code)
        assert sum(bob.encode() in line for line in ran.err.splitlines()) == code, ran
        theirs("check", *words, expect=code)
