"""What a person is told while a command waits for a lock (``--retry-lock``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from obhut import gojson
from obhut.backup.sizes import format_span
from obhut.backup.sources import shown
from obhut.backup.stamp import Stamp, local_offset

if TYPE_CHECKING:
    from obhut.job import Reporter


def wording(holder: dict[str, Any], host: str) -> str:
    """Who holds the lock, since when, how long we wait. ``host`` is this machine's name; pure."""
    where = "this machine" if holder["hostname"] == host else _safe(holder["hostname"])
    kind = "exclusively " if holder["exclusive"] else ""
    text = (
        f"the repository is locked {kind}by process {holder['pid']} of {_safe(holder['username'])} on {where} "
        f"(lock of {_local(holder['time'])}); waiting up to {format_span(holder['seconds'])} for it"
    )
    if holder["stale"]:
        text += "; it looks left behind: if no such process works there, `obhut backup unlock` removes it"
    return text


def _local(time: str) -> str:
    try:
        return Stamp.parse(time).shown(local_offset)
    except ValueError:
        return _safe(time)


def _safe(text: str) -> str:
    """Whoever wrote the lock chose its words."""
    return shown(text.encode("utf-8", "surrogateescape"))


class Waiting:
    """A reporter for the job that takes a lock: its lines become one message a holder, on standard error.

    Scripts that read JSON are told nothing, as by restic; the log file gets it always.
    """

    def __init__(self, inner: Reporter, host: str) -> None:
        self._inner = inner
        self._host = host

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def output(self, data: bytes) -> None:
        """Lines of the core, see ``Repository.lock``."""
        for line in data.splitlines():
            holder: Any = gojson.loads(line)
            text = wording(holder, self._host)
            if self._inner.json or self._inner.verbosity == 0:
                self._inner.say(text)  # the log alone
            else:
                self._inner.warn(text)
