"""``obhut sync run``."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, Final

import click

from obhut.cli.lazy import ExamplesCommand
from obhut.cli.sync.desk import LISTEN
from obhut.cli.sync.desk import desk as with_desk
from obhut.errors import converted

if TYPE_CHECKING:
    from types import FrameType

    from obhut.cli.sync.desk import Desk
    from obhut.sync.daemon import Runner

#: Events by their kind: the words, and from which verbosity on they are shown.
_WORDS: Final[dict[str, tuple[str, int]]] = {
    "connected": ("{device}: connected", 1),
    "disconnected": ("{device}: disconnected{because}", 1),
    "offered": ("{device} offers the folder {folder}: obhut sync accept {folder} --into PATH", 1),
    "stranger": ("an unknown device knocks: {id}{because}; is it yours? obhut sync accept {id}", 1),
    "stopped": ("{folder}: stopped{because}", 1),
    "state": ("{folder}: {state}", 2),
    "changed": ("{folder}: {name} was {done} here", 2),
    "took": ("{folder}: {name} was {done} by others", 2),
    "conflict": ("{folder}: conflict: {name}; the other content lies in {copy}", 1),
    "trouble": ("{folder}: {name}{because}", 1),
    "refused": ("{folder}: {name}: a change by a device that may only read was not taken", 1),
    "configured": ("the settings were read again", 1),
    "misconfigured": ("the settings cannot be used, what was before goes on{because}", 1),
}


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut sync run
    obhut sync run --listen tcp://0.0.0.0:22000 --json
    """,
)
@with_desk
@click.option("--listen", multiple=True, type=LISTEN, metavar="tcp://HOST:PORT",
              help="Where connections are taken; port 0 = any.  [default: as in sync.toml, or tcp://0.0.0.0:22000]")  # fmt: skip
def run(desk: Desk, listen: tuple[str, ...]) -> None:
    """Keep folders the same, until it is stopped (Ctrl-C, SIGTERM). One process a home.

    Settings that are changed by other commands or by hand are taken over while it runs; SIGHUP asks for that, too.
    """
    from obhut import _core
    from obhut.gojson import dumps
    from obhut.sync.daemon import Runner

    own = desk.own_id()
    with desk.home.running():
        before = desk.home.stamp()
        settings = desk.home.read()
        places = list(listen or settings.listen or ("tcp://0.0.0.0:22000",))
        with converted():
            daemon = _core.SyncDaemon(str(desk.home.path), dumps(settings.to_core(own, desk.host)), places)
        try:
            runner = Runner(desk.home, daemon, own, desk.host, desk.now, before)
            server = runner.serve()
            try:
                _say_started(desk, own, daemon.listening())
                _until_told(desk, runner)
                runner.end()
            finally:
                server.close()
        finally:
            _stopped(desk, daemon)


def _say_started(desk: Desk, own: str, places: list[str]) -> None:
    if desk.json:
        desk.reporter.line({"message_type": "started", "id": own, "listening": places})
    else:
        desk.reporter.say(f"{own} listens at {', '.join(places)}")


def _until_told(desk: Desk, runner: Runner) -> None:
    """Goes on until a signal; the core is not left in the middle of something."""
    from obhut import signals

    def again(_number: int, _frame: FrameType | None) -> None:
        runner.reread = True

    signal.signal(signal.SIGHUP, again)
    signal.siginterrupt(signal.SIGHUP, False)
    names = {device.id: device.shown for device in desk.home.read().devices}
    with signals.shielded():
        while signals.caught() is None:
            for event in runner.round():
                if event["event"] == "configured":
                    names = {device.id: device.shown for device in desk.home.read().devices}
                tell(desk, event, names)
            _progress(desk, runner)
    desk.console.status("")


def _progress(desk: Desk, runner: Runner) -> None:
    """What is still to come, twice a second: a line at a terminal, or an object."""
    from obhut.backup.sizes import format_bytes
    from obhut.cli.console import safe
    from obhut.sync import report

    if not desk.reporter.watched:
        return
    found = report.progress(runner.status())
    if not desk.json:
        words = [
            f"{one['label'] or one['id']}: {one['items']} items, {format_bytes(one['bytes'])} to come" for one in found
        ]
        desk.console.status(safe("; ".join(words)))
    elif found:
        desk.reporter.line({"message_type": "progress", "folders": found})


def _stopped(desk: Desk, daemon: Any) -> None:
    from obhut import signals

    with signals.shielded(), converted():
        daemon.stop()
    if desk.json:
        desk.reporter.line({"message_type": "stopped"})
    else:
        desk.reporter.say("stopped; everything that was announced is kept")


def tell(desk: Desk, event: dict[str, Any], names: dict[str, str], *, always: bool = False) -> None:
    """An event, as a line or an object."""
    from obhut.cli.console import safe

    if desk.json:
        desk.reporter.line({"message_type": "event", **event})
        return
    words, level = _WORDS.get(event["event"], ("{event}", 2))
    why = event.get("why") or event.get("reason") or event.get("doubt") or event.get("address") or ""
    if isinstance(why, dict):
        why = why.get("text") or why.get("kind") or ""
    if event["event"] == "stopped" and not event.get("doubt"):
        words = "{folder}: goes on"
    values = {
        "name": "", "folder": "", "copy": "", "state": "", **event,
        "id": event.get("device", ""),
        "device": names.get(event.get("device", ""), event.get("device", "")[:7]),
        "because": f": {why}" if why else "",
        "done": "removed" if event.get("deleted") else "changed",
    }  # fmt: skip
    text = f"{event['time']}  {words.format_map(values)}"
    desk.reporter.say(safe(text), 0 if always else level)
