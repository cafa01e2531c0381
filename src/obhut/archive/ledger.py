"""What stands in a log, read in order: people, holds, settled documents, proposals, approvals, disposals. Pure.

The same rules decide what Obhut may do next and what a verifier accepts: a statement that breaks one is a fault, and
counts for nothing (docs/design/archive.md). Time enters only as statements say it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from obhut.archive.classes import CLASSES, READ, Class
from obhut.archive.description import Description
from obhut.archive.record import index_of, is_day
from obhut.archive.sshsig import SignatureError, canonical_key, check_signature
from obhut.archive.statement import approval_text, person_text
from obhut.log.note import ED25519, Key, NoteError

if TYPE_CHECKING:
    from obhut.archive.record import Leaf
    from obhut.archive.sshsig import Check
    from obhut.archive.statement import Statement

#: Adds a leaf and its statement, or raises :class:`Unlawful`.
Rule = Callable[["int", "Leaf", "Statement", "bytes"], None]

#: So many people must have signed what is to vanish.
NEEDED: Final = 2


class Unlawful(Exception):  # noqa: N818  (a verdict)
    """A statement that breaks a rule: which one, in words."""


@dataclass(slots=True)
class Person:
    """Somebody whose signature counts."""

    name: str
    #: An SSH key, ``ssh-ed25519 …``.
    key: str
    #: The leaf that enrolled.
    since: int


@dataclass(frozen=True, slots=True)
class Authority:
    """Somebody who stamps checkpoints."""

    name: str
    url: str
    #: PEM.
    certificates: str


@dataclass(slots=True)
class Hold:
    """A reason to keep documents, whatever else is said."""

    statement: Statement
    #: Leaves of the documents.
    covers: frozenset[int]
    #: The leaf of its release.
    released: int | None = None

    def stands(self, today: date) -> bool:
        """Whether it still holds on a day."""
        until = self.statement.facts["until"]
        return self.released is None and (until is None or today <= date.fromisoformat(until))


@dataclass(slots=True)
class Proposal:
    """Documents and audit records that may go, if people say so."""

    statement: Statement
    #: SHA-256 of its record in hex: what is signed.
    digest: str
    #: Their leaves.
    covers: frozenset[int]
    #: Who signed, and in which leaf.
    signers: dict[str, int] = field(default_factory=dict)
    #: With which keys.
    keys: set[str] = field(default_factory=set)

    @property
    def action(self) -> str:
        """``dispose`` or ``withdraw``."""
        return str(self.statement.facts["action"])

    @property
    def approved(self) -> int | None:
        """The leaf that made it count."""
        leaves = sorted(self.signers.values())
        return leaves[NEEDED - 1] if len(leaves) >= NEEDED else None


class Ledger:
    """The state of an archive after the leaves that were added."""

    def __init__(self, origin: str, verify: Check) -> None:
        self._origin = origin
        self._verify = verify
        #: Month and day of the last day of a business year.
        self._business = (12, 31)
        #: Class and event of each document, by its leaf, as it came in; those that went are in it.
        self.documents: dict[int, tuple[str, str | None]] = {}
        #: Class and day of each audit record, as its leaf says them; those that went are in it.
        self.reads: dict[int, tuple[str, str | None]] = {}
        #: Leaves of the documents that audit records name, as far as those are there.
        self.read_of: dict[int, frozenset[int]] = {}
        self._undated: set[int] = set()
        self._stays = date.min
        #: Days of events that came later, and when that was said.
        self.events: dict[int, tuple[date, date]] = {}
        #: People whose signature counts now.
        self.people: dict[str, Person] = {}
        #: The leaf of the last change of people.
        self.last_person: int | None = None
        self._enrolled = 0
        self.holds: dict[int, Hold] = {}
        self.proposals: dict[int, Proposal] = {}
        #: Documents and audit records that went, and the leaves that certify it.
        self.gone: dict[int, int] = {}
        #: ``(first leaf that is not covered, when, leaf)`` of each statement that settled documents.
        self.settlements: list[tuple[int, date, int]] = []
        #: Days that statements name as their own, each later than the one before: ``(leaf, day)``.
        self.days: list[tuple[int, str]] = []
        #: When locks were probed last, in which leaf, and whether they held.
        self.probed: tuple[str, int, bool] | None = None
        #: Authorities that stamp now.
        self.authorities: dict[str, Authority] = {}
        #: Certificates (PEM) of every authority that there was, by its name.
        self.certificates: dict[str, list[str]] = {}
        #: The log's keys after its first one, as ``vkey`` lines, by the leaves that say so.
        self.keys: dict[int, str] = {}
        #: Classes that the log may make longer, by their names: one's own, and that of audit records.
        self.classes: dict[str, Class] = {READ.name: READ}
        #: What ``archive.json`` has to hold.
        self.description: str | None = None
        self._pairs: dict[tuple[str, str | None], tuple[str, str | None]] = {}
        self._rules: dict[str, Rule] = {
            "archive": self._add_archive,
            "person": self._add_person,
            "authority": self._add_authority,
            "key": self._add_key,
            "class": self._add_class,
            "hold": self._add_hold,
            "release": self._add_release,
            "read": self._add_read,
            "probe": self._add_probe,
            "event": self._add_event,
            "settled": self._add_settled,
            "proposal": self._add_proposal,
            "approval": self._add_approval,
            "disposal": self._add_disposal,
        }

    def add(self, index: int, leaf: Leaf, statement: Statement | None, record: bytes) -> None:
        """The next leaf; ``statement`` is what its record says, unless it is a document's. Raises :class:`Unlawful`."""
        if (index == 0) != (leaf.kind == "archive"):
            raise Unlawful("a log begins with the statement of its archive, and has one")
        if statement is None:
            self._add_document(index, leaf)
            return
        if leaf.kind not in {"disposal", "read"} and (leaf.category, leaf.event) != (None, None):
            raise Unlawful("only documents and audit records have a class and an event")
        rule = self._rules.get(leaf.kind)
        if rule is None:
            raise Unlawful(f"this version does not know statements of the kind {leaf.kind}")
        rule(index, leaf, statement, record)
        self._said(index, max(statement.at, statement.facts.get("clock", ""))[:10])
        if leaf.kind != "read":
            self._date_reads(date.fromisoformat(statement.at[:10]))

    def note_read(self, index: int, leaf: Leaf) -> None:
        """An audit record, by its leaf alone: no rule asks for more when it has gone. Raises :class:`Unlawful`."""
        if (leaf.category, leaf.event) == (None, None):
            self._undated.add(index)  # as earlier versions wrote it
        elif leaf.category != READ.name or leaf.event is None or not is_day(leaf.event):
            raise Unlawful(f"an audit record has the class {READ.name} and a day")
        else:
            self._said(index, leaf.event)
        self.reads[index] = READ.name, leaf.event

    def _date_reads(self, day: date) -> None:
        """An audit record whose leaf names no day is as old as the log at the next statement that stays: it may go itself."""
        self._stays = max(self._stays, day)
        for index in self._undated:
            self.events[index] = self._stays, self._stays
        self._undated.clear()

    def _said(self, index: int, day: str) -> None:
        if not self.days or day > self.days[-1][1]:
            self.days.append((index, day))

    # What follows from it. An index is that of a document or of an audit record.

    def classed(self, index: int) -> tuple[str, str | None] | None:
        """Class and event as the leaf says them; nothing for what has none."""
        return self.documents.get(index) or self.reads.get(index)

    def category(self, index: int) -> Class | None:
        """The class; nothing for one that this version does not know."""
        name = (self.documents.get(index) or self.reads[index])[0]
        return CLASSES.get(name) or self.classes.get(name)

    def end(self, index: int, today: date) -> date | None:
        """The last day on which the law in force ``today`` asks for it."""
        free = self.free_from(index, today)
        return free - timedelta(days=2) if free else None

    def free_from(self, index: int, today: date) -> date | None:
        """The first day on which it may go, and to which its lock lasts."""
        category, event = self.category(index), self.event(index)
        if category is None or event is None:
            return None
        try:
            return category.locked_until(event, today, self._business)
        except (ValueError, OverflowError):
            return None  # beyond the calendar

    def event(self, index: int) -> date | None:
        """The day that the class counts from; nothing while it has not come."""
        if index in self.events:
            return self.events[index][0]
        stated = (self.documents.get(index) or self.reads[index])[1]
        return None if stated is None else date.fromisoformat(stated)

    def waits(self, index: int) -> bool:
        """Whether a document that is settled stays because its event has not come: it is marked like one that is held."""
        return self.event(index) is None and index < self.settled_through() and not self.withdrawn(index)

    def settled_on(self, index: int) -> tuple[date, int] | None:
        """When it was settled, so that it cannot be withdrawn any more, and the leaf that says so."""
        return next(((day, leaf) for through, day, leaf in self.settlements if index < through), None)

    def settled_through(self) -> int:
        """All leaves before this one are settled."""
        return self.settlements[-1][0] if self.settlements else 0

    def withdrawn(self, index: int) -> bool:
        """Whether enough people signed, in time, that a document was misfiled."""
        settled = self.settled_on(index)
        for proposal in self.proposals.values():
            if proposal.action == "withdraw" and index in proposal.covers:
                approved = proposal.approved
                if approved is not None and (settled is None or approved < settled[1]):
                    return True
        return False

    def held(self, index: int, today: date) -> list[int]:
        """The holds that keep it on a day. One on a document keeps the audit records that name it, too."""
        names = self.read_of.get(index) or frozenset((index,))
        return [leaf for leaf, hold in self.holds.items() if not names.isdisjoint(hold.covers) and hold.stands(today)]

    def lock_after_settling(self, index: int) -> date | None:
        """To which day its lock must last at least, once it is settled; nothing for what is not.

        Nothing either for an audit record whose leaf names no day: the versions that wrote it locked it like the log.
        """
        settled = self.settled_on(index)
        if settled is None or self.withdrawn(index) or self.reads.get(index, ("", ""))[1] is None:
            return None
        said = self.events[index][1] if index in self.events else settled[0]
        return self.free_from(index, max(settled[0], said))

    def later_than(self, size: int, day: date) -> tuple[int, str] | None:
        """A statement among the first ``size`` leaves that speaks of a later day, and that day; nothing if none does."""
        found = [(leaf, said) for leaf, said in self.days if leaf < size and said > str(day)]
        return found[0] if found else None

    def disposable(self, index: int, proposal: Proposal, today: date) -> str | None:
        """Why it may not go on a day by a proposal; nothing if it may. Holds win over everything."""
        if index not in proposal.covers:
            return "the proposal does not name it"
        if proposal.approved is None:
            return f"{len(proposal.signers)} of {NEEDED} people have signed the proposal"
        if holds := self.held(index, today):
            return f"it is held ({', '.join(self.holds[leaf].statement.id for leaf in holds)})"
        if proposal.action == "withdraw":
            return None if self.withdrawn(index) else "the time to withdraw it had passed"
        free = self.free_from(index, today)
        if free is None:
            return self._why_not(index)
        return None if today >= free else f"the law asks for it until {self.end(index, today)}"

    # The rules

    def _why_not(self, index: int) -> str:
        if self.category(index) is None:
            return f"this version does not know its class {(self.classed(index) or ('',))[0]}"
        return "its event has not come" if self.event(index) is None else "its end lies beyond the calendar"

    def _add_archive(self, _index: int, _leaf: Leaf, statement: Statement, _record: bytes) -> None:
        text = statement.facts["description"]
        try:
            described = Description.parse(text.encode())
        except ValueError as error:
            raise Unlawful(f"its description: {error}") from None
        if described.origin != self._origin:
            raise Unlawful(f"it describes {described.origin}, not {self._origin}")
        self._business = described.business_year_end
        self.description = text

    def _add_document(self, index: int, leaf: Leaf) -> None:
        if leaf.kind != "document" or leaf.category is None:
            raise Unlawful("it is neither a document nor a statement")
        if leaf.category == READ.name:
            raise Unlawful(f"no document has the class {READ.name}")
        if leaf.event is not None and not is_day(leaf.event):
            raise Unlawful(f"no day is {leaf.event}")
        pair = (leaf.category, leaf.event)
        self.documents[index] = self._pairs.setdefault(pair, pair)

    def _covered(self, statement: Statement, *, reads: bool = False) -> frozenset[int]:
        """The leaves of the documents, and maybe audit records, that a statement names: each must be there."""
        covers = frozenset(map(index_of, statement.facts["documents"]))
        for index in sorted(covers):
            if index not in self.documents and not (reads and index in self.reads):
                raise Unlawful(f"there is no document {index}")
            if index in self.gone:
                raise Unlawful(f"document {index} was disposed of")
        return covers

    def _add_person(self, index: int, leaf: Leaf, statement: Statement, _record: bytes) -> None:
        facts = statement.facts
        action, name = facts["action"], facts["name"]
        if leaf.previous != self.last_person:
            raise Unlawful("it does not follow the last change of people")
        try:
            key = canonical_key(facts["key"])
        except SignatureError as error:
            raise Unlawful(f"the key of {name}: {error}") from None
        known = self.people.get(name)
        if action == "enrol":
            if known is not None:
                raise Unlawful(f"{name} is enrolled already")
            if other := next((person.name for person in self.people.values() if person.key == key), None):
                raise Unlawful(f"this key is {other}'s: nobody signs twice")
        elif known is None or known.key != key:
            raise Unlawful(f"nobody is enrolled as {name} with this key")
        if action == "dismiss" or self._enrolled >= NEEDED:
            self._check_voucher(statement, name, person_text(self._origin, action, name, key, self.last_person))
        self.last_person = index
        if action == "enrol":
            self._enrolled += 1
            self.people[name] = Person(name, key, index)
        else:
            del self.people[name]

    def _check_voucher(self, statement: Statement, name: str, text: bytes) -> None:
        voucher = statement.facts["voucher"]
        if voucher == name:
            raise Unlawful(f"{name} cannot vouch for {name}")
        self._check_signature(voucher, text, statement.facts["signature"])

    def _check_signature(self, name: Any, text: bytes, signature: Any) -> None:
        if name is None:
            raise Unlawful("somebody else who is enrolled has to vouch for it")
        person = self.people.get(name)
        if person is None:
            raise Unlawful(f"nobody is enrolled as {name}")
        try:
            check_signature(person.key, text, signature or "", self._verify)
        except SignatureError as error:
            raise Unlawful(f"the signature of {name}: {error}") from None

    def _add_authority(self, _index: int, _leaf: Leaf, statement: Statement, _record: bytes) -> None:
        facts = statement.facts
        name = facts["name"]
        if facts["action"] == "remove":
            if self.authorities.pop(name, None) is None:
                raise Unlawful(f"there is no authority {name}")
        elif name in self.authorities or not (facts["url"] and facts["certificates"]):
            raise Unlawful(f"there is an authority {name} already, or it has no address and no certificates")
        else:
            self.authorities[name] = Authority(name, facts["url"], facts["certificates"])
            self.certificates.setdefault(name, []).append(facts["certificates"])

    def _add_key(self, index: int, _leaf: Leaf, statement: Statement, _record: bytes) -> None:
        text = statement.facts["key"]
        try:
            key = Key.parse(text)
        except NoteError as error:
            raise Unlawful(f"the next key: {error}") from None
        if (key.name, key.kind, str(key)) != (self._origin, ED25519, text) or text in self.keys.values():
            raise Unlawful("the next key is no key of this log, or was one before")
        self.keys[index] = text

    def _add_class(self, _index: int, _leaf: Leaf, statement: Statement, _record: bytes) -> None:
        facts = statement.facts
        name, years, start, later = facts["name"], facts["years"], facts["start"], facts["later"]
        since: tuple[tuple[date, int], ...] = ((date.min, years),)
        if name in CLASSES:
            raise Unlawful(f"{name} is a class of this version")
        if known := self.classes.get(name):
            if (start, later) != (known.start, known.later):
                raise Unlawful(f"the years of {name} begin in another way: that is another class")
            if years <= known.years[-1][1]:
                raise Unlawful(f"{name} lasts {known.years[-1][1]} years already: a class only grows")
            since = (*known.years, (date.fromisoformat(statement.at[:10]), years))
        self.classes[name] = Class(name, facts["what"], facts["what"], facts["law"], start, since, later)

    def _add_hold(self, index: int, _leaf: Leaf, statement: Statement, _record: bytes) -> None:
        self.holds[index] = Hold(statement, self._covered(statement))

    def _add_release(self, index: int, leaf: Leaf, _statement: Statement, _record: bytes) -> None:
        hold = self.holds.get(-1 if leaf.previous is None else leaf.previous)
        if hold is None or hold.released is not None:
            raise Unlawful("it releases no hold that stands")
        hold.released = index

    def _add_read(self, index: int, leaf: Leaf, statement: Statement, _record: bytes) -> None:
        self.note_read(index, leaf)
        if leaf.event is not None and leaf.event < statement.at[:10]:
            raise Unlawful(f"its leaf counts from {leaf.event}, and it was written on {statement.at[:10]}")
        self.read_of[index] = self._covered(statement)

    def _add_probe(self, index: int, _leaf: Leaf, statement: Statement, _record: bytes) -> None:
        self.probed = statement.at, index, statement.facts["held"]

    def _add_event(self, _index: int, leaf: Leaf, statement: Statement, _record: bytes) -> None:
        document = -1 if leaf.previous is None else leaf.previous
        if document not in self.documents or document in self.gone:
            raise Unlawful("there is no such document")
        day = date.fromisoformat(statement.facts["day"])
        known = self.event(document)
        if self.documents[document][1] is not None or (known is not None and day <= known):
            raise Unlawful(f"its event is known, {known}: only one that was open moves, and only to a later day")
        self.events[document] = day, date.fromisoformat(statement.at[:10])

    def _add_settled(self, index: int, _leaf: Leaf, statement: Statement, _record: bytes) -> None:
        through = statement.facts["through"]
        if not self.settled_through() <= through <= index:
            raise Unlawful("it settles what is not there, or takes something back")
        self.settlements.append((through, date.fromisoformat(statement.at[:10]), index))

    def _add_proposal(self, index: int, _leaf: Leaf, statement: Statement, record: bytes) -> None:
        withdraw = statement.facts["action"] == "withdraw"
        covers = self._covered(statement, reads=not withdraw)
        today = date.fromisoformat(statement.facts["clock"][:10])
        for at in sorted(covers):
            if withdraw:
                if self.settled_on(at) is not None:
                    raise Unlawful(f"the time to withdraw document {at} had passed")
                continue
            free = self.free_from(at, today)
            if free is None:
                raise Unlawful(f"document {at}: {self._why_not(at)}")
            if today < free:
                raise Unlawful(f"the law asks for document {at} until {self.end(at, today)}")
        self.proposals[index] = Proposal(statement, sha256(record).hexdigest(), covers)

    def _add_approval(self, index: int, leaf: Leaf, statement: Statement, _record: bytes) -> None:
        proposal = self.proposals.get(-1 if leaf.previous is None else leaf.previous)
        if proposal is None:
            raise Unlawful("it approves no proposal")
        name = statement.facts["name"]
        if name in proposal.signers:
            raise Unlawful(f"{name} has signed already")
        text = approval_text(self._origin, proposal.statement.id, proposal.digest)
        self._check_signature(name, text, statement.facts["signature"])
        key = self.people[name].key
        if key in proposal.keys:
            raise Unlawful("nobody signs twice")
        proposal.signers[name] = index
        proposal.keys.add(key)

    def _add_disposal(self, index: int, leaf: Leaf, statement: Statement, _record: bytes) -> None:
        document = -1 if leaf.previous is None else leaf.previous
        if self.classed(document) != (leaf.category, leaf.event):
            raise Unlawful("it disposes of nothing of this class and event")
        if document in self.gone:
            raise Unlawful("that was disposed of already")
        proposal = self.proposals.get(index_of(statement.facts["proposal"]))
        if proposal is None or proposal.statement.id != statement.facts["proposal"]:
            raise Unlawful("nobody proposed it")
        why = self.disposable(document, proposal, date.fromisoformat(statement.facts["clock"][:10]))
        if why is not None:
            raise Unlawful(f"disposed of though {why}")
        self.gone[document] = index
