"""Tries to break the locks of a bucket, on a canary of its own, and tells what was refused. Configuration is no proof.

Each attempt is one that the storage has to refuse, or to answer without harm; what it answered is kept as evidence. Attempts
on a whole bucket are made on a twin of the same configuration only. Facts of servers: formats: archive 6.2.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from obhut.world import secret

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds for which a canary is locked.
LOCKED: Final = 120

#: Where canaries lie.
CANARIES: Final = "probe"

_REFUSALS: Final = {"AccessDenied", "InvalidRequest", "InvalidArgument", "MalformedXML", "InvalidBucketState",
                    "InvalidRetentionPeriod", "OperationAborted", "PreconditionFailed", "ObjectLocked"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Attempt:
    """What was tried, what the storage answered, and whether that is what a lock has to answer."""

    name: str
    answer: str
    held: bool


@dataclass(frozen=True, slots=True)
class Target:
    """A bucket, and the credentials that an attacker would have: those of the intake."""

    client: Any
    bucket: str
    prefix: str
    mode: str
    #: The credential of disposal, if it is tried, too: it may delete, so it is the lock that refuses it.
    remover: Any = None


def probe(target: Target, now: datetime, twin: str | None) -> list[Attempt]:
    """Attacks a canary, and the twin bucket if there is one. ``now`` is the time of the host, UTC."""
    body = secret.random_bytes(64)
    key = f"{target.prefix}{CANARIES}/{now.strftime('%Y%m%dT%H%M%SZ')}-{secret.random_bytes(4).hex()}"
    until = (now + timedelta(seconds=LOCKED)).replace(microsecond=0)
    version, begun = _locked_canary(target, key, body, until)
    attempts = [begun]
    if version is not None:
        attempts.append(_unlocked(target))
        attempts += _on_canary(target, key, version, until)
        if target.remover is not None:
            attempts += _by_remover(target, key, version)
        attempts.append(_unharmed(target, key, version, body))
    if twin is not None:
        attempts += _on_bucket(target, twin)
    return attempts


def _locked_canary(target: Target, key: str, body: bytes, until: datetime) -> tuple[str | None, Attempt]:
    """Writes it with a lock; where that is refused, writes it and locks it then: some take that and mean nothing."""
    name = "write an object with a lock"
    where = {"Bucket": target.bucket, "Key": key}
    checksum = base64.b64encode(sha256(body).digest()).decode()
    retention = {"Mode": target.mode.upper(), "RetainUntilDate": until}
    try:
        made = target.client.put_object(
            **where, Body=body, ChecksumSHA256=checksum, IfNoneMatch="*",
            ObjectLockMode=retention["Mode"], ObjectLockRetainUntilDate=until,
        )  # fmt: skip
        return made["VersionId"], Attempt(name, "done", held=True)
    except Exception as error:  # noqa: BLE001  (whatever it is, it is the answer)
        refused = _said(error)
    try:
        made = target.client.put_object(**where, Body=body, ChecksumSHA256=checksum)
        target.client.put_object_retention(**where, VersionId=made["VersionId"], Retention=retention)
        return made["VersionId"], Attempt(name, f"{refused}; taken afterwards", held=False)
    except Exception as error:  # noqa: BLE001
        return None, Attempt(name, f"{refused}; then {_said(error)}", held=False)


def _on_canary(target: Target, key: str, version: str, until: datetime) -> list[Attempt]:
    client, where = target.client, {"Bucket": target.bucket, "Key": key}
    one = {**where, "VersionId": version}
    bypass = {"BypassGovernanceRetention": True}
    mode = target.mode.upper()
    other = "GOVERNANCE" if mode == "COMPLIANCE" else "COMPLIANCE"
    sooner = until - timedelta(seconds=LOCKED // 2)

    def lock(mode: str, until: datetime, **more: Any) -> Any:
        return client.put_object_retention(**one, Retention={"Mode": mode, "RetainUntilDate": until}, **more)

    attempts = [
        _refused("delete the version", lambda: client.delete_object(**one)),
        _refused("delete the version with the right to bypass", lambda: client.delete_object(**one, **bypass)),
        _batch(target, key, version),
        _refused("shorten the lock", lambda: lock(mode, sooner)),
        _refused("shorten the lock with the right to bypass", lambda: lock(mode, sooner, **bypass)),
        _refused("lock to a day that has passed", lambda: lock(mode, until - timedelta(days=400))),
        _refused("write it again, if it is new", lambda: client.put_object(**where, Body=b"x", IfNoneMatch="*")),
    ]
    if mode == "COMPLIANCE":
        attempts.append(_refused("change the mode", lambda: lock(other, until, **bypass)))
    attempts += [
        _held_back(target, one),
        _harmless("write another version over it", lambda: client.put_object(**where, Body=b"x")),
        _harmless("lay a delete marker over it", lambda: client.delete_object(**where)),
        _as_set(target, one, until),
    ]
    return attempts


def _unlocked(target: Target) -> Attempt:
    """Locks end, and holds can be cleared: so the intake may delete no version at all, not even of a key that is not there."""
    absent = f"{target.prefix}objects/00/{secret.random_bytes(32).hex()}"
    return _refused(
        "delete a version that nothing locks",
        lambda: target.client.delete_object(Bucket=target.bucket, Key=absent, VersionId="null"),
    )


def _by_remover(target: Target, key: str, version: str) -> list[Attempt]:
    one = {"Bucket": target.bucket, "Key": key, "VersionId": version}
    who = "with the credential of disposal"
    return [
        _refused(f"delete the version {who}", lambda: target.remover.delete_object(**one)),
        _refused(
            f"delete the version {who} and the right to bypass",
            lambda: target.remover.delete_object(**one, BypassGovernanceRetention=True),
        ),
    ]


def _on_bucket(target: Target, twin: str) -> list[Attempt]:
    client = target.client
    off = {"Status": "Suspended"}
    rule = {"ObjectLockEnabled": "Disabled"}
    return [
        _refused("suspend the versions of the twin bucket",
                 lambda: client.put_bucket_versioning(Bucket=twin, VersioningConfiguration=off)),
        _refused("switch off the locks of the twin bucket",
                 lambda: client.put_object_lock_configuration(Bucket=twin, ObjectLockConfiguration=rule)),
    ]  # fmt: skip


def _refused(name: str, attempt: Callable[[], Any]) -> Attempt:
    """Holds if the storage says no, in a way that means it."""
    try:
        attempt()
    except Exception as error:  # noqa: BLE001
        return Attempt(name, _said(error), held=code_of(error) in _REFUSALS)
    return Attempt(name, "done", held=False)


def _harmless(name: str, attempt: Callable[[], Any]) -> Attempt:
    """May be done: the version that counts is looked at afterwards."""
    try:
        attempt()
    except Exception as error:  # noqa: BLE001
        return Attempt(name, _said(error), held=True)
    return Attempt(name, "done", held=True)


def _batch(target: Target, key: str, version: str) -> Attempt:
    """An answer of 200 says nothing: what counts is its list of errors."""
    name = "delete the version in a batch"
    one = {"Key": key, "VersionId": version}
    try:
        answer = target.client.delete_objects(Bucket=target.bucket, Delete={"Objects": [one]})
    except Exception as error:  # noqa: BLE001
        return Attempt(name, _said(error), held=code_of(error) in _REFUSALS)
    codes = [found.get("Code", "?") for found in answer.get("Errors", [])]
    return Attempt(name, ", ".join(codes) or "done", held=bool(codes))


def _held_back(target: Target, one: dict[str, str]) -> Attempt:
    """A legal hold keeps the version, too; it is taken off again, for the intake may."""
    name = "delete the version under a legal hold"
    try:
        target.client.put_object_legal_hold(**one, LegalHold={"Status": "ON"})
        status = target.client.get_object_legal_hold(**one)["LegalHold"]["Status"]
    except Exception as error:  # noqa: BLE001
        return Attempt(name, f"no hold can be set: {_said(error)}", held=False)
    attempt = _refused(name, lambda: target.client.delete_object(**one))
    try:
        target.client.put_object_legal_hold(**one, LegalHold={"Status": "OFF"})
    except Exception as error:  # noqa: BLE001
        return Attempt(name, f"the hold cannot be taken off: {_said(error)}", held=False)
    return attempt if status == "ON" else Attempt(name, f"the hold is {status}", held=False)


def _as_set(target: Target, one: dict[str, str], until: datetime) -> Attempt:
    name = "the lock is what was set"
    try:
        found = target.client.get_object_retention(**one)["Retention"]
    except Exception as error:  # noqa: BLE001
        return Attempt(name, _said(error), held=False)
    said = f"{found['Mode']} until {found['RetainUntilDate'].astimezone(UTC).isoformat(timespec='seconds')}"
    return Attempt(name, said, held=found["Mode"] == target.mode.upper() and found["RetainUntilDate"] >= until)


def _unharmed(target: Target, key: str, version: str, body: bytes) -> Attempt:
    name = "the object is what it was"
    try:
        found = target.client.get_object(Bucket=target.bucket, Key=key, VersionId=version)["Body"].read()
    except Exception as error:  # noqa: BLE001
        return Attempt(name, _said(error), held=False)
    return Attempt(name, "equal" if found == body else "other bytes", held=found == body)


def code_of(error: Exception) -> str:
    """The code of a storage's answer; nothing for what is none."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _said(error: Exception) -> str:
    """A code of the storage, or what else went wrong."""
    return code_of(error) or f"{type(error).__name__}: {error}"[:200]
