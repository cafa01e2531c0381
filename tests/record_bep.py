"""Records what a real Syncthing says and does, for tests that have none.

    python tests/record_bep.py session PROGRAM FILE
    python tests/record_bep.py ignores PROGRAM FILE

PROGRAM is a Syncthing. ``session``: FILE gets the bytes that it sends to a device that dials it (greeting, cluster config,
index, an answer), as they come; Python's ``ssl`` is enough for that side. ``ignores``: FILE gets what it ignores by which
lines. The recordings in ``tests/data/bep`` are read by the tests of ``crates/obhut-bep`` and ``crates/obhut-sync``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = "recorded"
KEY: Final = "key-of-the-recording"
PATIENCE: Final = 60

CONFIG: Final = """<configuration version="37">
 <folder id="{folder}" label="Recorded" path="{path}" type="sendreceive" rescanIntervalS="3600" fsWatcherEnabled="false">
  <device id="{theirs}"></device><device id="{ours}"></device>
 </folder>
 <device id="{theirs}" name="recorded"><address>dynamic</address></device>
 <device id="{ours}" name="recorder" compression="metadata"><address>tcp://127.0.0.1:9</address></device>
 <gui enabled="true"><address>127.0.0.1:{gui}</address><apikey>{key}</apikey></gui>
 <options>
  <listenAddress>tcp://127.0.0.1:{port}</listenAddress><globalAnnounceEnabled>false</globalAnnounceEnabled>
  <localAnnounceEnabled>false</localAnnounceEnabled><relaysEnabled>false</relaysEnabled><natEnabled>false</natEnabled>
  <urAccepted>-1</urAccepted><startBrowser>false</startBrowser><autoUpgradeIntervalH>0</autoUpgradeIntervalH>
  <crashReportingEnabled>false</crashReportingEnabled><setLowPriority>false</setLowPriority>
 </options>
</configuration>
"""


def certificate(folder: Path) -> bytes:
    """A device's certificate and key (``cert.pem``, ``key.pem``); gives it in DER."""
    folder.mkdir(parents=True)
    command = ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "7300", "-subj", "/CN=syncthing",
               "-addext", "subjectAltName=DNS:syncthing", "-addext", "extendedKeyUsage=serverAuth,clientAuth",
               "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return ssl.PEM_cert_to_DER_cert((folder / "cert.pem").read_text())


def device_id(der: bytes) -> str:
    """As people write it, without check characters."""
    return base64.b32encode(hashlib.sha256(der).digest()).decode().rstrip("=")


def tree(root: Path) -> None:
    """One of each kind of item."""
    (root / "directory").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"hello\n")
    (root / "empty").write_bytes(b"")
    (root / "directory" / "blocks").write_bytes(bytes(range(256)) * 1024)
    (root / "ä").write_bytes(b"umlaut")
    (root / "link").symlink_to("a.txt")
    for number in range(40):
        (root / f"many-{number:02}").write_bytes(b"%d" % number)


def field(number: int, value: int | bytes) -> bytes:
    """A protobuf field."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    """A number of seven bits a byte."""
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


def frame(kind: int, body: bytes) -> bytes:
    """A message that is not compressed."""
    header = field(1, kind) if kind else b""
    return struct.pack(">H", len(header)) + header + struct.pack(">I", len(body)) + body


def free_port() -> int:
    """A port of loopback that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def wait_for(url: str, child: subprocess.Popen[bytes]) -> None:
    """Until its API answers."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            urllib.request.urlopen(urllib.request.Request(url, headers={"X-API-Key": KEY}), timeout=5).close()
        except (urllib.error.URLError, OSError):
            if child.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def talk(port: int, ours: Path, ids: tuple[bytes, bytes]) -> bytes:
    """Dials, greets, asks for a block, says goodbye; gives all bytes that came."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(ours / "cert.pem", ours / "key.pem")
    context.set_alpn_protocols(["bep/1.0"])
    hello = field(1, b"recorder") + field(2, b"obhut") + field(3, b"v0")
    members = b"".join(field(16, field(1, one)) for one in ids)
    digest = hashlib.sha256(b"hello\n").digest()
    request = field(2, FOLDER.encode()) + field(3, b"a.txt") + field(5, 6) + field(6, digest)
    came = b""
    with socket.create_connection(("127.0.0.1", port), 10) as plain, context.wrap_socket(plain) as line:
        line.sendall(bytes.fromhex("2ea7d90b") + struct.pack(">H", len(hello)) + hello)
        line.sendall(frame(0, field(1, field(1, FOLDER.encode()) + members)))
        line.settimeout(3)
        asked = False
        try:
            while piece := line.recv(1 << 16):
                came += piece
                if not asked and len(came) > 1000:
                    asked = True
                    line.sendall(frame(3, request))
        except TimeoutError:
            line.sendall(frame(7, field(1, b"recorded")))
    return came


