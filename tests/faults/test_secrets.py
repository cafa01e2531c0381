"""The password and the master key reach no output, log, error, process list or child."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools import Obhut, obhut_program, run

CANARY = "CANARY-7f3a-do-not-print"


@pytest.fixture
def ours(tmp_path: Path) -> Obhut:
    tool = Obhut(tmp_path / "repo", CANARY)
    tool.init()
    return tool


def test_no_output_and_no_log_holds_the_password(ours: Obhut, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("x")
    log = tmp_path / "log"
    said = b""
    config = ours.repository / "config"
    for words in (
        ["run", "-vv", source],
        ["snapshots"],
        ["key", "list", "--json"],
        ["cat", "config"],
        ["check", "--read-data"],
        ["restore", "latest", "--target", tmp_path / "out"],
        ["restore", "nonsense", "--target", tmp_path / "out"],
        ["cat", "masterkey"],
    ):
        ran = ours(*words, "--log-file", log, expect=None)
        said += ran.out + ran.err
    config.chmod(0o600)
    config.write_bytes(b"damaged")
    said += ours("snapshots", "--log-file", log, expect=1).err
    assert CANARY.encode() not in said
    assert log.exists()
    assert CANARY not in log.read_text()
    files = [path for path in ours.repository.rglob("*") if path.is_file()]
    assert not any(CANARY.encode() in path.read_bytes() for path in files)


def test_the_master_key_is_not_printed(ours: Obhut) -> None:
    ran = ours("cat", "masterkey", expect={1, 2})
    assert b"encrypt" not in ran.out


def test_children_do_not_inherit_the_password(ours: Obhut, tmp_path: Path) -> None:
    script = tmp_path / "show"
    script.write_text("#!/bin/sh\nenv\n")
    script.chmod(0o755)
    ours("run", "--stdin-from-command", "--stdin-filename", "env", "--", script)
    ours("restore", "latest", "--target", tmp_path / "out")
    shown = (tmp_path / "out" / "env").read_text()
    assert "PATH=" in shown
    assert CANARY not in shown


def test_a_password_command_gets_no_shell_and_no_secrets(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    script = tmp_path / "give"
    script.write_text(f'#!/bin/sh\nenv > {seen}\necho "$#" >> {seen}\necho {CANARY}\n')
    script.chmod(0o755)
    env = {"RESTIC_FROM_PASSWORD": "other-secret"}
    program = obhut_program()
    command = [program, "backup", "init", "-r", tmp_path / "repo", "--password-command", f"{script} 'one word' ; $(id)"]
    subprocess.run(list(map(str, command)), env={**os.environ, **env}, check=True, capture_output=True)
    text = seen.read_text()
    assert "other-secret" not in text
    # The words after the program are arguments: `;` and `$(id)` mean nothing.
    assert text.splitlines()[-1] == "3"
    Obhut(tmp_path / "repo", CANARY)("snapshots")


def test_process_list_and_core_dumps(ours: Obhut) -> None:
    """While it works: no password among the arguments, no core dump, not readable by a debugger of the same user."""
    command = [os.fsdecode(word) for word in (*ours.command(), "run", "-r", ours.repository, "--stdin")]
    with subprocess.Popen(
        command, env={**os.environ, **ours.env}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        deadline = time.monotonic() + 30
        while not list((ours.repository / "locks").iterdir()):
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process = Path(f"/proc/{child.pid}")
        assert CANARY.encode() not in (process / "cmdline").read_bytes()
        (limits,) = [line for line in (process / "limits").read_text().splitlines() if line.startswith("Max core")]
        assert limits.split()[4] == "0"
        child.communicate(b"x", timeout=30)


def test_errors_as_json_hold_no_secret(ours: Obhut) -> None:
    ran = Obhut(ours.repository, CANARY + "-wrong")("snapshots", "--json", expect=12)
    (line,) = [json.loads(text) for text in ran.err.splitlines() if text.startswith(b"{")]
    assert line["message_type"] == "exit_error"
    assert line["code"] == 12
    assert CANARY.encode() not in ran.out + ran.err


@pytest.mark.parametrize("traceback", ["", "1"])
def test_a_crash_report_holds_no_password(ours: Obhut, tmp_path: Path, traceback: str) -> None:
    """A defect whose own text holds the password, in the middle of a command that knows it."""
    code = (
        "import sys\n"
        "from obhut import passwords\n"
        "from obhut.backup import session\n"
        "from obhut.cli import main\n"
        "def broken(*_, **__):\n"
        f"    password = {CANARY!r}\n"
        "    raise RuntimeError('defect with ' + password)\n"
        "session.locked = broken\n"
        "import obhut.cli.front as front\n"
        "front.locked = broken\n"
        "sys.exit(main.run(sys.argv[1:]))\n"
    )
    script = tmp_path / "crash.py"
    script.write_text(code)
    log = tmp_path / "log"
    command: list[str | Path] = [sys.executable, script, "backup", "snapshots", "-r", ours.repository]
    ran = run([*command, "--log-file", log], env={**ours.env, "OBHUT_TRACEBACK": traceback}, expect=1)
    assert b"defect with ***" in ran.err
    assert (b"Traceback" in ran.err) is bool(traceback)
    assert CANARY.encode() not in ran.out + ran.err + log.read_bytes()
