"""An archive in a bucket with S3 Object Lock: the storage itself refuses what is locked, whoever asks.

A lock belongs to a version of an object. What is written once is the oldest version of its key; whatever somebody lays over
it later (another version, a delete marker) hides nothing here, and is reported. The log's checkpoint is replaced, by
compare-and-swap. The intake deletes nothing: versions go by a credential of their own, and only where the law's end is
carried out (:mod:`obhut.archive.actions.dispose`). Facts of servers: formats: archive 6; docs/design/archive.md.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from obhut.archive import s3client, s3notes, s3parts
from obhut.archive.probe import Target, code_of
from obhut.archive.record import LOG, is_written_once
from obhut.archive.s3client import THREADS
from obhut.archive.s3notes import oldest_counts
from obhut.errors import ObhutError
from obhut.world import durable, secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from obhut.log.handover import Keys

T = TypeVar("T")
R = TypeVar("R")

#: Bytes of the largest object that one request writes (S3 takes 5 GiB); a larger one goes in parts of so many.
LARGEST: Final = 1 << 30
PART: Final = 64 << 20

#: Seconds after which an upload in parts is one that was stopped.
_ABANDONED: Final = 2 * 86400

_PIECE: Final = 1 << 20
_CHECKPOINT: Final = f"{LOG}/checkpoint"
_GONE: Final = {"NoSuchKey", "404", "NotFound", "NoSuchVersion"}
_TAKEN: Final = {"PreconditionFailed", "412", "ConditionalRequestConflict"}
_DENIED: Final = {"AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}


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
        #: Deletes versions. Nobody has it unless :meth:`remove_with` gave it.
        self._remover: Any = None
        self.lock_mode = mode
        #: Versions that count, as far as they are known: the oldest one of a key stays it as long as it is there.
        self._originals: dict[str, Version] = {}
        #: What was just written: its version, and until when it is locked.
        self._fresh: dict[str, tuple[str, int]] = {}
        #: The keys of the log, once they were read; there may be more since.
        self._keys: Keys | None = None

    @property
    def location(self) -> str:
        """Its address."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def target(self) -> Target:
        """For whoever attacks it."""
        return Target(self._client, self._bucket, self._prefix, self.lock_mode, self._remover)

    def remove_with(self, client: Any) -> None:
        """The credential that deletes versions; all else goes on with that of the intake."""
        self._remover = client

    def remove_as(self, profile: str) -> None:
        """The same by the name of a profile of AWS, at the same address. Raises ``disposal-credential``."""
        meta = self._client.meta
        self._remover = s3client.of_profile(profile, meta.endpoint_url, meta.region_name)

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
            if key == _CHECKPOINT and not self._is_signed(data) and (keys := self._keys) is not None:
                signed = (one for one in self._written(key) if s3notes.size_of(one, keys) is not None)
                return next(signed, data)
        except Exception as error:  # noqa: BLE001  (told apart there)
            raise self._missing(key, error) from None
        return data

    def _is_signed(self, checkpoint: bytes) -> bool:
        """Whether the log's key signed it; where no key lies yet, nothing says whose it has to be."""
        if self._keys is not None and s3notes.size_of(checkpoint, self._keys) is not None:
            return True
        keys = self._log_keys()
        return keys is None or s3notes.size_of(checkpoint, keys) is not None

    def _log_keys(self) -> Keys | None:
        self._keys = s3notes.keys_of(self.get, self.keys)
        return self._keys

    def _written(self, key: str) -> Iterator[bytes]:
        """All that was ever written to a key that is replaced, newest first."""
        versions = [found for found in self._versions(key, exact=True) if not found.marker]
        newest = sorted(versions, key=lambda found: (found.time, found.latest), reverse=True)
        for at in range(0, len(newest), THREADS):
            yield from self._each(
                lambda one: self._get(key, VersionId=one.id)["Body"].read(), newest[at : at + THREADS]
            )

    def expect(self, keys: Sequence[str]) -> None:
        """A request each, when they are asked for."""

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

    def _download(self, key: str, path: Path) -> tuple[str, int]:
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
        return hasher.hexdigest(), length

    def oddities(self) -> list[tuple[str, str]]:
        """What somebody has laid over what is written once."""
        found: dict[str, list[Version]] = {}
        odd = []
        for folder in ("objects/", "records/", "stamps/", "log/1", "archive.json"):
            for version in self._versions(folder):
                if oldest_counts(version.key):
                    found.setdefault(version.key, []).append(version)
        if (keys := self._log_keys()) and (why := s3notes.oddity(self._written(_CHECKPOINT), keys)):
            odd.append((_CHECKPOINT, why))
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

    def stage(self, paths: Sequence[bytes], until: int) -> None:
        """A bucket takes nothing without its name and its digest."""

    def name_once(self, staged: durable.Staged, items: Sequence[tuple[int, str]]) -> None:
        """Nothing is staged."""

    def _copy(self, key: str, path: bytes, digest: str, size: int, until: int) -> None:
        put = self._put_whole if size <= LARGEST else self._put_parts
        with Path(os.fsdecode(path)).open("rb") as file:
            self._put_once(key, file, bytes.fromhex(digest), until, put)

    def _put_once(
        self, key: str, body: Any, digest: bytes, until: int | None, put: Callable[..., None] | None = None
    ) -> None:
        lock = {"ObjectLockMode": self._mode, "ObjectLockRetainUntilDate": _time(until)} if until else {}
        try:
            (put or self._put_whole)(key, body, digest, lock)
        except ObhutError:
            raise
        except Exception as error:  # noqa: BLE001  (told apart there)
            if code_of(error) in {"BadDigest", "XAmzContentChecksumMismatch"}:
                raise ObhutError("document-changed", key) from None
            if code_of(error) not in _TAKEN:
                raise self._failed(key, error) from None
            if self._hash(key)[0] != digest.hex():
                raise ObhutError("archive-damaged", key, "other bytes lie there already") from None

    def _put_whole(self, key: str, body: Any, digest: bytes, lock: dict[str, Any]) -> None:
        answer = self._client.put_object(
            Bucket=self._bucket, Key=self._prefix + key, Body=body, IfNoneMatch="*",
            ChecksumSHA256=s3parts.checksum(digest), **lock,
        )  # fmt: skip
        until = lock.get("ObjectLockRetainUntilDate")
        self._fresh[key] = answer.get("VersionId", ""), int(until.timestamp()) if until else 0

    def _put_parts(self, key: str, body: Any, digest: bytes, lock: dict[str, Any]) -> None:
        """Raises ``document-changed``; nothing has a name then."""
        target = {"Bucket": self._bucket, "Key": self._prefix + key}
        s3parts.upload(self._client, target, body, PART, lock, lambda found: _same(key, found, digest))

    def put_edge(self, items: Sequence[tuple[str, bytes]], until: int | None = None) -> None:
        """The growing edge of a log: tiles have one content each, for their batch was staged; of a checkpoint the newest counts."""
        self.put_once([item for item in items if is_written_once(item[0])], until)
        self.put_once([item for item in items if oldest_counts(item[0]) and not is_written_once(item[0])])
        rest = [item for item in items if not oldest_counts(item[0])]
        self._each(lambda item: self._told(item[0], lambda: self._client.put_object(
            Bucket=self._bucket, Key=self._prefix + item[0], Body=item[1])), rest)  # fmt: skip

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
        found = self._told(key, lambda: self._get(key))
        data = found["Body"].read()
        # What somebody laid over a checkpoint is replaced, too.
        if data != before and (key != _CHECKPOINT or self._is_signed(data)):
            raise ObhutError("archive-raced", self.location)
        return str(found["ETag"])

    def drop(self, key: str) -> None:
        """It stays: who takes in deletes nothing. Whoever disposes takes it away (:func:`obhut.archive.actions.dispose.tidy`)."""

    def confirm(self, items: Sequence[tuple[str, str, int]]) -> None:
        """What an earlier writer wrote lasts: a bucket answers when it does."""

    def settle(self, keys: Sequence[str]) -> None:
        """Nothing: names last with what they name."""

    def sweep(self) -> int:
        """Ends uploads in parts that nobody goes on with."""
        found = self._told("", lambda: self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=self._prefix))
        before = _now() - _ABANDONED
        left = [upload for upload in found.get("Uploads", []) if upload["Initiated"].timestamp() < before]
        for upload in left:
            self._told(upload["Key"], lambda: self._client.abort_multipart_upload(
                Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]))  # noqa: B023  # fmt: skip
        return len(left)

    def one_writer(self) -> AbstractContextManager[None]:
        """Nobody is kept out: the checkpoint is swapped only by who has read the one before."""
        return nullcontext()

    def wanted(self) -> bool:
        """Nobody waits."""
        return False

    @contextmanager
    def readable(self, items: Sequence[tuple[str, str, int]]) -> Iterator[list[bytes]]:
        """Objects as files, for whoever copies them. Raises ``archive-damaged``."""
        with self._fetched([key for key, _, _ in items]) as found:
            for (key, *promised), (_, hashed) in zip(items, found, strict=True):
                if hashed != tuple(promised):
                    raise ObhutError("archive-damaged", key, "its bytes are not those that came in")
            yield [path for path, _ in found]

    @contextmanager
    def files(self, keys: Sequence[str]) -> Iterator[list[bytes]]:
        """Objects as files. Raises ``archive-damaged`` for what is missing."""
        with self._fetched(keys) as found:
            yield [path for path, _ in found]

    @contextmanager
    def _fetched(self, keys: Sequence[str]) -> Iterator[list[tuple[bytes, tuple[str, int]]]]:
        with durable.scratch() as folder:
            places = [(key, folder / str(number)) for number, key in enumerate(keys)]
            hashed = self._each(lambda place: self._download(*place), places)
            yield [(os.fsencode(path), found) for (_, path), found in zip(places, hashed, strict=True)]

    # Locks

    def extend(self, items: Sequence[tuple[str, int]]) -> None:
        """Locks last at least until then."""
        wanted = dict(sorted(items, key=lambda item: item[1]))
        current = dict(zip(wanted, self._each(self._lock_or_fresh, list(wanted)), strict=True))
        if gone := [key for key, lock in current.items() if lock is None]:
            raise ObhutError("archive-damaged", gone[0], "it is missing")
        # No server takes a day that has passed; and nothing is less locked without it.
        coming = [(key, until) for key, until in wanted.items() if until > _now()]
        self._each(self._retain, [(key, until) for key, until in coming if current[key][0] < until])  # type: ignore[index]

    def _retain(self, item: tuple[str, int]) -> None:
        key, until = item
        retention = {"Mode": self._mode, "RetainUntilDate": _time(until)}
        self._told(key, lambda: self._client.put_object_retention(
            Bucket=self._bucket, Key=self._prefix + key, VersionId=self._original(key).id, Retention=retention))  # fmt: skip

    def locks(self, keys: Sequence[str]) -> list[tuple[int, bool] | None]:
        """Asked of the storage, for the version that counts."""
        return self._each(self._lock, keys)

    def _lock_or_fresh(self, key: str) -> tuple[int, bool] | None:
        """Without asking for the lock of what was just written, once it is known to be the version that counts."""
        version, until = self._fresh.pop(key, ("", 0))
        try:
            if version and self._original(key).id == version:
                return until, False
        except FileNotFoundError:
            return None
        return self._lock(key)

    def _lock(self, key: str) -> tuple[int, bool] | None:
        try:
            return self._of_original(key, self._lock_of)
        except FileNotFoundError:
            return None

    def _lock_of(self, version: Version) -> tuple[int, bool]:
        head = self._client.head_object(Bucket=self._bucket, Key=self._prefix + version.key, VersionId=version.id)
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

    def ready_to_remove(self) -> None:
        """Only the credential of disposal deletes. Raises ``disposal-credential``, ``intake-deletes``, ``disposal-refused``.

        Asked of the storage: a version of a key that nobody has is deleted, below the objects, for whose sake it is asked.
        """
        if self._remover is None:
            raise ObhutError("disposal-credential", self.location)
        if self._may_delete(self._client):
            raise ObhutError("intake-deletes", self.location)
        if not self._may_delete(self._remover):
            raise ObhutError("disposal-refused", self.location, "it may not delete versions of objects")

    def _may_delete(self, client: Any) -> bool:
        key = f"{self._prefix}objects/00/{secret.random_bytes(32).hex()}"
        try:
            client.delete_object(Bucket=self._bucket, Key=key, VersionId="null")
        except Exception as error:  # noqa: BLE001  (told apart here)
            if code_of(error) in _DENIED:
                return False
            # There is no such version: whoever is told that may delete those that there are.
            if code_of(error) in _GONE | {"InvalidArgument"}:
                return True
            raise self._failed("", error) from None
        return True

    def remove(self, key: str, now: int) -> None:
        """The lawful end of every version of a key. Raises ``document-locked``: our own look first, then the storage's word.

        And ``disposal-credential``, ``disposal-refused``.
        """
        versions = self._versions(key, exact=True)
        self._refuse_locked(versions, now)
        for version in sorted(versions, key=lambda found: found.time, reverse=True):
            self._delete(version, now)
        self._fresh.pop(key, None)

    def _refuse_locked(self, versions: Sequence[Version], now: int) -> None:
        for version in versions:
            if version.marker:
                continue
            until, held = self._told(version.key, lambda: self._lock_of(version))  # noqa: B023
            if held or until > now:
                why = "it is held" if held else f"its lock lasts until {_time(until)}"
                raise ObhutError("document-locked", version.key, why)

    def _delete(self, version: Version, now: int) -> None:
        if self._remover is None:
            raise ObhutError("disposal-credential", self.location)
        self._originals.pop(version.key, None)
        try:
            self._remover.delete_object(Bucket=self._bucket, Key=self._prefix + version.key, VersionId=version.id)
        except Exception as error:  # noqa: BLE001  (told apart there)
            if code_of(error) not in _DENIED:
                raise self._failed(version.key, error) from None
            # A lock that came meanwhile is no lack of rights.
            self._refuse_locked([version], now)
            raise ObhutError("disposal-refused", version.key, code_of(error)) from None

    # Requests

    @property
    def _mode(self) -> str:
        return self.lock_mode.upper()

    def _original(self, key: str) -> Version:
        """The version that counts: the oldest. Raises ``FileNotFoundError``."""
        if key not in self._originals:
            self._versions(key, exact=True)
        try:
            return self._originals[key]
        except KeyError:
            raise FileNotFoundError(key) from None

    def _of_original(self, key: str, ask: Callable[[Version], R]) -> R:
        """Asks something of the version that counts; again, if the one that was known has gone. Raises ``FileNotFoundError``."""
        known = key in self._originals
        try:
            return ask(self._original(key))
        except FileNotFoundError:
            raise
        except Exception as error:  # noqa: BLE001  (told apart there)
            if code_of(error) not in _GONE:
                raise self._failed(key, error) from None
        self._originals.pop(key, None)
        if not known:
            raise FileNotFoundError(2, "it is missing", key)
        return self._of_original(key, ask)

    def _versions(self, start: str, *, exact: bool = False) -> list[Version]:
        """All versions and markers of keys that begin so, or of one key."""
        found: list[Version] = []
        pages = self._client.get_paginator("list_object_versions")
        for page in self._told(start, lambda: list(pages.paginate(Bucket=self._bucket, Prefix=self._prefix + start))):
            for marker, name in ((False, "Versions"), (True, "DeleteMarkers")):
                for entry in page.get(name, []):
                    key = entry["Key"].removeprefix(self._prefix)
                    found.append(Version(key, entry["VersionId"], marker, entry["IsLatest"], entry["LastModified"]))
        self._learn(found)
        return [version for version in found if not exact or version.key == start]

    def _learn(self, versions: Sequence[Version]) -> None:
        """All versions of each of these keys were listed: the oldest one counts."""
        oldest: dict[str, Version] = {}
        for version in versions:
            known = oldest.get(version.key, version)
            # Times are those of seconds. Of one second the last in the list is the oldest: the newest come first there.
            if not version.marker and (version.time, version.latest) <= (known.time, known.latest):
                oldest[version.key] = version
        self._originals |= oldest

    @contextmanager
    def _open(self, key: str) -> Iterator[Any]:
        """The body of what counts under a key."""
        if oldest_counts(key):
            found = self._of_original(key, lambda version: self._get(key, VersionId=version.id))
        else:
            found = self._get(key)
        with found["Body"] as body:
            yield body

    def _get(self, key: str, **more: str) -> dict[str, Any]:
        found: dict[str, Any] = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key, **more)
        return found

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
        if code in _DENIED:
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


def _now() -> float:
    """By the machine's clock: what is asked for here is compared with what the server's clock has said."""
    return datetime.now(UTC).timestamp()  # noqa: TID251


def _same(key: str, found: bytes, promised: bytes) -> None:
    if found != promised:
        raise ObhutError("document-changed", key)


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
