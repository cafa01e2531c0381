"""What a person does, through the real program: first use, exit codes, restore in all its ways."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

import trees
from obhut.cli.console import Console
from obhut.cli.reporter import Front as Reporter
from tools import PASSWORD, Obhut, obhut_program, remains_below, run, same, same_below

ROOT = Path(__file__).resolve().parents[2]
#: The superuser without the right to pass by permissions: for "unreadable" as root.
WITHOUT_OVERRIDE = [
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small folder."""
    folder = tmp_path / "source"
    (folder / "letters").mkdir(parents=True)
    (folder / "letters" / "to-ada.txt").write_text("Dear Ada\n")
    (folder / "letters" / "to-bob.txt").write_text("Dear Bob\n")
    (folder / "photo.raw").write_bytes(os.urandom(1_500_000))
    return folder


@pytest.fixture
def ours(tmp_path: Path) -> Obhut:
    """A new repository."""
    tool = Obhut(tmp_path / "repo")
    tool.init()
    return tool


def content(folder: Path) -> dict[str, int]:
    """Names and sizes: what must stay if nothing may be written."""
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if "locks" not in path.parts
    }


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_quickstart_works_and_works_again(source: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        ran = run([sys.executable, ROOT / "scripts" / "quickstart.py", source, "--place", tmp_path / "quick"])
        assert "came back equal" in ran.text
        assert "Three commands" in ran.text
        same_below(source, tmp_path / "quick" / str(number) / "restored")
        assert (tmp_path / "quick" / str(number) / "password").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_quickstart_fails_if_something_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison can fail: it is no ornament."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))  # as Python does for a script: its other half lies beside it
    spec = importlib.util.spec_from_file_location("quickstart", ROOT / "scripts" / "quickstart.py")
    assert spec
    assert spec.loader
    quickstart = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(quickstart)
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("equal")
        os.utime(tmp_path / name / "file", ns=(1, 1))
    assert quickstart.differences(tmp_path / "left", tmp_path / "right", set()) == []
    (tmp_path / "right" / "file").write_text("equaL")
    os.utime(tmp_path / "right" / "file", ns=(1, 1))
    assert quickstart.differences(tmp_path / "left", tmp_path / "right", set()) == [str(tmp_path / "left" / "file")]
    (tmp_path / "right" / "more").write_text("")
    assert len(quickstart.differences(tmp_path / "left", tmp_path / "right", set())) == 2


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["backup", "--help"]])
def test_help_and_version_are_quick(words: list[str]) -> None:
    def once() -> float:
        """Processor seconds: what others do on the machine does not count."""
        before = os.times()
        run([obhut_program(), *words])
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(once() for _ in range(8)) < 0.2


def test_version_names_the_program() -> None:
    assert run([obhut_program(), "--version"]).text.startswith("obhut 0.")


def test_help_teaches_by_examples() -> None:
    verbs = ["init", "run", "snapshots", "ls", "restore", "check", "forget", "prune", "key", "unlock", "cat", "list"]
    overview = run([obhut_program(), "backup", "--help"]).text
    for verb in verbs:
        assert verb in overview
        assert f"obhut backup {verb}" in run([obhut_program(), "backup", verb, "--help"]).text


def test_backup_and_restore(ours: Obhut, source: Path, tmp_path: Path) -> None:
    ours.backup(source)
    ours.restore(tmp_path / "out")
    same(source, remains_below(tmp_path / "out", source))
    ours("restore", f"latest:{source}/letters", "--target", tmp_path / "letters")
    same_below(source / "letters", tmp_path / "letters")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_everything_goes_through_even_what_peers_cannot(ours: Obhut, tmp_path: Path) -> None:
    """Paths beyond ``PATH_MAX``, years beyond 2262, sockets that are skipped."""
    source = tmp_path / "everything"
    trees.everything(source, trees.Options(deep=5000, far_future=True, sockets=True, wide=1000))
    ran = ours("run", "--json", source)
    assert ran.lines()[-1]["message_type"] == "summary"
    ours("check", "--read-data")
    ours("restore", f"latest:{source}", "--target", tmp_path / "out")
    wanted = trees.describe(source, lambda path: not path.endswith(b"/socket"))
    found = trees.describe(tmp_path / "out")
    # Making the socket changed the time of its folder; nothing else may differ.
    assert set(found) == set(wanted)
    assert {path: found[path] for path in found if found[path] != wanted[path]} == {}
    again = ours("run", "--json", source).lines()[-1]
    assert (again["data_blobs"], again["files_changed"], again["files_new"]) == (0, 0, 0)
    # Only folders above the source may have changed: others work beside it.
    assert again["tree_blobs"] <= len(source.parents)


