"""An archive in a folder, put to use and judged by programs that are not ours."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import peers
from obhut.archive import assembly
from obhut.archive.actions import put
from obhut.archive.actions.verify import verify
from obhut.archive.description import Description
from obhut.archive.judge import Verdict
from obhut.archive.record import KEYS, LOG
from obhut.archive.sealing import Encryption
from obhut.archive.store import LocalStore
from obhut.archive.vault import Logged, Vault
from obhut.log.note import Checkpoint, Note

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from obhut.world import durable


ORIGIN = "example.org/archive"
NOW = "2026-11-27T12:00:00Z"
TODAY = date(2026, 11, 27)
#: Seconds for tessera's fsck. No answer is a refusal.
PATIENCE = 20


def described(origin: str = ORIGIN, country: str = "de", *, audit: bool = False) -> Description:
    """What the archives of tests say of themselves."""
    return Description(origin, country, (12, 31), NOW, LocalStore.lock_mode, audit)


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

    def __init__(self, base: Path, *, create: bool = True, sealed: bool = False, audit: bool = False) -> None:
        self.base = base
        self.audit = audit
        self.identity = base / "archive.identity"
        self.recovery = base / "recovery.identity"
        self.encryption = Encryption(self.identity, self.recovery) if sealed else None
        self.today = TODAY
        self.root = base / "archive"
        self.key = base / "archive.key"
        self.sources = base / "sources"
        self.sources.mkdir(exist_ok=True)
        if create:
            self.made(LocalStore(self.root))

    def made(self, store: LocalStore) -> Vault:
        return Vault.create(store, self.key, described(audit=self.audit), self.encryption)

    def vault(self, store: LocalStore | None = None) -> Vault:
        return Vault.open(store or LocalStore(self.root), lambda _: self.identity)

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
        return verify(self.vault(), self.today, Silent())

    def sound(self) -> Verdict:
        """Nothing is wrong and nothing strange, for us and for tessera."""
        verdict = self.verify()
        assert (verdict.faults, verdict.remarks) == ([], [])
        assert self.accepted()
        return verdict

    def accepted(self, patience: int = PATIENCE) -> bool:
        """Whether tessera's fsck accepts the log; it hangs where it finds a fault in a large one."""
        return accepted(self.root / LOG, self.public(), patience)

    def public(self) -> Path:
        """The key in charge of the log, for those who check it."""
        vault = self.vault()
        size = Checkpoint.parse(Note.parse(vault.fetch("checkpoint")).text).size
        changes = vault.keys.before(size).handovers
        return self.root / (f"{KEYS}/{changes[-1].name}.vkey" if changes else f"{LOG}.vkey")

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


def stranger(folder: Path, *arguments: str | Path, today: date | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the verifier as somebody does who has nothing of ours: an isolated interpreter, one file.

    It has no option for the day; a test that needs another one puts it where the clock is asked.
    """
    program = folder / "verify.py"
    text = assembly.verifier()
    if today is not None:
        asked = "datetime.now(UTC).date()"
        assert text.count(asked) == 1
        text = text.replace(asked, repr(today).removeprefix("datetime."))
    program.write_text(text)
    command: Sequence[str | Path] = [sys.executable, "-I", "-S", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=folder)


class Broken(Exception):  # noqa: N818
    """What a store of the tests does instead of a call, or after it."""


Item = tuple[str, bytes]
Copied = tuple[str, bytes, str, int]


class Failing(LocalStore):
    """Fails at the n-th call that writes: before anything is done (``kept`` false), or after all of it."""

    def __init__(self, root: Path, at: int, *, kept: bool) -> None:
        super().__init__(root)
        self.calls = 0
        self._at = at
        self._kept = kept

    def _maybe(self, call: Callable[[], None]) -> None:
        self.calls += 1
        if self.calls != self._at:
            return call()
        if self._kept:
            call()
        raise Broken

    def put_once(self, items: Sequence[Item], until: int | None = None) -> None:
        self._maybe(lambda: LocalStore.put_once(self, items, until))

    def copy_once(self, items: Sequence[Copied], until: int) -> None:
        self._maybe(lambda: LocalStore.copy_once(self, items, until))

    def name_once(self, staged: durable.Staged, items: Sequence[tuple[int, str]]) -> None:
        self._maybe(lambda: LocalStore.name_once(self, staged, items))

    def extend(self, items: Sequence[tuple[str, int]]) -> None:
        self._maybe(lambda: LocalStore.extend(self, items))

    def hold(self, keys: Sequence[str]) -> None:
        self._maybe(lambda: LocalStore.hold(self, keys))

    def unhold(self, keys: Sequence[str]) -> None:
        self._maybe(lambda: LocalStore.unhold(self, keys))

    def remove(self, key: str, now: int) -> None:
        self._maybe(lambda: LocalStore.remove(self, key, now))

    def put_edge(self, items: Sequence[Item], until: int | None = None) -> None:
        self._maybe(lambda: LocalStore.put_edge(self, items, until))

    def drop(self, key: str) -> None:
        self._maybe(lambda: LocalStore.drop(self, key))
