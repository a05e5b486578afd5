"""What a run shows: on a real pseudo-terminal, on a pipe, without colour; and what it says of its pace."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from projects import make_project
from rich.console import Console
from toy_atlas import make_atlas

from gemforest.ledger import LedgerRow, Outcome, Reason
from gemforest.stage import Context
from gemforest.terminal import Pace, StageState, State, Watcher, job_errors, line, look, tell_end

BAD = LedgerRow("cut", "genes", Outcome.REFUSED, Reason.TRUNCATED_ARCHIVE, "ends [early]", 0.1, 1.0, "k", "{}")


def shown(thing: object, width: int = 120) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(thing)
    return out.getvalue()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A made-up run of fourteen genomes, three of them stopped."""
    return make_atlas(tmp_path_factory.mktemp("run") / "project")


def test_the_state_is_what_the_ledgers_say(run: Context) -> None:
    state = Watcher(run).look()
    assert state is not None
    assert state.genomes == 14
    assert {stage.done for stage in state.stages.values()} == {14}
    failed = {name: stage.failed for name, stage in state.stages.items() if stage.failed}
    assert failed == {"fetch": 1, "draft": 1, "gapfill": 1}
    assert state.failed == 3
    assert {row.genome_id for row in state.stopped} == {"g00", "g01", "g02"}


def test_a_running_jobs_genomes_count(tmp_path: Path) -> None:
    context = make_atlas(tmp_path / "project", genomes=6)
    context.store.ledger_path("simulate", "0001").unlink()
    progress = context.store.progress_path("simulate", "0001")
    progress.parent.mkdir(parents=True)
    watcher = Watcher(context)
    before = watcher.look()
    progress.write_text(json.dumps({"done": 1, "failed": 1}))
    after = watcher.look()
    assert before is not None and after is not None
    assert (before.stages["simulate"].done, after.stages["simulate"].done) == (5, 6)
    assert (before.failed, after.failed) == (3, 4)


