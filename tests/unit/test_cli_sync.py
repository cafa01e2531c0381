"""``obhut sync`` as a person and as a script use it; the engine below is a stand-in."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from obhut import _core
from program import Obhut
from sync_stand_in import PROGRAM, id_of

PHONE, TABLET = id_of("phone"), id_of("tablet")


@pytest.fixture
def obhut(tmp_path: Path) -> Obhut:
    user = Obhut(tmp_path)
    user.program = PROGRAM
    user.environ["OBHUT_SYNC_HOME"] = str(tmp_path / "H")
    (tmp_path / "photos").mkdir()
    return user


@pytest.fixture
def made(obhut: Obhut, tmp_path: Path) -> Obhut:
    """A device with a folder that is shared with a phone."""
    for words in (
        ["init"],
        ["device", "add", PHONE, "--name", "phone", "--address", "tcp://192.0.2.1:22000"],
        ["folder", "add", "photos", "--id", "photos", "--label", "Fotos"],
        ["share", "photos", "phone"],
    ):
        run = obhut("sync", *words)
        assert run.code == 0, run.err
    return obhut


def eventually(check: Any, seconds: float = 20) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := check():
            return found
        time.sleep(0.05)
    raise AssertionError("it never came")


@contextmanager
def running(obhut: Obhut, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    home = Path(obhut.environ["OBHUT_SYNC_HOME"])
    process = obhut.start("sync", "run", *words)
    try:
        eventually((home / "control.sock").exists)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def stage(obhut: Obhut, **words: Any) -> None:
    place = Path(obhut.environ["OBHUT_SYNC_HOME"]) / "stage.json"
    place.with_suffix(".new").write_text(json.dumps(words))
    place.with_suffix(".new").rename(place)


def told(obhut: Obhut) -> list[Any]:
    words: list[Any] = json.loads((Path(obhut.environ["OBHUT_SYNC_HOME"]) / "told.json").read_text())
    return words


def test_a_device_is_made_once(obhut: Obhut, tmp_path: Path) -> None:
    run = obhut("sync", "init", "--name", "hub", "--listen", "tcp://127.0.0.1:0")
    assert run.code == 0, run.err
    own = run.out.splitlines()[0]
    assert obhut("sync", "id").out == f"{own}\n"
    [shown] = obhut("sync", "id", "--json").json()
    assert shown == {"message_type": "id", "id": own}
    assert stat.S_IMODE((tmp_path / "H").stat().st_mode) == 0o700
    assert 'name = "hub"' in (tmp_path / "H/sync.toml").read_text()
    run = obhut("sync", "init")
    assert (run.code, "[sync-home-exists]" in run.err) == (1, True)
    run = obhut("sync", "init", "--home", "other", "--json")
    assert run.json()[0]["home"] == str(tmp_path / "other")
    assert run.json()[0]["id"] != own


def test_where_the_home_is(obhut: Obhut, tmp_path: Path) -> None:
    assert obhut("sync", "init", OBHUT_SYNC_HOME=None).code == 0
    assert (obhut.home / ".local/state/obhut/sync/cert.pem").exists()
    config = obhut.home / ".config/obhut/obhut.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'[sync]\nhome = "{tmp_path}/mine"\n')
    assert obhut("sync", "init", OBHUT_SYNC_HOME=None).code == 0
    assert (tmp_path / "mine/cert.pem").exists()


def test_devices(made: Obhut) -> None:
    run = made("sync", "device", "add", PHONE.lower().replace("-", ""))
    assert "[sync-device-exists]" in run.err
    assert "[sync-device-exists]" in made("sync", "device", "add", TABLET, "--name", "phone").err
    assert "[invalid-argument]" in made("sync", "device", "add", PHONE[:-1] + "A").err
    own = made("sync", "id").out.strip()
    assert "this very device" in made("sync", "device", "add", own).err
    assert made("sync", "device", "set", PHONE[:7], "--address", "dynamic", "--name", "Telefon").code == 0
    [one] = made("sync", "device", "list", "--json").json()
    assert (one["id"], one["name"], one["addresses"]) == (PHONE, "Telefon", ["dynamic"])
    assert made("sync", "device", "remove", "Telefon").code == 0
    assert made("sync", "folder", "list", "--json").json()[0]["members"] == []


def test_folders(made: Obhut, tmp_path: Path) -> None:
    assert (tmp_path / "photos/.stfolder").is_dir()
    [one] = made("sync", "folder", "list", "--json").json()
    assert one["path"] == str(tmp_path / "photos")
    assert one["members"] == [{"device": PHONE, "writes": True}]
    for words, wanted in [
        (["folder", "add", "photos", "--id", "photos"], "sync-folder-exists"),
        (["folder", "add", "photos", "--id", "again"], "sync-folder-place"),
        (["folder", "add", "absent", "--id", "x"], "sync-folder-place"),
        (["folder", "add", ".", "--id", "x"], "sync-folder-place"),
        (["folder", "add", "H", "--id", "x"], "sync-folder-place"),
        (["folder", "add", "photos/.stfolder", "--id", "x"], "sync-folder-place"),
        (["folder", "set", "x", "--label", "y"], "sync-folder-unknown"),
        (["share", "photos", "tablet"], "sync-device-unknown"),
        (["share", "x", "phone"], "sync-folder-unknown"),
        (["pause", "x"], "sync-folder-unknown"),
    ]:
        before = (tmp_path / "H/sync.toml").read_bytes()
        run = made("sync", *words)
        assert (run.code, run.out) == (1, "")
        assert f"[{wanted}]" in run.err, words
        assert (tmp_path / "H/sync.toml").read_bytes() == before
    assert not (tmp_path / ".stfolder").exists()
    assert made("sync", "folder", "add", "photos", "--id", "a b").code == 2
    assert made("sync", "folder", "set", "photos", "--versions", "some").code == 2
    for words in (
        ["folder", "set", "photos", "--versions", "simple:3", "--direction", "send-only"],
        ["share", "photos", "phone", "--read-only"],
        ["pause", "photos"],
        ["pause", "phone"],
    ):
        assert made("sync", *words).code == 0
    [one] = made("sync", "folder", "list", "--json").json()
    assert (one["versions"], one["direction"], one["paused"]) == ("simple:3", "send-only", True)
    assert one["members"][0]["writes"] is False
    assert made("sync", "device", "list", "--json").json()[0]["paused"] is True
    assert made("sync", "resume", "photos").code == 0
    assert made("sync", "unshare", "photos", "phone").code == 0
    assert made("sync", "folder", "remove", "photos").code == 0
    assert made("sync", "folder", "list", "--json").json() == []
    assert (tmp_path / "photos/.stfolder").is_dir()


def test_without_a_device_everything_says_so(obhut: Obhut) -> None:
    for words in (["id"], ["status"], ["run"], ["folder", "add", "photos", "--id", "f"], ["scan"], ["share", "f", "d"]):
        run = obhut("sync", *words)
        assert (run.code, run.out) == (10, "")
        assert "obhut sync init" in run.err


def test_status_while_nothing_runs(made: Obhut) -> None:
    run = made("sync", "status")
    assert run.code == 1
    assert "Fotos" in run.out
    assert "stopped" in run.out
    assert "[sync-not-running]" in run.err
    assert "obhut sync run" in run.err
    run = made("sync", "status", "--json")
    [found] = run.json()
    assert found["running"] is False
    assert found["folders"][0]["id"] == "photos"
    assert run.errors()[0]["code"] == 1
    for words in (["scan"], ["log"], ["accept"]):
        assert "[sync-not-running]" in made("sync", *words).err


def test_running(made: Obhut, tmp_path: Path) -> None:
    with running(made, "--listen", "tcp://127.0.0.1:0", "--json") as process:
        assert stat.S_IMODE((tmp_path / "H/control.sock").stat().st_mode) == 0o600
        [found] = made("sync", "status", "--json").json()
        assert found["running"] is True
        assert found["listening"] == ["tcp://127.0.0.1:45678"]
        assert found["folders"][0]["path"] == str(tmp_path / "photos")
        assert [remark["kind"] for remark in found["remarks"]] == ["away"]
        run = made("sync", "run")
        assert (run.code, "[sync-running]" in run.err) == (11, True)
        assert made("sync", "scan").code == 0
        assert {"scan": "photos"} in told(made)
        assert "[sync-direction]" in made("sync", "revert", "photos").err
        assert made("sync", "folder", "set", "photos", "--direction", "receive-only").code == 0
        assert made("sync", "revert", "photos").code == 0
        eventually(lambda: [one for one in told(made) if "configure" in one][1:])
        settings = tmp_path / "H/sync.toml"
        good = settings.read_text()
        settings.write_text("what = 1\n")
        eventually(lambda: made("sync", "log", "--json").out.count("misconfigured"))
        settings.write_text(good)
        eventually(lambda: made("sync", "log", "--json").out.count('"configured"') >= 2)
        process.send_signal(signal.SIGHUP)
        eventually(lambda: made("sync", "log", "--json").out.count('"configured"') >= 3)
        assert len(made("sync", "log", "--last", "1", "--json").json()) == 1
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, err) == (0, b"")
        lines = [json.loads(line) for line in out.splitlines()]
        assert lines[0]["message_type"] == "started"
        assert lines[-1] == {"message_type": "stopped"}
        assert told(made)[-1] == "stop"
    assert not (tmp_path / "H/control.sock").exists()


def test_a_process_that_was_killed_is_in_nobodys_way(made: Obhut) -> None:
    with running(made) as process:
        process.kill()
        process.wait()
    assert "[sync-not-running]" in made("sync", "status").err
    with running(made) as process:
        eventually(lambda: made("sync", "status").code == 0)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
        assert process.returncode == 0
        assert b"listens at tcp://0.0.0.0:22000" in out


def test_what_is_offered_is_accepted(made: Obhut, tmp_path: Path) -> None:
    with running(made) as process:
        stage(made, events=[
            {"event": "stranger", "device": TABLET, "name": "tablet", "address": "192.0.2.9:40000"},
            {"event": "offered", "device": PHONE, "folder": "music", "label": "Musik"},
            {"event": "conflict", "folder": "photos", "name": "a.txt", "copy": "a.sync-conflict-x.txt"},
            {"event": "connected", "device": PHONE},
            {"event": "disconnected", "device": PHONE, "reason": "it said so"},
        ])  # fmt: skip
        listed = eventually(lambda: made("sync", "accept", "--json").json())
        assert [one["message_type"] for one in listed] == ["stranger", "offer"]
        kinds = {remark["kind"] for remark in made("sync", "status", "--json").json()[0]["remarks"]}
        assert {"stranger", "offered"} <= kinds
        assert made("sync", "accept", TABLET[:7]).code == 0
        assert made("sync", "accept", "music").code == 2
        run = made("sync", "accept", "music", "--into", "new/music", "--read-only")
        assert run.code == 0, run.err
        assert (tmp_path / "new/music/.stfolder").is_dir()
        assert "[sync-nothing-offered]" in made("sync", "accept", "nothing").err
        eventually(lambda: made("sync", "accept", "--json").json() == [])
        folders = {one["id"]: one for one in made("sync", "folder", "list", "--json").json()}
        assert folders["music"]["label"] == "Musik"
        assert folders["music"]["members"] == [{"device": PHONE, "writes": False}]
        assert {one["name"] for one in made("sync", "device", "list", "--json").json()} == {"phone", "tablet"}
        process.terminate()
        out, _ = process.communicate(timeout=20)
        assert b"phone offers the folder music" in out
        assert b"the other content lies in a.sync-conflict-x.txt" in out
        assert b"phone: disconnected: it said so" in out
    seen = {one["name"]: one.get("last_seen") for one in made("sync", "status", "--json").json()[0]["devices"]}
    assert seen["phone"]
    assert seen["phone"].endswith("Z")
    assert seen["tablet"] is None
    assert "not since 20" in made("sync", "status").out


def test_the_socket_answers_nonsense_with_words(made: Obhut, tmp_path: Path) -> None:
    with running(made):
        for sent in (
            b"nonsense\n",
            b"[]\n",
            b'{"do":"fly"}\n',
            b'{"do":"scan","folder":"x"}\n',
            b"",
            b'{"do":"log","count":"x"}\n',
        ):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(tmp_path / "H/control.sock"))
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                assert b'"error"' in connection.makefile("rb").read()
        assert made("sync", "status").code == 0


def test_a_home_with_a_long_name(obhut: Obhut, tmp_path: Path) -> None:
    obhut.environ["OBHUT_SYNC_HOME"] = str(tmp_path / ("x" * 120))
    assert obhut("sync", "init").code == 0
    with running(obhut):
        assert obhut("sync", "status").code == 0


@pytest.mark.parametrize(
    ("keep", "kept", "versions"), [("--mine", "copy", ["file"]), ("--theirs", "file", ["copy"]), ("--both", "file", [])]
)
def test_conflicts_are_settled_and_nothing_is_lost(
    made: Obhut, tmp_path: Path, keep: str, kept: str, versions: list[str]
) -> None:
    folder = tmp_path / "photos/deep"
    folder.mkdir()
    (folder / "a.txt").write_text("file")
    (folder / f"a.sync-conflict-20260301-120000-{PHONE[:7]}.txt").write_text("copy")
    (folder / "b.sync-conflict-no.txt").write_text("none")
    [one] = made("sync", "conflicts", "list", "--json").json()
    assert (one["name"], one["winner_name"], one["when"]) == ("deep/a.txt", "phone", "2026-03-01 12:00:00")
    assert "deep/a.txt" in made("sync", "conflicts", "list").out
    assert made("sync", "conflicts", "resolve", "deep/a.txt").code == 2
    assert "[sync-no-conflict]" in made("sync", "conflicts", "resolve", "a.txt", keep).err
    run = made("sync", "conflicts", "resolve", "deep/a.txt", keep)
    assert run.code == 0, run.err
    assert (folder / "a.txt").read_text() == kept
    found = sorted((tmp_path / "photos/.stversions").rglob("*.txt"))
    assert [path.read_text() for path in found] == versions
    assert all(path.parent.name == "deep" and path.name.startswith("a~20") for path in found)
    both = folder / "a (conflict 2026-03-01 12.00.00).txt"
    assert both.exists() == (keep == "--both")
    assert made("sync", "conflicts", "list", "--json").json() == []


def test_a_conflict_that_this_device_won(made: Obhut, tmp_path: Path) -> None:
    own = made("sync", "id").out[:7]
    (tmp_path / "photos/a").write_text("ours")
    (tmp_path / f"photos/a.sync-conflict-20260301-120000-{own}").write_text("theirs")
    assert "this device" in made("sync", "conflicts", "list").out
    [done] = made("sync", "conflicts", "resolve", "a", "--theirs", "--json").json()
    assert (tmp_path / "photos/a").read_text() == "theirs"
    assert (tmp_path / "photos/.stversions" / done["other"]).read_text() == "ours"


def test_links_lead_no_conflict_out_of_the_folder(made: Obhut, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / f"outside/a.sync-conflict-20260301-120000-{PHONE[:7]}").write_text("x")
    (tmp_path / "photos/link").symlink_to(tmp_path / "outside")
    assert made("sync", "conflicts", "list", "--json").json() == []
    (tmp_path / "photos/.stversions").symlink_to(tmp_path / "outside")
    (tmp_path / f"photos/a.sync-conflict-20260301-120000-{PHONE[:7]}").write_text("x")
    run = made("sync", "conflicts", "resolve", "a", "--theirs")
    assert "[hostile-tree]" in run.err
    assert len(os.listdir(tmp_path / "outside")) == 1


def test_versions(made: Obhut, tmp_path: Path) -> None:
    place = tmp_path / "photos/.stversions/deep"
    place.mkdir(parents=True)
    (tmp_path / "photos/deep").mkdir()
    for day in ("20260301", "20260302"):
        (place / f"a~{day}-120000.txt").write_text(day)
    listed = made("sync", "versions", "list", "photos", "deep", "--json").json()
    assert [one["name"] for one in listed] == ["deep/a.txt"] * 2
    assert made("sync", "versions", "list", "photos", "other", "--json").json() == []
    assert made("sync", "versions", "restore", "photos", "deep/a.txt").code == 0
    assert (tmp_path / "photos/deep/a.txt").read_text() == "20260302"
    words = ["restore", "photos", "deep/a~20260301-120000.txt", "--into"]
    assert made("sync", "versions", *words, "deep/old.txt").code == 0
    assert "[output-exists]" in made("sync", "versions", *words, "deep/a.txt").err
    assert "[sync-no-version]" in made("sync", "versions", "restore", "photos", "x").err
    assert made("sync", "versions", "prune", "photos").code == 0


def test_ignores(made: Obhut, tmp_path: Path) -> None:
    assert made("sync", "ignore", "add", "photos", "*.tmp", "*.bak").code == 0
    assert made("sync", "ignore", "add", "photos", "*.tmp", "x", "--first").code == 0
    assert (tmp_path / "photos/.stignore").read_text() == "x\n*.tmp\n*.bak\n"
    assert made("sync", "ignore", "list", "photos").out == "x\n*.tmp\n*.bak\n"
    assert made("sync", "ignore", "test", "photos", "a.tmp", "a").out == "ignored  a.tmp\nshared   a\n"
    assert made("sync", "ignore", "remove", "photos", "x").code == 0
    assert "[sync-ignores]" in made("sync", "ignore", "remove", "photos", "x").err
    assert made("sync", "ignore", "add", "photos", " ").code == 2
    assert (tmp_path / "photos/.stignore").read_text() == "*.tmp\n*.bak\n"


def test_a_unit_that_systemd_takes(made: Obhut, tmp_path: Path) -> None:
    run = made("sync", "unit", "--user", "daemon")
    assert run.code == 0, run.err
    assert f'sync run --home "{tmp_path / "H"}"' in run.out
    assert f'"{tmp_path / "photos"}"' in run.out
    assert "WantedBy=default.target" in made("sync", "unit").out
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        return  # what is there was checked
    unit = tmp_path / "obhut-sync.service"
    # The program of this test is no file of its own.
    unit.write_text(
        "\n".join("ExecStart=/bin/true" if line.startswith("ExecStart") else line for line in run.out.splitlines())
    )
    checked = subprocess.run([analyze, "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert "obhut-sync.service:" not in checked.stderr, checked.stderr


OLD = """<configuration version="37">
  <folder id="photos" label="Fotos" path="{photos}" type="sendreceive" rescanIntervalS="60">
    <device id="{own}"></device><device id="{phone}"></device>
    <device id="{tablet}"><encryptionPassword>secret</encryptionPassword></device>
    <versioning type="simple"><param key="keep" val="7"></param></versioning>
    <maxConflicts>-1</maxConflicts>
  </folder>
  <folder id="vault" path="/vault" type="receiveencrypted"></folder>
  <device id="{own}" name="laptop"><address>dynamic</address></device>
  <device id="{phone}" name="phone" compression="always">
    <address>tcp://192.0.2.1:22000</address><address>quic://192.0.2.1:22000</address><paused>true</paused>
  </device>
  <device id="{tablet}" name="tablet" introducer="true"><address>dynamic</address></device>
  <options><listenAddress>default</listenAddress><relaysEnabled>true</relaysEnabled></options>
