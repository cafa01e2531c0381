"""An archive in a bucket, by the machine's clock, and judged by programs that are not ours."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from archives import ORIGIN, Silent, accepted, stranger
from obhut.archive.actions import mirror, put, verify
from obhut.archive.description import Description
from obhut.archive.record import KEYS, LOG
from obhut.archive.s3 import S3Store
from obhut.archive.sealing import Encryption
from obhut.archive.store import LocalStore, shown
from obhut.archive.vault import Vault

if TYPE_CHECKING:
    from buckets import Server


def now() -> str:
    return shown(int(time.time()))


def today() -> date:
    return datetime.now(UTC).date()


class Bucket:
    """An archive in a bucket, by the machine's clock."""

    def __init__(
        self, base: Path, server: Server, mode: str = "compliance", *, sealed: bool = False, audit: bool = False
    ) -> None:
        self.base, self.server, self.name, self.mode = base, server, server.bucket(), mode
        self.key = base / "key"
        self.identity = base / "identity"
        self.sealed = sealed
        #: For whoever notes what was put.
        self.ids: list[str] = []
        (base / "sources").mkdir()
        described = Description(ORIGIN, "de", (12, 31), now(), mode, audit)
        Vault.create(
            self.store(), self.key, described, Encryption(self.identity, base / "recovery") if sealed else None
        )

    def store(self) -> S3Store:
        return S3Store(self.name, "", self.server.client(), self.mode)

    def disposing(self) -> Vault:
        """Opened by whoever has the credential of disposal, too."""
        store = self.store()
        store.remove_with(self.server.client("disposal"))
        return self.vault(store)

    def vault(self, store: S3Store | None = None) -> Vault:
        return Vault.open(store or self.store(), lambda _: self.identity)

    def put(self, *contents: bytes, event: date, category: str = "voucher", store: S3Store | None = None) -> list[str]:
        paths = []
        for number, data in enumerate(contents):
            path = self.base / "sources" / f"file-{number}"
            path.write_bytes(data)
            paths.append(bytes(path))
        wish = put.Wish(paths, category, event, "host")
        return [entry.document.id for entry, _ in put.put(self.vault(store), self.key, wish, now(), Silent())]

    def verify(self) -> dict[str, str]:
        verdict = verify.verify(self.vault(), today(), Silent(), contents=True)
        return {fault.object: fault.what for fault in verdict.faults}

    def mirrored(self) -> Path:
        """A copy in a folder, for judges that read folders."""
        mirror.mirror(self.vault(), LocalStore(self.base / "mirror"), int(time.time()), Silent())
        return self.base / "mirror"

    def accepted(self) -> None:
        """By tessera, and by strangers."""
        folder = self.mirrored()
        changes = self.vault().keys.handovers
        assert accepted(folder / LOG, folder / (f"{KEYS}/{changes[-1].name}.vkey" if changes else f"{LOG}.vkey"))
        identity: list[str | Path] = ["--identity", self.identity] if self.sealed else []
        ran = stranger(self.base, "--store", folder, "--key", folder / f"{LOG}.vkey", *identity)
        assert ran.returncode == 0, ran.stdout
