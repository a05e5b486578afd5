"""`gemforest run`: one lock, one check, one Snakemake, one look at the progress, one table at the end.

The lock file names the process that holds it. A lock left by a dead process of this host is released with a word; a
live one, or one of another host, is respected.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gemforest.check import check
from gemforest.errors import InputError
from gemforest.plan import plan_folder
from gemforest.stage import Context
from gemforest.stages import STAGE_NAMES
from gemforest.status import genome_table, read_status, show

POLL_SECONDS = 1.0
LINE_EVERY_SECONDS = 30.0
GENOMES_SHOWN = 50


@dataclass(frozen=True)
class RunLock:
    """`results/run.lock`: pid, host and start time of the one run that may work on a results folder."""

    path: Path

    def acquire(self, console: Console) -> None:
        """Take the lock; InputError where another live run, or one of another host, holds it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        mine = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "started": _start_of(os.getpid())})
        while True:
            try:
                with self.path.open("x", encoding="utf-8") as handle:
                    handle.write(mine)
                return
            except FileExistsError:
                self._release_dead(console)

    def release(self) -> None:
        """Give the lock back."""
        self.path.unlink(missing_ok=True)

    def _release_dead(self, console: Console) -> None:
        try:
            holder = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        except ValueError:
            holder = {}
        if holder.get("host") not in (None, socket.gethostname()):
            raise InputError(
                f"{self.path}: a run on host {holder['host']} (pid {holder['pid']}) holds these results; "
                "where that run is surely dead, remove the file"
            )
        if holder and _start_of(holder["pid"]) == holder["started"]:
            raise InputError(f"{self.path}: a run with pid {holder['pid']} is at work on these results; wait for it")
        console.print(f"Releasing the lock of a run that is dead (pid {holder.get('pid', 'unknown')}).")
        self.path.unlink(missing_ok=True)


def run(context: Context, config: Path, cores: int, extra: Sequence[str], console: Console) -> int:
    """Run the workflow and tell; Snakemake's exit status.

    Parameters
    ----------
    config
        The file that `context` was read from; Snakemake reads it too.
    extra
        Further arguments for Snakemake.
    """
    extra = ["--configfile", str(config), *extra]
    lock = RunLock(context.store.root / "run.lock")
    lock.acquire(console)
    try:
        if (plan_folder(context.store.root) / "plan.json").exists():
            for damage in check(context, repair=True):
                console.print(f"Damaged, will be made again: {damage.stage} {damage.genome_id}: {damage.what}")
        _unlock_snakemake(context, console)
        before = _newest_ledger(context)
        code = _snakemake(context, cores, extra, console)
    finally:
        lock.release()
    if "-n" in extra or "--dry-run" in extra:
        return code
    if code == 0 and _newest_ledger(context) == before:
        console.print("Nothing to do: every genome is up to date.")
    _tell(context, console)
    return code


def _snakemake(context: Context, cores: int, extra: Sequence[str], console: Console) -> int:
    """Snakemake in a process of its own, its talk in a log, the progress of its shard jobs here."""
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--workflow-profile", _profile(context)]
    command += ["--directory", str(context.project), *extra]
    if "-n" in extra or "--dry-run" in extra:
        return subprocess.run(command, check=False, cwd=context.project, env=_environment()).returncode
    log = context.project / "logs" / "snakemake.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, cwd=context.project, env=_environment()
        )
        try:
            _watch(process, context, console)
        except KeyboardInterrupt:
            process.send_signal(2)
            process.wait()
    if process.returncode:
        console.print(_last_words(log))
        console.print(f"Snakemake ended with status {process.returncode}; the whole log: {log}")
    return process.returncode


def _environment() -> dict[str, str]:
    """The jobs' shells call `gemforest`: they must find the one of this environment, activated or not."""
    here = str(Path(sys.executable).parent)
    return os.environ | {"PATH": os.pathsep.join([here, os.environ.get("PATH", os.defpath)])}


def _watch(process: subprocess.Popen[bytes], context: Context, console: Console) -> None:
    """Show the progress until Snakemake ends: bars on a terminal, a line now and then in a file."""
    if not console.is_terminal:
        shown = time.monotonic()
        while process.poll() is None:
            time.sleep(POLL_SECONDS)
            if time.monotonic() - shown >= LINE_EVERY_SECONDS:
                shown = time.monotonic()
                console.print(_line(context))
        return
    columns = (
        TextColumn("{task.description:>9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]}"),
    )
    with Progress(*columns, TimeElapsedColumn(), console=console) as bars:
        tasks = {name: bars.add_task(name, total=None, failed="") for name in STAGE_NAMES}
        while process.poll() is None:
            for name, (done, failed, total) in _counts(context).items():
                failures = f"[red]{failed} not ok[/red]" if failed else ""
                bars.update(tasks[name], completed=done, total=total, failed=failures)
            time.sleep(POLL_SECONDS)


def _counts(context: Context) -> dict[str, tuple[int, int, int]]:
    """Per stage: genomes done, of these not ok, genomes in all."""
    try:
        status = read_status(context)
    except OSError:
        return {}
    counts = {}
    for name, outcomes in status.outcomes.items():
        running = [state for state in status.running if state["stage"] == name]
        done = outcomes.total() + sum(state["done"] for state in running)
        failed = outcomes.total() - outcomes["ok"] + sum(state["failed"] for state in running)
        counts[name] = (done, failed, status.genomes)
    return counts


def _line(context: Context) -> str:
    parts = [
        f"{name} {done}/{total}" + (f" ({failed} not ok)" if failed else "")
        for name, (done, failed, total) in _counts(context).items()
        if done
    ]
    return f"{time.strftime('%H:%M:%S')}  " + (", ".join(parts) or "starting")


def _tell(context: Context, console: Console) -> None:
    if not (plan_folder(context.store.root) / "plan.json").exists():
        return
    table = genome_table(context, GENOMES_SHOWN)
    console.print(table)
    show(context, console)
    console.print(f"Tables, models and the report are in {context.store.root}; report: report/index.html")


def _newest_ledger(context: Context) -> float:
    folder = context.store.root / "ledger"
    return max((path.stat().st_mtime for path in folder.glob("*/shard=*.parquet")), default=0.0)


def _unlock_snakemake(context: Context, console: Console) -> None:
    """Snakemake keeps locks of its own; ours says that whoever left them is dead."""
    locks = context.project / ".snakemake" / "locks"
    left = list(locks.glob("*.lock")) if locks.is_dir() else []
    if left:
        console.print("Releasing Snakemake's own lock, left by that run.")
        for lock in left:
            lock.unlink(missing_ok=True)


def _profile(context: Context) -> str:
    return str(context.project / "workflow" / "profiles" / "local")


def _last_words(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])


def _start_of(pid: int) -> str:
    """Start time of a process in clock ticks since boot; empty where there is none. A pid alone may be reused."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except OSError:
        return ""
