"""Time stamps: asking authorities, keeping what they say, and what it proves. Never on the way of a document that comes in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from obhut.archive import clocks, openssl
from obhut.archive.actions.survey import file, survey
from obhut.archive.judge import Judges, continuity
from obhut.archive.sequencer import stated
from obhut.archive.stamps import STAMPS, Stamp, judge_stamps, named, note_key, stamp_of
from obhut.archive.statement import AUTHORITY
from obhut.archive.vault import Draft
from obhut.errors import ObhutError
from obhut.world import secret, web

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from obhut.archive.actions.survey import Survey
    from obhut.archive.ledger import Authority
    from obhut.archive.stamps import Judged
    from obhut.archive.vault import Filed, Vault
    from obhut.log.note import Checkpoint

#: A log that did not grow is stamped again after so many seconds: before the certificate of the last stamp ages.
RENEW: Final = 90 * 86400

#: Asks an authority: its address and a query; gives its reply. Raises :class:`web.WebError`.
Ask = Callable[[str, bytes], bytes]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an authority did."""

    authority: str
    #: The stamp that there is now; nothing if there is none.
    stamp: Stamp | None
    #: Whether it is new.
    new: bool
    #: What went wrong.
    why: str = ""


@contextmanager
def openssl_there() -> Iterator[None]:
    """In our words, if it is not."""
    try:
        yield
    except openssl.OpensslError as error:
        raise ObhutError("openssl-missing", "openssl", str(error)) from None


def ask(url: str, query: bytes) -> bytes:
    """By HTTP, as RFC 3161 says it."""
    return web.post(url, query, "application/timestamp-query")


def judges(vault: Vault) -> Judges:
    """Whom the judge asks inside Obhut: the core for signatures, openssl for stamps."""

    def checkpoint(data: bytes) -> Checkpoint:
        try:
            return stated(data, vault.keys, "checkpoint").checkpoint
        except ObhutError as error:
            raise ValueError(error.detail) from None

    return Judges(secret.verify, vault.keys, checkpoint, openssl.check_stamp)


def judged(seen: Survey) -> Judged:
    """All stamps of an archive, and what they prove. Raises ``openssl-missing``."""
    vault = seen.vault
    asked = judges(vault)
    continues = continuity(vault.stated().checkpoint, vault.fetch)
    keys = vault.store.keys(STAMPS)
    with openssl_there():
        return judge_stamps(vault.store.get, keys, asked.checkpoint, asked.stamp, continues, seen.ledger)


def readings(vault: Vault) -> list[clocks.Reading]:
    """What time it was at least, say those who stamped. Raises ``archive-damaged`` for stamps that do not hold."""
    if not vault.store.any(STAMPS):
        return []
    found = judged(survey(vault))
    if found.faults:
        raise ObhutError("archive-damaged", found.faults[0].object, found.faults[0].what)
    return [clocks.reading(proof.stamp.authority, proof.time) for proof in found.proved]


def add_authority(vault: Vault, key_path: Path, name: str, url: str, certificates: str, now: str) -> Filed:
    """Names somebody whose stamps count from now on. Raises ``invalid-argument``, ``unlawful``."""
    if not AUTHORITY.fullmatch(name):
        raise ObhutError("invalid-argument", "--authority", f"{name}: small letters, digits and hyphens")
    if "-----BEGIN CERTIFICATE-----" not in certificates:
        raise ObhutError("invalid-argument", "--certificates", "the file holds no certificate in PEM")
    facts = {"action": "add", "name": name, "url": url, "certificates": certificates}
    return _filed(vault, key_path, facts, now)


def remove_authority(vault: Vault, key_path: Path, name: str, now: str) -> Filed:
    """Asks somebody no longer; what they stamped stays. Raises ``unlawful``."""
    return _filed(vault, key_path, {"action": "remove", "name": name, "url": None, "certificates": None}, now)


def _filed(vault: Vault, key_path: Path, facts: dict[str, Any], now: str) -> Filed:
    with vault.writing(key_path) as intake:
        [filed] = file(intake, survey(vault), [Draft("authority", facts)], now)
    return filed


def stamp(vault: Vault, now: int, ask: Ask = ask) -> list[Outcome]:
    """Has the newest checkpoint stamped by every authority; each answer is checked before it is kept.

    ``now`` in Unix seconds. One that fails does not stop the others. Raises ``authority-missing``, ``openssl-missing``.
    """
    seen = survey(vault)
    if not seen.ledger.authorities:
        raise ObhutError("authority-missing", vault.origin)
    newest = vault.stated()
    note = bytes(newest.note)
    there = list(filter(None, map(stamp_of, vault.store.keys(f"{STAMPS}/{newest.checkpoint.size}"))))
    with openssl_there():
        return [
            _one(vault, authority, newest.checkpoint, note, there, now, ask)
            for authority in seen.ledger.authorities.values()
        ]


def _one(
    vault: Vault, authority: Authority, checkpoint: Checkpoint, note: bytes, there: list[Stamp], now: int, ask: Ask
) -> Outcome:
    fresh = [known for known in there if known.authority == authority.name and known.time > named(now - RENEW)]
    if fresh:
        return Outcome(authority.name, max(fresh), new=False)
    digest = sha256(note).digest()
    try:
        query = openssl.stamp_query(digest)
        reply = ask(authority.url, query)
        time = openssl.check_stamp(digest, reply, authority.certificates, query)
    except (openssl.StampError, web.WebError) as error:
        return Outcome(authority.name, None, new=False, why=str(error))
    made = Stamp(checkpoint.size, named(time), authority.name)
    if made.key in vault.store.keys(f"{STAMPS}/{checkpoint.size}"):
        # Somebody else asked in the same second: one of the two is enough.
        return Outcome(authority.name, made, new=False)
    vault.store.put_once([(note_key(checkpoint.size), note), (made.key, reply)])
    return Outcome(authority.name, made, new=True)
