"""The per-genome loop of a shard job: skip what is current, run the rest in isolation, lose nobody.

One place runs every stage over the genomes of a shard. A genome whose file carries the right key is left alone; the
others go to a pool of spawned workers (pebble's, which survives a killed worker) with a wall clock and a memory limit
each. A marker lies on disk while a genome is worked on: a genome that was in flight when its job died runs alone the
next time, and after a second death is recorded as `killed_its_job`. Whatever happens, each genome leaves a ledger row.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, TimeoutError, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from gemforest.errors import GenomeError, InfrastructureError
from gemforest.ledger import LedgerRow, Outcome, Reason, read_ledger, write_ledger
from gemforest.plan import read_shard
from gemforest.stage import Context, KeyMaker, PoolCrashed, Products, Stage, Task
from gemforest.store import (
    file_sha256,
    sweep_temporaries,
    write_table,
    write_text,
)
from gemforest.tables import TABLES

# Errors of the machine: they must stop the job, never be booked on a genome.
MACHINE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE}
DEATHS_ALLOWED = 1
SECOND_TRY_FACTOR = 2
PR_SET_PDEATHSIG = 1
MEMORY_POLL_SECONDS = 0.1
# Workers are replaced after this many genomes, so that a leak in a native library stays small.
GENOMES_PER_WORKER = 50


@dataclass
class Shard:
    """A stage at work on one shard: what is known, what is to do, what is done."""

    stage: Stage
    context: Context
    shard: str
    cores: int
    rows: dict[str, LedgerRow] = field(default_factory=dict)
    total: int = 0
    worked: tuple[str, ...] = ()

    def run(self) -> Counter[Outcome]:
        """Bring every genome of the shard up to date and write the ledger; the count of outcomes."""
        self._sweep()
        count_deaths(self._inflight_folder())
        try:
            self._bring_up_to_date()
        finally:
            # A job that ends by itself, be it with an error, is no death of the genomes that it was at.
            shutil.rmtree(self._inflight_folder(), ignore_errors=True)
            # What a killed worker was writing.
            self._sweep()
        return Counter(row.outcome for row in self.rows.values())

    def _bring_up_to_date(self) -> None:
        tasks = self._pending()
        self.worked = tuple(task.genome_id for task in tasks)
        progress = Progress(self)
        if tasks:
            progress.write(force=True)
            if self.stage.pooled:
                self._run_pooled(tasks, progress)
            else:
                self._run_isolated(tasks, progress)
        if self.context.config["storage"] == "packed":
            self.context.store.pack(self.stage.writes, self.shard)
        write_ledger(self.context.store.ledger_path(self.stage.name, self.shard), self.rows.values())
        progress.write(force=True)

    # What is to do

    def _pending(self) -> list[Task]:
        """Book what is current or cannot start; tasks for the rest."""
        keys = KeyMaker.for_stage(self.stage, self.context)
        versions = json.dumps(keys.versions, sort_keys=True)
        upstream = {stage: self._upstream_rows(stage) for stage in self.stage.upstream}
        rows = read_shard(self.context.store.root, self.shard)
        self.total = len(rows)
        tasks = []
        for row in rows:
            genome_id = row["genome_id"]
            before = {stage: found[genome_id] for stage, found in upstream.items()}
            key = keys.key(row, {stage: (r.output or r.key, r.outcome) for stage, r in before.items()})
            task = Task(
                genome_id, self.shard, row, self.stage.settings(self.context.config), self.context, key, versions
            )
            stopped = next((r for r in before.values() if r.outcome is not Outcome.OK), None)
            if current := self._current(task):
                self.rows[genome_id] = current
            elif stopped:
                self._book_failure(task, Outcome.SKIPPED_UPSTREAM, Reason.UPSTREAM, _root_cause(stopped))
            else:
                tasks.append(task)
        return tasks

    def _upstream_rows(self, stage: str) -> dict[str, LedgerRow]:
        path = self.context.store.ledger_path(stage, self.shard)
        if not path.exists():
            raise InfrastructureError(f"{path} is missing: run `gemforest {stage} --shard {self.shard}` first")
        rows = {row.genome_id: row for row in read_ledger(path)}
        missing = [
            r["genome_id"] for r in read_shard(self.context.store.root, self.shard) if r["genome_id"] not in rows
        ]
        if missing:
            raise InfrastructureError(
                f"{path} knows nothing of {missing[0]!r} ({len(missing)} genomes): the sheet changed since it was "
                f"written; run `gemforest {stage} --shard {self.shard}` again"
            )
        return rows

    def _current(self, task: Task) -> LedgerRow | None:
        """The genome's ledger row where its files are whole and carry the task's key."""
        row = booked_row(self.stage, self.context, self.shard, task.genome_id)
        return row if row and row.key == task.key else None

    # Isolation

    def _run_isolated(self, tasks: list[Task], progress: Progress) -> None:
        """Run genomes in the pool; those in doubt afterwards, one at a time with more time and memory."""
        fresh: list[Task] = []
        doubtful: list[Task] = []
        for task in tasks:
            deaths = _deaths(self._marker(task))
            if deaths > DEATHS_ALLOWED:
                detail = (
                    f"its job died {deaths} times while this genome was being worked on; see logs/{self.stage.name}"
                )
                self._book_failure(task, Outcome.FAILED, Reason.KILLED_ITS_JOB, detail)
            else:
                (doubtful if deaths else fresh).append(task)
        limits = self.context.config["limits"]
        seconds, memory_mb = limits["seconds"], limits["memory_mb"]
        again = self._round(fresh, self.cores, seconds, memory_mb, progress, last_try=False)
        alone = [*doubtful, *again]
        more = SECOND_TRY_FACTOR
        self._round(alone, 1, seconds * more, memory_mb * more, progress, last_try=True)

    def _round(
        self,
        tasks: Sequence[Task],
        workers: int,
        seconds: float,
        memory_mb: float,
        progress: Progress,
        last_try: bool,
    ) -> list[Task]:
        """Run tasks in a pool; the tasks that deserve another try."""
        if not tasks:
            return []
        from pebble import ProcessPool

        again: list[Task] = []
        watch = MemoryWatch(self._inflight_folder(), memory_mb)
        assert self.stage.process
        with (
            ProcessPool(
                max_workers=min(workers, len(tasks)),
                max_tasks=GENOMES_PER_WORKER,
                initializer=_die_with_parent,
                context=multiprocessing.get_context("spawn"),
            ) as pool,
            watch,
            _single_threaded_children(),
        ):
            futures = {
                pool.schedule(work, args=(self.stage, task, str(self._marker(task))), timeout=seconds): task
                for task in tasks
            }
            try:
                for future in as_completed(futures):
                    task = futures[future]
                    verdict = self._verdict(future, task, watch, seconds, memory_mb)
                    if isinstance(verdict, LedgerRow):
                        self.rows[task.genome_id] = verdict
                    elif last_try:
                        self._book_failure(task, *verdict, seconds=seconds)
                    else:
                        again.append(task)
                    progress.write()
            except BaseException:
                pool.stop()
                raise
        return again

    def _verdict(
        self, future: object, task: Task, watch: MemoryWatch, seconds: float, memory_mb: float
    ) -> LedgerRow | tuple[Outcome, Reason, str]:
        from pebble import ProcessExpired, ProcessFuture

        assert isinstance(future, ProcessFuture)
        try:
            row: LedgerRow = future.result()
            return row
        except TimeoutError:
            return Outcome.TIMEOUT, Reason.WALL_CLOCK, f"more than {seconds:g} s in {self.stage.name}"
        except MemoryError:
            return Outcome.OUT_OF_MEMORY, Reason.MEMORY_LIMIT, "the machine refused more memory"
        except (ProcessExpired, CancelledError) as error:
            if finished := self._current(task):
                # It died between its last file and its word about it.
                return finished
            if task.genome_id in watch.killed:
                return Outcome.OUT_OF_MEMORY, Reason.MEMORY_LIMIT, f"more than {memory_mb:g} MB in {self.stage.name}"
            code = getattr(error, "exitcode", "unknown")
            return Outcome.FAILED, Reason.WORKER_DIED, f"the worker ended with exit code {code}"
        finally:
            self._marker(task).unlink(missing_ok=True)

    # Pooled calls

    def _run_pooled(self, tasks: Sequence[Task], progress: Progress, again: bool = True) -> None:
        """One call for all; where it crashes, halves, down to the genome that does it, twice."""
        assert self.stage.pooled
        started = time.monotonic()
        try:
            products = self.stage.pooled(tasks, self.cores)
        except PoolCrashed as crash:
            if len(tasks) > 1:
                half = len(tasks) // 2
                self._run_pooled(tasks[:half], progress)
                self._run_pooled(tasks[half:], progress)
            elif again:
                # A program that somebody killed does not die a second time.
                self._run_pooled(tasks, progress, again=False)
            else:
                self._book_failure(tasks[0], Outcome.FAILED, crash.reason, crash.detail)
            return
        share = (time.monotonic() - started) / len(tasks)
        for task in tasks:
            row = _row(self.stage, task, Outcome.OK, Reason.NONE, "", share, products[task.genome_id])
            finish(self.stage, task, row, products[task.genome_id])
            self.rows[task.genome_id] = row
            progress.write()

    # Booking

    def _book_failure(self, task: Task, outcome: Outcome, reason: Reason, detail: str, seconds: float = 0.0) -> None:
        row = _row(self.stage, task, outcome, reason, detail, seconds)
        finish(self.stage, task, row, None)
        self.rows[task.genome_id] = row

    def _marker(self, task: Task) -> Path:
        return self.context.store.inflight_path(self.stage.name, self.shard, task.genome_id)

    def _inflight_folder(self) -> Path:
        return self.context.store.inflight_path(self.stage.name, self.shard, "any").parent

    def _sweep(self) -> None:
        store = self.context.store
        folders = [store.table_path(table, self.shard, "any").parent for table in self.stage.writes]
        folders += [store.model_path(folder, self.shard, "any").parent for folder in self.stage.folders]
        for folder in [*folders, store.ledger_path(self.stage.name, self.shard).parent]:
            if folder.name.startswith("shard="):
                sweep_temporaries(folder)
            elif folder.is_dir():
                # The ledger folder is shared with other shards' jobs: only this shard's leftovers may go.
                for leftover in folder.glob(f".shard={self.shard}.*.tmp"):
                    leftover.unlink(missing_ok=True)


# In the worker


def work(stage: Stage, task: Task, marker: str) -> LedgerRow:
    """Run one genome in a worker process, write its files, return its ledger row."""
    assert stage.process
    path = Path(marker)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({"pid": os.getpid(), "deaths": _deaths(path)}))
    _reset_peak()
    started = time.monotonic()
    products: Products | None = None
    try:
        products = stage.process(task)
        outcome, reason, detail = Outcome.OK, Reason.NONE, ""
    except GenomeError as error:
        outcome, reason, detail = error.outcome, error.reason, error.detail
    except (MemoryError, InfrastructureError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in MACHINE_ERRORS:
            raise InfrastructureError(f"{stage.name}, {task.genome_id}: {error}") from error
        traceback.print_exc(file=sys.stderr)
        outcome, reason, detail = Outcome.FAILED, Reason.UNEXPECTED, f"{type(error).__name__}: {error}"
    row = _row(stage, task, outcome, reason, detail, time.monotonic() - started, products)
    try:
        finish(stage, task, row, products)
    except OSError as error:
        raise InfrastructureError(f"{stage.name}, {task.genome_id}: cannot write results: {error}") from error
    return row


def finish(stage: Stage, task: Task, row: LedgerRow, products: Products | None) -> None:
    """Write a genome's files, the main table last with the ledger row in it; a failed genome leaves that one alone."""
    store = task.context.store
    common = {"genome_id": task.genome_id, "shard": task.shard, "stage": stage.name, "key": row.key}
    written: dict[str, tuple[int, str]] = {}
    for path in beside(stage, task.context, task.shard, task.genome_id):
        # A folder in a file's place is the writer's affair.
        with contextlib.suppress(IsADirectoryError):
            path.unlink(missing_ok=True)
    if products:
        for folder, network in products.models.items():
            from gemforest.models import write_sbml

            path = store.model_path(folder, task.shard, task.genome_id)
            write_sbml(network, path)
            written[str(path.relative_to(store.root))] = (path.stat().st_size, file_sha256(path))
        for table in stage.writes[1:]:
            path = store.table_path(table, task.shard, task.genome_id)
            wrote = write_table(path, table, products.tables[table], common | {"table": table})
            written[str(path.relative_to(store.root))] = wrote
    rows = products.tables[stage.main_table] if products else TABLES[stage.main_table].empty()
    metadata = common | {"table": stage.main_table, "ledger": row.to_json(), "files": json.dumps(written)}
    write_table(store.table_path(stage.main_table, task.shard, task.genome_id), stage.main_table, rows, metadata)


