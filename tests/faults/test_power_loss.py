"""Power failures: every state that a disk may be left in, while Obhut works on an ext4 on it.

A recorder notes each write and each flush that the file system sends to its disk (``tests/power/device.py``). Afterwards the
states are made that a power failure could have left (``tests/power/states.py``): everything before a flush that was
answered, and of what came after it any part. Each is mounted, the journal replayed, and judged (``tests/power/judge.py``)
against what had been acknowledged at that moment. That is more than copies of a running disk's image can show: a copy at a
random time meets few of these states, and states that no disk could be in.

``OBHUT_STATES=1000`` judges so many of the planned states, in four modes of ext4; otherwise a sample in two.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import facilities
import peers
import sealing
import trees
from power import judge as judging
from power import nosync, recorder
from power.judge import Judge, Story
from power.states import plan, read_log, states
from resident import Resident
from tools import PASSWORD, Obhut

#: Read before tests get a clean environment.
MOST: Final = int(os.environ.get("OBHUT_STATES", "40"))
NEW: Final = "another password"

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.interop, pytest.mark.timeout(5400)]


def change(source: Path, number: int, draw: random.Random) -> None:
    """Changes and adds files; the last state has some with several chunks."""
    for name in range(number, number + 4):
        path = source / f"folder{name % 2}" / f"file{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(trees.noise(draw, draw.choice([50, 5000, 60_000])))
    if number == 2:
        (source / "large").write_bytes(trees.noise(draw, 1_500_000))


def live(story: Story, place: Path, repository: Path, prefix: tuple[str | Path, ...] = ()) -> None:
    """Init, three backups, forget with prune, a change of the password, one more backup."""
    source, draw = place / "source", random.Random(5)
    old, new = Obhut(repository), Obhut(repository, NEW)
    for tool in (old, new):
        program = tool.command()
        tool.command = lambda program=program: [*prefix, *program]  # type: ignore[method-assign,misc]
    act = story.recording.step
    story.change = ("passwd", PASSWORD, NEW)
    act("init", old.init)
    story.key = sealing.master_key(next((repository / "keys").iterdir()), PASSWORD)

    def back_up(tool: Obhut, number: int) -> None:
        change(source, number, draw)
        before = {file.name for file in (repository / "snapshots").iterdir()}
        name = f"backup {number}"
        act(name, lambda: tool.backup(source))
        (made,) = {file.name for file in (repository / "snapshots").iterdir()} - before
        held = {f"{source}{path}": content for path, content in judging.contents(source).items()}
        story.made[made] = (name, held)

    for number in range(3):
        back_up(old, number)
    before = set(story.made)
    act("prune", lambda: old("forget", "--group-by", "", "--keep-last", "2", "--prune", "--max-unused", "0"))
    story.removed = dict.fromkeys(before - {file.name for file in (repository / "snapshots").iterdir()}, "prune")
    assert len(story.removed) == 1
    word = place / "new"
    word.write_text(NEW)
    act("passwd", lambda: old("key", "passwd", "--new-password-file", word))
    back_up(new, 3)


def record(place: Path, *options: str, prefix: tuple[str | Path, ...] = ()) -> Story:
    """The story on a disk that writes everything down."""
    with recorder.recording(place, *options) as (recorded, work):
        story = Story(recorded)
        live(story, place, work / "repository", prefix)
    return story


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """In memory where that is possible: each unmounting makes an image durable, which a disk takes its time for."""
    for name in ("fuse", "loop"):
        facilities.need(name)
    peers.need("restic")
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="power-", dir=memory if os.access(memory, os.W_OK) else tmp_path))
    yield folder
    shutil.rmtree(folder)


def judge_all(
    story: Story, place: Path, *options: str, most: int, lying: bool = False, stop_early: bool = False
) -> tuple[Judge, list[str]]:
    """Judges the planned states; gives the judge with its counts, and what was wrong."""
    windows = read_log(story.recording.log, lying=lying)
    end = story.recording.steps[-1].ended
    draw = random.Random(1)
    if lying:
        # One window; parts of it are what an honest disk could not leave.
        plans = sorted((0, draw.randrange(1, len(windows[0])), "most", number) for number in range(most))
    else:
        plans = plan(windows, draw, end, most)
    problems: list[str] = []
    environ = {"OBHUT_PASSWORD": PASSWORD, "HOME": str(place), "TZ": "UTC", "NO_COLOR": "1"}
    with Resident(environ) as obhut:
        judge = Judge(place, story, obhut, options)
        safe = bytearray(story.recording.image)
        for state in states(windows, plans, safe):
            problems += [f"{state.label}: {problem}" for problem in judge(state, safe)]
            if problems and stop_early:
                break
    print(f"{sum(map(len, windows))} writes in {len(windows)} windows; {dict(judge.count)}")
    return judge, problems


#: Ways in which ext4 orders data and journal. With `data=writeback` a name may come before its content.
MODES: Final[tuple[list[str], ...]] = ([], ["data=writeback"], ["data=journal"], ["nodelalloc"])


@pytest.mark.parametrize(
    "options", MODES if MOST > 40 else MODES[:2], ids=lambda options: ",".join(options) or "default"
)
def test_what_was_acknowledged_survives_every_power_failure(options: list[str], place: Path) -> None:
    story = record(place, *options)
    judge, problems = judge_all(story, place, *options, most=MOST)
    assert problems[:3] == []
    assert judge.count["different"] >= 15
    assert judge.count["restored"] >= 15


def test_without_fsync_the_judge_finds_the_loss(place: Path) -> None:
    """The same commands with calls that make nothing durable: the judge must not be content."""
    prefix = (sys.executable, Path(nosync.__file__))
    story = record(place, prefix=prefix)
    _, problems = judge_all(story, place, most=20, stop_early=True)
    assert any("is lost" in problem or "restic check" in problem for problem in problems), problems


def test_on_a_disk_that_lies_about_flushes_the_judge_finds_the_loss(place: Path) -> None:
    """Every flush answered and not carried out: the states are not lawful any more, and the judge must see that."""
    story = record(place)
    _, problems = judge_all(story, place, most=20, lying=True, stop_early=True)
    assert problems
