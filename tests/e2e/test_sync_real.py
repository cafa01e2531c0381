"""Two devices of sync with the real engine on one machine: a first folder, as the guide has it."""

from __future__ import annotations

import json
import threading
import time
from base64 import b32encode, b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from program import Obhut
from sync_stand_in import device_id

pytestmark = pytest.mark.needs("sync")


class Host:
    """A user with a device and a folder."""

    def __init__(self, base: Path) -> None:
        base.mkdir()
        self.obhut = Obhut(base)
        self.obhut.environ["OBHUT_SYNC_HOME"] = str(base / "H")
        self.folder = base / "folder"
        self.folder.mkdir()
        self.id = self.do("init", "--json")[0]["id"]
        self.do("folder", "add", str(self.folder), "--id", "f")

    def do(self, *words: str) -> list[Any]:
        run = self.obhut("sync", *words)
        assert run.code == 0, run.err
        return run.json() if "--json" in words else []

    @contextmanager
    def running(self) -> Iterator[str]:
        """Gives the address that it listens at."""
        reader = None
        process = self.obhut.start("sync", "run", "--listen", "tcp://127.0.0.1:0", "--json")
        assert process.stdout is not None
        try:
            started = json.loads(process.stdout.readline())
            # Nobody else reads its events, and a full pipe would stop it.
            reader = threading.Thread(target=process.stdout.read, daemon=True)
            reader.start()
            yield started["listening"][0]
            process.terminate()
            assert process.wait(20) == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            if reader is not None:
                reader.join(20)
            assert process.stderr is not None
            process.stderr.close()
            process.stdout.close()


def eventually(check: Callable[[], Any], seconds: float = 30) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := check():
            return found
        time.sleep(0.1)
    raise AssertionError("it never came")


@pytest.fixture
def hosts(tmp_path: Path) -> tuple[Host, Host]:
    one, other = Host(tmp_path / "one"), Host(tmp_path / "other")
    one.do("device", "add", other.id, "--name", "other")
    one.do("share", "f", "other")
    return one, other


def same(host: Host) -> bool:
    [status] = host.do("status", "--json")
    return status["remarks"] == [] and all(device["connected"] for device in status["devices"])


def test_a_first_folder(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    (one.folder / "a.txt").write_text("from one\n")
    with one.running() as address:
        other.do("device", "add", one.id, "--name", "one", "--address", address)
        other.do("share", "f", "one")
        with other.running():
            eventually((other.folder / "a.txt").exists)
            assert (other.folder / "a.txt").read_text() == "from one\n"
            (other.folder / "deep").mkdir()
            (other.folder / "deep/b.txt").write_text("from other\n")
            eventually((one.folder / "deep/b.txt").exists)
            (one.folder / "a.txt").unlink()
            eventually(lambda: not (other.folder / "a.txt").exists())
            eventually(lambda: same(one) and same(other))
            [kept] = other.do("versions", "list", "f", "--json")
            assert kept["name"] == "a.txt"
            other.do("versions", "restore", "f", "a.txt")
            eventually((one.folder / "a.txt").exists)


def test_a_device_that_knocks_is_accepted(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    one.do("device", "remove", "other")
    (one.folder / "a.txt").write_text("from one\n")
    with one.running() as address:
        other.do("device", "add", one.id, "--name", "one", "--address", address)
        other.do("share", "f", "one")
        with other.running():
            eventually(lambda: one.do("accept", "--json"))
            one.do("accept", other.id, "--name", "other")
            one.do("share", "f", "other")
            eventually((other.folder / "a.txt").exists)


def test_ids_are_the_certificates_hash(hosts: tuple[Host, Host]) -> None:
    one, _ = hosts
    lines = (Path(one.obhut.environ["OBHUT_SYNC_HOME"]) / "cert.pem").read_text().splitlines()
    digest = sha256(b64decode("".join(lines[1:-1]))).digest()
    assert device_id(b32encode(digest).decode().rstrip("=")) == one.id


def test_ids_as_people_write_them(hosts: tuple[Host, Host]) -> None:
    one, _ = hosts
    run = one.obhut("sync", "device", "add", one.id.lower().replace("-", " "))
    assert "this very device" in run.err


def test_ignores_by_the_engines_rules(hosts: tuple[Host, Host]) -> None:
    one, _ = hosts
    one.do("ignore", "add", "f", "*.tmp", "!keep.bak", "/deep/**")
    found = one.do("ignore", "test", "f", "a.tmp", "b.txt", "deep/x", "keep.bak", "--json")
    assert [line["ignored"] for line in found] == [True, False, True, False]
    before = (one.folder / ".stignore").read_bytes()
    run = one.obhut("sync", "ignore", "add", "f", "[a")
    assert run.code == 1, run.out
    assert (one.folder / ".stignore").read_bytes() == before


def test_a_process_that_cannot_listen_says_so(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    with one.running() as address:
        run = other.obhut("sync", "run", "--listen", address)
        assert run.code == 1
        assert "Traceback" not in run.err
