"""The keys of one log, one after another. Pure.

A log keeps its name, its tree and its entries when its key changes. The checkpoint that covers the change has one line
more, which names the old key and the new one, and both sign it: so whoever trusts one of them is led to the other, in both
directions, by one small file. What the old key signs of more entries than that counts for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from obhut.log.note import ED25519, Checkpoint, Key, Note, NoteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from obhut.log.note import Verify

#: Begins the line (an extension line, C2SP tlog-checkpoint); the two keys follow as ``vkey`` lines.
_LINE: Final = "obhut/key-change/v1"


@dataclass(frozen=True, slots=True)
class Handover:
    """A change of keys: the checkpoint that both signed, and its note letter for letter."""

    checkpoint: Checkpoint
    old: Key
    new: Key
    note: Note

    @property
    def name(self) -> str:
        """What its files are called: nobody knows before it what the new key's id will be, so nobody takes the name."""
        return f"{self.checkpoint.size}-{self.new.id.hex()}"

    @staticmethod
    def read(data: bytes, verify: Verify) -> Handover:
        """Raises :class:`NoteError` for what is none, or was not signed by both."""
        note = Note.parse(data)
        checkpoint = Checkpoint.parse(note.text)
        keys = keys_in(checkpoint)
        if keys is None:
            raise NoteError("it is a checkpoint that hands nothing over")
        old, new = keys
        if {old, new} - note.signers([old, new], verify).keys():
            raise NoteError("a change of keys is signed by both of them")
        return Handover(checkpoint, old, new, note)


def line_of(old: Key, new: Key) -> str:
    """The line of a checkpoint that says who signs from now on."""
    return f"{_LINE} {old} {new}"


def keys_in(checkpoint: Checkpoint) -> tuple[Key, Key] | None:
    """The old key and the new one, where a checkpoint changes them. Raises :class:`NoteError` where it does so wrongly."""
    found = [line.split(" ")[1:] for line in checkpoint.extensions if line.split(" ")[0] == _LINE]
    if not found:
        return None
    if len(found) > 1 or len(found[0]) != 2:
        raise NoteError("a change of keys names two keys")
    old, new = map(Key.parse, found[0])
    if {old.name, new.name} != {checkpoint.origin} or {old.kind, new.kind} != {ED25519} or old == new:
        raise NoteError("a change of keys names two keys of its own log")
    return old, new


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a log: its first one, and how each handed over to the next."""

    first: Key
    handovers: tuple[Handover, ...] = ()

    @property
    def name(self) -> str:
        """The log's."""
        return self.first.name

    @property
    def all(self) -> tuple[Key, ...]:
        """Every key, oldest first."""
        return (self.first, *(change.new for change in self.handovers))

    def at(self, size: int) -> Key:
        """The key that signs checkpoints of so many entries."""
        return [self.first, *(change.new for change in self.handovers if change.checkpoint.size <= size)][-1]

    def before(self, size: int) -> Keys:
        """Without what was begun and is not stated in a log of so many entries."""
        return replace(self, handovers=tuple(change for change in self.handovers if change.checkpoint.size <= size))

    def followed(self, change: Handover) -> Keys:
        """With one more key. Raises :class:`NoteError` unless the newest one handed over to it, and never was there before."""
        if change.old != self.all[-1] or change.new in self.all:
            raise NoteError("it does not hand over from the log's newest key to a new one")
        if self.handovers and change.checkpoint.size <= self.handovers[-1].checkpoint.size:
            raise NoteError("it hands over before the one before it did")
        return Keys(self.first, (*self.handovers, change))

    def followed_by(self, notes: Sequence[bytes], verify: Verify) -> Keys:
        """With the keys that follow by these notes, in their order; what does not follow is left out: see who judges."""
        keys = self
        for data in notes:
            try:
                keys = keys.followed(Handover.read(data, verify))
            except NoteError:
                continue
        return keys

    def checkpoint(self, data: bytes, verify: Verify) -> tuple[Checkpoint, Note]:
        """A checkpoint that the key in charge of so many entries signed. Raises :class:`NoteError`."""
        note = Note.parse(data)
        checkpoint = Checkpoint.parse(note.text)
        if checkpoint.origin != self.name:
            raise NoteError(f"it is of {checkpoint.origin}, not of {self.name}")
        key, change = self.at(checkpoint.size), keys_in(checkpoint)
        if change is not None and change[1] != key:
            raise NoteError(f"it hands over to {change[1]}, and how is not known here")
        note.signers([key], verify)
        return checkpoint, note


def in_order(paths: Sequence[str]) -> list[str]:
    """Those of a folder's paths that are notes of handovers, by the sizes in their names."""
    sizes = [(path.rpartition("/")[2].partition("-")[0], path) for path in paths if path.endswith(".note")]
    return [
        path for _, path in sorted((int(size), path) for size, path in sizes if size.isdecimal() and size.isascii())
    ]
