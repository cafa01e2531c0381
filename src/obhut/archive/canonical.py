"""Canonical JSON: RFC 8785 for what records and leaves hold, which is objects, lists, strings, integers, true, false, null.

Whoever reads refuses everything that is not written in just this way: two spellings of one record would be two hashes.
"""

from __future__ import annotations

import json
from typing import Any, Final

#: Integers beyond are not exact in every JSON reader.
LARGEST: Final = 2**53 - 1


def encode(value: dict[str, Any]) -> bytes:
    """The bytes of a value. Raises ``ValueError`` for what the subset does not hold."""
    _check(value)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def decode(data: bytes) -> dict[str, Any]:
    """The object that :func:`encode` gives these bytes for. Raises ``ValueError`` for any other bytes."""
    value = read(data)
    if encode(value) != data:
        raise ValueError("not canonical JSON")
    return value


def read(data: bytes) -> dict[str, Any]:
    """The object of some JSON: for whoever makes the bytes anew from it, and compares. Raises ``ValueError``."""
    try:
        value = json.loads(data.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if isinstance(value, dict):
        return value
    raise ValueError("not canonical JSON")


def _check(value: Any) -> None:
    match value:
        case bool() | None:
            return
        case str():
            value.encode()  # lone surrogates are no text
        case int():
            if abs(value) > LARGEST:
                raise ValueError(f"too large a number: {value}")
        case list():
            for item in value:
                _check(item)
        case dict():
            for key, item in value.items():
                if not isinstance(key, str) or not key.isascii():
                    raise ValueError(f"a key that is not ASCII: {key!r}")
                _check(item)
        case _:
            raise ValueError(f"no place for {type(value).__name__}")
