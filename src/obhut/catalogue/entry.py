"""What an error id says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """The words for one error id."""

    #: One sentence; may contain ``{object}``.
    what: str
    #: The usual cause.
    why: str
    #: What a person should do.
    next_step: str
    #: Whether the same command may succeed later without a change.
    retry: bool = False
    #: The exit code of a command that ends with this error.
    exit_code: int = 1
    #: What stands for ``{object}`` when nothing is known.
    thing: str = "it"
    #: Whether the id belongs to the core.
    core: bool = False

    def what_about(self, thing: str) -> str:
        """The sentence about ``thing``."""
        return self.what.replace("{object}", thing or self.thing)
