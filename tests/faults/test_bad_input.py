"""Damaged repositories: the damaged object is named, the exit code says so, nothing is written."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import trees
from tools import Obhut

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two snapshots, several packs, and the source beside it."""
    base = tmp_path_factory.mktemp("prepared")
    source = base / "source"
    source.mkdir()
    draw = random.Random(3)
    for number in range(30):
        (source / f"file-{number}").write_bytes(draw.randbytes(30_000))
    (source / "large").write_bytes(draw.randbytes(3_000_000))
    ours = Obhut(base / "repo")
    ours.init()
    ours.backup(source)
    (source / "file-3").write_bytes(b"changed")
    ours.backup(source)
    return base


@pytest.fixture
def ours(prepared: Path, tmp_path: Path) -> Obhut:
    """A copy of it that may be damaged."""
    shutil.copytree(prepared / "repo", tmp_path / "repo")
    for path in (tmp_path / "repo").rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return Obhut(tmp_path / "repo")


def truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def empty(_: bytes) -> bytes:
    return b""


def extend(content: bytes) -> bytes:
    return content + b"\0"


DAMAGES = [truncate, flip, empty, extend]


def names(repository: Path) -> dict[str, tuple[int, int]]:
    """Everything but locks, with sizes and times: what must stay as it is."""
    return {
        str(path.relative_to(repository)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(repository.rglob("*"))
        if path.is_file() and "locks" not in path.parts
    }


def hurt(path: Path, damage: Callable[[bytes], bytes]) -> str:
    """Damages a file; gives its name."""
    path.write_bytes(damage(path.read_bytes()))
    return path.name


def files(ours: Obhut, kind: str) -> list[Path]:
    pattern = "data/??/*" if kind == "data" else f"{kind}/*"
    return sorted(ours.repository.glob(pattern))


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_config(ours: Obhut, damage: Callable[[bytes], bytes], prepared: Path) -> None:
    hurt(ours.repository / "config", damage)
    before = names(ours.repository)
    for words in (["snapshots"], ["run", prepared / "source"], ["check"], ["prune"], ["forget", "--keep-last", "1"]):
        ran = ours(*words, expect=1)
        assert "config" in ran.err.decode()
    assert names(ours.repository) == before


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_only_key(ours: Obhut, damage: Callable[[bytes], bytes]) -> None:
    """The password may be right; that a key file is damaged is said, and which."""
    name = hurt(files(ours, "keys")[0], damage)
    before = names(ours.repository)
    ran = ours("snapshots", expect={1, 12})
    assert name[:8] in ran.err.decode()
    assert names(ours.repository) == before


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_key_beside_a_good_one_does_not_lock_out(ours: Obhut, damage: Callable[[bytes], bytes]) -> None:
    new = ours.repository.parent / "new"
    new.write_text("second")
    ours("key", "add", "--new-password-file", new)
    keys = files(ours, "keys")
    second = Obhut(ours.repository, "second")
    current = next(key["id"] for key in json.loads(second("key", "list", "--json").out) if key["current"])
    for key in keys:
        if not key.name.startswith(current[:8]):
            hurt(key, damage)
    second("snapshots")


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_index(ours: Obhut, damage: Callable[[bytes], bytes], prepared: Path) -> None:
    name = hurt(files(ours, "index")[0], damage)
    before = names(ours.repository)
    for words in (["check"], ["prune"], ["run", prepared / "source"]):
        ran = ours(*words, expect=1)
        assert name[:8] in (ran.err + ran.out).decode()
        assert names(ours.repository) == before


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_snapshot(ours: Obhut, damage: Callable[[bytes], bytes]) -> None:
    name = hurt(files(ours, "snapshots")[0], damage)
    before = names(ours.repository)
    for words in (["check"], ["prune"]):
        ran = ours(*words, expect=1)
        assert name[:8] in (ran.err + ran.out).decode()
    assert names(ours.repository) == before
    # The other snapshot is still shown, and the damaged one is named.
    ran = ours("snapshots", expect={0, 1})
    assert name[:8] in ran.err.decode()


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_packs(ours: Obhut, damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    for number, pack in enumerate(files(ours, "data")):
        whole = pack.read_bytes()
        name = hurt(pack, damage)
        before = names(ours.repository)
        ran = ours("check", "--read-data", expect=1)
        assert name[:8] in (ran.err + ran.out).decode()
        ours("restore", "latest", "--target", tmp_path / f"out-{number}", expect={0, 1})
        assert names(ours.repository) == before
        pack.write_bytes(whole)
    ours("check", "--read-data")


def test_a_restore_says_which_file_is_damaged_and_restores_the_others(
    ours: Obhut, tmp_path: Path, prepared: Path
) -> None:
    largest = max(files(ours, "data"), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[1000] ^= 1
    largest.write_bytes(content)
    ran = ours("restore", f"latest:{prepared / 'source'}", "--target", tmp_path / "out", expect=1)
    good = [
        path.name
        for path in (prepared / "source").iterdir()
        if (tmp_path / "out" / path.name).exists() and (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
    ]
    assert 20 <= len(good) < 31
    bad = {path.name for path in (prepared / "source").iterdir()} - set(good)
    assert all(name in ran.err.decode() for name in bad)


def test_missing_pack(ours: Obhut, prepared: Path) -> None:
    pack = max(files(ours, "data"), key=lambda path: path.stat().st_size)
    pack.unlink()
    before = names(ours.repository)
    ran = ours("check", expect=1)
    assert pack.name[:8] in (ran.err + ran.out).decode()
    ran = ours("prune", expect=1)
    assert pack.name[:8] in ran.err.decode()
    assert names(ours.repository) == before


def test_missing_index_stops_prune(ours: Obhut) -> None:
    """Without an index every blob looks lost: prune must not take that for "unused"."""
    for index in files(ours, "index"):
        index.unlink()
    before = names(ours.repository)
    ours("prune", expect=1)
    ours("check", expect=1)
    assert names(ours.repository) == before


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_any_flipped_bit_is_found(seed: int, ours: Obhut) -> None:
    """One bit anywhere in any file; check with data must not pass."""
    draw = random.Random(seed)
    path = draw.choice([file for file in sorted(ours.repository.rglob("*")) if file.is_file() and file.stat().st_size])
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
    ran = ours("check", "--read-data", expect={1, 12})
    assert path.name[:8] in (ran.err + ran.out).decode()


def test_hostile_key_parameters_do_not_eat_the_memory(ours: Obhut) -> None:
    """scrypt's memory is 128 · N · r; a key file may ask for any."""
    import hashlib

    (key,) = files(ours, "keys")
    fields = json.loads(key.read_bytes())
    for change in ({"N": 2**40}, {"N": 2**20, "r": 2**20}, {"N": 3}, {"N": 0}, {"p": 2**30}, {"r": 0}):
        text = json.dumps({**fields, **change}).encode()
        other = key.with_name(hashlib.sha256(text).hexdigest())
        key.rename(other)
        other.write_bytes(text)
        key = other
        ran = ours("snapshots", expect={1, 12})
        assert b"Traceback" not in ran.err


def test_files_that_do_not_belong_there_are_ignored(ours: Obhut) -> None:
    for folder in ("keys", "snapshots", "index", "locks", "data/00"):
        (ours.repository / folder).mkdir(exist_ok=True)
        (ours.repository / folder / "README").write_text("not ours")
        (ours.repository / folder / ("a" * 64 + "-tmp-1234")).write_text("a leftover")
    ours("check", "--read-data")
    ours("snapshots")


def test_snapshots_from_the_future_do_not_confuse(ours: Obhut, prepared: Path) -> None:
    """A clock that was set back: the newest snapshot is newer than now."""
    from tools import Restic

    Restic(ours.repository)("backup", "--time", "2038-01-01 00:00:00", prepared / "source")
    summary = ours("run", "--json", prepared / "source").lines()[-1]
    assert summary["data_blobs"] == 0
    ours("forget", "--group-by", "", "--keep-within", "10y", "--dry-run")
    assert len(ours.snapshots()) == 4


def test_hidden_characters_never_reach_the_terminal(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in trees.ODD_NAMES:
        (source / os.fsdecode(name)).write_text("x")
    ours = Obhut(tmp_path / "repo")
    ours.init()
    for env in ({"LC_ALL": "C"}, {"LC_ALL": "C.UTF-8"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
        for words in (
            ["run", "-vv", source],
            ["ls", "latest"],
            ["ls", "-l", "latest"],
            ["restore", "latest", "-v", "--target", tmp_path / "o"],
        ):
            ran = ours(*words, env=env)
            for text in (ran.out, ran.err):
                assert not any(byte < 32 and byte not in b"\n\t" for byte in text), words
                assert "\u202e".encode() not in text
                assert b"Traceback" not in text
