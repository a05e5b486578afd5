"""The lock of a run, and what a run that died may have left at work.

`results/run.lock` names the process that holds it, its Snakemake, and the id under which its SLURM jobs run. A lock
left by a dead process of this host is released with a word; a live one, or one of another host, is respected. Jobs of
a dead head go on in the queue: they are waited for or cancelled before anything is submitted again, or the same shard
would be worked on twice at the same time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from gemforest.errors import InputError
from gemforest.store import write_text

WAIT, CANCEL = "wait", "cancel"
QUEUE_POLL_SECONDS = 5.0
_SLURM_RUN = re.compile(r"SLURM run ID: (\S+)")


@dataclass
class RunLock:
    """`results/run.lock`, JSON: pid, host and start time of the one run that may work on a results folder.

    Attributes
    ----------
    orphans
        What becomes of SLURM jobs that a dead run left: `wait` or `cancel`.
    """

    path: Path
    profile: str = "local"
    orphans: str = WAIT

    def acquire(self, console: Console) -> None:
        """Take the lock; InputError where another live run, or one of another host, holds it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                with self.path.open("x", encoding="utf-8") as handle:
                    handle.write(json.dumps(self._mine()))
                return
            except FileExistsError:
                self._release_dead(console)

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
        return process(os.getpid()) | {"host": socket.gethostname(), "profile": self.profile}

    def _release_dead(self, console: Console) -> None:
        if not self.path.exists():
            return
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
        console.print(f"Releasing the lock of a run that is dead (pid {holder.get('pid', 'unknown')}).")
        if holder.get("slurm"):
            settle_orphans(holder["slurm"], self.orphans, console)
        self.path.unlink(missing_ok=True)


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
