"""Classes of retention: what the law asks for, as data, and when it has been done. Pure.

The end is computed whenever somebody asks for it, from the class, the day of the event and the years in force on that
day: laws change while documents wait (formats: archive 9.4). Nothing here is legal advice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal

#: Goes up with every change of the table; each record says which one it was received under.
POLICY: Final = 1

#: What the years are counted from: the end of the year of the event, the end of the business year of the event, the event.
Start = Literal["calendar year", "business year", "event"]
STARTS: Final[tuple[Start, ...]] = ("calendar year", "business year", "event")


@dataclass(frozen=True, slots=True)
class Class:
    """A rule of retention."""

    name: str
    english: str
    german: str
    law: str
    start: Start
    #: ``(since when, years)``, oldest first: what was in force on a day is the last one that had begun.
    years: tuple[tuple[date, int], ...]
    #: Whether the event comes after the document, like the end of a contract: then nothing is guessed from the file.
    later: bool = False

    def years_on(self, today: date) -> int:
        """The years in force on a day."""
        in_force = [years for since, years in self.years if since <= today]
        return in_force[-1] if in_force else self.years[0][1]

    def end(self, event: date, today: date, business_year_end: tuple[int, int] = (12, 31)) -> date:
        """The last day on which the law in force ``today`` asks for the document.

        ``business_year_end`` is month and day of the last day of a business year; 29 February is the last of February.
        """
        if self.start == "event":
            return _day(event.year + self.years_on(today), event.month, event.day)
        month, day = business_year_end if self.start == "business year" else (12, 31)
        first_end = _day(event.year, month, day)
        year = event.year + (first_end < event) + self.years_on(today)
        return _day(year, month, day)

    def locked_until(self, event: date, today: date, business_year_end: tuple[int, int] = (12, 31)) -> date:
        """The first day, at 00:00 UTC, on which it may go: two days later, so that no time zone is early."""
        return self.end(event, today, business_year_end) + timedelta(days=2)


def _day(year: int, month: int, day: int) -> date:
    if (month, day) == (2, 29):
        return date(year, 3, 1) - timedelta(days=1)
    return date(year, month, day)


def _always(years: int) -> tuple[tuple[date, int], ...]:
    return ((date(1, 1, 1), years),)


_CALENDAR: Final = "calendar year"
_BUSINESS: Final = "business year"

CLASSES: Final[dict[str, Class]] = {
    entry.name: entry
    for entry in (
        Class(
            "de/book",
            "books, journals, inventories, annual statements, procedure documentation",
            "Bücher, Inventare, Jahresabschlüsse, Verfahrensdokumentation",
            "AO §147(1) Nr. 1, HGB §257(1) Nr. 1",
            _CALENDAR,
            _always(10),
        ),
        Class(
            "de/voucher",
            "vouchers: invoices, bank statements, payroll vouchers",
            "Buchungsbelege: Rechnungen, Kontoauszüge, Lohnbelege",
            "AO §147(1) Nr. 4, HGB §257(1) Nr. 4, UStG §14b",
            _CALENDAR,
            ((date(1, 1, 1), 10), (date(2025, 1, 1), 8)),
        ),
        Class(
            "de/voucher-finance",
            "vouchers of banks, insurers and securities firms",
            "Buchungsbelege von Banken, Versicherungen, Wertpapierinstituten",
            "AO §147(1) Nr. 4, HGB §257(1) Nr. 4",
            _CALENDAR,
            _always(10),
        ),
        Class(
            "de/customs",
            "customs documents",
            "Zollunterlagen",
            "AO §147(1) Nr. 4a",
            _CALENDAR,
            _always(10),
        ),
        Class(
            "de/letter",
            "commercial letters, other documents that matter for taxes",
            "Handels- und Geschäftsbriefe, sonstige steuerlich bedeutsame Unterlagen",
            "AO §147(1) Nr. 2, 3, 5, HGB §257(1) Nr. 2, 3",
            _CALENDAR,
            _always(6),
        ),
        Class(
            "de/contract",
            "contracts; the event is the day on which the contract ended",
            "Verträge; das Ereignis ist der Tag, an dem der Vertrag endete",
            "AO §147(1) Nr. 5",
            _CALENDAR,
            _always(6),
            later=True,
        ),
        Class(
            "de/private-property",
            "private persons: invoices for work on property",
            "Privatpersonen: Rechnungen über Leistungen an Grundstücken",
            "UStG §14b(1)",
            _CALENDAR,
            _always(2),
        ),
        Class(
            "ch/record",
            "business records",
            "Geschäftsbücher und Buchungsbelege",
            "OR 958f",
            _BUSINESS,
            _always(10),
        ),
        Class(
            "ch/property",
            "value added tax: records on real property",
            "Mehrwertsteuer: Unterlagen zu unbeweglichen Gegenständen",
            "MWSTG 70(3)",
            _BUSINESS,
            _always(20),
        ),
        Class(
            "at/record",
            "books and vouchers",
            "Bücher und Belege",
            "BAO §132",
            _CALENDAR,
            _always(7),
        ),
        Class(
            "at/property",
            "records on real property",
            "Unterlagen zu Grundstücken",
            "UStG (AT) §18(10)",
            _CALENDAR,
            _always(22),
        ),
        Class(
            "own/date",
            "no law: a rule of one's own; the event is the last day on which it is to be kept",
            "kein Gesetz: eine eigene Regel; das Ereignis ist der letzte Tag der Aufbewahrung",
            "own rule",
            "event",
            _always(0),
            later=True,
        ),
    )
}

#: Of audit records, the statements `read`: no document has it. Three years are those in which claims lapse (BGB §195, §199).
READ: Final = Class(
    "audit/read",
    "audit records: who took which document out; the event is that day",
    "Nachweise, wer welches Dokument entnommen hat; das Ereignis ist der Tag der Entnahme",
    "own rule",
    _CALENDAR,
    _always(3),
)


def find(name: str, country: str) -> Class | None:
    """The class of a name, ``de/voucher`` or, in an archive of that country, ``voucher``; one's own have short names, too."""
    return CLASSES.get(name) or CLASSES.get(f"{country}/{name}") or CLASSES.get(f"own/{name}")
