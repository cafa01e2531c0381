"""``archive.json``: what an archive says of itself. Its bytes stand in the log's first record, so nobody changes them unseen. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from obhut.archive import canonical

#: The form of everything in an archive.
FORMAT: Final = "obhut-archive/1"

#: How an archive is encrypted, if it is.
AGE: Final = "age-encryption.org/v1"

#: Its key.
DESCRIPTION: Final = "archive.json"


class UnknownFormatError(ValueError):
    """An archive of another version."""


@dataclass(frozen=True, slots=True)
class Description:
    """What holds as long as the archive."""

    origin: str
    #: Whose classes have short names.
    country: str
    #: Month and day of the last day of a business year.
    business_year_end: tuple[int, int]
    #: RFC 3339 UTC.
    created: str
    #: How removal is prevented.
    lock: str
    #: Whether the log says who took which document out.
    audit: bool = False
    #: To whom everything is sealed (``age1…``), in an encrypted archive: its own key, and one to recover with.
    recipients: tuple[str, ...] = ()
    #: The key that objects are named with: an age file, in base64.
    names: str = ""

    def encode(self) -> bytes:
        """The file."""
        month, day = self.business_year_end
        return canonical.encode(
            {
                "audit": self.audit,
                "business_year_end": f"{month:02}-{day:02}",
                "country": self.country,
                "created": self.created,
                **self._encryption(),
                "format": FORMAT,
                "lock": self.lock,
                "origin": self.origin,
            }
        )

    def _encryption(self) -> dict[str, Any]:
        if not self.recipients:
            return {"encryption": "none"}
        return {"encryption": AGE, "names": self.names, "recipients": list(self.recipients)}

    @staticmethod
    def parse(data: bytes) -> Description:
        """Raises ``ValueError`` for bytes that :meth:`encode` never gives."""
        fields = canonical.decode(data)
        if fields.get("format") != FORMAT:
            raise UnknownFormatError(str(fields.get("format")))
        try:
            month, _, day = fields["business_year_end"].partition("-")
            found = Description(
                origin=fields["origin"],
                country=fields["country"],
                business_year_end=(int(month), int(day)),
                created=fields["created"],
                lock=fields["lock"],
                audit=fields["audit"] is True,
                recipients=tuple(fields.get("recipients", ())),
                names=fields.get("names", ""),
            )
            texts = (*found.recipients, found.names)
            same = found.encode() == data and all(isinstance(text, str) for text in texts)
            same = same and len(found.recipients) in {0, 2}
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no description of an archive: {error}") from None
        if not same:
            raise ValueError("no description of an archive of this version")
        return found
