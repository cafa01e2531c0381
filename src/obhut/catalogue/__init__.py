"""Every error id with its words: what happened, why, what to do next, whether a retry helps, the exit code.

English only for now; another language is another table with the same keys. ``{object}`` in ``what`` is replaced by the
thing that the error is about. The ids of the core (``crates/obhut-core/src/error.rs``) come first, in its order.
"""

from __future__ import annotations

from typing import Final

from obhut.catalogue.archive import ARCHIVE
from obhut.catalogue.common import COMMON
from obhut.catalogue.entry import Entry
from obhut.catalogue.sync import SYNC

CATALOGUE: Final[dict[str, Entry]] = {**COMMON, **ARCHIVE, **SYNC}

__all__ = ["CATALOGUE", "Entry"]
