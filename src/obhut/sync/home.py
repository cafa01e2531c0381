"""The home of sync: certificate, settings, indexes, control socket. One home is one device.

cert.pem key.pem      who we are (made by the core)
sync.toml             what is configured
index/FOLDER.sqlite   what is known of a folder; disposable
control.sock          where a running `obhut sync run` answers
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from obhut.errors import ObhutError
from obhut.sync import file
from obhut.sync.model import check_places
from obhut.world import durable, turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from obhut.sync.model import Settings


def default_home(environ: Mapping[str, str]) -> Path:
    """``obhut/sync`` below ``$XDG_STATE_HOME`` or ``~/.local/state``."""
    base = environ.get("XDG_STATE_HOME") or ""
    folder = Path(base) if base.startswith("/") else Path(environ.get("HOME") or "/") / ".local" / "state"
    return folder / "obhut" / "sync"


@dataclass(frozen=True, slots=True)
class Home:
    """A home, whether it is there or not."""

    path: Path
    #: The one form of a device id; raises :class:`ObhutError`.
    canonical: Callable[[str], str]

    @property
    def settings_path(self) -> Path:
        """``sync.toml``."""
        return self.path / "sync.toml"

    @property
    def socket_path(self) -> Path:
        """``control.sock``."""
        return self.path / "control.sock"

    @property
    def exists(self) -> bool:
        """Whether there is a device: a certificate with its key."""
        return (self.path / "cert.pem").is_file() and (self.path / "key.pem").is_file()

    def make(self) -> None:
        """Makes the folder, for its owner alone."""
        durable.make_folder(self.path, mode=0o700)

    def need(self) -> None:
        """Raises ``sync-home-missing`` if no device was made."""
        if not self.exists:
            raise ObhutError("sync-home-missing", str(self.path))

    def read(self) -> Settings:
        """What is configured, checked. Raises ``sync-settings``, ``sync-folder-place``."""
        settings = file.read(self.settings_path, self.canonical)
        self.check(settings)
        return settings

    def check(self, settings: Settings) -> None:
        """Raises ``sync-folder-place`` if folders lie where they must not."""
        check_places(settings, os.path.realpath(self.path))

    @contextmanager
    def editing(self) -> Iterator[Edit]:
        """Settings that are written when the block ends without an error; other commands wait meanwhile."""
        self.need()
        with turns.alone(self.path):
            before = file.read_text(self.settings_path)
            edit = Edit(self.read())
            yield edit
            self.check(edit.settings)
            after = file.render(edit.settings, before)
            if after != before:
                # What is written is what is read.
                file.parse(after, str(self.settings_path), self.canonical)
                durable.write_file(self.settings_path, after.encode())

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keeps every other ``run`` out, until the process ends. Raises ``sync-running``."""
        handle = os.open(self.path / "run.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ObhutError("sync-running", str(self.path)) from None
            yield
        finally:
            os.close(handle)

    def stamp(self) -> Any:
        """Changes when somebody writes the settings."""
        try:
            found = self.settings_path.stat()
        except OSError:
            return None
        return (found.st_ino, found.st_mtime_ns, found.st_size)


class Edit:
    """Settings that are being changed."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
