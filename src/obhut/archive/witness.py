"""A witness: keeps the last checkpoint that it saw of each log, and signs only what goes on from there.

It belongs on another host, or at least in other hands, than the log's key. Its folder holds its own key and, for each
log, the key that was seen first and the last checkpoint with our signature. The new state is durable before anybody
gets the signature (C2SP tlog-witness), so two checkpoints that contradict each other are never both signed.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from obhut.archive import history, keyfile
from obhut.errors import ObhutError
from obhut.log import merkle
from obhut.log.note import COSIGNATURE, Checkpoint, Key, Note, NoteError, Signature
from obhut.world import durable, secret, turns

if TYPE_CHECKING:
    from pathlib import Path

    from obhut.archive.vault import Vault
    from obhut.world.secret import Signer

_KEY: Final = "witness.key"
_PUBLIC: Final = "witness.vkey"


class Witness:
    """A witness's folder."""

    def __init__(self, folder: Path, key: Key, signer: Signer) -> None:
        self._folder = folder
        self.key = key
        self._signer = signer

    @staticmethod
    def open(folder: Path, name: str | None) -> Witness:
        """The witness of a folder. With a name a new one is made where there is none."""
        public = folder / _PUBLIC
        if not public.exists():
            if name is None:
                raise ObhutError("witness-missing", str(folder))
            _begin(folder, name)
        try:
            key = Key.parse(public.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ObhutError("archive-key", str(public), str(error)) from None
        if name not in (None, key.name):
            raise ObhutError("invalid-argument", "--name", f"the witness in {folder} is {key.name}")
        return Witness(folder, key, keyfile.read(folder / _KEY, key))

    def look(self, vault: Vault, time: int) -> tuple[Note, Checkpoint, Checkpoint | None]:
        """Signs the newest checkpoint of an archive, at ``time`` (Unix seconds), if it goes on from what is known.

        Gives the note with our signature, what it states, and what was known before. Raises ``log-rolled-back``, ``log-forked`` or
        ``witness-other-key``; then nothing changes.
        """
        folder = self._folder / "logs" / sha256(vault.origin.encode()).hexdigest()
        with turns.alone(self._folder):
            known = self._known(folder, vault)
            beginning = known or Checkpoint(vault.origin, 0, merkle.EMPTY)
            newest = history.continues(vault, beginning)
            key = vault.keys.at(newest.checkpoint.size)
            note = Note(newest.note.text, _of_the_log(newest.note, key)).signed(self.key, self._signer.sign, time)
            items = [(f"{folder.name}/log.vkey", f"{key}\n".encode()), (f"{folder.name}/checkpoint", bytes(note))]
            durable.make_folder(folder.parent, mode=0o700)
            durable.put_files(folder.parent, items, mode=0o644, replace=True)
        return note, newest.checkpoint, known

    def _known(self, folder: Path, vault: Vault) -> Checkpoint | None:
        """What was seen last, signed by the log and by us; nothing at the first look."""
        try:
            pinned, seen = _kept(folder / "log.vkey"), _kept(folder / "checkpoint")
            if pinned is None:
                return None
            key = Key.parse(pinned.decode())
            if key not in vault.keys.all:
                raise ObhutError("witness-other-key", vault.origin, f"it was {key} and is {vault.key}")
            if seen is None:
                return None
            note = Note.parse(seen)
            cosigned(note, key, self.key, str(folder))
            found = Checkpoint.parse(note.text)
            if (then := vault.keys.at(found.size)) != key:
                # It says that it had handed over before it signed what we saw.
                raise ObhutError(
                    "witness-other-key", vault.origin, f"it was {key} at {found.size}, and is said to be {then}"
                )
            return found  # noqa: TRY300  (all of it is read in one go)
        except (OSError, NoteError, ValueError) as error:
            raise ObhutError("archive-damaged", str(folder), str(error)) from None


def cosigned(note: Note, log: Key, witness: Key, place: str) -> int:
    """When a witness signed a checkpoint (Unix seconds). Raises ``checkpoint-unusable`` unless it and the log did."""
    try:
        signers = note.signers([log, witness], secret.verify)
    except NoteError as error:
        raise ObhutError("checkpoint-unusable", place, str(error)) from None
    time = signers.get(witness)
    if log not in signers or time is None:
        raise ObhutError("checkpoint-unusable", place, f"{witness.name} did not sign it")
    return time


def _kept(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _of_the_log(note: Note, key: Key) -> tuple[Signature, ...]:
    return tuple(line for line in note.signatures if (line.name, line.key_id) == (key.name, key.id))


def _begin(folder: Path, name: str) -> None:
    """A new witness: its key first, so that a stop between leaves nothing that looks like a witness."""
    _, signer, data = keyfile.make(name)
    public = Key(name, COSIGNATURE, signer.public)
    durable.make_folder(folder, mode=0o700)
    durable.put_files(folder, [(_KEY, data)], mode=durable.PRIVATE, replace=True)
    durable.put_files(folder, [(_PUBLIC, f"{public}\n".encode())], mode=0o644)
