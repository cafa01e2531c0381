"""The one loop that watches a job of the core: waits, drains, reports, and cancels on a signal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from obhut import signals
from obhut.errors import ObhutError, converted, core_error
from obhut.gojson import loads

if TYPE_CHECKING:
    from obhut._core import Job

#: Seconds between two looks at a job; signals are answered within this time.
SLICE: Final = 0.1


class Reporter(Protocol):
    """Who is told what happens. Levels: 0 always, 1 unless quiet, 2 with -v, 3 with -vv."""

    @property
    def verbosity(self) -> int:
        """0 quiet, 1 normal, 2 -v, 3 -vv."""

    @property
    def json(self) -> bool:
        """Whether lines are JSON."""

    @property
    def watched(self) -> bool:
        """Whether anybody sees figures of a running job: what only they need is done only then."""

    def say(self, text: str, level: int = 1) -> None:
        """A line for people; nothing in JSON mode."""

    def warn(self, text: str) -> None:
        """Something that a person should know."""

    def progress(self, title: str, counters: dict[str, int], current: list[bytes]) -> None:
        """The figures of a running job."""

    def item_error(self, item: bytes, during: str, error: ObhutError) -> None:
        """One thing failed, the work goes on."""

    def output(self, data: bytes) -> None:
        """Whole lines, ready to be written."""

    def end_progress(self) -> None:
        """The job has ended."""


def _drain(job: Job, reporter: Reporter, title: str) -> None:
    for item, during, code, thing, detail in job.errors():
        reporter.item_error(item, during, core_error(code, thing, detail))
    data = job.output()
    if data:
        reporter.output(data)
    if title:
        reporter.progress(title, job.progress(), job.current())


def _stop(job: Job) -> None:
    """Cancels and waits; what the job still says is dropped."""
    job.cancel()
    while not job.wait(SLICE):
        job.output()


def watch(job: Job, reporter: Reporter, title: str = "") -> dict[str, Any]:
    """Runs a job to its end and gives its result.

    A signal cancels it; then :class:`~obhut.signals.Interrupted` is raised, even if the job just managed to end.
    """
    with signals.shielded():
        try:
            while not job.wait(SLICE):
                if signals.caught() is not None:
                    _stop(job)
                    break
                _drain(job, reporter, title)
            # A job that ends within the first slice was never looked at: who asked meanwhile gets the last figures.
            _drain(job, reporter, title if signals.status_pending() else "")
        except BaseException:
            _stop(job)
            raise
        finally:
            if title:
                reporter.end_progress()
    signals.raise_if_caught()
    with converted():
        result = job.result()
    value = loads(result) if result else {}
    return value if isinstance(value, dict) else {"value": value}


class _Lines:
    """Keeps a job's output instead of showing it."""

    def __init__(self, inner: Reporter) -> None:
        self._inner = inner
        self.verbosity = inner.verbosity
        self.json = inner.json
        self.watched = inner.watched
        self.parts: list[bytes] = []
        self.failed: list[tuple[bytes, ObhutError]] = []

    def say(self, text: str, level: int = 1) -> None:
        self._inner.say(text, level)

    def warn(self, text: str) -> None:
        self._inner.warn(text)

    def progress(self, title: str, counters: dict[str, int], current: list[bytes]) -> None:
        self._inner.progress(title, counters, current)

    def end_progress(self) -> None:
        self._inner.end_progress()

    def item_error(self, item: bytes, during: str, error: ObhutError) -> None:
        self.failed.append((item, error))
        self._inner.item_error(item, during, error)

    def output(self, data: bytes) -> None:
        self.parts.append(data)


def collect(job: Job, reporter: Reporter, title: str = "") -> tuple[list[bytes], list[tuple[bytes, ObhutError]]]:
    """Runs a listing job and gives its lines and the items that failed (which the reporter was told, too)."""
    lines = _Lines(reporter)
    watch(job, lines, title)
    return b"".join(lines.parts).splitlines(), lines.failed
