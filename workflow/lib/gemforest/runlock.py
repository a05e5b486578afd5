"""The lock of a run, and what a run that died may have left at work.

`results/run.lock` names the process that holds it, its Snakemake, the mark that its jobs on this machine carry in their
environment, and the id under which its SLURM jobs run. A lock left by a dead process of this host is taken over with a
word; a live one, or one of another host, is respected. Jobs of a dead head or a dead Snakemake go on, here or in the
queue: they are waited for or cancelled before anything is started again, or the same shard would be worked on twice at
the same time.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from gemforest.errors import InputError
from gemforest.store import write_text

WAIT, CANCEL = "wait", "cancel"
QUEUE_POLL_SECONDS = 5.0
PROCESS_POLL_SECONDS = 0.2
MARK = "GEMFOREST_RUN"
_SLURM_RUN = re.compile(r"SLURM run ID: (\S+)")


@dataclass
class RunLock:
    """`results/run.lock`, JSON: pid, host and start time of the one run that may work on a results folder.

    Attributes
    ----------
    orphans
        What becomes of jobs that a dead run left: `wait` or `cancel`.
    mark
        Value of the variable `MARK` in the environment of this run's processes.
    """

    path: Path
    profile: str = "local"
    orphans: str = WAIT
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def acquire(self, console: Console) -> None:
        """Take the lock; InputError where another live run, or one of another host, holds it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Looking at a lock and taking it over must be one step, or two heads could both find the same dead one.
        with _alone(self.path.parent):
            before = self._dead_holder()
            # Until they are settled, the lock keeps what the dead run left.
            left = {"marks": [*before.get("marks", []), self.mark]}
            write_text(self.path, json.dumps(before | self._mine() | left))
        if before is NOBODY:
            return
        console.print(f"Releasing the lock of a run that is dead (pid {before.get('pid', 'unknown')}).")
        try:
            if before.get("slurm"):
                settle_orphans(before["slurm"], self.orphans, console)
            for mark in before.get("marks", []):
                self.settle_processes(console, mark)
        except BaseException:
            # What that run left is still to be settled, by whoever comes next.
            write_text(self.path, json.dumps(before))
            raise
        write_text(self.path, json.dumps(self._mine()))

    def settle_processes(self, console: Console, mark: str = "") -> None:
        """Wait for processes of a run on this machine whose Snakemake is gone, or end them, until none is left."""
        told = False
        while found := marked_processes(mark or self.mark):
            if not told:
                console.print(f"{len(found)} processes of that run are still at work here: {found[:5]}")
                word = "Ending them." if self.orphans == CANCEL else "Waiting for them, so that nothing runs twice."
                console.print(word)
                told = True
                if self.orphans == CANCEL:
                    for pid in found:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGTERM)
            time.sleep(PROCESS_POLL_SECONDS)
        if told:
            console.print("They have ended; what they finished is kept.")

    def note(self, **facts: Any) -> None:
        """Add to what the lock tells of this run."""
        write_text(self.path, json.dumps(self._mine() | read_holder(self.path) | facts))

    def note_slurm(self, log: Path) -> None:
        """Take down the id of this run's SLURM jobs, once Snakemake's log names it."""
        if "slurm" not in read_holder(self.path) and (found := _SLURM_RUN.search(_text(log))):
            self.note(slurm=found[1])

    def release(self) -> None:
        """Give the lock back."""
        self.path.unlink(missing_ok=True)

    def _mine(self) -> dict[str, Any]:
        facts = {"host": socket.gethostname(), "profile": self.profile}
        return process(os.getpid()) | facts | {"marks": [self.mark]}

    def _dead_holder(self) -> dict[str, Any]:
        """What the lock of a dead run tells; `NOBODY` where there is no lock; InputError where it is not to be had."""
        if not self.path.exists():
            return NOBODY
        if self.path.is_dir():
            raise InputError(f"{self.path} is a folder; it was not made by gemforest: remove it")
        holder = read_holder(self.path)
        if holder.get("host") not in (None, socket.gethostname()):
            raise InputError(
                f"{self.path}: a run on host {holder['host']} (pid {holder['pid']}) holds these results; "
                "where that run is surely dead, remove the file"
            )
        if holder and is_alive(holder):
            raise InputError(f"{self.path}: a run with pid {holder['pid']} is at work on these results; wait for it")
        if is_alive(holder.get("snakemake", {})):
            raise InputError(
                f"{self.path}: the run with pid {holder['pid']} is dead, but its Snakemake (pid "
                f"{holder['snakemake']['pid']}) is still at work; wait for it, or end it"
            )
        return holder


NOBODY: dict[str, Any] = {}


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process of this machine in at a time; where a file system has no such locks, everybody."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def marked_processes(mark: str) -> list[int]:
    """Living processes of this user on this machine that carry the mark; not those inside a SLURM job of their own."""
    needle, found = f"{MARK}={mark}".encode(), []
    own_job = os.environ.get("SLURM_JOB_ID", "").encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                variables = (entry / "environ").read_bytes().split(b"\0")
                job = next((v.partition(b"=")[2] for v in variables if v.startswith(b"SLURM_JOB_ID=")), b"")
                if needle in variables and job in (b"", own_job) and _start_of(int(entry.name)):
                    found.append(int(entry.name))
    return sorted(found)


def process(pid: int) -> dict[str, Any]:
    """A process as a lock names it: a pid alone may be reused."""
    return {"pid": pid, "started": _start_of(pid)}


def is_alive(named: dict[str, Any]) -> bool:
    """Whether that very process is still there."""
    return bool(named.get("pid")) and bool(named.get("started")) and _start_of(named["pid"]) == named["started"]


def read_holder(path: Path) -> dict[str, Any]:
    """What a lock tells; nothing where there is none or it was cut short."""
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def settle_orphans(run_id: str, orphans: str, console: Console) -> None:
    """Wait for the SLURM jobs of a dead run, or cancel them, until none is left.

    Raises
    ------
    InputError
        There is no `squeue` here to ask.
    """
    jobs = _queued(run_id)
    if not jobs:
        console.print("No job of that run is left in the queue.")
        return
    console.print(f"{len(jobs)} SLURM jobs of that run go on: {', '.join(jobs[:5])}{' …' if len(jobs) > 5 else ''}")
    if orphans == CANCEL:
        console.print("Cancelling them.")
        subprocess.run(["scancel", "--name", run_id], check=True)
    else:
        console.print("Waiting for them, so that nothing runs twice; `--orphans cancel` would end them.")
    while _queued(run_id):
        time.sleep(QUEUE_POLL_SECONDS)
    console.print("They have ended; what they finished is kept.")


def _queued(run_id: str) -> list[str]:
    """Jobs of a run that wait, run or end just now: id and state."""
    if shutil.which("squeue") is None:
        raise InputError("a run that died left SLURM jobs, and there is no squeue here: resume where there is one")
    command = ["squeue", "--noheader", "--name", run_id, "--format", "%i %T"]
    for _ in range(3):
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            return [line for line in answer.stdout.splitlines() if line.strip()]
        time.sleep(QUEUE_POLL_SECONDS)
    raise InputError(f"squeue does not answer, so nothing was started: {answer.stderr.strip()}")


def _start_of(pid: int) -> str:
    """Start time of a process in clock ticks since boot; empty where there is none, or only its exit status is left."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
