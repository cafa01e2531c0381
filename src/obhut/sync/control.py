"""How other processes talk to a running ``obhut sync run``: a socket in its home, one line of JSON there and one back.

A request is ``{"do": NAME, …}``; an answer is ``{"ok": VALUE}`` or ``{"error": {"id", "object", "detail"}}``. Only the
owner of the home can open the socket.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING, Any, Final

from obhut.errors import ObhutError
from obhut.gojson import dumps, loads
from obhut.world import durable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Bytes of the longest request, and seconds that a slow peer gets.
_LONGEST: Final = 1 << 20
_PATIENCE: Final = 10.0
#: Bytes of the longest path that a socket can have (Linux).
_PATH: Final = 107


def _address(path: Path) -> str:
    """The path, or a shorter one to the same place: sockets have short names."""
    if len(os.fsencode(path)) <= _PATH:
        return str(path)
    return f"/proc/self/fd/{os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)}/{path.name}"


class Server:
    """Answers, each request in its turn, in a thread of its own."""

    def __init__(self, path: Path, answer: Callable[[dict[str, Any]], Any]) -> None:
        """Whoever calls holds the lock of the home: a socket that is there is left over."""
        self._path = path
        self._answer = answer
        if os.path.lexists(path):
            durable.remove_file(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            self._socket.bind(_address(path))
        finally:
            os.umask(before)
        self._socket.listen(16)
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError, ValueError):
                connection.settimeout(_PATIENCE)
                connection.sendall(self._answered(connection) + b"\n")

    def _answered(self, connection: socket.socket) -> bytes:
        try:
            return dumps({"ok": self._answer(_request(connection))}).encode()
        except ObhutError as error:
            return dumps({"error": {"id": error.id, "object": error.object, "detail": error.detail}}).encode()
        except Exception as error:  # noqa: BLE001  (whatever one request meets, the next one is answered)
            detail = f"{type(error).__name__}: {error}"
            return dumps({"error": {"id": "internal", "object": "", "detail": detail}}).encode()

    def close(self) -> None:
        """No more answers; the socket goes."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(_PATIENCE)
        with contextlib.suppress(ObhutError):
            durable.remove_file(self._path)


def _request(connection: socket.socket) -> dict[str, Any]:
    """Reads a line. Raises ``invalid-argument`` for what is no request."""
    data = bytearray()
    while not data.endswith(b"\n"):
        piece = connection.recv(1 << 16)
        if not piece:
            break
        data += piece
        if len(data) > _LONGEST:
            raise ObhutError("limit-exceeded", "a request")
    request = loads(bytes(data))
    if not isinstance(request, dict):
        raise ObhutError("invalid-argument", "a request")
    return request


def ask(path: Path, request: dict[str, Any], *, patience: float = 30.0) -> Any:
    """What a running process answers. Raises ``sync-not-running``, and what it answers with."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(patience)
        try:
            connection.connect(_address(path))
            connection.sendall(dumps(request).encode() + b"\n")
            data = bytearray()
            while piece := connection.recv(1 << 16):
                data += piece
        except (FileNotFoundError, ConnectionRefusedError):
            raise ObhutError("sync-not-running", str(path.parent)) from None
        except OSError as error:
            raise ObhutError("sync-not-running", str(path.parent), str(error)) from None
    try:
        answer = loads(bytes(data))
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise ObhutError("sync-not-running", str(path.parent), "it ended while it answered")
    if "error" in answer:
        said = answer["error"]
        raise ObhutError(said["id"], said["object"], said["detail"])
    return answer["ok"]
