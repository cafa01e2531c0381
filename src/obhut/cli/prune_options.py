"""The options that ``prune`` and ``forget --prune`` share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from obhut.cli.options import SIZE, Parsed

if TYPE_CHECKING:
    from collections.abc import Callable

    from obhut.backup.actions.prune import Options
    from obhut.cli.front import Front

F = TypeVar("F", bound="Callable[..., Any]")


def _max_unused(text: str) -> str:
    from obhut.backup.actions.prune import check_max_unused

    return check_max_unused(text)


def prune_options(function: F) -> F:
    """Adds --max-unused and the rest."""
    result: Any = function
    for option in reversed((
        click.option("--max-unused", type=Parsed("limit", _max_unused), default="5%",
                     help="Leave this much unused data: a share, a size, or 'unlimited'."),
        click.option("--max-repack-size", type=SIZE, help="Rewrite at most this much."),
        click.option("--repack-cacheable-only", is_flag=True, help="Rewrite only packs of trees."),
        click.option("--repack-small", is_flag=True, help="Rewrite all packs that are far below the target size."),
        click.option("--repack-smaller-than", type=SIZE, help="Rewrite packs below this size."),
        click.option("--repack-uncompressed", is_flag=True, help="Rewrite and compress what is not compressed yet."),
    )):  # fmt: skip
        result = option(result)
    return result  # type: ignore[no-any-return]


def options_of(front: Front, values: dict[str, Any], *, dry_run: bool) -> Options:
    """The options of the action."""
    from obhut.backup.actions.prune import UNBOUNDED, Options
    from obhut.errors import ObhutError

    if values["repack_uncompressed"] and front.access().compression == "off":
        raise ObhutError(
            "invalid-argument", "--repack-uncompressed and --compression off", "only one of the two can be used"
        )
    size = values["max_repack_size"]
    return Options(
        max_unused=values["max_unused"],
        max_repack_bytes=UNBOUNDED if size is None else size,
        repack_cacheable_only=values["repack_cacheable_only"],
        repack_small=values["repack_small"],
        repack_smaller_than=values["repack_smaller_than"] or 0,
        repack_uncompressed=values["repack_uncompressed"],
        dry_run=dry_run,
        threads=front.threads,
    )
