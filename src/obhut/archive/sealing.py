"""Encryption at rest: in an encrypted archive every record and every object is an age file. The one place that seals and opens.

Sealed to the archive's own key and to one to recover with, whose other half lies elsewhere. Objects are named by
HMAC-SHA-256 of their digests, so that names tell nothing and the same bytes are still one object; the key of these names
lies in ``archive.json``, sealed like everything else.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol

from obhut.archive import identity
from obhut.archive.description import DESCRIPTION, Description
from obhut.archive.record import Document, Envelope, object_key
from obhut.errors import ObhutError
from obhut.world import durable, secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from obhut.archive.store import Store

#: Bytes of the key of names.
_NAME_KEY: Final = 32

#: For the person who takes a document out.
_FOR_PEOPLE: Final = 0o644


@dataclass(frozen=True, slots=True)
class Source:
    """A document that comes in: its file, SHA-256 in hex, bytes."""

    path: bytes
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Ready:
    """A document as the store gets it."""

    #: What is copied to the store; nothing if it is there already.
    path: bytes | None
    envelope: Envelope | None


class Seals(Protocol):
    """How what lies in an archive is sealed, if it is."""

    def seal(self, data: bytes) -> bytes:
        """The file of a record."""

    def open(self, key: str, data: bytes) -> bytes:
        """A record from its file. Raises ``archive-damaged``, ``archive-identity``."""

    def ready(self, store: Store, sources: Sequence[Source]) -> AbstractContextManager[dict[str, Ready]]:
        """Documents as the store gets them, by their digests. Raises ``document-changed``, ``archive-damaged``."""

    def copy_out(self, store: Store, document: Document, target: Path) -> None:
        """Copies a document to a new file, proving its bytes. Raises ``archive-damaged``, ``archive-identity``."""

    def contents(self, store: Store, keys: Sequence[str]) -> list[tuple[str, int]]:
        """SHA-256 in hex and size of what each object holds. Raises ``archive-damaged``, ``archive-identity``."""


class Unsealed:
    """Nothing is encrypted."""

    def seal(self, data: bytes) -> bytes:
        """As it is."""
        return data

    def open(self, key: str, data: bytes) -> bytes:  # noqa: ARG002
        """As it is."""
        return data

    @contextmanager
    def ready(self, store: Store, sources: Sequence[Source]) -> Iterator[dict[str, Ready]]:  # noqa: ARG002
        """As they are."""
        yield {source.digest: Ready(source.path, None) for source in sources}

    def copy_out(self, store: Store, document: Document, target: Path) -> None:
        """Hashed on the way."""
        store.copy_out(document.key, document.digest, document.size, target)

    def contents(self, store: Store, keys: Sequence[str]) -> list[tuple[str, int]]:
        """They are what they hold."""
        return store.hashes(keys)


class Sealed:
    """Everything is an age file. The identity is read when something has to be opened or sealed, and not before."""

    def __init__(self, described: Description, identity_path: Path | None) -> None:
        self._described = described
        self._path = identity_path

    @cached_property
    def _keyring(self) -> secret.Keyring:
        recipients = self._described.recipients
        if self._path is None:
            raise ObhutError("archive-identity", self._described.origin, "nobody said which file it is")
        fitting = [text for text in identity.read(self._path) if secret.recipient_of(text) in recipients]
        if not fitting:
            raise ObhutError("archive-identity", str(self._path), f"it does not open {self._described.origin}")
        return secret.Keyring(fitting[0], recipients)

    @property
    def recipient(self) -> str:
        """Whose identity opens it here, and what it is for."""
        found = self._keyring.recipient
        what = "the archive's own" if found == self._described.recipients[0] else "to recover with"
        return f"{found}, {what}"

    @cached_property
    def _name_key(self) -> bytes:
        try:
            key = self.open(DESCRIPTION, base64.b64decode(self._described.names, validate=True))
        except binascii.Error as error:
            raise ObhutError("archive-damaged", DESCRIPTION, str(error)) from None
        if len(key) != _NAME_KEY:
            raise ObhutError("archive-damaged", DESCRIPTION, "its key of names is none")
        return key

    def seal(self, data: bytes) -> bytes:
        """An age file of it."""
        return self._keyring.seal(data)

    def open(self, key: str, data: bytes) -> bytes:
        """What an age file holds."""
        with _told(key):
            return self._keyring.open(data, key)

    def name(self, digest: str) -> str:
        """What an object is called."""
        return hmac.new(self._name_key, bytes.fromhex(digest), "sha256").hexdigest()

    @contextmanager
    def ready(self, store: Store, sources: Sequence[Source]) -> Iterator[dict[str, Ready]]:
        """Sealed to files that go when this ends; what the archive has already is opened to its end, and compared."""
        keys = {source.digest: object_key(self.name(source.digest)) for source in sources}
        locks = store.locks([keys[source.digest] for source in sources])
        there = [source for source, lock in zip(sources, locks, strict=True) if lock is not None]
        new = [source for source, lock in zip(sources, locks, strict=True) if lock is None]
        found = self._found(store, there, keys)
        with durable.scratch() as folder:
            items = [
                (source.path, source.digest, source.size, os.fsencode(folder / str(number)))
                for number, source in enumerate(new)
            ]
            try:
                sealed = self._keyring.seal_files(items)
            except ObhutError as error:
                if error.id not in {"source-changed", "file-missing"}:
                    raise
                words = {"source-changed": "document-changed", "file-missing": "document-missing"}
                raise ObhutError(words[error.id], error.object, error.detail) from error
            for (_, digest, _, path), (file_digest, size) in zip(items, sealed, strict=True):
                found[digest] = Ready(path, Envelope(self.name(digest), file_digest, size))
            yield found

    def _found(self, store: Store, there: Sequence[Source], keys: dict[str, str]) -> dict[str, Ready]:
        found = {}
        for source, (plain, sealed) in zip(there, self._read(store, [keys[s.digest] for s in there]), strict=True):
            if plain != (source.digest, source.size):
                raise ObhutError("archive-damaged", keys[source.digest], "it holds other bytes than its name says")
            found[source.digest] = Ready(None, Envelope(self.name(source.digest), *sealed))
        return found

    def copy_out(self, store: Store, document: Document, target: Path) -> None:
        """Opened on the way."""
        with store.files([document.key]) as [path], _told(document.key):
            self._keyring.copy_out(target, path, document.digest, document.size, _FOR_PEOPLE)

    def contents(self, store: Store, keys: Sequence[str]) -> list[tuple[str, int]]:
        """Each is opened to its end."""
        return [plain for plain, _ in self._read(store, keys)]

    def _read(self, store: Store, keys: Sequence[str]) -> list[tuple[tuple[str, int], tuple[str, int]]]:
        if not keys:
            return []
        with store.files(keys) as paths, _told(keys[0] if len(keys) == 1 else ""):
            return self._keyring.read_files(paths)


@contextmanager
def _told(key: str) -> Iterator[None]:
    """The core's errors in the words of an archive."""
    try:
        yield
    except ObhutError as error:
        why = {
            "damaged": error.detail,
            "source-changed": "what is sealed in it is not what came in",
            "file-missing": "it is missing",
        }
        if error.id == "wrong-password":
            raise ObhutError("archive-identity", key or error.object, error.detail) from error
        if error.id not in why:
            raise
        raise ObhutError("archive-damaged", key or error.object, why[error.id]) from error


