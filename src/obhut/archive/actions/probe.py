"""Probing the locks of an archive's storage, and keeping the evidence in its log."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

from obhut.archive import probe as attacks
from obhut.archive.actions.survey import file, survey
from obhut.archive.s3 import S3Store
from obhut.archive.vault import Draft
from obhut.errors import ObhutError

if TYPE_CHECKING:
    from pathlib import Path

    from obhut.archive.probe import Attempt
    from obhut.archive.vault import Filed, Vault


def probe(vault: Vault, key_path: Path, twin: str | None, now: str) -> tuple[list[Attempt], Filed]:
    """Attacks a canary beside the archive; gives what was tried, and the statement that keeps it.

    Raises ``probe-useless`` for a folder, which has no lock that could hold.
    """
    store = vault.store
    if not isinstance(store, S3Store):
        raise ObhutError("probe-useless", store.location)
    attempts = attacks.probe(store.target(), datetime.fromisoformat(now), twin)
    facts = {
        "mode": store.lock_mode,
        "held": all(attempt.held for attempt in attempts),
        "attempts": [asdict(attempt) for attempt in attempts],
    }
    with vault.writing(key_path) as intake:
        [filed] = file(intake, survey(vault), [Draft("probe", facts)], now)
    return attempts, filed
