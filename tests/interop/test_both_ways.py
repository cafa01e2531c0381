"""One repository, several programs: what one writes, every other one checks, lists and restores identically."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import deviations
import facilities
import trees
from tools import PASSWORD, TOOLS, Obhut, Restic, differences, remains_below, same, same_below

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(600)]

PEERS = ["restic", "rustic", "restic-0.14"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything; nobody writes to it."""
    root = tmp_path_factory.mktemp("everything") / "source"
    trees.everything(root, trees.Options(wide=2000))
    return root


@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_checks_lists_and_restores_what_we_wrote(peer: str, source: Path, tmp_path: Path) -> None:
    ours = Obhut(tmp_path / "repo")
    ours.init()
    ours.backup(source)
    theirs = TOOLS[peer](tmp_path / "repo")
    theirs.check()
    theirs.restore(tmp_path / "out")
    restored = remains_below(tmp_path / "out", source)
    for lines in (differences(source, restored), differences(restored, source)):
        assert deviations.unexplained(lines, writer="obhut", reader=peer) == []


@pytest.mark.parametrize("peer", PEERS)
def test_we_check_list_and_restore_what_a_peer_wrote(peer: str, source: Path, tmp_path: Path) -> None:
    theirs = TOOLS[peer](tmp_path / "repo")
    theirs.init()
    theirs.backup(source)
    ours = Obhut(tmp_path / "repo")
    ours.check()
    ours.restore(tmp_path / "out")
    restored = remains_below(tmp_path / "out", source)
    for lines in (differences(source, restored), differences(restored, source)):
        assert deviations.unexplained(lines, writer=peer, reader="obhut") == []