def test_a_ledger_is_read_again_only_when_it_changed(run: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = Watcher(run)
    first = watcher.look()
    monkeypatch.setattr("gemforest.terminal.read_ledger", lambda path: pytest.fail(f"{path} was read again"))
    assert watcher.look() == first


def test_there_is_a_look_before_there_is_a_plan(tmp_path: Path) -> None:
    context = make_project(tmp_path, "genome_id\tsource\n")
    assert Watcher(context).look() is None
    assert "planning" in shown(look(None, Pace(0.0), 1.0))
    assert "planning" in line(None)


def states(first: int, second: int) -> State:
    return State(10, {"draft": StageState(first, 0, 3.0), "simulate": StageState(second, 0, 1.0)})


def test_time_left_follows_from_the_work_that_was_done() -> None:
    # Ten genomes of 4 s of work each; a resumed run that finds 4 drafts does 12 s of work in 6 s: 2 s per second.
    pace = Pace(started=100.0)
    assert pace.seconds_left(states(4, 0), 100.0) is None
    assert pace.seconds_left(states(8, 0), 106.0) == pytest.approx((40 - 24) / 2)
    assert pace.genomes_per_minute(states(8, 0), 106.0) == pytest.approx(60 * 2 / 4)


def test_a_run_that_goes_backwards_has_no_time_left() -> None:
    pace = Pace(started=0.0)
    pace.seconds_left(states(10, 10), 0.0)
    assert pace.seconds_left(states(2, 0), 10.0) is None


def test_the_look_has_the_overall_bar_the_stages_the_rate_and_the_failures() -> None:
    pace = Pace(0.0)
    pace.seconds_left(State(10, {"genes": StageState(0, 0, 1.0)}), 0.0)
    told = shown(look(State(10, {"genes": StageState(5, 1, 1.0)}, (BAD,)), pace, 30.0))
    assert "50%" in told
    assert "10.0 genomes/min" in told
    assert "0:30 left" in told
    assert "5/10" in told
    assert "1 failed" in told
    assert "cut genes: ends [early]" in told


def test_many_failures_are_cut_to_the_latest_and_to_one_line_each() -> None:
    rows = tuple(
        LedgerRow(f"g{i}", "genes", Outcome.REFUSED, Reason.EMPTY_FILE, "x" * 300, 0.1, 1.0, "k", "{}")
        for i in range(9)
    )
    told = shown(look(State(10, {"genes": StageState(9, 9, 1.0)}, rows), Pace(0.0), 30.0), width=80)
    lines = [text for text in told.splitlines() if "xxx" in text]
    assert [text.split()[0] for text in lines] == ["g4", "g5", "g6", "g7", "g8"]
    assert all(len(text) <= 80 for text in told.splitlines())


def test_the_end_is_one_table_and_the_commands_that_tell_more(run: Context) -> None:
    out = io.StringIO()
    tell_end(run, Console(file=out, width=150))
    told = out.getvalue()
    assert told.count("┏") == 1
    assert "11 of 14 genomes have a model" in told
    assert "3 stopped: 1 × fetch file_not_found, 1 × draft wall_clock, 1 × gapfill infeasible_medium" in told
    assert "`gemforest status`" in told


def test_a_large_run_ends_with_the_table_of_stages(run: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gemforest.terminal.GENOMES_SHOWN", 5)
    out = io.StringIO()
    tell_end(run, Console(file=out, width=150))
    assert out.getvalue().count("┏") == 1
    assert "g07" not in out.getvalue()


def test_jobs_that_were_stopped_say_why(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "draft" / "shard=0003.error.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"stage": "draft", "shard": "0003", "detail": "no space left"}))
    assert job_errors(tmp_path, 0.0) == ["draft shard=0003: no space left"]
    assert job_errors(tmp_path, time.time() + 9) == []


# -- a real pseudo-terminal --------------------------------------------------------------------------------------------

# A Snakemake that works for a second and a half, while the ledgers are those of a finished run.
PLAY = """
import subprocess, sys
from pathlib import Path
from gemforest.config import complete
from gemforest.stage import Context
from gemforest.store import Store
from gemforest.cli import _console
from gemforest.run import _watch
from gemforest.terminal import tell_end
project = Path(sys.argv[1])
context = Context(project, complete({"shard_size": 5}), Store(project / "results"))
process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1.5)"])
_watch(process, context, _console(), lambda: None)
tell_end(context, _console())
"""


def on_a_terminal(arguments: list[str], **environment: str) -> str:
    """Everything that a command writes to a terminal of 100 columns."""
    master, slave = pty.openpty()
    known = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "TERM")}
    size = {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    process = subprocess.Popen(
        [sys.executable, *arguments], stdin=slave, stdout=slave, stderr=slave, env=known | size | environment
    )
    os.close(slave)
    told = b""
    while True:
        ready, _, _ = select.select([master], [], [], 0.2)
        try:
            piece = os.read(master, 65536) if ready else b""
        except OSError:
            break
        told += piece
        if not piece and process.poll() is not None:
            break
    process.wait()
    os.close(master)
    return told.decode()


def test_on_a_terminal_the_look_moves_and_the_table_stays(run: Context) -> None:
    told = on_a_terminal(["-c", PLAY, str(run.project)])
    assert "none failed" not in told
    assert "3 failed" in told
    assert "\x1b[2K" in told  # the look is wiped ...
    assert told.rindex("\x1b[2K") < told.index("have a model")  # ... before the table comes
    assert "\x1b[31m" in told


def test_no_color_leaves_colours_out(run: Context) -> None:
    told = on_a_terminal(["-c", PLAY, str(run.project)], NO_COLOR="1")
    assert "3 failed" in told
    assert not any(f"\x1b[{code}m" in told for code in (31, 32, 33, 34, 35, 36))
    assert "38;5" not in told


def test_on_a_pipe_there_is_the_end_alone(run: Context) -> None:
    ended = subprocess.run([sys.executable, "-c", PLAY, str(run.project)], capture_output=True, text=True, check=True)
    assert "\x1b" not in ended.stdout
    assert "genomes/min" not in ended.stdout
    assert "11 of 14 genomes have a model" in ended.stdout
    assert ended.stderr == ""