def test_exit_codes(ours: Obhut, source: Path, tmp_path: Path) -> None:
    ours.backup(source)
    Obhut(tmp_path / "nowhere")("snapshots", expect=10)
    Obhut(tmp_path / "repo", "wrong")("snapshots", expect=12)
    ours("snapshots", "--no-such-option", expect=2)
    ours("init", expect=1)
    before = content(tmp_path / "repo")
    ours("run", tmp_path / "missing", expect=1)
    assert content(tmp_path / "repo") == before
    assert len(ours.snapshots()) == 1
    ran = ours("run", source, tmp_path / "missing", expect=3)
    assert b"missing" in ran.err
    assert len(ours.snapshots()) == 2


def test_no_terminal_and_no_password_is_said_and_never_waits(tmp_path: Path, source: Path) -> None:
    program = obhut_program()
    ran = run([program, "backup", "init", "-r", tmp_path / "repo"], expect=12)
    for way in ("--password-file", "--password-command", "OBHUT_PASSWORD"):
        assert way in ran.err.decode()
    assert not (tmp_path / "repo" / "config").exists()


def test_an_unreadable_file_is_named_and_the_rest_is_saved(ours: Obhut, source: Path) -> None:
    secret = source / "letters" / "secret"
    secret.write_text("x")
    secret.chmod(0)
    prefix = WITHOUT_OVERRIDE if os.geteuid() == 0 else []
    ran = run([*prefix, *ours.command(), "run", "-r", ours.repository, "--json", source], expect=3, env=ours.env)
    errors = [json.loads(line) for line in ran.err.splitlines() if b'"error"' in line]
    assert [error["item"] for error in errors if error["message_type"] == "error"] == [str(secret)]
    assert ran.lines()[-1]["message_type"] == "summary"
    listed = ours.listing()
    assert str(source / "letters" / "to-ada.txt").encode() in listed
    assert str(secret).encode() not in listed


@pytest.mark.slow
@pytest.mark.parametrize("change", ["grows", "shrinks"])
def test_a_file_that_changes_while_it_is_read_is_told_and_saved(ours: Obhut, source: Path, change: str) -> None:
    """What was read is kept: a beginning of some state of the file, and the rest of the source as it is."""
    busy = source / "busy"
    block = os.urandom(1 << 20)
    busy.write_bytes(block * 60)
    done = threading.Event()

    def write() -> None:
        with busy.open("r+b") as file:
            size = 60 << 20
            while not done.wait(0.001):
                size += 1000 if change == "grows" else -1000
                file.truncate(size)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        # Noise that costs time: the file is written to many times between the first and the last byte.
        ran = ours("run", "--threads", "1", source)
    finally:
        done.set()
        writer.join()
    assert b"busy" in ran.err + ran.out
    assert b"changed while it was read" in ran.err + ran.out
    ours("check", "--read-data")
    saved = ours("cat", "tree", f"latest:{source}").out
    (node,) = [node for node in json.loads(saved)["nodes"] if node["name"] == "busy"]
    assert node["size"] > 0
    assert str(source / "letters" / "to-ada.txt").encode() in ours.listing()


def test_a_clock_in_the_past_loses_nothing(ours: Obhut, source: Path, tmp_path: Path) -> None:
    """A machine that believes it is 1970, or 1901: it backs up, and a policy still keeps the newest by their times."""
    from obhut import _core
    from obhut.backup.actions import run as action

    ours.backup(source)
    (now,) = (snapshot["id"] for snapshot in ours.snapshots())
    repository = _core.Repository.open(
        _core.Store.local(os.fsencode(ours.repository)), PASSWORD.encode(), username="u", hostname="h"
    )
    for moment in (0, -2_145_000_000 * 10**9):
        (source / "clock").write_text(str(moment))
        options = action.Options(targets=(os.fsencode(source),), host="h")
        action.run(repository, options, Reporter(Console(), verbosity=0, json=False, log=None), partial(int, moment))
    assert [snapshot["time"][:4] for snapshot in ours.snapshots()][-1] > "2020"
    assert {snapshot["time"][:4] for snapshot in ours.snapshots()} >= {"1970", "1902"}
    ours("check", "--read-data")
    ours("restore", "latest", "--target", tmp_path / "out")
    assert not (remains_below(tmp_path / "out", source) / "clock").exists()
    ours("forget", "--group-by", "", "--keep-last", "1")
    assert [snapshot["id"] for snapshot in ours.snapshots()] == [now]


