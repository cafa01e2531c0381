"""A time-stamping authority of the tests' own: openssl with keys of its own, behind HTTP on loopback."""

from __future__ import annotations

import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CONFIG: Final = """\
[tsa1]
serial = serial
signer_cert = tsa.pem
certs = ca.pem
signer_key = tsa.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256
accuracy = secs:1
ordering = yes
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = sha256
[ca1]
database = index.txt
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
serial = caserial
default_md = sha256
policy = policy1
[policy1]
commonName = supplied
"""
_USES: Final = "extendedKeyUsage = critical,{use}\nkeyUsage = critical,digitalSignature\n"


class Authority:
    """Answers queries; ``certificates`` is the file of its root."""

    def __init__(self, folder: Path, name: str = "Test", *, use: str = "timeStamping", end: str | None = None) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "tsa.cnf").write_text(_CONFIG)
        (folder / "serial").write_text("01")
        (folder / "caserial").write_text("01")
        (folder / "index.txt").write_text("")
        (folder / "ext").write_text(_USES.format(use=use))
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        self._run(
            "req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-subj", f"/CN={name} Root", "-days", "30"
        )
        self._run("req", *curve, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", f"/CN={name}")
        until = ["-days", "20"] if end is None else ["-enddate", end]
        self._run("ca", "-batch", "-notext", "-config", "tsa.cnf", "-name", "ca1", "-in", "tsa.csr", "-out", "tsa.pem",
                  "-extfile", "ext", *until)  # fmt: skip
        self.certificates = folder / "ca.pem"

    @property
    def pem(self) -> str:
        return self.certificates.read_text()

    def answer(self, query: bytes) -> bytes:
        (self.folder / "q").write_bytes(query)
        self._run("ts", "-reply", "-config", "tsa.cnf", "-section", "tsa1", "-queryfile", "q", "-out", "r")
        return (self.folder / "r").read_bytes()

    def ask(self, _url: str, query: bytes) -> bytes:
        """In the place of the web."""
        return self.answer(query)

    def _run(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)


@contextmanager
def serving(answer: Callable[[bytes], tuple[int, bytes]]) -> Iterator[str]:
    """An HTTP server on loopback that answers each POST; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Content-Type"] == "application/timestamp-query"
            code, data = answer(body)
            self.send_response(code)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
