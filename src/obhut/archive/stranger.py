"""The verifier for strangers: checks a receipt and its document, or a whole archive, offline and without Obhut.

It needs Python's standard library and the program openssl, and nothing of ours but the log's pure parts, together with
which :mod:`obhut.archive.assembly` puts it into one file.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from obhut.archive.agefile import AgeError, identities_of, open_age
from obhut.archive.description import DESCRIPTION, Description
from obhut.archive.judge import Judges, discontinuity, judge_archive
from obhut.archive.openssl import OpensslError, StampError, check_stamp, signed_with
from obhut.archive.record import KEYS, LOG, RECEIPT, commitment
from obhut.log import merkle, note
from obhut.log.handover import Handover, Keys, in_order
from obhut.log.merkle import ProofError
from obhut.log.note import Checkpoint, Key, Note, NoteError
from obhut.log.tiles import Reader, TileError

if TYPE_CHECKING:
    from collections.abc import Sequence

_ABOUT: Final = (
    "Checks the receipt of an archived document: that it is in the log, and that the log's key signed it. "
    "Or a whole archive: every document, record and entry of the log."
)


class Refused(Exception):  # noqa: N818  (a verdict)
    """Something that does not hold: what, in words."""


def main(arguments: list[str]) -> int:
    """Checks a receipt or an archive; gives 0 if everything holds, 1 if something does not, 2 for a wrong command line."""
    parser = argparse.ArgumentParser(description=_ABOUT)
    parser.add_argument("receipt", type=Path, nargs="?", help="a receipt, a JSON file")
    parser.add_argument("document", type=Path, nargs="?", help="its document; without it only the receipt is checked")
    parser.add_argument("--store", type=Path, help="check the whole archive in this folder instead")
    parser.add_argument("--against", type=Path, help="with --store: a checkpoint that was kept elsewhere")
    parser.add_argument("--witness", type=Path, help="with --against: the key of the witness that must have signed it")
    parser.add_argument("--key", type=Path, help="the log's key (.vkey) as you know it from elsewhere")
    parser.add_argument("--identity", type=Path, help="with --store: the age identity that opens an encrypted archive")
    parser.add_argument(
        "--authority", type=Path, help="certificates (PEM) of whom the receipt's time stamp must be from"
    )
    chosen = parser.parse_args(arguments)
    if (chosen.receipt is None) == (chosen.store is None):
        parser.error("name a receipt, or a folder with --store")
    if (chosen.against and not chosen.store) or (chosen.witness and not chosen.against):
        parser.error("--against goes with --store, and --witness with --against")
    if chosen.identity and not chosen.store:
        parser.error("--identity goes with --store")
    try:
        if chosen.store is None:
            lines = check(chosen.receipt, chosen.document, chosen.key, chosen.authority)
        else:
            lines = check_store(chosen.store, chosen.key, chosen.against, chosen.witness, chosen.identity)
    except (Refused, OpensslError, OSError) as error:
        lines = [f"REFUSED: {error}"]
    for line in lines:
        print(line)  # noqa: T201  (a program of its own)
    return int(any(line.startswith(("REFUSED", "FAULT")) for line in lines))


def check_store(
    store: Path, key_file: Path | None, against: Path | None, witness_file: Path | None, identity_file: Path | None
) -> list[str]:
    """Judges a whole archive; gives what was found, a line each. Raises :class:`Refused` where nothing can be said."""
    try:
        folder = _Folder(store, _secrets(store, identity_file))
        keys = _keys_of(folder, key_file)
        now = _checkpoint(folder.get(f"{LOG}/checkpoint"), keys)
        key = keys.at(now.size)
        shown = [f"The checkpoint of {now.size} entries is signed by {key}."]
        shown += _handed_over(keys.before(now.size), key_file)
        if against is not None:
            shown.append(_goes_on(store, keys, now, against, witness_file))
        today = datetime.now(UTC).date()  # noqa: TID251  (a program of its own)
        judges = Judges(signed_with, keys, lambda data: _known(data, keys), check_stamp)
        verdict = judge_archive(
            folder,
            LOG,
            now,
            judges,
            today,
            lambda _verdict, _objects, _bytes: None,
        )
    except (NoteError, TileError, ValueError) as error:
        raise Refused(str(error)) from None
    if key_file is None:
        shown.append("That key lies in the archive itself. Compare it with the one you know.")
    shown += [f"Note: {remark.object}: {remark.what}" for remark in verdict.remarks]
    shown += [f"FAULT: {fault.object}: {fault.what}" for fault in verdict.faults]
    shown += [f"Time stamp: {line}." for line in verdict.stamps]
    gone = f"; {verdict.disposed} were disposed of" if verdict.disposed else ""
    if verdict.reads or verdict.reads_disposed:
        shown.append(f"{verdict.reads} audit records; {verdict.reads_disposed} were disposed of.")
    shown.append(f"{verdict.documents} documents in {verdict.objects} objects, {verdict.bytes} bytes{gone}.")
    return shown


def _secrets(store: Path, identity_file: Path | None) -> list[bytes]:
    """What opens the records of an encrypted archive. Raises :class:`Refused` where it is needed and not there."""
    sealed = Description.parse((store / DESCRIPTION).read_bytes()).recipients
    if not sealed:
        return []
    if identity_file is None:
        raise Refused(f"the archive is encrypted; --identity names the file with that of {' or '.join(sealed)}")
    try:
        return identities_of(identity_file.read_text())
    except AgeError as error:
        raise Refused(f"{identity_file}: {error}") from None


def _keys_of(folder: _Folder, key_file: Path | None) -> Keys:
    """The keys of the log, as they handed over in the archive. The one that is known from elsewhere is one of them."""
    given = Key.parse(key_file.read_text()) if key_file is not None else None
    notes = [folder.get(key) for key in in_order(folder.keys(KEYS))]
    keys = Keys(Key.parse(folder.get(f"{LOG}.vkey").decode())).followed_by(notes, signed_with)
    if given is not None and given not in keys.all:
        raise Refused(f"the key in {key_file} is none of this log: {', '.join(map(str, keys.all))}")
    return keys


def _handed_over(keys: Keys, key_file: Path | None) -> list[str]:
    """What whoever knows another key than the newest one has to be told."""
    lines = [
        f"At {change.checkpoint.size} entries the key {change.old} handed over to {change.new}."
        for change in keys.handovers
    ]
    if key_file is not None and Key.parse(key_file.read_text()) != keys.all[-1]:
        lines.append(f"The key in {key_file} is not in charge any more. From now on compare the newest one.")
    return lines


def _checkpoint(data: bytes, keys: Keys, *also: Key) -> Checkpoint:
    """A checkpoint that the log, and whoever else has to, signed."""
    checkpoint, signed = keys.checkpoint(data, signed_with)
    missing = set(also) - set(signed.signers([*also, keys.at(checkpoint.size)], signed_with))
    if missing:
        raise Refused(f"the checkpoint is not signed by {', '.join(sorted(k.name for k in missing))}")
    return checkpoint


def _known(data: bytes, keys: Keys) -> Checkpoint:
    try:
        return _checkpoint(data, keys)
    except Refused as error:
        raise ValueError(str(error)) from None


def _goes_on(store: Path, keys: Keys, now: Checkpoint, against: Path, witness_file: Path | None) -> str:
    also = [] if witness_file is None else [Key.parse(witness_file.read_text())]
    known = _checkpoint(against.read_bytes(), keys, *also)
    reader = Reader(now.size, lambda path: (store / LOG / path).read_bytes())
    found = discontinuity(known, now, reader)
    if found is not None:
        raise Refused(f"the log does not go on from {against}: {found[1]}")
    by = "".join(f", which {witness.name} signed too" for witness in also)
    return f"The log goes on from the {known.size} entries of {against}{by}."


class _Folder:
    """An archive in a folder, read with nothing but the standard library."""

    def __init__(self, root: Path, secrets: list[bytes]) -> None:
        self._root = root
        self._secrets = secrets

    def get(self, key: str) -> bytes:
        data = (self._root / key).read_bytes()
        if not self._secrets or not key.startswith("records/"):
            return data
        try:
            return open_age(data, self._secrets)
        except AgeError as error:
            raise OSError(f"{key}: {error}") from None

    def expect(self, keys: Sequence[str]) -> None:
        pass

    def keys(self, folder: str) -> list[str]:
        found = (path for path in (self._root / folder).rglob("*") if not path.is_dir())
        return sorted(str(path.relative_to(self._root)) for path in found if "-tmp-" not in path.name)

    def hashed(self, keys: Sequence[str]) -> list[tuple[str, int] | str]:
        return [self._one(key) for key in keys]

    def opened(self, keys: Sequence[str]) -> list[tuple[str, int] | str]:  # noqa: ARG002  (their digests are in the records)
        return []

    def oddities(self) -> list[tuple[str, str]]:
        return []

    def locks(self, keys: Sequence[str]) -> list[tuple[int, bool] | None]:
        return [self._lock(key) for key in keys]

    def _lock(self, key: str) -> tuple[int, bool] | None:
        try:
            return int(os.lstat(self._root / key).st_mtime), (self._root / "holds" / key).exists()
        except OSError:
            return None

    def _one(self, key: str) -> tuple[str, int] | str:
        try:
            size, digest = _hashed(self._root / key)
        except OSError as error:
            return str(error)
        return digest, size


def check(receipt_file: Path, document: Path | None, key_file: Path | None, authority_file: Path | None) -> list[str]:
    """Checks a receipt; gives what was shown, a line each. Raises :class:`Refused`."""
    try:
        receipt = json.loads(receipt_file.read_bytes())
        return _check_receipt(receipt, document, key_file, authority_file)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(f"{receipt_file} is no receipt: {type(error).__name__}: {error}") from None


def _check_receipt(
    receipt: dict[str, Any], document: Path | None, key_file: Path | None, authority_file: Path | None
) -> list[str]:
    if receipt["format"] != RECEIPT:
        raise Refused(f"the receipt has the format {receipt['format']}; this verifier knows {RECEIPT}")
    record_bytes, leaf_bytes = receipt["record"].encode(), receipt["leaf"].encode()
    record, leaf = json.loads(record_bytes), json.loads(leaf_bytes)
    _consistent(receipt, record)
    shown = []
    if document is not None:
        size, digest = _hashed(document)
        if (size, f"sha256:{digest}") != (record["size"], record["digest"]):
            raise Refused(f"{document} is not the document of this receipt: other bytes")
        shown.append(f"The document {document} is, byte for byte, what the record describes ({size} bytes).")
    if leaf["commit"] != commitment(bytes.fromhex(record["salt"]), record_bytes) or leaf["type"] != record["type"]:
        raise Refused("the leaf does not commit to this record")
    shown.append(f"The record ({record['name']}, received {record['received']}) is the one that the leaf commits to.")
    checkpoint = _covered(receipt, leaf_bytes)
    shown.append(f"The leaf is entry {receipt['index']} of the {checkpoint.size} entries of log {checkpoint.origin}.")
    shown.append(_signed(receipt, checkpoint, key_file))
    shown.append(_stamped(receipt, authority_file))
    shown.append(f"Lock at receipt: {receipt['lock']['mode']} until {receipt['lock']['until']}.")
    return shown


def _stamped(receipt: dict[str, Any], authority_file: Path | None) -> str:
    """What an authority says of when the checkpoint was there."""
    stamp = receipt["stamp"]
    if isinstance(stamp, str):
        if authority_file is not None:
            raise Refused(f"the receipt has no time stamp: {stamp}")
        return f"Time stamp: {stamp}."
    certificates = stamp["certificates"] if authority_file is None else authority_file.read_text()
    digest = hashlib.sha256(receipt["checkpoint"].encode()).digest()
    try:
        time = check_stamp(digest, base64.b64decode(stamp["reply"], validate=True), certificates)
    except StampError as error:
        raise Refused(f"the time stamp does not hold: {error}") from None
    said = datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if said != stamp["time"]:
        raise Refused(f"the receipt says another time than its stamp: {said}")
    if authority_file is None:
        return (
            f"{stamp['authority']} stamped the checkpoint at {said}. Its certificates are in the receipt: compare them."
        )
    return f"The authority in {authority_file} stamped the checkpoint at {said}."


def _consistent(receipt: dict[str, Any], record: dict[str, Any]) -> None:
    """What is said for people is what the record says."""
    for here, there in (("id", "id"), ("name", "name"), ("size", "size"), ("lock", "lock")):
        if receipt[here] != record[there]:
            raise Refused(f"the receipt says another {here} than its record")
    if record["digest"] != f"sha256:{receipt['sha256']}":
        raise Refused("the receipt says another digest than its record")
    if record["id"].partition("-")[0] != str(receipt["index"]):
        raise Refused("the receipt says another index than its record")


def _covered(receipt: dict[str, Any], leaf: bytes) -> Checkpoint:
    try:
        checkpoint = Checkpoint.parse(Note.parse(receipt["checkpoint"].encode()).text)
        proof = [base64.b64decode(part, validate=True) for part in receipt["proof"]]
        hashed = merkle.leaf_hash(leaf)
        merkle.check_inclusion(hashed, receipt["index"], checkpoint.size, checkpoint.root, proof)
    except (NoteError, ProofError) as error:
        raise Refused(f"the leaf is not in the log: {error}") from None
    return checkpoint


def _signed(receipt: dict[str, Any], checkpoint: Checkpoint, key_file: Path | None) -> str:
    """By whom the checkpoint is signed: by the key that is known, or by one that changes of keys connect with it."""
    try:
        key = Key.parse(receipt["log_key"])
        known = key if key_file is None else Key.parse(key_file.read_text())
        changes = _hops(receipt, checkpoint, key) if known != key else []
        Note.parse(receipt["checkpoint"].encode()).signers([key], signed_with)
    except (NoteError, ProofError) as error:
        raise Refused(f"the log's key did not sign the checkpoint: {error}") from None
    if key.name != checkpoint.origin or key.kind != note.ED25519:
        raise Refused("the key is not that of the log")
    if key_file is None:
        return f"The key in the receipt signed the checkpoint. Compare it with the one you know: {key}"
    if known == key:
        return f"The key in {key_file} signed the checkpoint."
    chain = [*(change.old for change in changes[:1]), *(change.new for change in changes)]
    if known not in chain or key not in chain:
        raise Refused(
            f"the key in {key_file} did not sign the checkpoint, and no change of keys leads to the one that did"
        )
    if chain.index(known) < chain.index(key):
        return f"The key in {key_file} handed over to the one that signed the checkpoint: {key}"
    return f"An earlier key of the log signed the checkpoint; the one in {key_file} vouches for the tree that it took over."


def _hops(receipt: dict[str, Any], checkpoint: Checkpoint, key: Key) -> list[Handover]:
    """The changes of keys in a receipt. A later key vouches for the receipt's checkpoint if its tree goes on from it."""
    changes = [Handover.read(hop["note"].encode(), signed_with) for hop in receipt.get("hops", [])]
    if not changes:
        return []
    keys = Keys(changes[0].old)
    for change, hop in zip(changes, receipt["hops"], strict=True):
        keys = keys.followed(change)
        size, root = change.checkpoint.size, change.checkpoint.root
        if size > checkpoint.size:
            proof = [base64.b64decode(part, validate=True) for part in hop["proof"]]
            merkle.check_consistency(checkpoint.size, checkpoint.root, size, root, proof)
        elif size == checkpoint.size and root != checkpoint.root:
            raise NoteError("two roots of one size")
    if keys.at(checkpoint.size) != key:
        raise NoteError("another key was in charge of so many entries")
    return changes


def _hashed(document: Path) -> tuple[int, str]:
    hasher, size = hashlib.sha256(), 0
    with document.open("rb") as file:
        while piece := file.read(1 << 20):
            hasher.update(piece)
            size += len(piece)
    return size, hasher.hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
