"""The pace of a run, also over several processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from gemforest.fetch.pacing import ConnectionSlots, TokenBucket

PROGRAM = """
import sys, time
from pathlib import Path
from gemforest.fetch.pacing import TokenBucket
bucket = TokenBucket(Path(sys.argv[1]), 50.0)
print(time.time(), flush=True)
for _ in range(10):
    bucket.take()
    print(time.time(), flush=True)
"""


def test_requests_of_several_processes_keep_the_common_distance(tmp_path: Path) -> None:
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path / "bucket")],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for _ in range(3)
    ]
    told = [[float(line) for line in program.communicate()[0].split()] for program in programs]
    started = min(moments[0] for moments in told)
    moments = sorted(moment for one in told for moment in one[1:])
    assert len(moments) == 30
    # The k-th request of all may not come before k intervals are over; a slow machine only adds.
    assert all(moment >= started + k * 0.02 - 1e-3 for k, moment in enumerate(moments))


def test_a_burst_goes_through_at_once_and_is_paid_for_later(tmp_path: Path) -> None:
    bucket = TokenBucket(tmp_path / "bucket", 20.0, burst=3)
    assert [bucket.take() for _ in range(3)] == [0.0, 0.0, 0.0]
    assert 0.0 < bucket.take() <= 0.05


def test_a_pause_holds_for_everyone(tmp_path: Path) -> None:
    TokenBucket(tmp_path / "bucket", 1000.0, burst=5).pause(0.2)
    started = time.monotonic()
    TokenBucket(tmp_path / "bucket", 1000.0, burst=5).take()
    assert time.monotonic() - started >= 0.19


def test_a_clock_that_was_set_back_does_not_stop_the_run(tmp_path: Path) -> None:
    (tmp_path / "bucket").write_text(f"{time.time() + 86400:<32.6f}")
    assert TokenBucket(tmp_path / "bucket", 1000.0).take() < 0.1


def test_never_more_connections_than_slots(tmp_path: Path) -> None:
    slots = ConnectionSlots(tmp_path, 2)
    held, most, guard = [0], [0], threading.Lock()

    def use() -> None:
        with slots.hold():
            with guard:
                held[0] += 1
                most[0] = max(most[0], held[0])
            time.sleep(0.05)
            with guard:
                held[0] -= 1

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [2]
