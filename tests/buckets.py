"""A real S3 server with Object Lock, SeaweedFS, on loopback; and clients with and without the rights of an administrator."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import facilities

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What the intake may do: everything but delete for good, and nothing about the bucket.
INTAKE: Final = (
    "Read",
    "Write",
    "List",
    "GetObjectRetention",
    "PutObjectRetention",
    "GetObjectLegalHold",
    "PutObjectLegalHold",
    "GetBucketObjectLockConfiguration",
)
PATIENCE: Final = 60


class Server:
    """A running server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._made = 0

    def client(self, who: str = "intake") -> Any:
        """``intake``, or ``admin``, who may do everything."""
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

    def bucket(self, *, lock: bool = True, versioned: bool = True) -> str:
        """A new one."""
        self._made += 1
        name = f"bucket-{self._made}"
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
    people = {"admin": ["Admin", "Read", "Write", "List", "Tagging"], "intake": list(INTAKE)}
    identities = [
        {"name": name, "credentials": [{"accessKey": f"{name}key", "secretKey": f"{name}secret"}], "actions": actions}
        for name, actions in people.items()
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
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
