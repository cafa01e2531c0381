"""An archive in a folder, put to use and judged by programs that are not ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import peers
from obhut.archive import assembly
from obhut.archive.actions import put
from obhut.archive.actions.verify import verify
from obhut.archive.judge import Verdict
from obhut.archive.record import LOG
from obhut.archive.store import LocalStore
from obhut.archive.vault import Logged, Vault

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date


ORIGIN = "example.org/archive"
NOW = "2026-11-27T12:00:00Z"
#: Seconds for tessera's fsck. No answer is a refusal.
PATIENCE = 20


class Silent:
    """A reporter that keeps what it is warned of."""

    verbosity = 0
    json = False
    watched = False

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def say(self, text: str, level: int = 1) -> None: ...

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def progress(self, title: str, counters: dict[str, int], current: list[bytes]) -> None: ...

    def item_error(self, item: bytes, during: str, error: Exception) -> None: ...

    def output(self, data: bytes) -> None: ...

    def end_progress(self) -> None: ...


class Shelf:
    """An archive below ``base``, its key, and documents to put into it."""

    def __init__(self, base: Path, *, create: bool = True) -> None:
        self.base = base
        self.root = base / "archive"
        self.key = base / "archive.key"
        self.sources = base / "sources"
        self.sources.mkdir(exist_ok=True)
        if create:
            self.made(LocalStore(self.root))

    def made(self, store: LocalStore) -> Vault:
        return Vault.create(store, self.key, ORIGIN, "de", NOW)

    def vault(self, store: LocalStore | None = None) -> Vault:
        return Vault.open(store or LocalStore(self.root))

    def source(self, name: str, data: bytes) -> bytes:
        path = self.sources / name
        path.write_bytes(data)
        return bytes(path)

    def put(
        self,
        *contents: bytes,
        store: LocalStore | None = None,
        category: str = "voucher",
        event: date | None = None,
        now: str = NOW,
    ) -> list[tuple[Logged, dict[str, Any]]]:
        """Archives documents of these contents."""
        paths = [self.source(f"document-{number}", data) for number, data in enumerate(contents)]
        wish = put.Wish(paths, category, event, "host")
        return list(put.put(self.vault(store), self.key, wish, now, Silent()))

    def verify(self) -> Verdict:
        return verify(self.vault(), Silent())

    def sound(self) -> Verdict:
        """Nothing is wrong and nothing strange, for us and for tessera."""
        verdict = self.verify()
        assert (verdict.faults, verdict.remarks) == ([], [])
        assert self.accepted()
        return verdict

    def accepted(self, patience: int = PATIENCE) -> bool:
        """Whether tessera's fsck accepts the log; it hangs where it finds a fault in a large one."""
        return accepted(self.root / LOG, self.root / f"{LOG}.vkey", patience)

    def files(self) -> list[Path]:
        return sorted(path for path in self.root.rglob("*") if path.is_file())


def accepted(log: Path, key: Path, patience: int = PATIENCE) -> bool:
    """Whether tessera's fsck accepts the log in a folder."""
    command: list[str | Path] = [
        peers.need("tessera-fsck"),
        f"--storage_url=file://{log}/",
        f"--public_key={key}",
        "--ui=false",
    ]
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=patience, check=False)
    except subprocess.TimeoutExpired:
        return False
    return child.returncode == 0 and "Successfully fsck'd log" in child.stderr


def stranger(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs the verifier as somebody does who has nothing of ours: an isolated interpreter, one file."""
    program = folder / "verify.py"
    program.write_text(assembly.verifier())
    command: Sequence[str | Path] = [sys.executable, "-I", "-S", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=folder)