def seals_of(described: Description, identity_path: Path | None) -> Seals:
    """How an archive is sealed."""
    return Sealed(described, identity_path) if described.recipients else Unsealed()


@dataclass(frozen=True, slots=True)
class Encryption:
    """That a new archive is to be encrypted: where its identity lies, and who recovers it."""

    identity_path: Path
    #: A recipient (``age1…``), whose identity lies elsewhere; or the file that a new one is written to.
    recovery: str | Path

    def begin(self, described: Description) -> Description:
        """Makes what identities are missing, durably; gives the description with its recipients and a key of names.

        An identity that is there already is used: that of a beginning that was stopped, or one that somebody made.
        Raises ``archive-identity``.
        """
        own = identity.take(self.identity_path, described.created)
        if isinstance(self.recovery, str):
            other: str | None = self.recovery
            if not secret.is_recipient(self.recovery):
                raise ObhutError("invalid-argument", "--recovery", "it is no recipient of age, a text like age1…")
        else:
            other = secret.recipient_of(identity.take(self.recovery, described.created))
        first = secret.recipient_of(own)
        if first is None or other is None or first == other:
            raise ObhutError("archive-identity", str(self.identity_path), "the archive and its recovery need two keys")
        sealed = secret.Keyring(own, (first, other)).seal(secret.random_bytes(_NAME_KEY))
        return replace(described, recipients=(first, other), names=base64.b64encode(sealed).decode())