def beside(stage: Stage, context: Context, shard: str, genome_id: str) -> Iterator[Path]:
    """The files that a stage may write beside a genome's main table."""
    for table in stage.writes[1:]:
        yield context.store.table_path(table, shard, genome_id)
    for folder in stage.folders:
        yield context.store.model_path(folder, shard, genome_id)


def booked_row(stage: Stage, context: Context, shard: str, genome_id: str) -> LedgerRow | None:
    """The ledger row in a genome's main file; None where a file is missing, cut short or another genome's."""
    store = context.store
    metadata = store.metadata(stage.main_table, shard, genome_id)
    if not metadata or "ledger" not in metadata:
        return None
    if tuple(metadata.get(name) for name in ("genome_id", "stage", "shard")) != (genome_id, stage.name, shard):
        return None
    try:
        if not all(store.holds(name, size) for name, (size, _sha256) in json.loads(metadata["files"]).items()):
            return None
        return LedgerRow.from_json(metadata["ledger"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _row(
    stage: Stage,
    task: Task,
    outcome: Outcome,
    reason: Reason,
    detail: str,
    seconds: float,
    products: Products | None = None,
) -> LedgerRow:
    return LedgerRow(
        task.genome_id,
        stage.name,
        outcome,
        reason,
        detail,
        round(seconds, 3),
        round(_peak_mb(), 1),
        task.key,
        task.versions,
        stage.output(products) if stage.output and products else task.key,
    )


def _root_cause(row: LedgerRow) -> str:
    """What stopped the genome first, carried through the stages that only skipped it."""
    return row.detail if row.outcome is Outcome.SKIPPED_UPSTREAM else f"{row.stage}: {row.outcome} ({row.reason})"


# Clock, memory, markers


class MemoryWatch:
    """Kills the worker whose resident memory passes the limit, and remembers for which genome."""

    def __init__(self, markers: Path, limit_mb: float) -> None:
        self.markers = markers
        self.limit_mb = limit_mb
        self.killed: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(MEMORY_POLL_SECONDS):
            for marker in self.markers.glob("*.json"):
                with contextlib.suppress(OSError, ValueError):
                    pid = json.loads(marker.read_text())["pid"]
                    if _resident_mb(pid) > self.limit_mb and _is_child(pid):
                        self.killed.add(marker.stem)
                        os.kill(pid, signal.SIGKILL)


def _die_with_parent() -> None:
    """Ask the kernel to kill this worker when its job dies: nobody is left to take its result or to watch it."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _is_child(pid: int) -> bool:
    # A marker may outlive its worker and the pid may belong to somebody else by now.
    status = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(status[1]) == os.getpid()


def _reset_peak() -> None:
    # Writing 5 resets the kernel's high-water mark of resident memory, so that each genome has its own.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_mb() -> float:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1e3
    except OSError:
        pass
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _deaths(marker: Path) -> int:
    """How many jobs died with this genome in flight: a marker that is still there when a job starts is one more."""
    try:
        return int(json.loads(marker.read_text())["deaths"])
    except (OSError, ValueError, KeyError):
        return 0


def count_deaths(folder: Path) -> None:
    """At the start of a job: every marker left in `folder` means one more death."""
    for marker in sorted(folder.glob("*.json")):
        write_text(marker, json.dumps({"pid": 0, "deaths": _deaths(marker) + 1}))


@contextlib.contextmanager
def _single_threaded_children() -> Iterator[None]:
    """Spawned workers inherit these: a pool of N workers is to use N cores, not N times all."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class Progress:
    """Tells a shard job's progress: a small file for `gemforest run` and `status`, and lines in the job's log."""

    FILE_EVERY = 1.0
    LINE_EVERY = 10.0

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.started = time.monotonic()
        self.last_file = self.last_line = 0.0

    def write(self, force: bool = False) -> None:
        """Write where enough time has passed, or always with `force`."""
        now = time.monotonic()
        done = len(self.shard.rows)
        failed = sum(row.outcome is not Outcome.OK for row in self.shard.rows.values())
        if force or now - self.last_file >= self.FILE_EVERY:
            self.last_file = now
            state = {"done": done, "failed": failed, "total": self.shard.total, "pid": os.getpid()}
            write_text(
                self.shard.context.store.progress_path(self.shard.stage.name, self.shard.shard), json.dumps(state)
            )
        if force or now - self.last_line >= self.LINE_EVERY:
            self.last_line = now
            print(
                f"{self.shard.stage.name} shard={self.shard.shard}: {done}/{self.shard.total} done, "
                f"{failed} not ok, {now - self.started:.0f} s",
                file=sys.stderr,
                flush=True,
            )


def run_shard(stage: Stage, context: Context, shard: str, cores: int) -> Counter[Outcome]:
    """Bring one shard up to date at one stage.

    Raises
    ------
    InfrastructureError
        The machine is at fault: an input ledger is missing, the disk is full. Finished genomes stay finished.
    """
    return Shard(stage, context, shard, cores).run()
