"""A real S3 server with Object Lock, SeaweedFS, on loopback; and clients with and without the rights of an administrator."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import facilities
from obhut.archive import policies

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Rights of SeaweedFS without policies: who writes may delete versions that nothing locks, and set rules of expiry.
LOOSE: Final = (
    "Read",
    "Write",
    "List",
    "GetObjectRetention",
    "PutObjectRetention",
    "GetObjectLegalHold",
    "PutObjectLegalHold",
    "GetBucketObjectLockConfiguration",
)
#: A bucket and a prefix: ``intake-of-archive`` and ``disposal-of-archive`` have rights there only.
ARCHIVE: Final = ("documents", "one")
PATIENCE: Final = 60
_HOP: Final = {"content-length", "transfer-encoding", "connection", "date", "server"}


class Server:
    """A running server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._made = 0

    def client(self, who: str = "intake") -> Any:
        """``intake`` and ``disposal`` by their policies, ``loose``, who may delete, or ``admin``, who may do everything."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=f"{who}key",
            aws_secret_access_key=f"{who}secret",
            region_name="us-east-1",
            config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}, max_pool_connections=32),
        )

    def environ(self, who: str = "intake") -> dict[str, str]:
        """For a program."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": f"{who}key",
            "AWS_SECRET_ACCESS_KEY": f"{who}secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def bucket(self, name: str = "", *, lock: bool = True, versioned: bool = True) -> str:
        """A new one."""
        self._made += 1
        name = name or f"bucket-{self._made}"
        admin = self.client("admin")
        admin.create_bucket(Bucket=name, ObjectLockEnabledForBucket=lock)
        if versioned and not lock:
            admin.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name


def _free_ports(count: int) -> list[int]:
    """Ports that are free, and 10,000 above them, too: the server takes those for its own protocol."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            try:
                other.bind(("127.0.0.1", port + 10_000))
            except (OSError, OverflowError):
                continue
            found.append(port)
    return found


@contextmanager
def seaweedfs(folder: Path) -> Iterator[Server]:
    """Starts it, and ends it: only this process, by its id."""
    facilities.need("seaweedfs")
    folder.mkdir()
    rights: dict[str, dict[str, list[str]]] = {
        "admin": {"actions": ["Admin", "Read", "Write", "List", "Tagging"]},
        "loose": {"actions": list(LOOSE)},
        **{name: {"policyNames": [name]} for kind in policies.KINDS for name in (kind, f"{kind}-of-archive")},
    }
    identities = [
        {"name": name, "credentials": [{"accessKey": f"{name}key", "secretKey": f"{name}secret"}], **may}
        for name, may in rights.items()
    ]
    # As they are published: for every bucket of this server, and for one archive in one of them.
    documents = [
        {"name": name, "document": document}
        for kind, made in policies.KINDS.items()
        for name, document in ((kind, made("*")), (f"{kind}-of-archive", made(*ARCHIVE)))
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities, "policies": documents}))
    master, volume, filer, s3 = _free_ports(4)
    words = [str(Path(sys.executable).with_name("weed")), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
             f"-master.port={master}", f"-volume.port={volume}", "-filer", f"-filer.port={filer}", "-s3", f"-s3.port={s3}",
             f"-s3.config={folder / 's3.json'}", "-s3.port.lance=0", "-s3.port.iceberg=0", "-master.telemetry=false", "-volume.max=800", "-master.volumeSizeLimitMB=64"]  # fmt: skip
    url = f"http://127.0.0.1:{s3}"
    with (folder / "log").open("wb") as log, subprocess.Popen(words, stdout=log, stderr=log, cwd=folder) as process:
        try:
            server = Server(url)
            deadline = time.monotonic() + PATIENCE
            while not _answers(server):
                assert process.poll() is None, (folder / "log").read_text()[-2000:]
                assert time.monotonic() < deadline, (folder / "log").read_text()[-2000:]
                time.sleep(0.2)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _answers(server: Server) -> bool:
    """Whether it takes an object: it lists buckets long before."""
    admin = server.client("admin")
    try:
        admin.create_bucket(Bucket="ready")
        admin.put_object(Bucket="ready", Key="x", Body=b"x")
    except Exception:  # noqa: BLE001  (whatever it says while it begins)
        try:
            admin.put_object(Bucket="ready", Key="x", Body=b"x")
        except Exception:  # noqa: BLE001
            return False
    return True


@contextmanager
def lying(server: Server) -> Iterator[Server]:
    """The same server behind somebody who says "done" wherever it refuses."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            real = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
            real.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                real.putheader(name, value)
            real.endheaders(body)
            answer = real.getresponse()
            code, data = answer.status, answer.read()
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP}
            if code in {400, 403, 409, 412} and self.command in {"PUT", "DELETE"}:
                code, data, headers = 200, b"", {}
            if b"<Error>" in data and self.command == "POST":
                data = b'<?xml version="1.0"?><DeleteResult></DeleteResult>'
            real.close()
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header(
                "Content-Length", headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(data))
            )
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, *_: object) -> None: ...

    for method in ("GET", "PUT", "POST", "DELETE", "HEAD"):
        setattr(Handler, f"do_{method}", Handler._pass_on)
    front = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=front.serve_forever, daemon=True)
    thread.start()
    try:
        yield Server(f"http://127.0.0.1:{front.server_port}")
    finally:
        front.shutdown()
        front.server_close()
        thread.join()
