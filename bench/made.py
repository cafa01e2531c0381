"""Sets that are made up, the same every time: large files, many small files, one wide folder."""

from __future__ import annotations

import array
import random
import string
from pathlib import Path

BLOCK = 1 << 20


def phrases(seed: int) -> list[bytes]:
    """4,096 short texts."""
    draw = random.Random(seed)
    words = ["".join(draw.choices(string.ascii_lowercase, k=draw.randint(2, 9))) for _ in range(1500)]
    ends = [" ", " ", " ", ", ", ".\n", " = ", "();\n", "\n    "]
    return [
        "".join(w + draw.choice(ends) for w in draw.choices(words, k=draw.randint(2, 4))).encode() for _ in range(4096)
    ]


def text_block(draw: random.Random, some: list[bytes], size: int) -> bytes:
    """Text that compresses to about a third and does not repeat itself over long distances."""
    numbers = array.array("H", draw.randbytes(2 * (size // 12 + 1)))
    return b"".join([some[number & 4095] for number in numbers])[:size]


def large_file(folder: Path, size: int, *, compressible: bool) -> None:
    """One file of random bytes or of text."""
    folder.mkdir(parents=True)
    draw, some = random.Random(size), phrases(1)
    with (folder / "large").open("wb") as out:
        left = size
        while left > 0:
            count = min(left, BLOCK)
            out.write(text_block(draw, some, count) if compressible else draw.randbytes(count))
            left -= count


def many_files(folder: Path, count: int) -> None:
    """Files of up to 2 kB, a thousand a folder, a hundred folders a folder."""
    draw, some = random.Random(count), phrases(2)
    pool = text_block(draw, some, 1 << 22)
    for number in range(0, count, 1000):
        place = folder / f"{number // 100_000:03}" / f"{number // 1000 % 100:02}"
        place.mkdir(parents=True)
        for n in range(number, min(number + 1000, count)):
            start = draw.randrange(len(pool) - 2048)
            content = b"%d\n" % n + pool[start : start + draw.randrange(2048)]
            (place / f"file-{n:07}.txt").write_bytes(content)


def wide_folder(folder: Path, count: int) -> None:
    """All files in one folder."""
    folder.mkdir(parents=True)
    for n in range(count):
        (folder / f"entry-{n:07}").write_bytes(b"%d\n" % n)
