r"""JSON as Go's ``encoding/json`` writes it, so that snapshots and ``--json`` lines look as restic's do.

Formats: restic 11. No white space, keys in the order given, ``<``, ``>``, ``&`` and U+2028/2029 escaped, bytes that are
no UTF-8 (lone surrogates in Python) written as the text ``\ufffd``.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

#: What JSON can hold.
Json = dict[str, Any] | list[Any] | str | int | float | bool | None

_SPECIAL: Final = re.compile('[\\x00-\\x1f"\\\\<>&\u2028\u2029\ud800-\udfff]')
_SHORT: Final = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    if char in _SHORT:
        return _SHORT[char]
    code = ord(char)
    return "\\ufffd" if 0xD800 <= code <= 0xDFFF else f"\\u{code:04x}"


def quote(text: str) -> str:
    """A JSON string with its quotes."""
    return f'"{_SPECIAL.sub(_escape, text)}"'


def _number(value: float) -> str:
    """A float as Go writes it: no ``.0``, exponents only for very small and very large numbers."""
    if not math.isfinite(value):
        raise ValueError("JSON has no such number")
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    if 1e-6 <= abs(value) < 1e21:
        return f"{value!r}" if "e" not in repr(value) else f"{value:.20f}".rstrip("0")
    mantissa, exponent = repr(value).split("e") if "e" in repr(value) else (repr(value), "0")
    return f"{mantissa.removesuffix('.0')}e{int(exponent):+03d}"


def dumps(value: Json) -> str:
    """Encodes a value; dictionaries keep their order (as Go's structs do)."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return quote(value)
        case int():
            return str(int(value))
        case float():
            return _number(value)
        case dict():
            return "{" + ",".join(f"{quote(k)}:{dumps(v)}" for k, v in value.items()) + "}"
        case list() | tuple():
            return "[" + ",".join(map(dumps, value)) + "]"
    raise TypeError(f"not JSON: {type(value).__name__}")


def _refuse(name: str) -> Any:
    raise ValueError(f"not JSON: {name}")


def loads(data: bytes | str) -> Json:
    """Decodes strictly (no ``NaN``); invalid UTF-8 becomes U+FFFD as in Go. Raises ``ValueError``."""
    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    try:
        value: Json = json.loads(text, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value


def as_written(text: str) -> str:
    """What a text becomes by being written to JSON and read again: bytes that are no UTF-8 turn into U+FFFD."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)
