"""Cost curve of an archive in a bucket: documents in, everything verified, and how many requests that takes.

    PYTHONPATH=tests python -m bench.archive_bucket [--counts 100,1000,10000] [--mode compliance]

The bucket is that of the tests: SeaweedFS on loopback, its data on the disk of TMPDIR. So what is measured is our part and
that server's; a provider adds the way to it, which the number of requests tells.
"""

from __future__ import annotations

import argparse
import random
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.archive import NOW, archived, judged
from obhut.archive.description import Description
from obhut.archive.s3 import S3Store
from obhut.archive.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZE = 10_000


def measured(base: Path, server: Any, count: int, mode: str) -> Iterator[str]:
    """A line for each step of one size."""
    requests: Counter[str] = Counter()
    client = server.client()
    client.meta.events.register("before-send.s3", lambda event_name, **_: requests.update([event_name]))
    store = S3Store(server.bucket(), "", client, mode)
    vault = Vault.create(store, base / f"key-{count}", Description("example.org/bench", "de", (12, 31), NOW, mode))
    draw = random.Random(count)
    sources = [base / f"document-{number}" for number in range(count)]
    for source in sources:
        source.write_bytes(draw.randbytes(SIZE))
    steps: dict[str, Callable[[], None]] = {
        "put": lambda: archived(vault, base / f"key-{count}", sources),
        "verify": lambda: judged(Vault.open(S3Store(store.target().bucket, "", client, mode)), count),
    }
    for name, work in steps.items():
        requests.clear()
        start = time.monotonic()
        work()
        seconds = time.monotonic() - start
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        yield (
            f"{count:>7,} documents, {name:<6} {seconds:8.2f} s {count / seconds:7.0f} a second "
            f"{sum(requests.values()) / count:6.2f} requests each {memory:6.0f} MiB"
        )


def main() -> None:
    """Measures each size once."""
    from buckets import seaweedfs

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", default="100,1000,10000")
    parser.add_argument("--mode", default="compliance", choices=("compliance", "governance"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, seaweedfs(Path(name) / "weed") as server:
        for count in map(int, given.counts.split(",")):
            for line in measured(Path(name), server, count, given.mode):
                print(line, flush=True)


if __name__ == "__main__":
    main()
