"""The measurement beside the peers, on tiny sets: every phase runs and every figure has its place. No time is judged."""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from bench import machine, pictures, sets
from bench.bars import judge
from bench.measure import halves
from bench.report import markdown
from bench.results import Results, Run, load
from bench.sets import PHASES

import peers

#: As it is before tests get a home of their own: cargo's tools lie there.
HOME = os.environ.get("HOME", "")
NAMES = ("obhut", "restic", "rustic")


def small_results() -> Results:
    """Two sizes of two sets, with times that are easy to compare."""
    results = Results(machine={"cores": 2}, places={"disk": {"type": "ext4", "cold": True}})
    facts = {"files": 1, "folders": 1, "bytes": 1, "duplicate_share": 0, "zstd3_ratio": 1, "largest_folder": 1 << 20}
    for name, base in (("tree", 1.0), ("files:1000", 1.0), ("files:2000", 2.0), ("random:1G", 4.0)):
        results.sets[name] = {**facts, "made_of": ["nothing"]}
        for factor, tool in enumerate(("obhut", "restic", "rustic"), 1):
            more = {"repository": 1000.0 * factor, "blobs": 1 << 20, "walk": 0.5}
            for phase in PHASES:
                results.add([Run(name, "disk", tool, phase, 0, base * factor, 1.0, 100.0 * factor, more)])
        results.add([Run(name, "disk", "cp -a", "restore", 0, base * 1.5)])
        results.add([Run(name, "disk", "statx walk", "unchanged", 0, 0.25)])
    return results


@pytest.mark.slow
@pytest.mark.interop
@pytest.mark.timeout(900)
def test_all_phases_run_for_obhut_and_its_peers(tmp_path: Path) -> None:
    for name in NAMES[1:]:
        peers.need(name)
    source = tmp_path / "source"
    source.mkdir()
    for n in range(150):
        (source / f"{n}.txt").write_bytes(b"%d\n" % n * n)
    into, work = tmp_path / "results.json", tmp_path / "work"
    work.mkdir()
    line = [sys.executable, "-m", "bench", "--small", "--profile", "dev", "--no-rates", "--tools", ",".join(NAMES)]
    line += ["--sets", "tree,mixed,random:1M,files:300,wide:50,index", "--blobs", "2000", "--folder", str(source)]
    line += ["--tmpfs", str(work), "--into", str(into)]
    env = {**os.environ, "HOME": HOME}
    done = subprocess.run(line, cwd=peers.ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    content = json.loads(into.read_text())
    assert content["format"] == 1
    results = load(into)
    assert set(results.sets) == {"tree", "mixed", "random:1M", "files:300", "wide:50"}
    for name in NAMES:
        for kind in results.sets:
            runs = results.select(set=kind, tool=name)
            assert [run.phase for run in runs] == list(sets.parse(kind).phases)
            assert all(run.seconds > 0 and run.cpu > 0 and run.peak_mib > 0 for run in runs)
            assert results.value("repository", set=kind, tool=name, phase="first")
    assert results.sets["tree"]["files"] == 150
    assert results.sets["wide:50"]["largest_folder"] == 50
    for run in results.select(tool="obhut"):
        assert (run.more.get("walk", 0) > 0) == (run.phase in {"first", "unchanged", "changed"})
    first = results.value("blobs", set="files:300", tool="obhut", phase="first")
    # A blob a file, a tree a folder: one that holds the files, two above it, and those of the path to it.
    assert first is not None
    assert first >= 303
    assert results.index["entries"] == 2000
    for floor in ("cp -a", "two cp -a"):
        assert results.seconds(tool=floor, set="tree", phase="restore")
    assert results.seconds(tool="statx walk", set="tree", phase="unchanged")
    assert into.with_suffix(".md").read_text() in done.stdout
    assert list(work.iterdir()) == []


def test_bars_are_judged_against_the_best_peer() -> None:
    bars = {bar.work: bar for bar in judge(small_results())}
    first = bars["tree on disk: first"]
    assert (first.bar, first.seen, first.unit, first.verdict) == (0.7, 0.5, "of restic", "goal reached")
    restore = bars["tree on disk: restore"]
    assert (restore.unit, restore.met) == ("of cp -a", True)
    walk = bars["tree on disk: walk phase"]
    assert (walk.seen, walk.verdict) == (2.0, "**not met**")
    memory = bars["tree on disk: peak memory of the first backup"]
    assert (memory.bar, memory.seen) == (256 + 50 + 100, 100)
    assert bars["random:1G on disk: first"].bar == 0.5


def test_the_report_names_every_phase_and_tool() -> None:
    text = markdown(small_results())
    assert "| | first | unchanged | changed | restore | check | check data | forget+prune |" in text.replace(
        "|  |", "| |"
    )
    assert "| restic | 2.00 (2.00) |" in text
    assert "1.50 (1.50) |" in next(line for line in text.splitlines() if line.startswith("| cp -a |"))
    assert "Obhut's walk phase of the unchanged backup: 0.500 s." in text


def test_what_is_measured_again_replaces_what_was(tmp_path: Path) -> None:
    results = small_results()
    results.add([Run("tree", "disk", "obhut", "first", 0, 7.0), Run("tree", "disk", "obhut", "first", 1, 9.0)])
    results.save(tmp_path / "results.json")
    again = load(tmp_path / "results.json")
    assert again == results
    assert again.seconds(set="tree", tool="obhut", phase="first") == 8.0
    assert again.seconds(set="tree", tool="obhut", phase="restore") == 1.0


def test_pictures_show_a_line_a_tool(tmp_path: Path) -> None:
    (written,) = pictures.draw(small_results(), tmp_path)
    assert written.name == "cost-files-disk.svg"
    names = [element.text for element in ET.parse(written).iter("{http://www.w3.org/2000/svg}text")]
    assert names.count("obhut") == len(pictures.PHASES) + 1
    assert names.count("cp -a") == 1
    assert {"first, seconds", "first, peak memory in MiB", "1k", "2k"} <= set(names)


def test_sets_have_names_that_read_back() -> None:
    for text in ("tree", "mixed", "random:4G", "compressible:16M", "files:1000000", "wide:7"):
        assert sets.parse(text).name == text
    for wrong in ("files", "tree:5", "cloud:1G"):
        with pytest.raises(ValueError, match="sets are"):
            sets.parse(wrong)


def test_figures_of_measuring_programs_are_read() -> None:
    text = "chunker, four lanes, no cut in 8 MiB          1479 MB/s\nblobs                    20000000.00 \n"
    assert machine.figures(text) == {"chunker, four lanes, no cut in 8 MiB": 1479.0, "blobs": 20000000.0}


def test_two_copies_share_the_entries_out(tmp_path: Path) -> None:
    for folder, count in (("a", 3), ("b", 1)):
        for n in range(count):
            (tmp_path / folder / str(n)).mkdir(parents=True)
    one, other = halves(tmp_path)
    assert sorted(one + other) == sorted(tmp_path.glob("*/*"))
    assert len(one) == len(other) == 2


def hold(mebibytes: int) -> int:
    return len(b"x" * (mebibytes << 20))


def test_what_is_made_does_not_count_as_the_peak_of_what_is_measured(tmp_path: Path) -> None:
    line = [[sys.executable, "-c", "pass"]]
    before = machine.timed(line).peak_mib
    assert machine.apart(hold, 512) == 512 << 20
    assert machine.timed(line).peak_mib < before + 64
    assert machine.timed([[sys.executable, "-c", "bytearray(b'x') * (600 << 20)"]]).peak_mib > 600
