"""The verifier for strangers: checks a receipt, and the document that it is about, offline and without Obhut.

It needs Python's standard library and the program openssl, and nothing of ours but the log's pure parts, together with
which :mod:`obhut.archive.assembly` puts it into one file.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import subprocess
import sys
import tempfile  # noqa: TID251  (a program of its own: openssl reads files, and nothing in them is secret)
from pathlib import Path
from typing import Any, Final

from obhut.log import merkle, note
from obhut.log.merkle import ProofError
from obhut.log.note import Checkpoint, Key, Note, NoteError

_FORMAT: Final = "obhut-receipt/1"
_COMMITMENT: Final = b"obhut/record/v1\x00"

#: What comes before the 32 bytes of an Ed25519 key in its DER form (RFC 8410).
_ED25519_DER: Final = bytes.fromhex("302a300506032b6570032100")


class Refused(Exception):  # noqa: N818  (a verdict)
    """Something that does not hold: what, in words."""


def main(arguments: list[str]) -> int:
    """Checks a receipt; gives 0 if everything holds, 1 if something does not, 2 for a wrong command line."""
    parser = argparse.ArgumentParser(
        description="Checks the receipt of an archived document: that it is in the log, and that the log's key signed it."
    )
    parser.add_argument("receipt", type=Path, help="the receipt, a JSON file")
    parser.add_argument("document", type=Path, nargs="?", help="the document; without it only the receipt is checked")
    parser.add_argument("--key", type=Path, help="the log's key (.vkey) as you know it from elsewhere")
    chosen = parser.parse_args(arguments)
    try:
        for line in check(chosen.receipt, chosen.document, chosen.key):
            print(line)  # noqa: T201  (a program of its own)
    except (Refused, OSError) as error:
        print(f"REFUSED: {error}")  # noqa: T201
        return 1
    return 0


def check(receipt_file: Path, document: Path | None, key_file: Path | None) -> list[str]:
    """Checks a receipt; gives what was shown, a line each. Raises :class:`Refused`."""
    try:
        receipt = json.loads(receipt_file.read_bytes())
        return _check(receipt, document, key_file)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(f"{receipt_file} is no receipt: {type(error).__name__}: {error}") from None


def _check(receipt: dict[str, Any], document: Path | None, key_file: Path | None) -> list[str]:
    if receipt["format"] != _FORMAT:
        raise Refused(f"the receipt has the format {receipt['format']}; this verifier knows {_FORMAT}")
    record_bytes, leaf_bytes = receipt["record"].encode(), receipt["leaf"].encode()
    record, leaf = json.loads(record_bytes), json.loads(leaf_bytes)
    _consistent(receipt, record)
    shown = []
    if document is not None:
        size, digest = _hashed(document)
        if (size, f"sha256:{digest}") != (record["size"], record["digest"]):
            raise Refused(f"{document} is not the document of this receipt: other bytes")
        shown.append(f"The document {document} is, byte for byte, what the record describes ({size} bytes).")
    salt = bytes.fromhex(record["salt"])
    commitment = hashlib.sha256(_COMMITMENT + salt + hashlib.sha256(record_bytes).digest()).hexdigest()
    if leaf["commit"] != commitment or leaf["type"] != record["type"]:
        raise Refused("the leaf does not commit to this record")
    shown.append(f"The record ({record['name']}, received {record['received']}) is the one that the leaf commits to.")
    checkpoint = _covered(receipt, leaf_bytes)
    shown.append(f"The leaf is entry {receipt['index']} of the {checkpoint.size} entries of log {checkpoint.origin}.")
    shown.append(_signed(receipt, checkpoint, key_file))
    shown.append(f"Time stamp: {receipt['stamp']}. Lock at receipt: {receipt['lock']['mode']}.")
    return shown


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
    try:
        key = Key.parse(receipt["log_key"] if key_file is None else key_file.read_text())
        Note.parse(receipt["checkpoint"].encode()).signers([key], verify_with_openssl)
    except NoteError as error:
        raise Refused(f"the log's key did not sign the checkpoint: {error}") from None
    if key.name != checkpoint.origin or key.kind != note.ED25519:
        raise Refused("the key is not that of the log")
    if key_file is None:
        return f"The key in the receipt signed the checkpoint. Compare it with the one you know: {key}"
    return f"The key in {key_file} signed the checkpoint."


def _hashed(document: Path) -> tuple[int, str]:
    hasher, size = hashlib.sha256(), 0
    with document.open("rb") as file:
        while piece := file.read(1 << 20):
            hasher.update(piece)
            size += len(piece)
    return size, hasher.hexdigest()


def verify_with_openssl(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether openssl takes that for an Ed25519 signature."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / name for name in ("key", "message", "signature")}
        paths["key"].write_bytes(_ED25519_DER + public)
        paths["message"].write_bytes(message)
        paths["signature"].write_bytes(signature)
        command = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", str(paths["key"]), "-rawin",
                   "-in", str(paths["message"]), "-sigfile", str(paths["signature"])]  # fmt: skip
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            raise Refused("the program openssl is not installed") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
