"""Commands on a repository that need no data: init, key, list, cat, snapshots, unlock; exit codes, prompts, signals."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import termios
import time
from pathlib import Path
from typing import Any

import pytest

from holding import locks
from obhut import __version__
from program import PASSWORD, PROGRAM, Obhut

#: Each case opens repositories through whole processes, with real key derivation.
pytestmark = pytest.mark.slow


@pytest.fixture
def obhut(tmp_path: Path) -> Obhut:
    program = Obhut(tmp_path)
    assert program.backup("init").code == 0
    return program


def typed(obhut: Obhut, arguments: list[str], answers: list[bytes]) -> tuple[int, bytes]:
    """Runs the program at a terminal and types an answer at each prompt."""
    environ = obhut.environment({"OBHUT_PASSWORD": None, "TERM": "xterm"})
    master, slave = pty.openpty()
    child = subprocess.Popen(
        [*PROGRAM, *arguments],
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  (the terminal becomes its own)
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environ,
        start_new_session=True,
        cwd=obhut.base,
    )
    os.close(slave)
    said, waiting, deadline = b"", list(answers), time.monotonic() + 50
    while time.monotonic() < deadline:
        ready, _, _ = select.select([master], [], [], 0.1)
        try:
            said += os.read(master, 4096) if ready else b""
        except OSError:
            break
        if waiting and said.endswith(b": ") and ready:
            time.sleep(0.1)
            os.write(master, waiting.pop(0))
    os.close(master)
    return child.wait(10), said


def test_init_in_restics_shape(tmp_path: Path) -> None:
    program = Obhut(tmp_path)
    run = program.backup("init", "--json")
    [line] = run.json()
    assert list(line) == ["message_type", "id", "repository"]
    assert (run.code, line["message_type"], len(line["id"])) == (0, "initialized", 64)
    again = program.backup("init", "--json")
    assert again.code == 1
    assert "repository-exists" in again.errors()[0]["message"]


def test_versions_and_chunker_parameters(obhut: Obhut) -> None:
    config = json.loads(obhut.backup("cat", "config").out)
    assert config["version"] == 2
    second = str(obhut.base / "second")
    environ: dict[str, Any] = {"OBHUT_FROM_REPOSITORY": str(obhut.repository), "RESTIC_FROM_PASSWORD": PASSWORD}
    assert obhut.backup("init", "-r", second, "--copy-chunker-params", **environ).code == 0
    copied = json.loads(obhut.backup("cat", "config", "-r", second).out)
    assert copied["chunker_polynomial"] == config["chunker_polynomial"]
    assert copied["id"] != config["id"]
    old = str(obhut.base / "old")
    assert obhut.backup("init", "-r", old, "--repository-version", "1").code == 0
    assert json.loads(obhut.backup("cat", "config", "-r", old).out)["version"] == 1
    assert obhut.backup("init", "-r", old + "x", "--repository-version", "3").code == 2
    assert obhut.backup("init", "-r", old + "y", "--from-repo", second).code == 2


def test_exit_codes(obhut: Obhut) -> None:
    assert obhut.backup("snapshots", OBHUT_PASSWORD="wrong").code == 12
    assert obhut.backup("snapshots", OBHUT_PASSWORD=None).code == 12
    assert obhut.backup("snapshots", "-r", str(obhut.base / "none")).code == 10
    assert obhut.backup("ls", "latest").code == 1
    assert obhut.backup("ls", "abcdef").code == 1
    assert obhut.backup("forget").code == 1
    assert obhut.backup("snapshots", "-r", "s3:host/bucket").code == 1
    assert obhut.backup("snapshots", "--profile", "nobody").code == 1
    assert obhut.backup("snapshots", OBHUT_PACK_SIZE="3").code == 1
    assert obhut.locks() == []


def test_exit_error_object(obhut: Obhut) -> None:
    run = obhut.backup("snapshots", "--json", OBHUT_PASSWORD="wrong")
    [line] = run.errors()
    assert list(line) == ["message_type", "code", "message"]
    assert (line["message_type"], line["code"], run.out) == ("exit_error", 12, "")


def test_password_sources(obhut: Obhut) -> None:
    file = obhut.base / "password"
    file.write_text(f"\ufeff{PASSWORD}\r\n", "utf-16")
    plain = obhut.base / "plain"
    plain.write_text(PASSWORD + "\n")
    bare: dict[str, Any] = {"OBHUT_PASSWORD": None}
    assert obhut.backup("snapshots", "-p", str(plain), **bare).code == 0
    assert obhut.backup("snapshots", "--password-command", f"cat '{plain}'", **bare).code == 0
    assert obhut.backup("snapshots", **bare, RESTIC_PASSWORD_FILE=str(plain)).code == 0
    assert obhut.backup("snapshots", **bare, OBHUT_PASSWORD_COMMAND=f"cat {plain}").code == 0
    assert obhut.backup("snapshots", "-p", str(plain), OBHUT_PASSWORD="wrong").code == 0
    assert obhut.backup("snapshots", "--password-keyring", "none", **bare).code == 12
    assert obhut.backup("snapshots", "--password-command", "false", **bare).code == 12
    assert obhut.backup("snapshots", "-p", str(plain), "--insecure-no-password", **bare).code == 1


def test_a_keyring_gives_the_password(obhut: Obhut) -> None:
    """A keyring of our own that knows one entry; one that breaks says nothing of what it held."""
    folder = obhut.base / "backends"
    folder.mkdir()
    (folder / "rings.py").write_text(
        "from keyring.backend import KeyringBackend\n"
        "class Ring(KeyringBackend):\n"
        "    priority = 1\n"
        "    def get_password(self, service, username):\n"
        "        if username == 'broken':\n"
        f"            raise RuntimeError({PASSWORD!r})\n"
        f"        return {{('obhut', 'home'): {PASSWORD!r}}}.get((service, username))\n"
        "    def set_password(self, service, username, password): raise NotImplementedError\n"
        "    def delete_password(self, service, username): raise NotImplementedError\n"
    )
    more: dict[str, Any] = {
        "OBHUT_PASSWORD": None,
        "PYTHON_KEYRING_BACKEND": "rings.Ring",
        "PYTHONPATH": f"{folder}{os.pathsep}{obhut.environ['PYTHONPATH']}",
    }
    assert obhut.backup("snapshots", "--password-keyring", "home", **more).code == 0
    assert obhut.backup("snapshots", "--password-keyring", "elsewhere", **more).code == 12
    broken = obhut.backup("snapshots", "--password-keyring", "broken", **more)
    assert broken.code == 12
    assert PASSWORD not in broken.out + broken.err


def test_empty_password_on_purpose(tmp_path: Path) -> None:
    program = Obhut(tmp_path)
    bare: dict[str, Any] = {"OBHUT_PASSWORD": None}
    assert program.backup("init", "--insecure-no-password", **bare).code == 0
    assert program.backup("snapshots", "--insecure-no-password", **bare).code == 0
    assert program.backup("snapshots", OBHUT_PASSWORD="x").code == 12


def test_profile(obhut: Obhut) -> None:
    (obhut.base / "pw").write_text(PASSWORD)
    folder = obhut.home / ".config" / "obhut"
    folder.mkdir(parents=True)
    (folder / "obhut.toml").write_text(
        f"[profiles.p]\nrepository = '{obhut.repository}'\npassword_file = '{obhut.base / 'pw'}'\n"
    )
    bare: dict[str, Any] = {"OBHUT_PASSWORD": None, "OBHUT_REPOSITORY": None}
    assert obhut.backup("snapshots", "--profile", "p", **bare).code == 0
    assert obhut("--profile", "p", "backup", "snapshots", **bare).code == 0
    assert obhut.backup("snapshots", **bare, OBHUT_PROFILE="p").code == 0
    assert obhut.backup("snapshots", **bare).code == 1
    # The environment goes before the profile.
    assert (
        obhut.backup("snapshots", "--profile", "p", OBHUT_REPOSITORY="/nowhere/at/all", OBHUT_PASSWORD=None).code == 10
    )


def test_keys(obhut: Obhut) -> None:
    (obhut.base / "second").write_text("second password")
    run = obhut.backup("key", "add", "--new-password-file", str(obhut.base / "second"), "--user", "u", "--host", "h")
    assert run.code == 0
    keys = obhut.backup("key", "list", "--json").json()[0]
    assert [list(key) for key in keys] == [["current", "id", "userName", "hostName", "created"]] * 2
    other = next(key for key in keys if not key["current"])
    assert (other["userName"], other["hostName"]) == ("u", "h")
    current = next(key for key in keys if key["current"])
    refused = obhut.backup("key", "remove", current["id"][:10])
    assert refused.code == 1
    assert "key-in-use" in refused.err
    assert obhut.backup("snapshots", OBHUT_PASSWORD="second password").code == 0
    assert obhut.backup("key", "remove", other["id"][:10]).code == 0
    assert obhut.backup("snapshots", OBHUT_PASSWORD="second password").code == 12
    assert obhut.backup("key", "remove", "ffffffffff").code == 1
    (obhut.base / "third").write_text("third password")
    assert obhut.backup("key", "passwd", "--new-password-file", str(obhut.base / "third")).code == 0
    assert obhut.backup("snapshots").code == 12
    assert obhut.backup("snapshots", OBHUT_PASSWORD="third password").code == 0
    assert obhut.backup("key", "add", OBHUT_PASSWORD="third password").code == 12  # no terminal, no source: no hang


def test_looking_around(obhut: Obhut) -> None:
    assert obhut.backup("snapshots", "--json").out == "[]\n"
    assert obhut.backup("snapshots", "--json", "-g", "host").out == "[]\n"
    assert len(obhut.backup("list", "keys").out.splitlines()) == 1
    for kind in ("blobs", "packs", "index", "snapshots", "locks"):
        run = obhut.backup("list", kind)
        assert (run.code, run.out) == (0, ""), kind
    assert obhut.backup("list", "moons").code == 1
    key = obhut.backup("list", "keys").out[:12]
    assert json.loads(obhut.backup("cat", "key", key).out)["kdf"] == "scrypt"
    refused = obhut.backup("cat", "masterkey")
    assert (refused.code, refused.out) == (1, "")
    assert obhut.backup("cat", "tree", "latest").code == 1
    assert obhut.backup("cat", "blob", "ab").code == 1
    assert obhut.backup("cat", "pack").code == 1
    assert obhut.backup("unlock").code == 0


def test_typed_passwords(tmp_path: Path) -> None:
    program = Obhut(tmp_path)
    password = PASSWORD.encode() + b"\n"
    code, said = typed(program, ["backup", "init"], [password, b"other\n"])
    assert code == 1
    assert b"password-mismatch" in said
    code, said = typed(program, ["backup", "init"], [password, password])
    assert code == 0
    assert PASSWORD.encode() not in said
    code, said = typed(program, ["backup", "snapshots"], [b"mistyped\n", password])
    assert code == 0
    assert said.count(b"password for the repository") == 2
    code, said = typed(program, ["backup", "snapshots"], [b"a\n", b"b\n", b"c\n", b"d\n"])
    assert code == 12
    assert b"Traceback" not in said


def test_interrupt_at_the_prompt(obhut: Obhut) -> None:
    code, said = typed(obhut, ["backup", "snapshots"], [b"\x03"])
    assert code == 130
    assert b"[cancelled]" in said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_while_waiting_for_a_lock(obhut: Obhut, number: int, code: int) -> None:
    """A forged exclusive lock cannot be made without the key: another process of ours holds it."""
    reading, writing = os.pipe()
    holder = subprocess.Popen(
        [*PROGRAM, "backup", "run", "--stdin"], stdin=reading, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env=obhut.environment({}), cwd=obhut.base,
    )  # fmt: skip
    os.close(reading)
    try:
        deadline = time.monotonic() + 40
        while not locks(obhut.repository):  # named: until then a listing shows the file under its temporary name
            assert holder.poll() is None, holder.stderr and holder.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        held = obhut.locks()
        refused = obhut.backup("check")
        assert refused.code == 11
        assert "repository-locked" in refused.err
        assert obhut.locks() == held
        waiting = obhut.start("backup", "check", "--retry-lock", "5m")
        time.sleep(3)
        assert waiting.poll() is None
        start = time.monotonic()
        waiting.send_signal(number)
        _, said = waiting.communicate(timeout=20)
        assert time.monotonic() - start < 2.5
        assert waiting.returncode == code
        assert b"Traceback" not in said
        assert obhut.locks() == held
    finally:
        os.close(writing)
        holder.communicate(timeout=30)
    assert obhut.locks() == []


def test_log_file(obhut: Obhut) -> None:
    log = obhut.base / "log"
    assert obhut.backup("snapshots", "-vv", "--log-file", str(log)).code == 0
    assert f"repository {json.loads(obhut.backup('cat', 'config').out)['id'][:8]} opened" in log.read_text()
    assert obhut.backup("snapshots", "--log-file", "/nowhere/at/all").code == 1


def test_core_and_package_have_one_version() -> None:
    from obhut import _core

    assert _core.__version__ == __version__
