"""What jobs note of themselves, and the table of efficiency made of it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gemforest.efficiency import of_stage, read_efficiency, write_efficiency
from gemforest.usage import Usage, asked, note, read_usage, resident_mb, usage_path

JOB = Usage("draft", "0000", 2, 10, 10, 1500.0, 1000.0, 1600.0, 700.0, 1000, 50, "7", "ok")


def test_a_note_is_read_back_and_a_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    note(tmp_path, JOB)
    note(tmp_path, replace(JOB, worked=0))
    with usage_path(tmp_path, "draft", "0000").open("a") as handle:
        handle.write('{"stage": "dra')
    assert list(read_usage(tmp_path)) == [JOB, replace(JOB, worked=0)]


def test_memory_counts_the_children() -> None:
    script = "import sys; block = bytearray(200_000_000); print('ready', flush=True); sys.stdin.read()"
    shell = ["sh", "-c", f'"{sys.executable}" -c "{script}"; true']
    with subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        assert 200 < resident_mb(process.pid) < 400
        process.communicate("")
    assert resident_mb(process.pid) == 0


def test_efficiency_of_a_stage_by_hand() -> None:
    found = of_stage("draft", [JOB, replace(JOB, wall_seconds=250.0, genome_seconds=375.0, cpu_seconds=400.0)])
    # 2 cores x 1250 s held; 2000 s of CPU; 1875 s of genomes.
    assert found.cpu_percent == pytest.approx(80.0)
    assert found.overhead_percent == pytest.approx(25.0)
    assert found.core_hours == pytest.approx(2500 / 3600)
    assert found.within_percent == pytest.approx(50.0)
    assert found.memory_percent == pytest.approx(70.0)
    assert found.time_percent == pytest.approx(100 * 1000 / 60 / 50)


def test_jobs_with_nothing_to_do_are_counted_apart() -> None:
    idle = replace(JOB, worked=0, genome_seconds=0.0, wall_seconds=1.0, cpu_seconds=1.0)
    found = of_stage("draft", [JOB, idle])
    assert (found.jobs, found.idle_jobs, found.genomes) == (1, 1, 10)
    assert found.minutes_least == pytest.approx(1000 / 60)


def test_a_pooled_stage_has_all_cores_for_its_genomes() -> None:
    found = of_stage("homology", [replace(JOB, stage="homology", genome_seconds=900.0)])
    assert found.overhead_percent == pytest.approx(10.0)


def test_the_table_is_written_for_programs(tmp_path: Path) -> None:
    note(tmp_path, JOB)
    header, line = write_efficiency(tmp_path, read_efficiency(tmp_path)).read_text().splitlines()
    assert header.split("\t")[:3] == ["stage", "jobs", "idle_jobs"]
    assert line.split("\t")[:3] == ["draft", "1", "0"]


@pytest.mark.parametrize(("text", "expected"), [("1400:57", (1400, 57)), ("", (0, 0)), ("None:<TBD>", (0, 0))])
def test_what_was_asked_for_is_read_and_anything_else_counts_as_not_told(text: str, expected: tuple[int, int]) -> None:
    assert asked(text) == expected
