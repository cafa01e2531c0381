"""What people and scripts see of a running operation: lines, JSON lines, a status line, a log file."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

from obhut import signals
from obhut.backup.sizes import format_bytes, format_percent, format_seconds
from obhut.backup.stamp import Stamp
from obhut.cli.console import safe
from obhut.errors import ObhutError
from obhut.gojson import dumps
from obhut.passwords import redact

if TYPE_CHECKING:
    from collections.abc import Callable

    from obhut.cli.console import Console

#: Seconds between two pictures of the status line, and between two JSON status lines.
_TERMINAL_PERIOD: Final = 0.2
_JSON_PERIOD: Final = 1.0
#: The rate shown is that of the last seconds.
_RATE_SECONDS: Final = 10.0


class Log:
    """The log file: a line an event, with time; secrets are cut out. Mode 0600."""

    def __init__(self, name: str, clock: Callable[[], int]) -> None:
        try:
            self._fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ObhutError("io", f"log file {name}", error.strerror or "") from None
        self._clock = clock

    def write(self, level: str, text: str) -> None:
        """One event. A log that cannot be written does not stop the operation."""
        line = f"{Stamp.local(self._clock()).format()} {level} {redact(safe(text))}\n"
        try:
            os.write(self._fd, line.encode("utf-8", "backslashreplace"))
        except OSError:
            return


class Meter:
    """Rate and time left, from the last seconds."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self._samples: list[tuple[float, int]] = []

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.start

    def rate(self, done: int) -> float:
        """Bytes per second."""
        now = time.monotonic()
        self._samples.append((now, done))
        while len(self._samples) > 2 and self._samples[0][0] < now - _RATE_SECONDS:
            self._samples.pop(0)
        first_time, first_done = self._samples[0]
        return (done - first_done) / (now - first_time) if now > first_time else 0.0


def status_text(title: str, counters: dict[str, int], elapsed: float, rate: float, current: list[str]) -> str:
    """The status line; pure."""
    done, total = counters["bytes_done"], counters["total_bytes"]
    items, all_items = counters["items_done"], counters["total_items"]
    known = bool(counters["total_known"])
    parts = []
    if known and total:
        parts.append(format_percent(done, total))
    elif known and all_items:
        parts.append(format_percent(items, all_items))
    parts.append(f"{items}/{all_items}" if all_items else f"{items}")
    if done or total:
        parts.append(f"{format_bytes(done)} of {format_bytes(total)}" if known else format_bytes(done))
    if rate >= 1:
        parts.append(f"{format_bytes(int(rate))}/s")
        if known and total > done:
            parts.append(f"{format_seconds((total - done) / rate)} left")
    if counters["errors"]:
        parts.append(f"{counters['errors']} errors")
    line = f"[{format_seconds(elapsed)}] {title}  {', '.join(parts)}"
    return f"{line}  {current[0]}" if current else line


