"""An archive in a bucket with S3 Object Lock: the storage itself refuses what is locked, whoever asks.

A lock belongs to a version of an object. What is written once is the oldest version of its key; whatever somebody lays over
it later (another version, a delete marker) hides nothing here, and is reported. The log's narrow tiles and its checkpoint
are replaced, the checkpoint by compare-and-swap. Facts of servers: formats: archive 6; docs/design/archive.md.
"""

from __future__ import annotations

import base64
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from obhut.archive.probe import Target, code_of
from obhut.errors import ObhutError
from obhut.world import durable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

T = TypeVar("T")
R = TypeVar("R")

#: Requests at a time.
THREADS: Final = 16

#: Bytes of the largest object that one request can write.
LARGEST: Final = 5 << 30

_PIECE: Final = 1 << 20
_GONE: Final = {"NoSuchKey", "404", "NotFound", "NoSuchVersion"}
_TAKEN: Final = {"PreconditionFailed", "412", "ConditionalRequestConflict"}


@dataclass(frozen=True, slots=True)
class Version:
    """What lies under a key, or hides it."""

    key: str
    id: str
    marker: bool
    latest: bool
    time: datetime


class S3Store:
    """A bucket. ``mode`` is that of its locks, ``governance`` or ``compliance``."""

    #: Records are locked after their objects: one that nobody was told of can still be dropped.
    lock_early: Final = False
    shared: Final = True

    def __init__(self, bucket: str, prefix: str, client: Any, mode: str = "governance") -> None:
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._client = client
        self.lock_mode = mode

    @property
    def location(self) -> str:
        """Its address."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def target(self) -> Target:
        """For whoever attacks it."""
        return Target(self._client, self._bucket, self._prefix, self.lock_mode)

    # Beginning

    def adopt(self, mode: str) -> None:
        """A mirror of an archive in a folder keeps what it was opened with."""
        if mode in {"governance", "compliance"}:
            self.lock_mode = mode

    def exists(self) -> bool:
        """Whether an archive lies here."""
        return self._head("archive.json") is not None

    def refuse_unless_new(self) -> None:
        """A bucket that holds an archive, or that cannot lock, is refused."""
        if self.exists():
            raise ObhutError("archive-exists", self.location)
        try:
            found = self._client.get_object_lock_configuration(Bucket=self._bucket)["ObjectLockConfiguration"]
        except Exception as error:  # noqa: BLE001  (told apart there)
            if code_of(error) in {"ObjectLockConfigurationNotFoundError", "InvalidRequest"}:
                found = {}
            else:
                raise self._failed("", error) from None
        if found.get("ObjectLockEnabled") != "Enabled":
            raise ObhutError(
                "archive-place", self.location, "this bucket does not lock objects: make one with Object Lock"
            )
        if "Rule" in found:
            raise ObhutError(
                "archive-place", self.location, "this bucket locks everything by default, the log cannot grow in it"
            )

    def begin(self) -> None:
        """Nothing: a bucket is made by whoever runs the storage."""

    # Reading

    def get(self, key: str) -> bytes:
        """The bytes of a key: of its oldest version, but for what the log replaces."""
        try:
            with self._open(key) as body:
                data: bytes = body.read()
        except Exception as error:  # noqa: BLE001  (told apart there)
            raise self._missing(key, error) from None
        return data

    def keys(self, folder: str) -> list[str]:
        """All keys below a folder, in order, those that a delete marker hides among them."""
        return sorted({version.key for version in self._versions(f"{folder}/") if not version.marker})

    def any(self, folder: str) -> bool:
        """Whether there is a key below a folder."""
        found = self._told(folder, lambda: self._client.list_objects_v2(
            Bucket=self._bucket, Prefix=f"{self._prefix}{folder}/", MaxKeys=1))  # fmt: skip
        return bool(found.get("KeyCount"))

    def hashes(self, keys: Sequence[str]) -> list[tuple[str, int]]:
        """SHA-256 in hex and size of what lies under each key, read whole."""
        return self._each(self._hash, keys)

    def _hash(self, key: str) -> tuple[str, int]:
        hasher, size = sha256(), 0
        try:
            with self._open(key) as body:
                while piece := body.read(_PIECE):
                    hasher.update(piece)
                    size += len(piece)
        except Exception as error:  # noqa: BLE001  (told apart there)
            found = self._missing(key, error)
            if isinstance(found, FileNotFoundError):
                raise ObhutError("file-missing", key, "it is missing") from None
            raise found from None
        return hasher.hexdigest(), size

    def copy_out(self, key: str, digest: str, size: int, target: Path) -> None:
        """Copies an object to a new file, proving its bytes, a piece at a time. Raises ``archive-damaged``."""
        with self.readable([(key, digest, size)]) as [path]:
            durable.copy_files(target.parent, [(target.name, path, digest, size)], mode=0o644)

    def _download(self, key: str, digest: str, size: int, path: Path) -> None:
        hasher, length = sha256(), 0
        try:
            with self._open(key) as body, path.open("xb") as file:
                while piece := body.read(_PIECE):
                    hasher.update(piece)
                    length += len(piece)
                    file.write(piece)
        except Exception as error:  # noqa: BLE001  (told apart there)
            found = self._missing(key, error)
            if isinstance(found, FileNotFoundError):
                raise ObhutError("archive-damaged", key, "it is missing") from None
            raise found from None
        if (hasher.hexdigest(), length) != (digest, size):
            raise ObhutError("archive-damaged", key, "its bytes are not those that came in")

    def oddities(self) -> list[tuple[str, str]]:
        """What somebody has laid over what is written once."""
        found: dict[str, list[Version]] = {}
        for folder in ("objects/", "records/"):
            for version in self._versions(folder):
                found.setdefault(version.key, []).append(version)
        odd = []
        for key, versions in sorted(found.items()):
            markers = sum(version.marker for version in versions)
            if markers:
                odd.append((key, "somebody laid a delete marker over it"))
            if len(versions) - markers > 1:
                odd.append((key, "somebody wrote another version over it"))
        return odd

    # Writing

    def put_once(self, items: Sequence[tuple[str, bytes]], until: int | None = None) -> None:
        """Each under a key that is new, or has these bytes already."""
        self._each(lambda item: self._put_once(item[0], item[1], sha256(item[1]).digest(), until), items)

    def copy_once(self, items: Sequence[tuple[str, bytes, str, int]], until: int) -> None:
        """Copies of files, likewise; the server compares the digest."""
        self._each(lambda item: self._copy(*item, until), items)

    def _copy(self, key: str, path: bytes, digest: str, size: int, until: int) -> None:
        if size > LARGEST:
            raise ObhutError(
                "document-missing", os.fsdecode(path), "objects of more than 5 GiB are not written to S3 yet"
            )
        with Path(os.fsdecode(path)).open("rb") as file:
            self._put_once(key, file, bytes.fromhex(digest), until)

    def _put_once(self, key: str, body: Any, digest: bytes, until: int | None) -> None:
        lock = {"ObjectLockMode": self._mode, "ObjectLockRetainUntilDate": _time(until)} if until else {}
        try:
            self._client.put_object(
                Bucket=self._bucket, Key=self._prefix + key, Body=body, IfNoneMatch="*",
                ChecksumSHA256=base64.b64encode(digest).decode(), **lock,
            )  # fmt: skip
        except Exception as error:  # noqa: BLE001  (told apart there)
            if code_of(error) in {"BadDigest", "XAmzContentChecksumMismatch"}:
                raise ObhutError("document-changed", key) from None
            if code_of(error) not in _TAKEN:
                raise self._failed(key, error) from None
            if self._hash(key)[0] != digest.hex():
                raise ObhutError("archive-damaged", key, "other bytes lie there already") from None

    def put_edge(self, items: Sequence[tuple[str, bytes]]) -> None:
        """The growing edge of a log: the newest version counts."""
        self._each(lambda item: self._told(item[0], lambda: self._client.put_object(
            Bucket=self._bucket, Key=self._prefix + item[0], Body=item[1])), items)  # fmt: skip

    def swap(self, key: str, data: bytes, before: bytes | None) -> None:
        """Replaces a checkpoint if it is the one that was read. Raises ``archive-raced`` if another writer was faster."""
        condition = {"IfNoneMatch": "*"} if before is None else {"IfMatch": self._tag(key, before)}
        try:
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=data, **condition)
        except Exception as error:  # noqa: BLE001  (told apart there)
            if code_of(error) in _TAKEN:
                raise ObhutError("archive-raced", self.location) from None
            raise self._failed(key, error) from None

    def _tag(self, key: str, before: bytes) -> str:
        found = self._told(key, lambda: self._client.get_object(Bucket=self._bucket, Key=self._prefix + key))
        if found["Body"].read() != before:
            raise ObhutError("archive-raced", self.location)
        return str(found["ETag"])

    def drop(self, key: str) -> None:
        """Takes away what nobody was ever told of, and narrow tiles: every version of it."""
        for version in self._versions(key, exact=True):
            self._delete(version)

    def confirm(self, items: Sequence[tuple[str, str, int]]) -> None:
        """What an earlier writer wrote lasts: a bucket answers when it does."""

    def settle(self, keys: Sequence[str]) -> None:
        """Nothing: names last with what they name."""

    def sweep(self) -> int:
        """Nothing is ever half written in a bucket."""
        return 0

    def one_writer(self) -> AbstractContextManager[None]:
        """Nobody is kept out: the checkpoint is swapped only by who has read the one before."""
        return nullcontext()

    @contextmanager
    def readable(self, items: Sequence[tuple[str, str, int]]) -> Iterator[list[bytes]]:
        """Objects as files, for whoever copies them. Raises ``archive-damaged``."""
        with durable.scratch() as folder:
            paths = []
            for number, (key, digest, size) in enumerate(items):
                self._download(key, digest, size, folder / str(number))
                paths.append(os.fsencode(folder / str(number)))
            yield paths

    # Locks

    def extend(self, items: Sequence[tuple[str, int]]) -> None:
        """Locks last at least until then."""
        wanted = dict(sorted(items, key=lambda item: item[1]))
        current = dict(zip(wanted, self.locks(list(wanted)), strict=True))
        if gone := [key for key, lock in current.items() if lock is None]:
            raise ObhutError("archive-damaged", gone[0], "it is missing")
        self._each(self._retain, [(key, until) for key, until in wanted.items() if current[key][0] < until])  # type: ignore[index]

    def _retain(self, item: tuple[str, int]) -> None:
        key, until = item
        retention = {"Mode": self._mode, "RetainUntilDate": _time(until)}
        self._told(key, lambda: self._client.put_object_retention(
            Bucket=self._bucket, Key=self._prefix + key, VersionId=self._original(key).id, Retention=retention))  # fmt: skip

    def locks(self, keys: Sequence[str]) -> list[tuple[int, bool] | None]:
        """Asked of the storage, for the version that counts."""
        return self._each(self._lock, keys)

    def _lock(self, key: str) -> tuple[int, bool] | None:
        try:
            version = self._original(key)
        except FileNotFoundError:
            return None
        return self._lock_of(version)

    def _lock_of(self, version: Version) -> tuple[int, bool]:
        head = self._told(version.key, lambda: self._client.head_object(
            Bucket=self._bucket, Key=self._prefix + version.key, VersionId=version.id))  # fmt: skip
        until = head.get("ObjectLockRetainUntilDate")
        return int(until.timestamp()) if until else 0, head.get("ObjectLockLegalHoldStatus") == "ON"

    def hold(self, keys: Sequence[str]) -> None:
        """Legal holds go on."""
        self._each(lambda key: self._legal_hold(key, "ON"), keys)

    def unhold(self, keys: Sequence[str]) -> None:
        """Legal holds go off."""
        self._each(lambda key: self._legal_hold(key, "OFF"), keys)

    def _legal_hold(self, key: str, status: str) -> None:
        self._told(key, lambda: self._client.put_object_legal_hold(
            Bucket=self._bucket, Key=self._prefix + key, VersionId=self._original(key).id, LegalHold={"Status": status}))  # fmt: skip

    def held(self) -> list[str]:
        """Everything with a legal hold: each object is asked, for no list says it."""
        keys = [*self.keys("objects"), *self.keys("records")]
        return sorted(key for key, lock in zip(keys, self.locks(keys), strict=True) if lock is not None and lock[1])

    def remove(self, key: str, now: int) -> None:
        """The lawful end of every version of a key. Raises ``document-locked``: our own look first, then the storage's word."""
        versions = self._versions(key, exact=True)
        for version in versions:
            if version.marker:
                continue
            until, held = self._lock_of(version)
            if held or until > now:
                raise ObhutError(
                    "document-locked", key, "it is held" if held else f"its lock lasts until {_time(until)}"
                )
        for version in sorted(versions, key=lambda found: found.time, reverse=True):
            self._delete(version)

    def _delete(self, version: Version) -> None:
        try:
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + version.key, VersionId=version.id)
        except Exception as error:  # noqa: BLE001  (told apart there)
            if code_of(error) == "AccessDenied":
                raise ObhutError(
                    "document-locked", version.key, "the storage refuses: it is locked, or it is not permitted"
                ) from None
            raise self._failed(version.key, error) from None

    # Requests

    @property
    def _mode(self) -> str:
        return self.lock_mode.upper()

    def _original(self, key: str) -> Version:
        """The version that counts: the oldest. Raises ``FileNotFoundError``."""
        versions = [version for version in self._versions(key, exact=True) if not version.marker]
        if not versions:
            raise FileNotFoundError(key)
        return min(versions, key=lambda version: (version.time, version.latest))

    def _versions(self, start: str, *, exact: bool = False) -> list[Version]:
        """All versions and markers of keys that begin so, or of one key."""
        found: list[Version] = []
        pages = self._client.get_paginator("list_object_versions")
        for page in self._told(start, lambda: list(pages.paginate(Bucket=self._bucket, Prefix=self._prefix + start))):
            for marker, name in ((False, "Versions"), (True, "DeleteMarkers")):
                for entry in page.get(name, []):
                    key = entry["Key"].removeprefix(self._prefix)
                    found.append(Version(key, entry["VersionId"], marker, entry["IsLatest"], entry["LastModified"]))
        return [version for version in found if not exact or version.key == start]

    @contextmanager
    def _open(self, key: str) -> Iterator[Any]:
        """The body of what counts under a key."""
        once = key.startswith(("objects/", "records/")) or key in {"archive.json", "log/1.vkey"}
        version = {"VersionId": self._original(key).id} if once else {}
        found = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key, **version)
        with found["Body"] as body:
            yield body

    def _head(self, key: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)
        except Exception as error:  # noqa: BLE001  (told apart there)
            if code_of(error) in _GONE:
                return None
            raise self._failed(key, error) from None
        return found

    def _told(self, key: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except FileNotFoundError:
            raise
        except Exception as error:  # noqa: BLE001  (told apart there)
            raise self._failed(key, error) from None

    def _missing(self, key: str, error: Exception) -> Exception:
        if isinstance(error, FileNotFoundError | ObhutError):
            return error
        return FileNotFoundError(2, "it is missing", key) if code_of(error) in _GONE else self._failed(key, error)

    def _failed(self, key: str, error: Exception) -> ObhutError:
        code = code_of(error)
        if isinstance(error, ObhutError):
            return error
        if code in {"AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch"}:
            return ObhutError("permission-denied", f"{self.location}/{key}", code)
        if code == "NoSuchBucket":
            return ObhutError("archive-place", self.location, "there is no such bucket")
        return ObhutError("store-unreachable", self.location, f"{type(error).__name__}: {error}")

    def _each(self, call: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Several requests at a time; the first error ends it, after those that had begun."""
        if len(items) <= 1:
            return [call(item) for item in items]
        with ThreadPoolExecutor(min(THREADS, len(items))) as pool:
            return list(pool.map(call, items))


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def client() -> Any:
    """A client as the environment and the files of AWS say it (``AWS_ENDPOINT_URL``, keys, region)."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    try:
        return boto3.client(
            "s3", config=Config(retries={"mode": "standard", "max_attempts": 4}, max_pool_connections=THREADS)
        )
    except (BotoCoreError, ValueError) as error:
        raise ObhutError("store-unreachable", "s3", str(error)) from None