</configuration>
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    home = tmp_path / "old"
    home.mkdir()
    own = _core.sync_identity(str(home))
    text = OLD.format(own=own, phone=PHONE, tablet=TABLET, photos=tmp_path / "photos")
    (home / "config.xml").write_text(text)
    return home


def test_a_home_of_syncthing_is_taken_over(obhut: Obhut, old: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in old.iterdir()}
    [dry] = obhut("sync", "import", "old", "--dry-run", "--json").json()
    assert not (tmp_path / "H").exists()
    run = obhut("sync", "import", "old")
    assert run.code == 0, run.err
    assert "obhut sync folder mark photos" in run.err
    assert {path.name: path.read_bytes() for path in old.iterdir()} == before
    assert obhut("sync", "id").out.strip() == _core.sync_identity(str(old)) == dry["id"]
    assert (tmp_path / "H/key.pem").read_bytes() == before["key.pem"]
    assert stat.S_IMODE((tmp_path / "H/key.pem").stat().st_mode) == 0o600
    devices = {one["name"]: one for one in obhut("sync", "device", "list", "--json").json()}
    assert devices["phone"]["addresses"] == ["tcp://192.0.2.1:22000"]
    assert (devices["phone"]["paused"], devices["phone"]["compression"]) == (True, "always")
    [folder] = obhut("sync", "folder", "list", "--json").json()
    assert (folder["id"], folder["versions"], folder["path"]) == ("photos", "simple:7", str(tmp_path / "photos"))
    assert folder["members"] == [{"device": PHONE, "writes": True}]
    text = (tmp_path / "H/sync.toml").read_text()
    assert "max_conflicts = -1" in text
    assert "rescan = 60" in text
    left = "\n".join(dry["left"])
    for word in ("QUIC", "relays", "global discovery", "encrypted sharing", "receiveencrypted", "introducing"):
        assert word in left
        assert word in run.out
    assert "[sync-home-exists]" in obhut("sync", "import", "old").err


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE x [<!ENTITY a "b">]><configuration>&a;</configuration>',
        '<!DOCTYPE x SYSTEM "file:///etc/passwd"><configuration/>',
        "<other/>",
        "<configuration>",
        "",
    ],
)
def test_what_is_no_home_of_syncthing_is_refused(obhut: Obhut, old: Path, tmp_path: Path, text: str) -> None:
    (old / "config.xml").write_text(text)
    run = obhut("sync", "import", "old")
    assert (run.code, run.out, "[sync-import]" in run.err) == (1, "", True)
    assert not (tmp_path / "H").exists()
