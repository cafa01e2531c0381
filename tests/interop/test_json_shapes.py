"""``--json`` beside the real restic on one repository: the same kinds of lines, the same keys, the same types."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tools import Obhut, Restic

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]


def shape(value: Any) -> Any:
    """Keys and types, without the values."""
    match value:
        case dict():
            return {key: shape(inner) for key, inner in value.items()}
        case list():
            return [shape(value[0])] if value else []
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case None:
            return "null"
    return "string"


def lines(text: bytes) -> list[Any]:
    return [json.loads(line) for line in text.splitlines() if line.startswith((b"{", b"["))]


def kinds(text: bytes) -> dict[str, Any]:
    """One shape a message type (and action); optional keys of status lines are left out."""
    found: dict[str, Any] = {}
    for line in lines(text):
        kind = f"{line['message_type']} {line.get('action', '')}"
        if line["message_type"] != "status":
            found[kind] = shape(line)
    return found


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shapes")
    (root / "source" / "deep").mkdir(parents=True)
    (root / "source" / "a").write_text("a")
    (root / "source" / "deep" / "b").write_bytes(os.urandom(200_000))
    (root / "source" / "link").symlink_to("a")
    ours, theirs = Obhut(root / "repo"), Restic(root / "repo")
    ours.init()
    ours("run", "--tag", "x,y", root / "source")
    (root / "source" / "a").write_text("b")
    theirs("backup", "--tag", "x", root / "source")
    return root


@pytest.fixture
def ours(base: Path) -> Obhut:
    return Obhut(base / "repo")


@pytest.fixture
def theirs(base: Path) -> Restic:
    return Restic(base / "repo")


def test_backup(base: Path, ours: Obhut, theirs: Restic) -> None:
    for number, more in enumerate(([], ["-v"], ["--dry-run"], ["--tag", "t"])):
        (base / "source" / f"ours{number}").write_text("new")
        mine = kinds(ours("run", "--json", *more, base / "source").out)
        (base / "source" / f"theirs{number}").write_text("new")
        wanted = kinds(theirs("backup", "--json", *more, base / "source").out)
        if "--dry-run" in more:
            # restic shows the id of a snapshot that it did not write; there is no such snapshot, so we show none.
            del wanted["summary "]["snapshot_id"]
        assert mine == wanted
        assert list(mine["summary "]) == list(wanted["summary "])


def test_backup_status(base: Path, ours: Obhut, theirs: Restic) -> None:
    def keys(text: bytes) -> set[str]:
        return {key for line in lines(text) if line["message_type"] == "status" for key in line}

    (base / "source" / "large").write_bytes(os.urandom(30_000_000))
    env = {"RESTIC_PROGRESS_FPS": "50"}
    mine = keys(ours("run", "--json", "--force", base / "source", env=env).out)
    wanted = keys(theirs("backup", "--json", "--force", base / "source", env=env).out)
    (base / "source" / "large").unlink()
    assert {"message_type", "percent_done"} <= mine <= wanted | {"seconds_elapsed", "seconds_remaining", "error_count"}


def test_backup_errors(base: Path, ours: Obhut, theirs: Restic) -> None:
    missing = base / "missing"
    mine = ours("run", "--json", base / "source", missing, expect=3)
    wanted = theirs("backup", "--json", base / "source", missing, expect=3)
    assert [shape(line) for line in lines(mine.err)][-1] == shape(lines(wanted.err)[-1])
    assert lines(mine.err)[-1]["code"] == 3
    for tool, verb in ((ours, "run"), (theirs, "backup")):
        ran = tool(verb, "--json", missing, expect=1)
        assert list(lines(ran.err)[-1]) == ["message_type", "code", "message"]


@pytest.mark.parametrize(
    "words",
    [["snapshots", "--json"], ["snapshots", "--json", "--group-by", "host,tags"], ["snapshots", "--json", "--latest", "1"],
     ["snapshots", "--json", "--tag", "x"], ["key", "list", "--json"]],
)  # fmt: skip
def test_listings_are_equal(words: list[str], ours: Obhut, theirs: Restic) -> None:
    def ordered(text: bytes) -> list[str]:
        return sorted(json.dumps(entry) for entry in json.loads(text))

    assert ordered(ours(*words).out) == ordered(theirs(*words).out)


def test_ls_is_equal(base: Path, ours: Obhut, theirs: Restic) -> None:
    for more in ([], [str(base / "source")], ["--recursive", str(base / "source" / "deep")]):
        assert ours("ls", "latest", "--json", *more).out == theirs("ls", "latest", "--json", *more).out
        assert ours("ls", "latest", "-q", *more).out == theirs("ls", "latest", "-q", *more).out
        assert ours("ls", "latest", "-q", "-l", *more).out == theirs("ls", "latest", "-q", "-l", *more).out
    inside = f"latest:{base / 'source'}"
    assert ours("ls", inside, "--json").out == theirs("ls", inside, "--json").out
    assert ours("ls", "latest", "--ncdu").out == theirs("ls", "latest", "--ncdu").out


def test_restore(base: Path, tmp_path: Path, ours: Obhut, theirs: Restic) -> None:
    for more in ([], ["-vv"]):
        target = tmp_path / ("x" + "".join(more))
        mine = kinds(ours("restore", "latest", "--json", *more, "--target", target / "ours").out)
        wanted = kinds(theirs("restore", "latest", "--json", *more, "--target", target / "theirs").out)
        for found in (mine, wanted):
            found["summary "].pop("seconds_elapsed", None)  # left out below one second
        assert mine == wanted


def test_check(ours: Obhut, theirs: Restic) -> None:
    assert ours("check", "--json").out == theirs("check", "--json").out


def test_forget(ours: Obhut, theirs: Restic) -> None:
    words = ["forget", "--json", "--dry-run", "--keep-last", "1", "--keep-tag", "t", "--group-by", "host"]
    assert lines(ours(*words).out)[0] == lines(theirs(*words).out)[0]


def test_prune(ours: Obhut, theirs: Restic) -> None:
    mine = lines(ours("prune", "--json", "--dry-run").out)[-1]
    wanted = lines(theirs("prune", "--json", "--dry-run").out)[-1]
    assert shape(mine) == shape(wanted)
    assert mine["blobs"]["used"] == wanted["blobs"]["used"]


def test_objects_are_equal(ours: Obhut, theirs: Restic) -> None:
    (config, snapshot) = (["cat", "config"], ["cat", "snapshot", ours.snapshots()[0]["id"]])
    assert json.loads(ours(*config).out) == json.loads(theirs(*config).out)
    assert json.loads(ours(*snapshot).out) == json.loads(theirs(*snapshot).out)
    for kind in ("keys", "snapshots", "index", "packs", "blobs"):
        assert sorted(ours("list", kind).out.splitlines()) == sorted(theirs("list", kind).out.splitlines())
    tree = ours("cat", "tree", ours.snapshots()[0]["id"]).out
    assert tree == theirs("cat", "tree", ours.snapshots()[0]["id"]).out
    index = theirs("list", "index").text.split()[0]
    assert json.loads(ours("cat", "index", index[:10]).out) == json.loads(theirs("cat", "index", index).out)


def test_errors(tmp_path: Path, base: Path) -> None:
    for tool, words, code in (
        (Obhut, ["snapshots"], 10), (Restic, ["snapshots"], 10),
    ):  # fmt: skip
        ran = tool(tmp_path / "none")(*words, "--json", expect=code)
        line = lines(ran.err)[-1]
        assert (list(line), line["message_type"], line["code"]) == (
            ["message_type", "code", "message"], "exit_error", code,
        )  # fmt: skip
