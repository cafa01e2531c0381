"""From the command line of ``run`` to the options of its action."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from obhut._core import exclude_match
from obhut.backup.actions.run import Options
from obhut.backup.sizes import parse_bytes
from obhut.backup.snapshot import flatten_tags, split_tags
from obhut.backup.sources import SourceLists, read_patterns, shown
from obhut.cli.front import first
from obhut.cli.variables import lookup
from obhut.errors import ObhutError, converted

if TYPE_CHECKING:
    from obhut.cli.front import Front

_TRUE = {"1", "t", "true", "yes", "on"}
#: What chooses among files, by parameter and option.
_CHOOSING = {
    "exclude": "--exclude",
    "iexclude": "--iexclude",
    "exclude_file": "--exclude-file",
    "iexclude_file": "--iexclude-file",
    "exclude_caches": "--exclude-caches",
    "exclude_if_present": "--exclude-if-present",
    "exclude_larger_than": "--exclude-larger-than",
    "one_file_system": "--one-file-system",
}


def _check(values: dict[str, Any]) -> None:
    lists = [*values["files_from"], *values["files_from_verbatim"], *values["files_from_raw"]]
    stream = values["stdin"] or values["stdin_from_command"]
    if values["stdin"] and values["stdin_from_command"]:
        raise ObhutError("invalid-argument", "--stdin and --stdin-from-command", "only one of the two can be used")
    if stream and lists:
        raise ObhutError("invalid-argument", "--stdin and --files-from", "only one of the two can be used")
    if values["stdin"] and values["paths"]:
        raise ObhutError("invalid-argument", "--stdin", "no paths can be given with it")
    if values["stdin_from_command"] and not values["paths"]:
        raise ObhutError("invalid-argument", "--stdin-from-command", "the command is missing")
    if stream and not values["stdin_filename"].strip("/"):
        raise ObhutError("invalid-argument", "--stdin-filename", "a name is needed")
    if lists.count("-") > 1:
        raise ObhutError("invalid-argument", "--files-from -", "standard input can be read once only")


def _flag(front: Front, given: bool, name: str) -> bool:
    return given or (lookup(front.environ, name) or "").lower() in _TRUE


def _names(front: Front, given: tuple[Any, ...], setting: str) -> tuple[bytes, ...]:
    """What the command line gives is added to what the profile says."""
    profile = front.of_profile(setting) or []
    return (*(os.fsencode(name) for name in profile), *given)


def _sources(front: Front, values: dict[str, Any]) -> tuple[bytes, ...]:
    lists = SourceLists(values["paths"], values["files_from"], values["files_from_verbatim"], values["files_from_raw"])
    names, unmatched = lists.names()
    for pattern in unmatched:
        front.reporter.warn(f"pattern {shown(pattern)} does not match any file, skipped")
    if not names and not (lists.files_from or lists.files_from_verbatim or lists.files_from_raw):
        names = [os.path.expanduser(os.fsencode(name)) for name in front.of_profile("paths") or []]  # noqa: PTH111  (bytes)
    if not names:
        raise ObhutError("source-unspecified")
    return tuple(names)


def _without_effect(front: Front, values: dict[str, Any]) -> None:
    """A stream is saved whole, as restic does it: excludes are checked, recorded, and otherwise without effect.

    Refusing them would break scripts that give every run the same excludes; saying nothing would let a person
    believe in them.
    """
    given = [option for name, option in _CHOOSING.items() if values[name]]
    if given and not front.json:
        front.reporter.warn(f"notice: a stream is saved whole; without effect: {', '.join(given)}")
    for patterns, ignore_case in ((values["exclude"], False), (values["iexclude"], True)):
        for pattern in patterns:
            with converted():
                exclude_match(pattern, b"/", ignore_case=ignore_case)
    if any(not spec.partition(b":")[0] for spec in values["exclude_if_present"]):
        raise ObhutError("invalid-argument", "--exclude-if-present", "the name of the file is empty")


def run_options(front: Front, values: dict[str, Any]) -> Options:
    """Checks and completes."""
    _check(values)
    environ = os.environb
    stream = values["stdin"] or values["stdin_from_command"]
    if stream:
        _without_effect(front, values)
    larger = front.of_profile("exclude_larger_than")
    tags = values["tags"] or tuple(split_tags(text) for text in front.of_profile("tag") or [])
    exclude_files = tuple(os.fsdecode(name) for name in _names(front, values["exclude_file"], "exclude_file"))
    iexclude_files = tuple(os.fsdecode(name) for name in _names(front, values["iexclude_file"], "iexclude_file"))
    concurrency = lookup(front.environ, "READ_CONCURRENCY") or ""
    return Options(
        targets=() if stream else _sources(front, values),
        host=values["host"] or front.host,
        tags=flatten_tags(tags),
        time=values["time"],
        parent=values["parent"],
        force=values["force"],
        group_by=values["group_by"],
        excludes=tuple(values["exclude"]) if stream else _names(front, values["exclude"], "exclude"),
        excludes_of_files=tuple(read_patterns(exclude_files, environ)),
        iexcludes=(*_names(front, values["iexclude"], "iexclude"), *read_patterns(iexclude_files, environ)),
        exclude_if_present=_names(front, values["exclude_if_present"], "exclude_if_present"),
        exclude_caches=values["exclude_caches"] or bool(front.of_profile("exclude_caches")),
        exclude_larger_than=first(values["exclude_larger_than"], parse_bytes(larger) if larger else None) or 0,
        one_file_system=values["one_file_system"] or bool(front.of_profile("one_file_system")),
        ignore_ctime=_flag(front, values["ignore_ctime"], "IGNORE_CTIME"),
        ignore_inode=_flag(front, values["ignore_inode"], "IGNORE_INODE"),
        with_atime=values["with_atime"],
        dry_run=values["dry_run"],
        scan=not values["no_scan"],
        skip_if_unchanged=values["skip_if_unchanged"],
        threads=values["read_concurrency"] or front.threads or (int(concurrency) if concurrency.isdigit() else 0),
        cache_dir=front.cache_dir(),
        stdin_name=values["stdin_filename"] if stream else None,
        command=values["paths"] if values["stdin_from_command"] else (),
    )
