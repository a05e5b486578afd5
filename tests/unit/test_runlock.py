"""One head at a time, and none of the dead one's jobs beside the next one's."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from gemforest.errors import InputError
from gemforest.runlock import CANCEL, MARK, RunLock, marked_processes, read_holder

TAKE = """
import sys, time
from pathlib import Path
from rich.console import Console
from gemforest.errors import InputError
from gemforest.runlock import RunLock
while time.time() < float(sys.argv[2]):
    pass
try:
    RunLock(Path(sys.argv[1])).acquire(Console(quiet=True))
except InputError:
    print("refused")
else:
    print("taken", flush=True)
    time.sleep(3)
"""


def dead(**more: object) -> str:
    return json.dumps({"pid": 1, "host": socket.gethostname(), "started": "never"} | more)


@pytest.mark.parametrize("left", ["", "none", "dead"])
def test_of_many_heads_at_the_same_instant_one_takes_the_lock(tmp_path: Path, left: str) -> None:
    lock = tmp_path / "run.lock"
    if left != "none":
        lock.write_text(dead() if left == "dead" else "")
    instant = str(time.time() + 3)
    heads = [
        subprocess.Popen([sys.executable, "-c", TAKE, str(lock), instant], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    told = sorted(head.communicate()[0].strip() for head in heads)
    assert told == ["refused", "refused", "refused", "taken"]


def sleeper(seconds: float, **variables: str) -> subprocess.Popen[bytes]:
    """A job with these variables; returned when its environment can be read, which is a little after it is started."""
    job = subprocess.Popen(["sleep", str(seconds)], env=os.environ | variables)
    limit = time.monotonic() + 30
    while time.monotonic() < limit:
        seen = Path(f"/proc/{job.pid}/environ").read_bytes().split(b"\0")
        if all(f"{name}={value}".encode() in seen for name, value in variables.items()):
            return job
        time.sleep(0.01)
    job.kill()
    raise AssertionError(f"process {job.pid} never showed {variables}")


def test_jobs_of_a_dead_head_are_waited_for(tmp_path: Path) -> None:
    (tmp_path / "run.lock").write_text(dead(marks=["m1"]))
    job = sleeper(3, **{MARK: "m1"})
    assert marked_processes("m1") == [job.pid]
    said = io.StringIO()
    RunLock(tmp_path / "run.lock").acquire(Console(file=said))
    assert job.wait(timeout=0.5) == 0
    assert "Waiting for them" in said.getvalue()
    assert "m1" not in (tmp_path / "run.lock").read_text()


def test_jobs_of_a_dead_head_are_ended_where_that_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "run.lock").write_text(dead(marks=["m2"]))
    job = sleeper(600, **{MARK: "m2"})
    RunLock(tmp_path / "run.lock", orphans=CANCEL).acquire(Console(quiet=True))
    assert job.wait(timeout=0.5) != 0


def test_a_head_that_cannot_settle_leaves_the_dead_lock_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "run.lock"
    lock.write_text(dead(slurm="an-id"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="no squeue"):
        RunLock(lock).acquire(Console(quiet=True))
    assert read_holder(lock) == json.loads(dead(slurm="an-id"))


def test_a_job_inside_slurm_is_not_a_process_to_wait_for_here() -> None:
    job = sleeper(600, **{MARK: "m3", "SLURM_JOB_ID": "7"})
    try:
        assert marked_processes("m3") == []
    finally:
        job.kill()
        job.wait()
