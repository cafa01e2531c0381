"""Records what a real Syncthing says to a device that dials it: greeting, cluster config, index, an answer, the end.

    PYTHONPATH=tests:src python tests/record_bep.py PROGRAM FILE

PROGRAM is a Syncthing, FILE gets the bytes that it sent, as they came. The recordings in ``tests/data/bep`` are read by the
tests of ``crates/obhut-bep``. Python's ``ssl`` is enough for the side that dials.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

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


def main(program: str, target: str) -> None:
    """Starts it, talks to it, ends it."""
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
        words = [program, "serve", f"--home={home}", "--no-browser", "--no-restart", "--no-upgrade"]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              env={**os.environ, "HOME": str(base)}) as child:  # fmt: skip
            try:
                wait_for(f"http://127.0.0.1:{gui}/rest/system/ping", child)
                scan = urllib.request.Request(
                    f"http://127.0.0.1:{gui}/rest/db/scan?folder={FOLDER}", method="POST", headers={"X-API-Key": KEY}
                )
                urllib.request.urlopen(scan, timeout=PATIENCE).close()
                ids = hashlib.sha256(theirs_der).digest(), hashlib.sha256(ours_der).digest()
                came = talk(port, ours, ids)
            finally:
                child.terminate()
        Path(target).write_bytes(came)
        print(f"{len(came)} bytes; they are {device_id(theirs_der)}, we are {device_id(ours_der)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
