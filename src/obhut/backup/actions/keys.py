"""Keys of a repository: every password has a key file; the master key stays in the core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from obhut import gojson
from obhut.backup.actions.inspect import full_id
from obhut.backup.stamp import Stamp
from obhut.backup.user import username
from obhut.errors import ObhutError, converted

if TYPE_CHECKING:
    from obhut import _core
    from obhut.job import Reporter
    from obhut.passwords import Secret


def list_keys(repository: _core.Repository) -> list[dict[str, Any]]:
    """All keys, the one in use marked."""
    with converted():
        value = gojson.loads(repository.keys())
    if not isinstance(value, list):
        raise ObhutError("internal", "keys", "not a list")
    return [_shown(entry) for entry in value]


def _shown(entry: dict[str, Any]) -> dict[str, Any]:
    """The keys of restic in restic's order; the time as people read it."""
    created = entry["created"]
    try:
        created = Stamp.parse(created).shown()
    except ValueError:
        created = str(created)
    order = {name: entry[name] for name in ("current", "id", "userName", "hostName")}
    return order | {"created": created}


def add(repository: _core.Repository, password: Secret, *, user: str, host: str) -> str:
    """Adds a password; gives the id of its key."""
    with converted():
        return repository.add_key(password.reveal(), username=user or username(), hostname=host)


def change(repository: _core.Repository, password: Secret, *, user: str, host: str) -> str:
    """Replaces the password in use; gives the id of the new key."""
    with converted():
        return repository.change_password(password.reveal(), username=user or username(), hostname=host)


def remove(repository: _core.Repository, prefix: str, reporter: Reporter) -> str:
    """Removes a key, never the one in use; gives its id."""
    ident = full_id(repository, "keys", prefix, reporter)
    if ident == repository.key_id:
        raise ObhutError("key-in-use", ident[:8])
    with converted():
        repository.remove_key(ident)
    return ident
