"""Where the master key and the password are in the memory of a process: in the core while a repository is open, then nowhere.

Another process looks, so that what is looked for is not in the memory that is searched. The keys come from our second
implementation of the key file (``tests/sealing.py``) and, for the master key, from restic.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import pytest

import sealing
from tools import Restic

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

TESTS: Final = Path(__file__).resolve().parents[1]
PASSWORD: Final = "a password of more than a few letters"
OTHER: Final = "eine andere Losung, nicht weniger lang"

#: It says where it is, and waits for a line before it goes on. Addresses come in the line after ``open``.
CHILD: Final = """
import ctypes, gc, json, os, sys
import core_calls
from obhut import _core

told = json.loads(sys.stdin.readline())
lengths = iter(told["lengths"])

def with_password(use):
    # The caller's own copy is the caller's business: it is wiped here.
    password = os.read(int(sys.argv[2]), next(lengths))
    try:
        return use(password)
    finally:
        ctypes.memset(id(password) + bytes.__basicsize__ - 1, 0, len(password))

def said(what):
    print(what, flush=True)
    return sys.stdin.readline()

def objects():
    seen, todo = {}, gc.get_objects()
    while todo:
        found = [one for one in gc.get_referents(*todo[-500:]) if id(one) not in seen and one is not seen]
        del todo[-500:]
        seen.update((id(one), one) for one in found)
        todo += found
    return seen.values()

def holders(addresses):
    spans = ((id(one), sys.getsizeof(one, 0), type(one).__name__) for one in objects())
    return [kind for start, size, kind in spans for address in addresses if start <= address < start + size]

store = _core.Store.local(os.fsencode(sys.argv[1]))
if told["verb"] == "init":
    repo = with_password(lambda word: _core.Repository.init(store, word, **core_calls.WHO))
else:
    if told["verb"] == "guess":
        try:
            with_password(lambda word: _core.Repository.open(store, word, **core_calls.WHO))
        except _core.CoreError as error:
            assert error.code == "wrong-password"
    repo = with_password(lambda word: _core.Repository.open(store, word, **core_calls.WHO))
if told["verb"] == "passwd":
    with_password(lambda word: repo.change_password(word, **core_calls.WHO))
addresses = json.loads(said("open"))
print(json.dumps(holders(addresses)), flush=True)
job = repo.backup([os.fsencode(told["source"])], cache_dir=None, **core_calls.BACKUP)
assert job.wait(60.0)
tree = json.loads(job.result())["tree"]
job = repo.check(read_data=True, subset="", threads=2)
assert job.wait(60.0)
job.result()
del job, repo
said("closed")
"""


def regions(process: int) -> Iterator[tuple[int, bytes]]:
    """What a process may read and write: address and content of each mapping."""
    with open(f"/proc/{process}/maps") as maps, open(f"/proc/{process}/mem", "rb", 0) as memory:
        for line in maps:
            start, end = (int(number, 16) for number in line.split()[0].split("-"))
            if line.split()[1].startswith("rw"):
                memory.seek(start)
                content = memory.read(end - start)
                assert len(content) == end - start, line
                yield start, content


def search(process: int, needles: dict[str, bytes]) -> dict[str, list[int]]:
    """Where they are."""
    found: dict[str, list[int]] = {}
    for start, content in regions(process):
        for name, needle in needles.items():
            hits = [start + match.start() for match in re.finditer(re.escape(needle), content)]
            if hits:
                found.setdefault(name, []).extend(hits)
    return found


def secrets(prefix: str, key_file: Path, password: str, master: sealing.Key) -> dict[str, bytes]:
    """All that must not remain, in each form that it takes on the way."""
    user = sealing.user_key(password, json.loads(key_file.read_bytes()))
    parts = {f"{owner} {part}": getattr(key, part) for owner, key in (("master", master), ("user", user))
             for part in ("encrypt", "k", "r")}  # fmt: skip
    # The last characters of base64 depend on what follows.
    text = {f"{name} in base64": base64.b64encode(value)[:20] for name, value in parts.items()}
    found = {**parts, **text, "password": password.encode()}
    return {f"{prefix} {name}": value for name, value in found.items()}


class Observed:
    """The other process, which waits whenever it has said something."""

    def __init__(self, repository: Path, verb: str, source: Path, passwords: list[str]) -> None:
        reader, self._writer = os.pipe()
        self.child = subprocess.Popen(
            [sys.executable, "-c", CHILD, repository, str(reader)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=[reader],
            env={**os.environ, "PYTHONPATH": str(TESTS)},
        )
        os.close(reader)
        os.write(self._writer, "".join(passwords).encode())
        self.tell({"verb": verb, "source": str(source), "lengths": [len(word.encode()) for word in passwords]})

    def tell(self, what: object) -> None:
        """Lets it go on."""
        assert self.child.stdin is not None
        self.child.stdin.write(json.dumps(what) + "\n")
        self.child.stdin.flush()

    def hear(self) -> str:
        """Waits until it says something."""
        assert self.child.stdout is not None
        return self.child.stdout.readline().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._writer)
        self.child.kill()
        self.child.communicate()


@pytest.mark.parametrize("verb", ["open", "guess", "passwd", "init"])
def test_nothing_secret_remains(verb: str, tmp_path: Path) -> None:
    """After a repository was opened (made; its password changed), used, and closed."""
    repository, source = tmp_path / "repository", tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(b"content" * 100_000)
    passwords = [PASSWORD]
    needles: dict[str, bytes] = {}
    if verb != "init":
        restic = Restic(repository, PASSWORD)
        restic.init()
        (key_file,) = (repository / "keys").iterdir()
        known = json.loads(restic("cat", "masterkey").out)
        master = sealing.master_key(key_file, PASSWORD)
        assert base64.b64decode(known["encrypt"]) == master.encrypt
        needles = secrets("old", key_file, PASSWORD, master)
        if verb == "guess":
            passwords.insert(0, OTHER)
            needles |= secrets("guessed", key_file, OTHER, master)
    if verb == "passwd":
        passwords.append(OTHER)
    with Observed(repository, verb, source, passwords) as other:
        assert other.hear() == "open"
        (key_file,) = (repository / "keys").iterdir()
        last = passwords[-1]
        needles |= secrets("new", key_file, last, sealing.master_key(key_file, last))
        opened = search(other.child.pid, needles)
        assert {name.split(" ", 1)[1] for name in opened} == {"master encrypt", "master k", "master r"}
        other.tell([address for addresses in opened.values() for address in addresses])
        assert json.loads(other.hear()) == [], "an object of Python holds a key"
        assert other.hear() == "closed"
        assert search(other.child.pid, needles) == {}
