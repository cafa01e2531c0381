"""Every command, option, setting, exit code, error id and house rule is written down; what is written exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from obhut import errors
from obhut.catalogue import CATALOGUE
from obhut.cli.main import root
from obhut.settings import Keep, Profile

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


@cache
def page(name: str) -> str:
    path = REFERENCE / f"{name}.md"
    assert path.exists(), f"docs/reference/{name}.md is missing"
    return path.read_text("utf-8")


def commands(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=words[-1])
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, (*words, name))


ALL = list(commands(root, ("obhut",)))
LEAVES = [(words, command) for words, command in ALL if not isinstance(command, click.Group)]


@pytest.mark.parametrize(("words", "command"), LEAVES, ids=[" ".join(words) for words, _ in LEAVES])
def test_every_command_and_option_is_documented(words: tuple[str, ...], command: click.Command) -> None:
    text = page("commands")
    assert re.search(rf"^#+ {' '.join(words)}$", text, re.MULTILINE), f"{words} not in docs/reference/commands.md"
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            names = [*parameter.opts, *parameter.secondary_opts]
            assert any(re.search(rf"{re.escape(name)}(?![a-z-])", text) for name in names), f"{words}: {names}"


@pytest.mark.parametrize(("words", "command"), ALL, ids=[" ".join(words) for words, _ in ALL])
def test_every_option_has_a_help_text(words: tuple[str, ...], command: click.Command) -> None:
    assert command.help, words
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, (words, parameter.name)


def test_every_error_id_is_documented_and_no_other() -> None:
    found = re.findall(r"^#+ `?([a-z0-9-]+)`?$", page("errors"), re.MULTILINE)
    assert set(found) == set(CATALOGUE)
    assert len(found) == len(set(found))


@pytest.mark.parametrize("code", sorted({v for n, v in vars(errors).items() if n.startswith("EXIT_")}))
def test_every_exit_code_is_documented(code: int) -> None:
    assert re.search(rf"^\| *`?{code}`? *\|", page("exit-codes"), re.MULTILINE)


def test_every_exit_code_of_the_catalogue_has_a_name() -> None:
    named = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    assert {entry.exit_code for entry in CATALOGUE.values()} <= named


@pytest.mark.parametrize("model", [Profile, Keep])
def test_every_setting_is_documented(model: type[Profile | Keep]) -> None:
    text = page("settings")
    for name, field in model.model_fields.items():
        assert re.search(rf"[`.]{re.escape(field.alias or name)}[`.]", text), (
            f"{field.alias or name} is not in docs/reference/settings.md"
        )


def test_commands_named_in_the_docs_exist() -> None:
    """A command line in any page must be one that exists, down to the verb."""
    known = {" ".join(words) for words, _ in ALL}
    groups = {" ".join(words) for words, command in ALL if isinstance(command, click.Group)}
    pages = [*REFERENCE.parents[1].glob("docs/**/*.md"), REFERENCE.parents[1] / "README.md"]
    for path in pages:
        for line in re.findall(r"obhut (?:backup|archive|sync) [a-z]+(?: [a-z]+)?", path.read_text("utf-8")):
            words = line.split()
            while " ".join(words) not in known and len(words) > 3:
                words.pop()
            assert " ".join(words) in known, f"{path.name}: {line}"
            assert words[0] == "obhut"
    assert "obhut backup" in groups


def test_decisions_and_designs_are_complete() -> None:
    design = REFERENCE.parent / "design" / "backup.md"
    text = design.read_text("utf-8")
    for part in ("## 1. Terms", "## 2. Bytes", "## 3. Threat model", "assume", "guarantee", "could", "## 5. Crash"):
        assert part in text
    for writer in ("init", "Key change", "Backup", "forget", "Locks", "prune", "caches", "Restore", "unlock"):
        assert re.search(rf"^### 5\.\d+ .*{writer}", text, re.MULTILINE), writer
