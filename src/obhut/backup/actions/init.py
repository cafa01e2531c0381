"""Creating a repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

from obhut import _core
from obhut.backup.session import Access, open_store
from obhut.backup.user import username
from obhut.errors import converted

if TYPE_CHECKING:
    from collections.abc import Mapping


def init(
    access: Access,
    environ: Mapping[str, str],
    *,
    version: int,
    hostname: str,
    chunker_from: _core.Repository | None = None,
) -> _core.Repository:
    """Creates key file and config. Another repository's chunker parameters make copies between the two small."""
    store = open_store(access)
    password, _ = access.question.answer(environ)
    with converted():
        return _core.Repository.init(
            store,
            password.reveal(),
            version=version,
            username=username(),
            hostname=hostname,
            chunker_from=chunker_from,
        )
