"""``ls`` beside the real restic on one repository: byte for byte the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools import Obhut, Restic

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

KEYS = ("name", "size", "time", "mtime", "atime", "ctime", "extension")
FORMS = ((), ("--long",), ("--long", "--human-readable"), ("--json",))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Names, sizes and times that each key orders in another way, with ties."""
    root = tmp_path_factory.mktemp("ls")
    source = root / "source"
    (source / "deep.d" / "er").mkdir(parents=True)
    sizes = {"b.txt": 10, "a.txt": 3_000_000, ".hidden": 10, "deep.d/c": 0, "deep.d/er/z.tar.gz": 70_000, "x.": 10}
    for number, (name, size) in enumerate(sizes.items()):
        (source / name).write_bytes(os.urandom(size))
        os.utime(source / name, ns=(10**18 - number * 7, 10**18 + (number * 5 % 4) * 10**9))
    (source / "deep.d" / "link.txt").symlink_to("../a.txt")
    os.mkfifo(source / "pipe")
    (source / "sch\xf6n \u2603.txt").write_text("x")
    with open(os.fsencode(source) + b"/odd\xff.\xfe", "wb") as file:
        file.write(b"odd")
    Obhut(root / "repo").init()
    Obhut(root / "repo")("run", "--with-atime", source)
    return root


def lines(text: bytes) -> list[bytes]:
    """Without the line about the snapshot, which names times and programs."""
    found = text.splitlines()
    assert b"snapshot" in found[0]
    return found[1:]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: " ".join(form) or "names")
@pytest.mark.parametrize("key", KEYS)
def test_every_order_in_every_form(base: Path, key: str, form: tuple[str, ...]) -> None:
    ours, theirs = Obhut(base / "repo"), Restic(base / "repo")
    for more in ((), ("--reverse",)):
        words = ["latest", "--sort", key, *more, *form]
        wanted = lines(theirs("ls", *words).out)
        found = lines(ours("ls", *words).out)
        if "--json" not in form:
            # restic writes names as they are, we write what a terminal can show.
            assert [line.replace(b"odd\xff.\xfe", b"odd\\xff.\\xfe") for line in wanted] == found
        else:
            assert found == wanted
        assert len(found) > 10


def test_orders_of_a_part(base: Path) -> None:
    ours, theirs = Obhut(base / "repo"), Restic(base / "repo")
    folder = str(base / "source" / "deep.d")
    for words in (["latest", folder], ["latest", "--recursive", folder], [f"latest:{folder}"]):
        wanted = lines(theirs("ls", "--sort", "size", "--reverse", *words).out)
        assert lines(ours("ls", "--sort", "size", "--reverse", *words).out) == wanted
        assert wanted
    assert ours("ls", "latest", "--ncdu").out == theirs("ls", "latest", "--ncdu").out


def test_what_has_no_order(base: Path) -> None:
    ours, theirs = Obhut(base / "repo"), Restic(base / "repo")
    for more in (("--sort", "size"), ("--reverse",)):
        theirs("ls", "latest", "--ncdu", *more, expect=1)
        assert ours("ls", "latest", "--ncdu", *more, expect=2).out == b""
    ran = ours("ls", "latest", "--sort", "colour", expect=2)
    assert b"'extension'" in ran.err
