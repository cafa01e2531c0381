"""People whose signatures count: who may be asked before something vanishes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from obhut.archive.actions.survey import file, survey
from obhut.archive.sshsig import SignatureError, canonical_key
from obhut.archive.statement import person_text
from obhut.archive.vault import Draft
from obhut.errors import ObhutError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from obhut.archive.ledger import Person
    from obhut.archive.vault import Filed, Vault


@dataclass(frozen=True, slots=True)
class Signatory:
    """Somebody who signs, and how a signature of a text is got."""

    name: str
    sign: Callable[[bytes], str]


def read_key(path: Path) -> str:
    """An SSH key from a file like ``id_ed25519.pub``. Raises ``person-key``."""
    try:
        return canonical_key(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ObhutError("person-key", str(path), getattr(error, "strerror", None) or "it is no text") from None
    except SignatureError as error:
        raise ObhutError("person-key", str(path), str(error)) from None


def change(
    vault: Vault, key_path: Path, action: str, name: str, key: str | None, voucher: Signatory | None, now: str
) -> Filed:
    """Enrols or dismisses somebody; from the third person on, and for each dismissal, somebody else has to vouch.

    Raises ``unlawful``, ``signature-refused``.
    """
    with vault.writing(key_path) as intake:
        seen = survey(vault)
        key = key or _key_of(seen.ledger.people, name)
        after = seen.ledger.last_person
        signature = None
        if voucher is not None:
            signature = voucher.sign(person_text(vault.origin, action, name, key, after))
        facts = {
            "action": action,
            "name": name,
            "key": key,
            "voucher": voucher.name if voucher else None,
            "signature": signature,
        }
        [filed] = file(intake, seen, [Draft("person", facts, after)], now)
    return filed


def vouching_text(vault: Vault, action: str, name: str, key: str | None) -> bytes:
    """What a voucher has to sign now: for people who sign elsewhere."""
    ledger = survey(vault).ledger
    return person_text(vault.origin, action, name, key or _key_of(ledger.people, name), ledger.last_person)


def _key_of(people: dict[str, Person], name: str) -> str:
    person = people.get(name)
    if person is None:
        raise ObhutError("person-unknown", name)
    return person.key