class Front:
    """The reporter of the command line (see :class:`obhut.job.Reporter`)."""

    def __init__(self, console: Console, *, verbosity: int, json: bool, log: Log | None, listing: bool = False) -> None:
        self.console = console
        self.verbosity = verbosity
        self.json = json
        self.log = log
        #: Whether output is what the command is for (``ls``), or accompanies an operation (``run``).
        self.listing = listing
        #: How errors are put in JSON: ``item`` (backup, restore) or ``message`` (check).
        self.plain_errors = False
        #: Keep rendered lines of the core to itself.
        self.drop_output = False
        self._meter: Meter | None = None
        self._shown = 0.0
        self._period = _JSON_PERIOD if json else _TERMINAL_PERIOD
        fps = os.environ.get("OBHUT_PROGRESS_FPS") or os.environ.get("RESTIC_PROGRESS_FPS") or ""
        if fps.replace(".", "", 1).isdigit() and float(fps) > 0:
            self._period = 1 / min(60.0, float(fps))

    @property
    def watched(self) -> bool:
        """A status line, JSON status lines, or the lines of ``-vv``."""
        return self.verbosity > 0 and (self.json or self.console.status_wanted or self.verbosity > 2)

    def say(self, text: str, level: int = 1) -> None:
        """A line for people; nothing in JSON mode."""
        if self.log is not None and text:
            self.log.write("info", text)
        if not self.json and self.verbosity >= level:
            self.console.tell(text)

    def warn(self, text: str) -> None:
        """A line on standard error (JSON mode: an error object)."""
        if self.log is not None:
            self.log.write("warning", text)
        if self.json:
            self.error_line({"message_type": "error", "error": {"message": text}, "during": "", "item": ""})
        else:
            self.console.err(text)

    def line(self, value: dict[str, Any] | list[Any]) -> None:
        """A line of JSON."""
        (self.console.out if self.listing else self.console.tell)(dumps(value))

    def error_line(self, value: dict[str, Any]) -> None:
        """A line of JSON on standard error."""
        self.console.err(dumps(value))

    def output(self, data: bytes) -> None:
        """Rendered lines of the core."""
        if self.drop_output:
            return
        (self.console.out_bytes if self.listing else self.console.tell_bytes)(data)

    def item_error(self, item: bytes, during: str, error: ObhutError) -> None:
        """One thing failed, the work goes on."""
        from obhut._core import display_name

        shown = display_name(item) if item else ""
        text = error.message if not shown or shown in error.message else f"{shown}: {error.message}"
        if self.log is not None:
            self.log.write("error", text)
        if self.json and self.plain_errors:
            self.error_line({"message_type": "error", "message": text})
        elif self.json:
            self.error_line(
                {
                    "message_type": "error",
                    "error": {"message": error.message},
                    "during": during,
                    "item": item.decode("utf-8", "surrogateescape"),
                }
            )
        else:
            self.console.err(f"error: {safe(text)}")

    def progress(self, title: str, counters: dict[str, int], current: list[bytes]) -> None:
        """The status line, or a JSON status line."""
        if self._meter is None:
            self._meter = Meter()
        if signals.status_wanted():
            self._shown = 0.0
            if not self.json:
                # Who asks gets the line whatever else is shown, and to keep: the next one does not replace it.
                self.console.err(self._status(title, counters, current))
        if self.verbosity == 0 or not (self.json or self.console.status_wanted):
            return
        now = time.monotonic()
        if now - self._shown < self._period:
            return
        self._shown = now
        if self.json:
            rate = self._meter.rate(counters["bytes_done"])
            line = json_status(title, counters, self._meter.elapsed, rate, current)
            if line is not None:
                self.line(line)
            return
        self.console.status(self._status(title, counters, current))

    def _status(self, title: str, counters: dict[str, int], current: list[bytes]) -> str:
        from obhut._core import display_name

        meter = self._meter or Meter()
        names = [display_name(name) for name in current[:1]]
        return status_text(title, counters, meter.elapsed, meter.rate(counters["bytes_done"]), names)

    def end_progress(self) -> None:
        """Removes the status line."""
        self._meter = None
        self.console.status("")


def json_status(
    title: str, counters: dict[str, int], elapsed: float, rate: float, current: list[bytes]
) -> dict[str, Any] | None:
    """The ``status`` object of restic for backup and restore; zero values are left out, as there."""
    done, total = counters["bytes_done"], counters["total_bytes"]
    percent = min(1.0, done / total) if total else 0
    if title == "backup":
        line: dict[str, Any] = {
            "message_type": "status",
            "seconds_elapsed": int(elapsed),
            "seconds_remaining": int((total - done) / rate) if rate >= 1 and counters["total_known"] else 0,
            "percent_done": percent,
            "total_files": counters["total_items"],
            "files_done": counters["items_done"],
            "total_bytes": total,
            "bytes_done": done,
            "error_count": counters["errors"],
            "current_files": sorted(name.decode("utf-8", "surrogateescape") for name in current),
        }
    elif title == "restore":
        line = {
            "message_type": "status",
            "seconds_elapsed": int(elapsed),
            "percent_done": percent,
            "total_files": counters["total_items"],
            "files_restored": counters["items_done"],
            "total_bytes": total,
            "bytes_restored": done,
        }
    else:
        return None
    return {key: value for key, value in line.items() if value or key == "percent_done"}
