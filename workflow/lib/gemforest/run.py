"""`gemforest run`: one lock, one check, one Snakemake, one look at the progress, one table at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.live import Live

from gemforest.check import check, sweep
from gemforest.config import WORKFLOW
from gemforest.efficiency import read_efficiency, write_efficiency
from gemforest.errors import InputError
from gemforest.plan import plan_folder
from gemforest.runlock import MARK, WAIT, RunLock, read_holder
from gemforest.runlock import process as process_named
from gemforest.stage import Context
from gemforest.terminal import LINE_EVERY_SECONDS, Pace, Watcher, job_errors, line, look, tell_end

POLL_SECONDS = 1.0


@dataclass(frozen=True)
class RunOptions:
    """How a run is to take place.

    Attributes
    ----------
    config
        The file that the context was read from; Snakemake reads it too.
    cores
        Of this machine; on a cluster, for what runs on the head node.
    profile
        A folder of `workflow/profiles`, or the path of one.
    orphans
        `wait` for SLURM jobs that a dead run left, or `cancel` them.
    extra
        Further arguments for Snakemake.
    """

    config: Path
    cores: int
    profile: str = "local"
    orphans: str = WAIT
    extra: tuple[str, ...] = ()


def run(context: Context, options: RunOptions, console: Console) -> int:
    """Run the workflow and tell; Snakemake's exit status."""
    extra = ["--configfile", str(options.config), *options.extra]
    profile = _profile(context, options.profile)
    lock = RunLock(lock_path(context), options.profile, options.orphans)
    lock.acquire(console)
    try:
        sweep(context.store)
        if plan_folder(context.store.root).exists():
            for damage in check(context, repair=True):
                console.print(f"Damaged, will be made again: {damage.stage} {damage.genome_id}: {damage.what}")
        _unlock_snakemake(context, console)
        before = _newest_ledger(context)
        code = _snakemake(context, [*_command(context, profile, options.cores), *extra], lock, console)
        # A Snakemake that was killed leaves its jobs at work.
        lock.settle_processes(console)
    finally:
        lock.release()
    if "-n" in extra or "--dry-run" in extra:
        return code
    if code == 0 and _newest_ledger(context) == before:
        console.print("Nothing to do: every genome is up to date.")
    _tell(context, console)
    return code


def resume(context: Context, options: RunOptions, console: Console) -> int:
    """Go on with a run that died, with the profile that it had; what it left at work is settled first."""
    holder = read_holder(lock_path(context))
    if not holder:
        console.print("No run has died here; this is an ordinary run.")
    return run(context, replace(options, profile=holder.get("profile", options.profile)), console)


def lock_path(context: Context) -> Path:
    """The lock of a results folder."""
    return context.store.root / "run.lock"


def _command(context: Context, profile: Path, cores: int) -> list[str]:
    # Where jobs are submitted, `--cores` would cut down the cores of each of them; the machine's own are local cores.
    settings = yaml.safe_load((profile / "config.yaml").read_text(encoding="utf-8"))
    remote = "executor" in settings
    ours = "--local-cores" if remote else "--cores"
    command = [sys.executable, "-m", "snakemake", ours, str(cores), "--workflow-profile", str(profile)]
    return [*command, "--directory", str(context.project), *(_batches(context, settings) if remote else ())]


def _batches(context: Context, profile: dict[str, Any]) -> Iterator[str]:
    """What lets one submission carry the embed jobs of `embed.batch_shards` shards, beside the profile's own groups."""
    embed = context.config["embed"]
    if embed["enabled"] and embed["batch_shards"] > 1:
        groups = {"embed": "embed"} | profile.get("groups", {})
        sizes = {groups["embed"]: embed["batch_shards"]} | profile.get("group-components", {})
        for option, values in {"--groups": groups, "--group-components": sizes}.items():
            yield from (option, *(f"{name}={value}" for name, value in values.items()))


def _snakemake(context: Context, command: Sequence[str], lock: RunLock, console: Console) -> int:
    """Snakemake in a process of its own, its talk in a log, the progress of its shard jobs here."""
    if "-n" in command or "--dry-run" in command:
        return subprocess.run(command, check=False, cwd=context.project, env=_environment(lock)).returncode
    log, started = context.project / "logs" / "snakemake.log", time.time()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, cwd=context.project, env=_environment(lock)
        )
        try:
            lock.note(snakemake=process_named(process.pid))
            _watch(process, context, console, lambda: lock.note_slurm(log))
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
        except BaseException:
            # The disk may be full, or we are told to end: Snakemake must not go on without the lock.
            process.send_signal(signal.SIGTERM)
            process.wait()
            raise
    if process.returncode:
        errors = job_errors(context.project, started)
        console.print("\n".join(errors) if errors else _last_words(log), markup=False, highlight=False)
        console.print(f"Snakemake ended with status {process.returncode}; its whole log: {log}", soft_wrap=True)
        console.print("`gemforest doctor` checks what a run needs; `gemforest resume` goes on where this one stopped.")
    return process.returncode


def _environment(lock: RunLock) -> dict[str, str]:
    """The jobs' shells call `gemforest`: they must find the one of this environment, activated or not.

    The mark tells later which processes belong to this run.
    """
    here = str(Path(sys.executable).parent)
    return os.environ | {"PATH": os.pathsep.join([here, os.environ.get("PATH", os.defpath)]), MARK: lock.mark}


def _watch(process: subprocess.Popen[bytes], context: Context, console: Console, each_time: Callable[[], None]) -> None:
    """Show the progress until Snakemake ends: one look on a terminal, a line now and then elsewhere."""
    watcher, pace = Watcher(context), Pace(time.monotonic())
    if not console.is_terminal or console.is_dumb_terminal:
        shown = time.monotonic()
        while process.poll() is None:
            time.sleep(POLL_SECONDS)
            each_time()
            if time.monotonic() - shown >= LINE_EVERY_SECONDS:
                shown = time.monotonic()
                console.print(line(watcher.look()))
        return
    with Live(console=console, transient=True, auto_refresh=False) as live:
        while process.poll() is None:
            each_time()
            live.update(look(watcher.look(), pace, time.monotonic()), refresh=True)
            time.sleep(POLL_SECONDS)


def _tell(context: Context, console: Console) -> None:
    if not (plan_folder(context.store.root) / "plan.json").exists():
        return
    tell_end(context, console)
    write_efficiency(context.project, read_efficiency(context.project))


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


def _profile(context: Context, name: str) -> Path:
    """The folder of a profile: one of the workflow's by name, or a path."""
    # A folder made by `gemforest init` has no workflow of its own: the installed one's profiles serve it.
    own = context.project / "workflow" / "profiles"
    shipped = own if own.is_dir() else WORKFLOW / "profiles"
    for folder in (shipped / name, Path(name)):
        if (folder / "config.yaml").is_file():
            return folder.resolve()
    known = ", ".join(sorted(path.parent.name for path in shipped.glob("*/config.yaml")))
    raise InputError(f"no profile {name!r}: name one of {known}, or a folder that holds config.yaml")


def _last_words(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
