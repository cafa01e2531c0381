"""Where passwords come from; that they do not show; that nothing hangs."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from obhut.errors import ObhutError
from obhut.passwords import (
    SECRETS,
    Question,
    Secret,
    Sources,
    child_environment,
    from_command,
    from_environment,
    from_file,
    redact,
)

CANARY = "c4n4ry-Passwort"


def no_terminal() -> bool:
    return False


def never(_: str) -> Secret:
    raise AssertionError("asked without a terminal")


@pytest.mark.parametrize(
    ("data", "password"),
    [
        (b"geheim", b"geheim"),
        (b"  geheim\r\n\n", b"geheim"),
        (b"\xef\xbb\xbfgeheim\n", b"geheim"),
        ("geh€im\n".encode("utf-16"), "geh€im".encode()),
        (b"\xfe\xff\x00g\x00\n", b"g"),
        ("\u00a0geheim\u2003".encode(), b"geheim"),
        (b"ge\xffheim \n", b"ge\xffheim"),
        (b"two words\n", b"two words"),
    ],
)
def test_file(tmp_path: Path, data: bytes, password: bytes) -> None:
    (tmp_path / "p").write_bytes(data)
    assert from_file(str(tmp_path / "p")).reveal() == password


def test_file_that_is_missing_or_too_long(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b"x" * (1 << 20) + b"y")
    for name in ("none", "long", "."):
        with pytest.raises(ObhutError) as failed:
            from_file(str(tmp_path / name))
        assert (failed.value.id, failed.value.exit_code) == ("password-source", 12)


def test_command_runs_without_a_shell_and_without_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "give me"
    script.write_text(f"#!{sys.executable}\nimport os, sys\nprint(sys.argv[1], os.environ.get('OBHUT_PASSWORD'))\n")
    script.chmod(stat.S_IRWXU)
    monkeypatch.setenv("OBHUT_PASSWORD", CANARY)
    assert from_command(f"'{script}' '$HOME;id'").reveal() == b"$HOME;id None"


@pytest.mark.parametrize("command", ["false", "/no/such/program", "'unbalanced", "", "   "])
def test_command_that_fails(command: str) -> None:
    with pytest.raises(ObhutError) as failed:
        from_command(command)
    assert failed.value.id == "password-source"


def test_environment_order(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("from-file\n")
    assert from_environment({}) is None
    found = from_environment({"RESTIC_PASSWORD": " r ", "OBHUT_PASSWORD": ""})
    assert found is not None
    assert found[0].reveal() == b" r "  # used as it is
    both = from_environment({"RESTIC_PASSWORD": "r", "OBHUT_PASSWORD": "o"})
    assert both is not None
    assert both[0].reveal() == b"o"
    file = from_environment({"OBHUT_PASSWORD": "o", "OBHUT_PASSWORD_FILE": str(tmp_path / "f")})
    assert file is not None
    assert file[0].reveal() == b"from-file"


def test_bytes_of_the_environment_stay() -> None:
    found = from_environment({"RESTIC_PASSWORD": os.fsdecode(b"\xff\xfe")})
    assert found is not None
    assert found[0].reveal() == b"\xff\xfe"


def test_flag_over_environment_over_profile(tmp_path: Path) -> None:
    for name in ("flag", "profile"):
        (tmp_path / name).write_text(name)
    flags, profile = Sources(file=str(tmp_path / "flag")), Sources(file=str(tmp_path / "profile"))
    environ = {"RESTIC_PASSWORD": "environ"}

    def answer(question: Question, environ: dict[str, str]) -> bytes:
        return question.answer(environ, terminal=no_terminal, asked=never)[0].reveal()

    assert answer(Question(flags, profile), environ) == b"flag"
    assert answer(Question(profile=profile), environ) == b"environ"
    assert answer(Question(profile=profile), {}) == b"profile"


def test_no_source_and_no_terminal_fails_with_the_list_of_sources() -> None:
    with pytest.raises(ObhutError) as failed:
        Question().answer({}, terminal=no_terminal, asked=never)
    assert (failed.value.id, failed.value.exit_code) == ("password-missing", 12)
    for source in ("--password-file", "--password-command", "OBHUT_PASSWORD", "RESTIC_", "obhut.toml"):
        assert source in failed.value.entry.next_step


def test_asked_once_or_twice() -> None:
    asked: list[str] = []

    def person(prompt: str) -> Secret:
        asked.append(prompt)
        return Secret(b"typed")

    def terminal() -> bool:
        return True

    assert Question().answer({}, terminal=terminal, asked=person) == (Secret(b"typed"), True)
    assert len(asked) == 1
    Question(new=True).answer({}, terminal=terminal, asked=person)
    assert len(asked) == 3
    answers = iter([Secret(b"typed"), Secret(b"tpyed")])
    with pytest.raises(ObhutError) as differs:
        Question(new=True).answer({}, terminal=terminal, asked=lambda _: next(answers))
    assert differs.value.id == "password-mismatch"


def test_empty_passwords_only_on_purpose(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text(" \n")
    empty = Sources(file=str(tmp_path / "empty"))
    with pytest.raises(ObhutError) as failed:
        Question(empty).answer({}, terminal=no_terminal, asked=never)
    assert failed.value.id == "password-empty"
    assert Question(no_password=True).answer({}, terminal=no_terminal, asked=never) == (Secret(b""), False)
    with pytest.raises(ObhutError) as both:
        Question(Sources(command="echo x"), no_password=True).answer({}, terminal=no_terminal, asked=never)
    assert both.value.id == "invalid-argument"


def test_only_one_source() -> None:
    with pytest.raises(ObhutError) as failed:
        Sources(file="a", command="b").read()
    assert failed.value.id == "invalid-argument"


def test_a_secret_does_not_show() -> None:
    secret = Secret(CANARY.encode())
    assert CANARY not in f"{secret} {secret!r} {[secret]} {Question().answer}"
    assert redact(f"before {CANARY} after") == "before *** after"
    assert redact("rest:https://user:pass@host/path") == "rest:https://user:***@host/path"


def test_children_see_no_secrets() -> None:
    environ = dict.fromkeys(SECRETS, CANARY) | {"PATH": "/bin", "MYSQL_PWD": "theirs"}
    assert child_environment(environ) == {"PATH": "/bin", "MYSQL_PWD": "theirs"}
    assert {"OBHUT_PASSWORD", "RESTIC_PASSWORD", "RESTIC_FROM_PASSWORD_COMMAND", "AWS_SECRET_ACCESS_KEY"} <= SECRETS
