"""What policy needs of the core, as protocols: the binary has it, and tests have a stand-in."""

from __future__ import annotations

from typing import Protocol


class Daemon(Protocol):
    """A running engine. JSON in and out; its shapes stand in ``obhut/_core.pyi``."""

    def configure(self, config: str) -> None:
        """Takes another configuration, while it runs."""

    def status(self) -> str:
        """An object."""

    def events(self, timeout_ms: int) -> str:
        """A list; waits so long if there is none."""

    def command(self, folder: str, command: str) -> None:
        """``scan``, ``emptied`` (all that is gone is meant to be), ``override`` or ``revert``."""

    def listening(self) -> list[str]:
        """``tcp://HOST:PORT``, with the ports that were really got."""

    def stop(self) -> None:
        """Ends connections and work, and waits for it."""


class Core(Protocol):
    """Functions of ``obhut._core``."""

    def sync_identity(self, home: str) -> str:
        """The device id of the certificate in ``home``; it is made if there is none."""

    def sync_device_id(self, text: str) -> str:
        """The one form of a device id; ``CoreError`` (``invalid-argument``) for what is none."""

    def sync_ignore_test(self, root: bytes, lines: list[str], names: list[str]) -> list[bool]:
        """Which names these lines ignore; included files are those of ``root``. ``CoreError`` for lines that mean nothing."""

    def sync_versions_list(self, root: bytes) -> str:
        """A list of ``{"name", "version", "made" (RFC 3339 or null), "bytes"}``; ``version`` is the name below ``.stversions``."""

    def sync_versions_restore(self, root: bytes, version: str, into: str | None) -> str:
        """Copies a version to its name, or to ``into``; what is there becomes a version first. Gives the name."""

    def sync_versions_prune(self, root: bytes, keep: str) -> str:
        """Removes what a policy (as in the configuration) does not keep; a list of the versions that went."""