@dataclass(frozen=True, slots=True)
class Peer:
    """A Syncthing that runs: its folder, its port, its API, our certificate, both ids."""

    folder: Path
    port: int
    api: str
    ours: Path
    ids: tuple[bytes, bytes]

    def ask(self, path: str, body: object = None, method: str = "GET") -> Any:
        """An answer of its API."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.api}/{path}", data, {"X-API-Key": KEY}, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            text = answer.read()
        return json.loads(text) if text.strip() else None


@contextmanager
def running(program: str, tree: Callable[[Path], None]) -> Iterator[Peer]:
    """Starts one with a folder that was scanned; ends it, and nothing else."""
    with tempfile.TemporaryDirectory(prefix="obhut-") as name:
        base = Path(name)
        home, ours = base / "home", base / "ours"
        theirs_der, ours_der = certificate(home), certificate(ours)
        tree(base / "folder")
        (base / "folder" / ".stfolder").mkdir()
        port, gui = free_port(), free_port()
        (home / "config.xml").write_text(
            CONFIG.format(folder=FOLDER, path=base / "folder", theirs=device_id(theirs_der), ours=device_id(ours_der),
                          gui=gui, key=KEY, port=port)
        )  # fmt: skip
        # An old one takes a configuration that a newer one could have written.
        words = [
            program,
            "serve",
            f"--home={home}",
            "--no-browser",
            "--no-restart",
            "--no-upgrade",
            "--allow-newer-config",
        ]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              env={**os.environ, "HOME": str(base)}) as child:  # fmt: skip
            try:
                wait_for(f"http://127.0.0.1:{gui}/rest/system/ping", child)
                ids = hashlib.sha256(theirs_der).digest(), hashlib.sha256(ours_der).digest()
                peer = Peer(base / "folder", port, f"http://127.0.0.1:{gui}/rest", ours, ids)
                peer.ask(f"db/scan?folder={FOLDER}", method="POST")
                yield peer
            finally:
                child.terminate()


#: Parts of names, and of patterns, in which much matches something.
PARTS: Final = ("a", "b", "ab", "A", "foo", "foo.txt", "x.b", "ä")
LINES: Final = ("a", "/a", "a/", "a/**", "**/a", "/a/b", "a/b", "*", "/*", "*.txt", "*.b", "?", "/?", "[ab]", "[!a]", "[a-f]*", "{a,b}",
                "{foo,x}.{txt,b}", "(?i)a", "(?i)/A/b", "f*o", "**b", "a**b", "a*b", "/foo/*", "/**/b", "foo*", "*o*", "x.?", "ä", "/a/*/b",
                "a?", "{a,ab}/b", "**/foo/**", "/ab", "(?d)ab", "//a", "*/a", "*/*/a", "**")  # fmt: skip


def deep_tree(root: Path) -> None:
    """Files in directories three deep, with every part as a file and as a directory."""
    for one in PARTS[:5]:
        for two in PARTS[:5]:
            (root / f"{one}.d" / f"{two}.d").mkdir(parents=True, exist_ok=True)
            (root / one / two).mkdir(parents=True, exist_ok=True)
            for three in PARTS:
                (root / one / two / three).touch()
    for part in PARTS[5:]:
        (root / part).touch()
        (root / "a.d" / part).touch()


def ignored(peer: Peer, names: Sequence[str], lines: Sequence[str]) -> str:
    """Which names it ignores by these lines: ``1``, or ``0``, for each."""
    peer.ask(f"db/ignores?folder={FOLDER}", {"ignore": list(lines)}, "POST")
    peer.ask(f"db/scan?folder={FOLDER}", method="POST")
    found = ""
    for name in names:
        entry = peer.ask(f"db/file?folder={FOLDER}&file={urllib.parse.quote(name)}")
        found += str(int(bool(entry["local"]["ignored"])))
    return found


def record_ignores(program: str, target: Path) -> None:
    """A line with all names; then for each case a line with its lines, and one with what they ignore."""
    draw = random.Random(1)
    cases = [[line] for line in LINES]
    for _ in range(60):
        lines = draw.sample(LINES, draw.randint(2, 4))
        cases.append([draw.choice(("", "", "!", "(?i)")) + line if line[0] not in "(/" else line for line in lines])
    with running(program, deep_tree) as peer:
        every = sorted(str(path.relative_to(peer.folder)) for path in peer.folder.rglob("*"))
        names = draw.sample([name for name in every if not name.startswith(".st")], 120)
        text = "\t".join(names) + "\n"
        for lines in cases:
            text += "\t".join(lines) + "\n" + ignored(peer, names, lines) + "\n"
    target.write_text(text)


def record_session(program: str, target: Path) -> None:
    """What it says to whoever dials."""
    with running(program, tree) as peer:
        target.write_bytes(talk(peer.port, peer.ours, peer.ids))


if __name__ == "__main__":
    what, with_program, into = sys.argv[1:]
    {"session": record_session, "ignores": record_ignores}[what](with_program, Path(into))
