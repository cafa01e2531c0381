"""Access to a second repository (``--from-…``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from obhut.backup.session import Access, second
from obhut.cli.front import first, read_location
from obhut.cli.variables import lookup
from obhut.errors import ObhutError
from obhut.passwords import Question, Sources

if TYPE_CHECKING:
    from obhut.cli.front import Front


def second_access(
    front: Front,
    access: Access,
    *,
    from_repo: Any,
    from_repository_file: Any,
    from_password_file: Any,
    from_password_command: Any,
    from_insecure_no_password: Any,
    from_key_hint: Any,
) -> Access:
    """The repository that the ``--from-…`` options and ``…_FROM_…`` variables name."""
    place = from_repo or (read_location(from_repository_file) if from_repository_file else None)
    if place is None:
        file = lookup(front.environ, "FROM_REPOSITORY_FILE")
        place = lookup(front.environ, "FROM_REPOSITORY") or (read_location(file) if file else None)
    if place is None:
        raise ObhutError("repository-unspecified", detail="--from-repo is missing")
    question = Question(
        flags=Sources(from_password_file, from_password_command),
        no_password=bool(from_insecure_no_password),
        kind="FROM_",
        prompt="password for the other repository: ",
    )
    return second(access, str(place), question, first(from_key_hint, lookup(front.environ, "FROM_KEY_HINT")))