@pytest.mark.parametrize("writer", ["obhut", "restic"])
def test_we_and_restic_restore_the_same_snapshot_identically(writer: str, source: Path, tmp_path: Path) -> None:
    tool = TOOLS[writer](tmp_path / "repo")
    tool.init()
    tool.backup(source)
    Obhut(tmp_path / "repo").restore(tmp_path / "ours")
    Restic(tmp_path / "repo").restore(tmp_path / "theirs")
    same(remains_below(tmp_path / "ours", source), remains_below(tmp_path / "theirs", source))


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu"])
def test_restic_adds_nothing_on_top_of_ours(
    zone: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By ".", because the times of the folders above change while other tests run.
    monkeypatch.setenv("TZ", zone)
    ours, theirs = Obhut(tmp_path / "repo"), Restic(tmp_path / "repo")
    ours.init()
    ours("run", ".", cwd=source)
    for more in ([], ["--force"]):
        summary = theirs("backup", "--json", *more, ".", cwd=source).lines()[-1]
        assert (summary["tree_blobs"], summary["data_blobs"], summary["data_added"]) == (0, 0, 0)
    trees_seen = {snapshot["tree"] for snapshot in theirs.snapshots()}
    assert len(trees_seen) == 1


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Africa/Monrovia"])
def test_we_add_nothing_on_top_of_restic(
    zone: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    ours, theirs = Obhut(tmp_path / "repo"), Restic(tmp_path / "repo")
    theirs.init()
    theirs("backup", ".", cwd=source)
    for more in ([], ["--force"]):
        summary = ours("run", "--json", *more, ".", cwd=source).lines()[-1]
        assert (summary["tree_blobs"], summary["data_blobs"], summary["data_added"]) == (0, 0, 0)
    assert len({snapshot["tree"] for snapshot in theirs.snapshots()}) == 1


@pytest.mark.parametrize("first", ["obhut", "restic"])
def test_the_folders_above_are_written_alike(first: str, tmp_path: Path) -> None:
    """An absolute path brings its chain of folders with it; this one exists everywhere and does not change."""
    stable = Path("/usr/share/common-licenses")
    if not stable.is_dir():
        facilities.absent("base-files", f"there is no {stable}")
    ours, theirs = Obhut(tmp_path / "repo"), Restic(tmp_path / "repo")
    ours.init()
    summary = {}
    for tool in (ours, theirs) if first == "obhut" else (theirs, ours):
        summary = tool("run" if tool is ours else "backup", "--json", stable, stable.parent / "base-files").lines()[-1]
    assert (summary["tree_blobs"], summary["data_blobs"], summary["data_added"]) == (0, 0, 0)


def test_listings_agree_node_for_node(source: Path, tmp_path: Path) -> None:
    ours, theirs = Obhut(tmp_path / "repo"), Restic(tmp_path / "repo")
    ours.init()
    ours.backup(source)
    left = ours("ls", "latest", "--json").lines()
    right = theirs("ls", "latest", "--json").lines()
    assert len(left) == len(right) > 2000
    assert left == right


def test_restic_rewrites_our_trees(source: Path, tmp_path: Path) -> None:
    """``rewrite`` refuses every tree whose bytes change when it is decoded and encoded again."""
    ours, theirs = Obhut(tmp_path / "repo"), Restic(tmp_path / "repo")
    ours.init()
    ours.backup(source)
    theirs("rewrite", "--exclude", "links/hard-empty-2", "--forget")
    (snapshot,) = theirs.snapshots()
    assert "original" in snapshot
    paths = [node["path"] for node in theirs("ls", "latest", "--json").lines()[1:]]
    assert not any(path.endswith("hard-empty-2") for path in paths)
    assert any(path.endswith("hard-empty-1") for path in paths)
    theirs.check()


def test_restic_shows_our_summary(source: Path, tmp_path: Path) -> None:
    ours, theirs = Obhut(tmp_path / "repo"), Restic(tmp_path / "repo")
    ours.init()
    said = ours("run", "--json", "--tag", "a,b", "--host", "elsewhere", source).lines()[-1]
    (snapshot,) = theirs.snapshots()
    assert snapshot["tags"] == ["a", "b"]
    assert snapshot["hostname"] == "elsewhere"
    assert snapshot["paths"] == [str(source)]
    assert snapshot["id"] == said["snapshot_id"]
    shared = set(snapshot["summary"]) & set(said)
    assert {"files_new", "dirs_new", "data_blobs", "tree_blobs", "data_added", "data_added_packed"} <= shared
    assert {key: snapshot["summary"][key] for key in shared} == {key: said[key] for key in shared}
    table = theirs("snapshots").text
    assert "elsewhere" in table


@pytest.mark.parametrize("pruner", ["obhut", "restic", "rustic", "restic-0.14"])
def test_after_a_prune_by_any_every_other_restores(pruner: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    trees.everything(source, trees.Options(wide=50, sizes=(0, 1, 4096, 3 * trees.MIB), mode_zero=False))
    ours = Obhut(tmp_path / "repo")
    ours.init()
    for number in range(4):
        (source / "contents" / "noise-4096").unlink()
        (source / "contents" / "noise-4096").write_bytes(bytes([number]) * 700_000)
        (source / f"new-{number}").write_bytes(str(number).encode() * 300_000)
        (ours if number % 2 else Restic(tmp_path / "repo")).backup(source)
    TOOLS[pruner](tmp_path / "repo").forget_and_prune(keep=2)
    assert len(ours.snapshots()) == 2
    for reader in ("obhut", "restic"):
        TOOLS[reader](tmp_path / "repo").check()
        TOOLS[reader](tmp_path / "repo").restore(tmp_path / reader)
        same(source, remains_below(tmp_path / reader, source))


def test_keys_open_both_ways(tmp_path: Path) -> None:
    ours, theirs = Obhut(tmp_path / "repo"), Restic(tmp_path / "repo")
    ours.init()
    new = tmp_path / "new"
    new.write_text("another password\n")
    theirs("key", "add", "--new-password-file", new)
    Obhut(tmp_path / "repo", "another password")("snapshots")
    third = tmp_path / "third"
    third.write_text("third password")
    Obhut(tmp_path / "repo", "another password")("key", "passwd", "--new-password-file", third)
    Restic(tmp_path / "repo", "third password")("snapshots")
    Restic(tmp_path / "repo", "another password")("snapshots", expect=12)
    Obhut(tmp_path / "repo", "another password")("snapshots", expect=12)
    assert len(json.loads(theirs("key", "list", "--json").out)) == 2
    assert len(json.loads(ours("key", "list", "--json").out)) == 2


def test_chunker_parameters_are_copied_both_ways(tmp_path: Path) -> None:
    def polynomial(tool: Restic) -> str:
        return str(json.loads(tool("cat", "config").out)["chunker_polynomial"])

    Obhut(tmp_path / "one").init()
    Restic(tmp_path / "two")(
        "init", "--from-repo", tmp_path / "one", "--copy-chunker-params", env={"RESTIC_FROM_PASSWORD": PASSWORD}
    )
    Obhut(tmp_path / "three")(
        "init", "--from-repo", tmp_path / "two", "--copy-chunker-params", env={"RESTIC_FROM_PASSWORD": PASSWORD}
    )
    Obhut(tmp_path / "other").init()
    first, second, third, other = (polynomial(Restic(tmp_path / name)) for name in ("one", "two", "three", "other"))
    assert first == second == third != other


def test_version_1_is_written_without_compression(tmp_path: Path) -> None:
    source = tmp_path / "source"
    trees.everything(source, trees.Options(wide=20))
    theirs, ours = Restic(tmp_path / "repo"), Obhut(tmp_path / "repo")
    theirs("init", "--repository-version", "1")
    ours.backup(source)
    theirs.check()
    ours("run", ".", cwd=source)
    assert theirs("backup", "--json", ".", cwd=source).lines()[-1]["data_added"] == 0
    ours.check()
    ours("restore", f"{ours.snapshots()[0]['id']}:{source}", "--target", tmp_path / "out")
    same_below(source, tmp_path / "out")


def test_the_directory_cache_does_not_trust_what_a_prune_took_away(tmp_path: Path) -> None:
    """A tree may outlive its children in a pack that was kept."""
    source = tmp_path / "source"
    trees.everything(source, trees.Options(wide=20, sizes=(1, 4096, 3 * trees.MIB)))
    ours, theirs = Obhut(tmp_path / "repo"), Restic(tmp_path / "repo")
    ours.init()
    ours.backup(source)
    ours.backup(source)
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_bytes(b"something else")
    ours.backup(other)
    theirs("forget", "--group-by", "", "--keep-last", "1")
    theirs("prune", "--max-unused", "unlimited")
    ours.backup(source)
    theirs.check()
    ours.restore(tmp_path / "out")
    same(source, remains_below(tmp_path / "out", source))
