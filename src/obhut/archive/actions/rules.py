"""Classes of one's own: rules that no law makes, kept in the log like everything that is decided."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from obhut.archive import classes
from obhut.archive.actions import settle
from obhut.archive.actions.survey import file, survey
from obhut.archive.statement import LONGEST, OWN_CLASS
from obhut.archive.vault import Draft
from obhut.errors import ObhutError

if TYPE_CHECKING:
    from pathlib import Path

    from obhut.archive.classes import Class
    from obhut.archive.vault import Vault


@dataclass(frozen=True, slots=True)
class Wish:
    """A class that is to be: what is not said stays as it is."""

    #: With or without ``own/``, or that of audit records.
    name: str
    years: int
    start: str | None = None
    what: str | None = None
    law: str | None = None
    later: bool = False


def find_class(vault: Vault, name: str) -> Class:
    """The class of a name, among those of this version and the archive's own. Raises ``class-unknown``."""
    known = classes.find(name, vault.country)
    if known is not None:
        return known
    own = {name: own for name, own in survey(vault).ledger.classes.items() if name != classes.READ.name}
    found = own.get(name) or own.get(f"own/{name}")
    if found is None:
        raise ObhutError("class-unknown", name, f"known are {', '.join(sorted([*classes.CLASSES, *own]))}")
    return found


def rule(vault: Vault, key_path: Path, wish: Wish, now: str) -> Class:
    """Makes a class, or lengthens one: then the locks of what is settled in it are extended before the log says so.

    Raises ``unlawful`` for what would shorten anything, ``invalid-argument``.
    """
    name = wish.name if wish.name.startswith("own/") or wish.name == classes.READ.name else f"own/{wish.name}"
    if name != classes.READ.name and not OWN_CLASS.fullmatch(name):
        raise ObhutError("invalid-argument", name, "a class is called own/ and small letters, digits, hyphens")
    if not 0 < wish.years <= LONGEST:
        raise ObhutError("invalid-argument", "--years", f"from 1 to {LONGEST}")
    with vault.writing(key_path) as intake:
        seen = survey(vault)
        known = seen.ledger.classes.get(name)
        what, law = wish.what or (known and known.english), wish.law or (known and known.law)
        start = wish.start or (known and known.start)
        if not (what and law and start):
            raise ObhutError("invalid-argument", name, "a new class needs --what, --why and --from")
        facts = {
            "name": name,
            "what": what,
            "law": law,
            "start": start,
            "years": wish.years,
            "later": known.later if known else wish.later,
        }
        file(
            intake,
            seen,
            [Draft("class", facts)],
            now,
            lambda: settle.lengthen(seen, name, date.fromisoformat(now[:10])),
        )
    return seen.ledger.classes[name]
