"""SIGINT and SIGTERM: one handler, one flag; SIGUSR1 asks for the status.

While a job is watched the signal only sets the flag: the watcher cancels the job and waits for it, so that our lock is
removed and uploads end cleanly. At any other moment :class:`Interrupted` is raised, which also ends a password prompt.
A third signal ends the process at once.

SIGUSR1 asks for the status of the operation, as with restic; it never ends anything.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

HANDLED: Final = (signal.SIGINT, signal.SIGTERM)
_PATIENCE: Final = 3
#: Seconds after which an interruption that Python swallowed is raised again.
_AGAIN: Final = 0.005


class Interrupted(BaseException):
    """The process was told to stop; carries the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """128 + the signal, as shells count."""
        return 128 + self.number


class _State:
    caught: int | None = None
    count: int = 0
    shields: int = 0
    status_wanted: bool = False


def _ask(_number: int, _frame: object) -> None:
    _State.status_wanted = True


def status_wanted() -> bool:
    """Whether somebody asked for the status since the last look."""
    wanted, _State.status_wanted = _State.status_wanted, False
    return wanted


def status_pending() -> bool:
    """Whether somebody asked for the status and :func:`status_wanted` has not told so yet."""
    return _State.status_wanted


def _handle(number: int, _frame: object) -> None:
    _State.caught = number
    _State.count += 1
    if _State.count >= _PATIENCE:
        os._exit(128 + number)
    if _State.shields == 0:
        raise Interrupted(number)


def _again(_number: int, _frame: object) -> None:
    raise_if_caught()


def _unraisable(failed: sys.UnraisableHookArgs) -> None:
    """Where Python cannot raise (the callback of a weak reference, a destructor) it would print the exception and go
    on as if nobody had asked the program to stop; a timer raises it a moment later, outside.
    """
    if isinstance(failed.exc_value, Interrupted):
        signal.setitimer(signal.ITIMER_REAL, _AGAIN)
    else:
        sys.__unraisablehook__(failed)


def install() -> None:
    """Handles the signals from now on, except those that the parent process told us to ignore (``nohup``)."""
    _State.caught, _State.count, _State.shields, _State.status_wanted = None, 0, 0, False
    for number in HANDLED:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _handle)
    signal.signal(signal.SIGUSR1, _ask)
    signal.signal(signal.SIGALRM, _again)
    sys.unraisablehook = _unraisable
    # They may reach any thread, and must not end a call there early.
    signal.siginterrupt(signal.SIGUSR1, False)
    signal.siginterrupt(signal.SIGALRM, False)


def ignore() -> None:
    """The command has ended and its exit code stands: a late signal must not replace it while Python shuts down."""
    for number in (*HANDLED, signal.SIGUSR1, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)


def caught() -> int | None:
    """The last signal, if any came."""
    return _State.caught


@contextmanager
def shielded() -> Iterator[None]:
    """A block that a signal does not break; whoever is inside looks at :func:`caught`."""
    _State.shields += 1
    try:
        yield
    finally:
        _State.shields -= 1


def raise_if_caught() -> None:
    """Ends here if a signal came while the work was shielded."""
    if _State.caught is not None and _State.shields == 0:
        raise Interrupted(_State.caught)