def test_a_dry_run_writes_nothing(ours: Obhut, source: Path, tmp_path: Path) -> None:
    ours.backup(source)
    (source / "new").write_bytes(os.urandom(100_000))
    before = content(ours.repository)
    summary = ours("run", "--dry-run", "--json", source).lines()[-1]
    assert summary["dry_run"] is True
    assert summary["files_new"] == 1
    ours("forget", "--keep-last", "1", "--dry-run", "--prune")
    ours("restore", "latest", "--target", tmp_path / "out", "--dry-run")
    ours("prune", "--dry-run")
    assert content(ours.repository) == before
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_what_is_left_out_stays_out(ours: Obhut, source: Path) -> None:
    (source / "cache").mkdir()
    (source / "cache" / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n")
    (source / "cache" / "junk").write_text("x")
    (source / "private").mkdir()
    (source / "private" / ".nobackup").write_text("")
    (source / "private" / "diary").write_text("x")
    (source / "a.TMP").write_text("x")
    ours(
        "run",
        "--exclude-caches",
        "--exclude-if-present",
        ".nobackup",
        "--iexclude",
        "*.tmp",
        "--exclude",
        "photo.*",
        "--exclude-larger-than",
        "1M",
        source,
    )
    names = {Path(os.fsdecode(path)).name for path in ours.listing()}
    assert {"junk", "diary", "a.TMP", "photo.raw"} & names == set()
    assert {"to-ada.txt", "cache", "CACHEDIR.TAG"} <= names


def test_streams(ours: Obhut, tmp_path: Path) -> None:
    ours("run", "--stdin", "--stdin-filename", "dump.sql", stdin=b"select 1;\n" * 1000)
    ours("restore", "latest", "--target", tmp_path / "out")
    assert (tmp_path / "out" / "dump.sql").read_bytes() == b"select 1;\n" * 1000
    ours("run", "--stdin-from-command", "--", "printf", "hello")
    assert len(ours.snapshots()) == 2
    ours("run", "--stdin-from-command", "--", "false", expect=1)
    assert len(ours.snapshots()) == 2


def test_skip_if_unchanged(ours: Obhut, source: Path) -> None:
    for _ in range(2):
        ours("run", "--skip-if-unchanged", ".", cwd=source)
    assert len(ours.snapshots()) == 1
    (source / "new").write_text("x")
    ours("run", "--skip-if-unchanged", ".", cwd=source)
    assert len(ours.snapshots()) == 2


def test_snapshots_are_found_by_unique_prefix(ours: Obhut, source: Path, tmp_path: Path) -> None:
    for number in range(20):
        (source / "count").write_text(str(number))
        ours.backup(source)
    ids = [snapshot["id"] for snapshot in ours.snapshots()]
    ours("ls", ids[3][:12])
    ours("ls", "ffffffffffff", expect=1)
    # Twenty ids share sixteen first digits: one of them is ambiguous.
    first = next(digit for digit in "0123456789abcdef" if sum(name.startswith(digit) for name in ids) > 1)
    ran = ours("ls", first, expect=1)
    assert b"more than one" in ran.err.lower() or b"ambiguous" in ran.err.lower()


def test_restore_in_place(ours: Obhut, source: Path, tmp_path: Path) -> None:
    ours.backup(source)
    target = tmp_path / "out"
    where = f"latest:{source}"
    ours("restore", where, "--target", target)
    (target / "letters" / "to-ada.txt").write_text("Changed!\n")
    (target / "extra").write_text("not in the snapshot")
    (target / "photo.raw").unlink()
    ours("restore", where, "--target", target, "--overwrite", "never")
    assert (target / "letters" / "to-ada.txt").read_text() == "Changed!\n"
    assert (target / "photo.raw").exists()
    ours("restore", where, "--target", target, "--overwrite", "if-changed", "--delete", "--dry-run")
    assert (target / "extra").exists()
    ours("restore", where, "--target", target, "--overwrite", "if-changed", "--delete")
    same_below(source, target)


def test_restore_some(ours: Obhut, source: Path, tmp_path: Path) -> None:
    ours.backup(source)
    ours("restore", f"latest:{source}", "--target", tmp_path / "in", "--include", "to-ada.txt")
    assert {p.name for p in (tmp_path / "in").rglob("*") if p.is_file()} == {"to-ada.txt"}
    ours("restore", f"latest:{source}", "--target", tmp_path / "ex", "--exclude", "letters")
    assert {p.name for p in (tmp_path / "ex").rglob("*")} == {"photo.raw"}
    ours("restore", "latest:/no/such/path", "--target", tmp_path / "none", expect=1)


def test_forget_keeps_by_rule_and_prune_frees_space(ours: Obhut, source: Path, tmp_path: Path) -> None:
    for _ in range(4):
        (source / "photo.raw").write_bytes(os.urandom(1_000_000))
        ours.backup(source)
    size = sum(content(ours.repository).values())
    groups = json.loads(ours("forget", "--keep-last", "1", "--group-by", "", "--prune", "--json").out.splitlines()[0])
    assert [len(groups[0]["keep"]), len(groups[0]["remove"])] == [1, 3]
    assert len(ours.snapshots()) == 1
    assert sum(content(ours.repository).values()) < size / 2
    ours("check", "--read-data")
    ours("restore", f"latest:{source}", "--target", tmp_path / "out")
    same_below(source, tmp_path / "out")


def test_a_policy_that_removes_all_is_refused(ours: Obhut, source: Path) -> None:
    ours.backup(source)
    ours("forget", "--keep-tag", "no-such-tag", expect={1, 2})
    assert len(ours.snapshots()) == 1


def test_a_repository_inside_the_source_is_warned_about(source: Path) -> None:
    inside = Obhut(source / "repo")
    inside.init()
    ran = inside("run", source)
    assert b"inside" in ran.err.lower()


def test_the_key_in_use_is_not_removed(ours: Obhut) -> None:
    (key,) = json.loads(ours("key", "list", "--json").out)
    ours("key", "remove", key["id"], expect=1)
    ours("snapshots")


def test_config_file_profiles(source: Path, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    config = Path(os.environ["XDG_CONFIG_HOME"]) / "obhut"
    config.mkdir(parents=True)
    (config / "obhut.toml").write_text(
        f'[profiles.home]\nrepository = "{tmp_path / "repo"}"\npassword_file = "{password}"\n'
    )
    program = obhut_program()
    run([program, "--profile", "home", "backup", "init"])
    run([program, "--profile", "home", "backup", "run", source])
    assert len(Obhut(tmp_path / "repo").snapshots()) == 1


def test_restic_variables_are_read(source: Path, tmp_path: Path) -> None:
    env = {"RESTIC_REPOSITORY": str(tmp_path / "repo"), "RESTIC_PASSWORD": PASSWORD}
    for words in (["init"], ["run", str(source)], ["snapshots"]):
        run([obhut_program(), "backup", *words], env=env)


def test_threads_one_works(ours: Obhut, source: Path, tmp_path: Path) -> None:
    ours("run", "--threads", "1", source)
    ours("check", "--read-data", "--threads", "1")
    ours("restore", f"latest:{source}", "--target", tmp_path / "out", "--threads", "1")
    same_below(source, tmp_path / "out")


def test_python_runs_the_module(source: Path) -> None:
    child = subprocess.run([sys.executable, "-m", "obhut", "--version"], capture_output=True, text=True, check=True)
    assert child.stdout.startswith("obhut ")


def dir_caches(base: Path) -> list[Path]:
    """The files of the directory cache."""
    return sorted(base.glob("*/dirs/*"))


def test_a_cache_that_cannot_be_written_is_a_warning(source: Path, ours: Obhut, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    ran = ours("run", "--cache-dir", tmp_path / "file", source)
    assert b"its cache could not be written" in ran.err
    assert b"saved" in ran.out
    assert len(ours.snapshots()) == 1


def test_caches_of_other_backups_go_when_they_are_old(source: Path, ours: Obhut, tmp_path: Path) -> None:
    base = tmp_path / "cache"
    ours("run", "--cache-dir", "cache", source, cwd=tmp_path)
    [first] = dir_caches(base)
    ours("run", "--cache-dir", base, "--one-file-system", source)
    other = Obhut(tmp_path / "other")
    other.init()
    other("run", "--cache-dir", base, source)
    assert len(dir_caches(base)) == 3
    for file in dir_caches(base):
        os.utime(file, (time.time() - 91 * 86400,) * 2)
    ran = ours("run", "--cache-dir", base, source)
    assert (ran.err, dir_caches(base)) == (b"", [first])
