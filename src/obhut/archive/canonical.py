"""Canonical JSON: RFC 8785 for what records and leaves hold, which is objects, lists, strings, integers, true, false, null.

Whoever reads refuses everything that is not written in just this way: two spellings of one record would be two hashes.
"""

from __future__ import annotations

import json
from typing import Any, Final

#: Integers beyond are not exact in every JSON reader.
LARGEST: Final = 2**53 - 1


_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def encode(value: dict[str, Any]) -> bytes:
    """The bytes of a value. Raises ``ValueError`` for what the subset does not hold."""
    _check(value)
    return _ENCODER.encode(value).encode()


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
    kind = type(value)
    if kind is str:
        value.encode()  # lone surrogates are no text
    elif kind is int:
        if abs(value) > LARGEST:
            raise ValueError(f"too large a number: {value}")
    elif kind is dict:
        for key, item in value.items():
            if type(key) is not str or not key.isascii():
                raise ValueError(f"a key that is not ASCII: {key!r}")
            _check(item)
    elif kind is list:
        for item in value:
            _check(item)
    elif value is not None and kind is not bool:
        raise ValueError(f"no place for {kind.__name__}")
