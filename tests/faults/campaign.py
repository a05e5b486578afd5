"""A fault run: one small project, one undisturbed run of it, then faults, each followed by what a user would do.

Real are Snakemake, the shard jobs, the loop with its workers, ledgers, store, checks and the stages fetch, genes,
homology and embed; the slow stages' functions have stand-ins (`standins/`). After every fault the results must be
those of the undisturbed run, and what was finished must lie there untouched: same inode, same time.
"""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from projects import REPOSITORY, make_project

from gemforest import packing
from gemforest.homology import COLUMNS, DEEP_PERCENT, database, diamond
from gemforest.ledger import Outcome, Reason
from gemforest.loop import beside, booked_row
from gemforest.plan import read_shard, read_shards
from gemforest.sequences import fasta_genes, normalise
from gemforest.stage import Context, Stage
from gemforest.stages import STAGE_NAMES, all_stages
from gemforest.store import file_sha256

STANDINS = Path(__file__).resolve().parent / "standins"
sys.path.insert(0, str(STANDINS))
import quickstages  # noqa: E402

PROTEOME = Path(str(files("carveme") / "data" / "benchmark" / "fasta" / "M_genitalium_G37.faa"))
PATIENCE_SECONDS = 400
CORES = "1"
# What differs between two runs of the same thing.
VOLATILE = ("seconds", "peak_mb")
# Failures that a fault may leave on a genome's record, and that `gemforest retry` is for.
ACCIDENTS = (Reason.WORKER_DIED, Reason.KILLED_ITS_JOB, Reason.SEARCH_CRASHED, Reason.UNEXPECTED)
GENOMES, TOO_SMALL, PROTEINS = 5, "g4", 60
# Seconds from the first sight of a process to its end at our hand, at most; a search and a worker are soon over.
LONGEST_WAITS = {"head": 12.0, "snakemake": 12.0, "diamond": 0.4}


class Missed(Exception):
    """The run ended before the fault could strike: nothing was tested."""


class Impossible(Missed):
    """The fault cannot be made here."""


class Violation(AssertionError):
    """A promise was broken."""


@dataclass(frozen=True)
class Process:
    pid: int
    kind: str


@dataclass
class Campaign:
    """One project under fire.

    Attributes
    ----------
    folder
        Everything lies below it; may be a small file system of its own, so that it can be filled.
    small_disk
        Whether it is.
    storage
        As in the config: `files`, one per genome and table, or `packed`.
    """

    folder: Path
    rng: random.Random
    hits: Path
    small_disk: bool = False
    shard_size: int = 3
    storage: str = "files"
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    runs: int = 0
    retries: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        records = [">" + record for record in PROTEOME.read_text().split(">")[1:]]
        rows = [f"g{n}\tg{n}.faa\tbacteria\tcomplete\n" for n in range(GENOMES)]
        sheet = "genome_id\tsource\tuniverse\tmedium\n" + "".join(rows)
        self.context: Context = make_project(
            self.folder / "project", sheet, shard_size=self.shard_size, storage=self.storage
        )
        for n in range(GENOMES):
            chosen = records[10 * n :][: 20 if f"g{n}" == TOO_SMALL else PROTEINS]
            (self.context.project / "config" / f"g{n}.faa").write_text("".join(chosen))
        (self.folder / "tmp").mkdir(exist_ok=True)
        self.stages: list[Stage] = all_stages()
        quickstages.declare(self.stages, self.folder / "stages.json")

    @property
    def root(self) -> Path:
        return self.context.store.root

    # What a user does

    def environment(self) -> dict[str, str]:
        paths = [str(STANDINS), str(REPOSITORY / "workflow" / "lib"), os.environ.get("PYTHONPATH", "")]
        return os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            # Before the environment's own folder, where `gemforest run` would find the real DIAMOND after this one.
            "PATH": os.pathsep.join([str(STANDINS), str(Path(sys.executable).parent), os.environ["PATH"]]),
            quickstages.VARIABLE: str(self.folder / "stages.json"),
            "GEMFOREST_KNOWN_HITS": str(self.hits),
            "GEMFOREST_CAMPAIGN": self.mark,
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(self.hits.parent / "bytecode"),
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        self.runs += 1
        return subprocess.Popen(
            [sys.executable, "-m", "gemforest.cli", *arguments],
            cwd=self.context.project,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def ended(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """Exit status and what was said; a process that hangs is a broken promise."""
        try:
            told, _ = process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            picture = self.picture_of_processes()
            os.killpg(process.pid, signal.SIGKILL)
            raise Violation(f"{process.args} hangs: {picture}") from None
        return process.returncode, told

    def gemforest(self, *arguments: str) -> tuple[int, str]:
        return self.ended(self.start(*arguments))

    def run(self) -> tuple[int, str]:
        return self.gemforest("run", "--cores", CORES)

    def recover(self, deep: bool = False) -> str:
        """Do what a user does after a fault, until the run ends well; what was said."""
        told = ""
        if deep:
            code, said = self.gemforest("check", "--deep", "--repair")
            told += said
            if code != 0:
                raise Violation(f"check --deep --repair ended with {code}:\n{said}")
        for _ in range(3):
            self.wait_for_snakemake()
            code, said = self.run()
            told += said
            if code == 0:
                break
        else:
            raise Violation(f"three runs did not mend it; the last ended with {code}:\n{said}\n{self.log()}")
        for reason in sorted({row["reason"] for row in self.ledger_rows()} & set(map(str, ACCIDENTS))):
            self.retries.append(reason)
            self.gemforest("retry", "--reason", reason)
            code, said = self.run()
            told += said
            if code != 0:
                raise Violation(f"the run after `retry --reason {reason}` ended with {code}:\n{said}")
        return told

    def wait_for_snakemake(self) -> None:
        """A Snakemake whose `gemforest run` was killed goes on: as the lock says, it is waited for."""
        end = time.monotonic() + PATIENCE_SECONDS
        if any(process.kind == "snakemake" for process in self.processes()):
            code, told = self.run()
            if code not in (0, 2) or (code == 2 and "still at work" not in told):
                raise Violation(f"a run beside a living Snakemake ended with {code}:\n{told}")
        while any(process.kind == "snakemake" for process in self.processes()):
            if time.monotonic() > end:
                raise Violation(f"Snakemake hangs: {self.picture_of_processes()}")
            time.sleep(0.1)

    # What is there

    def processes(self) -> list[Process]:
        """Living processes of this campaign, told by a variable in their environment."""
        found = []
        needle = f"GEMFOREST_CAMPAIGN={self.mark}".encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError, IndexError):
                if (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                    continue
                if needle not in (entry / "environ").read_bytes():
                    continue
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                found.append(Process(int(entry.name), _kind(words)))
        return found

    def end_all(self) -> None:
        """End what a broken promise left at work."""
        while found := self.processes():
            for one in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one.pid, signal.SIGKILL)
            time.sleep(0.2)

    def picture_of_processes(self) -> str:
        return ", ".join(f"{process.kind} {process.pid}" for process in self.processes()) or "no process"

    def log(self) -> str:
        text = ""
        for path in sorted((self.context.project / "logs").rglob("*")):
            if path.is_file() and path.stat().st_size:
                text += f"--- {path.name} in {path.parent.name}\n" + path.read_text(errors="replace")[-1500:] + "\n"
        return text[-12000:]

    def ledger_rows(self) -> Iterator[dict[str, Any]]:
        for path in sorted((self.root / "ledger").glob("*/shard=*.parquet")):
            yield from pq.ParquetFile(path).read().to_pylist()

    def finished(self, reference: Picture) -> dict[Path, str]:
        """Files of genomes that are through a stage as in the undisturbed run, and what tells each from another."""
        found: dict[Path, str] = {}
        for shard, genome_id, stage in self.places():
            row = booked_row(stage, self.context, shard, genome_id)
            if row and (row.key, row.outcome) == reference.keys[stage.name, genome_id]:
                for path in self.files_of(shard, genome_id, stage):
                    if trace := self.trace(path):
                        found[path] = trace
        return found

    def trace(self, path: Path) -> str:
        """What tells a file from one that was made again; empty where it is neither there nor packed.

        Packing makes a new file of genomes that were not made again. Their main tables carry the seconds that they
        took, so the digest of the file that each genome had tells them apart.
        """
        packs = self.storage == "packed" and path.suffix == ".parquet"
        if path.is_file():
            status = path.stat()
            return file_sha256(path) if packs else f"{status.st_ino} {status.st_mtime_ns}"
        member = packing.members(path.parent).get(path.stem) if packs else None
        return member.sha256 if member else ""

    def files_of(self, shard: str, genome_id: str, stage: Stage) -> list[Path]:
        main = self.context.store.table_path(stage.main_table, shard, genome_id)
        return [main, *beside(stage, self.context, shard, genome_id)]

    def places(self) -> Iterator[tuple[str, str, Stage]]:
        for n in range(GENOMES):
            for stage in self.stages:
                yield f"{n // self.shard_size:04d}", f"g{n}", stage

    # Promises

    def verify(self, reference: Picture, finished: dict[Path, str], told: str = "") -> None:
        """Raise where the results are not those of the undisturbed run, or something is left behind."""
        deadline = time.monotonic() + 5
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        if left:
            raise Violation(f"processes are left: {self.picture_of_processes()}")
        if rubbish := [p for p in self.root.rglob(".*") if p.name.endswith(".tmp")]:
            raise Violation(f"temporaries are left: {rubbish}")
        if markers := [*(self.root / ".inflight").rglob("*.json"), *self.root.glob("run.lock")]:
            raise Violation(f"left behind: {markers}")
        now = Picture.take(self)
        if differences := reference.differences(now):
            raise Violation("not as undisturbed: " + "; ".join(differences[:8]) + f"\n{told}")
        again = [str(path.relative_to(self.root)) for path, trace in finished.items() if self.trace(path) != trace]
        if again:
            raise Violation(f"made again although finished: {again[:8]}\n{told}")

    def verify_settled(self) -> None:
        """Another run finds nothing to do."""
        code, told = self.run()
        if code != 0 or "Nothing to do" not in told:
            raise Violation(f"a further run still found work (status {code}):\n{told}\n{self.log()}")


def _kind(words: list[str]) -> str:
    if any("spawn_main" in word for word in words):
        return "worker"
    if any("resource_tracker" in word or "forkserver" in word for word in words):
        return "tracker"
    if "snakemake" in words:
        return "snakemake"
    if any(word.endswith("standins/diamond") for word in words):
        return "diamond"
    if "--shard" in words:
        return "job"
    if "run" in words or "check" in words:
        return "head"
    return "shell" if words[0].endswith("sh") else "other"


@dataclass
class Picture:
    """The results as content: what must come out the same whatever happened."""

    content: dict[str, Any]
    keys: dict[tuple[str, str], tuple[str, Outcome]]

    @classmethod
    def take(cls, campaign: Campaign) -> Picture:
        root, content = campaign.root, {}
        for path in sorted(root.rglob("*")):
            name = str(path.relative_to(root))
            if path.is_dir() or name.startswith(".") or name == "run.lock":
                continue
            content[name] = _content(path)
        keys = {}
        for shard, genome_id, stage in campaign.places():
            row = booked_row(stage, campaign.context, shard, genome_id)
            keys[stage.name, genome_id] = (row.key, row.outcome) if row else ("", Outcome.FAILED)
        for shard in read_shards(root):
            genomes = {row["genome_id"] for row in read_shard(root, shard)}
            for stage in campaign.stages:
                ledger = pq.ParquetFile(campaign.context.store.ledger_path(stage.name, shard)).read()
                if sorted(ledger["genome_id"].to_pylist()) != sorted(genomes):
                    raise Violation(f"{stage.name} shard={shard}: rows in are not rows out")
        return cls(content, keys)

    def differences(self, other: Picture) -> list[str]:
        found = [f"{name} is lost" for name in self.content.keys() - other.content.keys()]
        found += [f"{name} is extra" for name in other.content.keys() - self.content.keys()]
        both = self.content.keys() & other.content.keys()
        found += [f"{name} differs" for name in both if self.content[name] != other.content[name]]
        found += [f"key of {name}" for name, pair in self.keys.items() if other.keys[name] != pair]
        return sorted(found)


def _content(path: Path) -> Any:
    if path.suffix == ".parquet":
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read(use_threads=False).replace_schema_metadata(None)
        return table.drop_columns([name for name in VOLATILE if name in table.column_names])
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".duckdb":
        import duckdb

        with duckdb.connect(str(path), read_only=True) as database:
            views = database.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY 1").fetchall()
            return {name: database.execute(f"SELECT count(*) FROM {name}").fetchone() for (name,) in views}
    if path.name.startswith("shard=") and path.suffix == ".tsv":
        # The last column is size and time of the source file.
        return [line.split("\t")[:-1] for line in path.read_text().splitlines()]
    if path.name == "plan.json":
        return {
            name: value for name, value in json.loads(path.read_text()).items() if name in ("genomes", "tombstones")
        }
    if path.suffix in (".svg", ".png"):
        return path.stat().st_size > 0
    if path.suffix == ".html":
        return "</html>" in path.read_text()
    return hashlib.sha256(path.read_bytes()).hexdigest()


# Faults


@dataclass(frozen=True)
class Struck:
    """What was done, in words.

    Attributes
    ----------
    inside
        A file that was damaged inside, so that the repair has to look at every byte.
    settle
        Afterwards a further run must find nothing to do.
    """

    what: str
    inside: Path | None = None
    settle: bool = False


Fault = Callable[[Campaign], Struck]


def genome_files(campaign: Campaign) -> list[Path]:
    """Files that hold what stages made of genomes: their own, and packed ones."""
    own = [path for place in campaign.places() for path in campaign.files_of(*place)]
    packed = [packing.packed_path(folder) for folder in sorted({path.parent for path in own})]
    return [path for path in [*own, *packed] if path.exists()]


def any_output(campaign: Campaign) -> Path:
    """A file that the run made: each kind of place as likely as the other."""
    root = campaign.root
    kinds = [
        genome_files(campaign),
        sorted((root / "ledger").glob("*/*.parquet")),
        [path for path in genome_files(campaign) if path.name.endswith(".xml.gz")],
        sorted((root / "atlas").glob("*/*.parquet")),
        [root / "atlas" / "atlas.duckdb", root / "report" / "index.html"],
        [path for path in sorted((root / "plan").rglob("*")) if path.is_file()],
    ]
    whole = [[path for path in kind if path.is_file() and path.stat().st_size] for kind in kinds]
    return campaign.rng.choice(campaign.rng.choice([kind for kind in whole if kind]))


def at_rest(name: str, harm: Callable[[Campaign, Path], None], inside: bool = False) -> Fault:
    def strike(campaign: Campaign) -> Struck:
        target = any_output(campaign)
        harm(campaign, target)
        return Struck(f"{name} {target.relative_to(campaign.root)}", target if inside else None)

    return strike


def delete(_campaign: Campaign, path: Path) -> None:
    path.unlink()


def truncate(campaign: Campaign, path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: campaign.rng.randrange(len(data))])


def flip(campaign: Campaign, path: Path) -> None:
    """Overwrite one to three bytes; the size stays, and so does the time."""
    status, data = path.stat(), bytearray(path.read_bytes())
    for _ in range(campaign.rng.randint(1, 3)):
        data[campaign.rng.randrange(len(data))] ^= campaign.rng.randint(1, 255)
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def make_directory(_campaign: Campaign, path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_work(campaign: Campaign, latest: str = STAGE_NAMES[-1]) -> str:
    """Take some genomes' results away from a stage on, `latest` at the latest, so that the next run works."""
    rng = campaign.rng
    shard = rng.randrange((GENOMES - 1) // campaign.shard_size + 1)
    members = [n for n in range(GENOMES) if n // campaign.shard_size == shard]
    genomes = rng.sample(members, rng.randint(1, len(members)))
    first = rng.randrange(STAGE_NAMES.index(latest) + 1)
    for shard, genome_id, stage in campaign.places():
        if int(genome_id[1:]) in genomes and campaign.stages.index(stage) >= first:
            paths = campaign.files_of(shard, genome_id, stage)
            for path in paths:
                # An earlier fault may have put a folder here.
                with contextlib.suppress(IsADirectoryError):
                    path.unlink(missing_ok=True)
            if packing.members(paths[0].parent):
                # A genome's own file goes before its place in the packed one: this one is cut short.
                paths[0].touch()
    return f"(at work from {campaign.stages[first].name} on, genomes {sorted(genomes)})"


def at_work(
    name: str, *strikes: Callable[[Campaign, subprocess.Popen[str]], str], latest: str = STAGE_NAMES[-1]
) -> Fault:
    """A fault while a run works; what was finished is looked at when all is quiet again.

    Where a strike comes too late for its run, the next is tried upon another one.
    """

    def whole(campaign: Campaign) -> Struck:
        for number, strike in enumerate(strikes, start=1):
            work = make_work(campaign, latest)
            process = campaign.start("run", "--cores", CORES)
            try:
                return Struck(f"{name}: {strike(campaign, process)} {work}")
            except Missed as missed:
                if number == len(strikes) or isinstance(missed, Impossible):
                    raise
            finally:
                with contextlib.suppress(Violation):
                    if process.poll() is None:
                        campaign.ended(process)
                campaign.wait_for_snakemake()
        raise Missed("no strike was given")

    return whole


def wait_for_kind(campaign: Campaign, process: subprocess.Popen[str], kind: str) -> list[Process]:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if found := [one for one in campaign.processes() if one.kind == kind]:
            return found
        if process.poll() is not None:
            raise Missed(f"no {kind} was seen")
        time.sleep(0.02)
    raise Violation(f"never saw a {kind}: {campaign.picture_of_processes()}")


def kill(kind: str, pass_over: int = 5) -> Callable[[Campaign, subprocess.Popen[str]], str]:
    """SIGKILL one process of a kind at a random instant of the run.

    Processes of a kind come one after another, one per job: some are passed over, so that any stage may be hit. One
    that ends before its instant is no target, but the next one is.
    """

    def strike(campaign: Campaign, process: subprocess.Popen[str]) -> str:
        passed = campaign.rng.randint(0, pass_over) if kind in ("worker", "job", "shell") else 0
        seen: set[int] = set()
        while True:
            fresh = [one for one in wait_for_kind(campaign, process, kind) if one.pid not in seen]
            if not fresh:
                if process.poll() is not None:
                    raise Missed("too late")
                time.sleep(0.02)
                continue
            seen.add(fresh[0].pid)
            if len(seen) <= passed:
                continue
            time.sleep(campaign.rng.uniform(0, LONGEST_WAITS.get(kind, 0.8)))
            if fresh[0] in campaign.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(fresh[0].pid, signal.SIGKILL)
                    return f"{kind} {fresh[0].pid}"

    return strike


def kill_all(campaign: Campaign, process: subprocess.Popen[str]) -> str:
    """As a power cut does it: everything at the same instant."""
    time.sleep(campaign.rng.uniform(0.3, 14))
    if process.poll() is not None:
        raise Missed("too late")
    found = campaign.processes()
    for one in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(one.pid, signal.SIGKILL)
    return f"{len(found)} processes"


def second_head(campaign: Campaign, process: subprocess.Popen[str]) -> str:
    """A second `gemforest run` beside the first: one of the two is refused."""
    time.sleep(campaign.rng.choice([0.0, 0.0, campaign.rng.uniform(0, 8)]))
    second = campaign.start("run", "--cores", CORES)
    codes = []
    for one in (process, second):
        code, told = campaign.ended(one)
        if code not in (0, 2) or (code == 2 and "is at work" not in told):
            raise Violation(f"one of two heads ended with {code}:\n{told}\n{campaign.log()}")
        codes.append(code)
    if codes == [2, 2]:
        raise Violation("both heads were refused")
    return f"heads ended with {codes}"


def fill_disk(campaign: Campaign, process: subprocess.Popen[str]) -> str:
    """Fill the small disk at a random instant, and make room again when the run has ended."""
    if not campaign.small_disk:
        raise Impossible("the campaign has no disk of its own")
    time.sleep(campaign.rng.uniform(0.3, 10))
    if process.poll() is not None:
        raise Missed("too late")
    filler = campaign.folder / "filler"
    leave = campaign.rng.choice([0, 4096, 65536])
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as out:
        while True:
            out.write(b"x" * 65536)
    with contextlib.suppress(OSError), filler.open("ab", buffering=0) as out:
        while True:
            out.write(b"x" * 512)
    os.truncate(filler, filler.stat().st_size - leave)
    try:
        code, told = campaign.ended(process)
    finally:
        filler.unlink()
    if code not in (0, 1):
        raise Violation(f"a run on a full disk ended with {code}:\n{told}")
    return f"{leave} bytes left, run ended with {code}"


def read_only(campaign: Campaign, process: subprocess.Popen[str]) -> str:
    """Make a folder of the results read-only at a random instant (a mount, which holds for root too)."""
    if not campaign.small_disk:
        raise Impossible("mounting is not possible here")
    folders = [path for path in sorted(campaign.root.rglob("*")) if path.is_dir() and not path.name.startswith(".")]
    folder = campaign.rng.choice(folders)
    time.sleep(campaign.rng.uniform(0, 8))
    if process.poll() is not None:
        raise Missed("too late")
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        code, told = campaign.ended(process)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    if code not in (0, 1):
        raise Violation(f"a run with a read-only folder ended with {code}:\n{told}")
    return f"{folder.relative_to(campaign.root)} read-only, run ended with {code}"


def clock_jump(campaign: Campaign) -> Struck:
    """Times of some files lie hours or years off, in one direction or in both."""
    rng = campaign.rng
    candidates = [path for path in sorted(campaign.root.rglob("*")) if path.is_file()]
    candidates += sorted((campaign.context.project / "config").glob("*.faa"))
    chosen = rng.sample(candidates, rng.choice([1, 3, len(candidates) // 2]))
    direction = rng.choice([(-1,), (1,), (-1, 1)])
    for path in chosen:
        moment = time.time() + rng.choice(direction) * rng.choice([3600, 86400 * 30, 86400 * 3650])
        os.utime(path, (moment, moment))
    return Struck(f"clock jump of {len(chosen)} files, directions {direction}", settle=True)


def source_away(campaign: Campaign) -> Struck:
    """A genome's file cannot be read for a while: the run says so, and later goes on with it."""
    genome = f"g{campaign.rng.randrange(GENOMES)}"
    path = campaign.context.project / "config" / f"{genome}.faa"
    data, status = path.read_bytes(), path.stat()
    path.unlink()
    if campaign.rng.random() < 0.5:
        path.mkdir()
    code, told = campaign.run()
    if path.is_dir():
        path.rmdir()
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    if code != 0:
        raise Violation(f"an unreadable source ended the run with {code}:\n{told}\n{campaign.log()}")
    return Struck(f"source of {genome} away")


AT_REST: dict[str, Fault] = {
    "delete": at_rest("delete", delete),
    "truncate": at_rest("truncate", truncate),
    "flip": at_rest("flip", flip, inside=True),
    "directory": at_rest("directory in place of", make_directory),
    "clock": clock_jump,
}
AT_WORK: dict[str, Fault] = {
    "source": source_away,
    "worker": at_work("kill worker", kill("worker"), kill("worker", pass_over=0)),
    "job": at_work("kill job", kill("job"), kill("job", pass_over=0)),
    "search": at_work("kill DIAMOND", kill("diamond"), kill("diamond"), latest="homology"),
    "head": at_work("kill gemforest run", kill("head"), kill("head")),
    "snakemake": at_work("kill Snakemake", kill("snakemake"), kill("snakemake")),
    "power": at_work("power cut", kill_all, kill_all),
    "two_heads": at_work("two heads", second_head),
    "disk": at_work("disk full", fill_disk, fill_disk),
    "read_only": at_work("read-only", read_only, read_only),
}
FAULTS = AT_REST | AT_WORK
AT_REST_PER_ROUND = 3


@dataclass
class Round:
    """Some faults, each upon what the one before left, and how it ended.

    Attributes
    ----------
    struck
        Kind of a fault to what it did, in words.
    missed
        Kinds that came too late for their run.
    broken
        The promise that was not kept; empty where all were.
    """

    names: Sequence[str]
    struck: dict[str, str] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)
    broken: str = ""

    def play(self, campaign: Campaign, reference: Picture) -> None:
        """Strike and keep the promises: files are harmed first; a fault at work then hits the run that mends them."""
        faults: list[Struck] = []
        try:
            for name in sorted(self.names, key=lambda name: name in AT_WORK):
                try:
                    faults.append(FAULTS[name](campaign))
                    self.struck[name] = faults[-1].what
                except Missed:
                    self.missed.append(name)
            finished = campaign.finished(reference)
            for harmed in (one.inside for one in faults if one.inside):
                finished = {path: seen for path, seen in finished.items() if not _may_go(harmed, path)}
            told = campaign.recover(deep=any(one.inside for one in faults))
            campaign.verify(reference, finished, told)
            if any(one.settle for one in faults) or campaign.rng.random() < 0.15:
                campaign.verify_settled()
        except Violation as error:
            done = "; ".join(self.struck.values())
            self.broken = f"{done} ({', '.join(self.names)}): {error}"


def _may_go(harmed: Path, path: Path) -> bool:
    """Whether a file may be made again for damage inside another, which is not seen by a look at its footer.

    Whatever the genome left there may go; of a packed file, whatever its shard did.
    """
    owner, name = (one.name.split(".")[0] for one in (harmed, path))
    return name == owner or (owner.startswith("shard=") and harmed.parent.name == path.parent.name == owner)


def rounds(faults: int, rng: random.Random, only: Sequence[str] = ()) -> list[list[str]]:
    """Some harm to files and one fault at work per round; as many of each kind as of the others of its sort.

    A round strikes with no kind twice, unless there are too few kinds.
    """
    rest, work = ([name for name in sort if name in (only or FAULTS)] for sort in (AT_REST, AT_WORK))
    found: list[list[str]] = []
    left: dict[str, list[str]] = {"rest": [], "work": []}

    def draw(sort: str, names: list[str], chosen: Sequence[str]) -> list[str]:
        if not names:
            return []
        if not left[sort]:
            left[sort] = rng.sample(names, len(names))
        fresh = [name for name in left[sort] if name not in chosen] or left[sort]
        left[sort].remove(fresh[-1])
        return [fresh[-1]]

    while sum(map(len, found)) < faults:
        chosen: list[str] = []
        for _ in range(AT_REST_PER_ROUND):
            chosen += draw("rest", rest, chosen)
        chosen += draw("work", work, chosen)
        found.append(chosen[: faults - sum(map(len, found))])
    return found


def bombard(
    folder: Path,
    hits: Path,
    seed: int,
    planned: Mapping[int, Sequence[str]],
    shard_size: int,
    storage: str = "files",
) -> Iterator[tuple[int, Round]]:
    """Play rounds upon one project, by their numbers; each has chance of its own, so that any may come first."""
    with small_disk(folder / "disk") as mounted:
        campaign = Campaign(folder / "disk", random.Random(seed), hits, mounted, shard_size, storage)
        code, told = campaign.run()
        if code != 0:
            raise Violation(f"the undisturbed run ended with {code}:\n{told}\n{campaign.log()}")
        reference = Picture.take(campaign)
        pristine = folder / "pristine"
        subprocess.run(["cp", "-a", str(campaign.context.project), str(pristine)], check=True)
        for number, names in planned.items():
            campaign.rng = random.Random(f"{seed} {number}")
            played = Round(names)
            played.play(campaign, reference)
            if played.broken:
                campaign.end_all()
                shutil.rmtree(campaign.context.project)
                subprocess.run(["cp", "-a", str(pristine), str(campaign.context.project)], check=True)
            yield number, played
        print(f"seed {seed}: {campaign.runs} commands, retried {campaign.retries}", flush=True)


def shared_hits(folder: Path) -> Path:
    """`known_hits` of a folder that several processes use: the first one makes them."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "known_hits.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return path if path.exists() else known_hits(folder)


def known_hits(folder: Path) -> Path:
    """Hits of the campaign's proteins, found once by the real DIAMOND with the options of the deeper search."""
    records = [">" + record for record in PROTEOME.read_text().split(">")[1:]][: 10 * GENOMES + PROTEINS]
    sequences = sorted({normalise(gene.protein).decode() for gene in fasta_genes("".join(records).encode())})
    fasta, out = folder / "all.faa", folder / "hits.tsv"
    fasta.write_text("".join(f">{n}\n{sequence}\n" for n, sequence in enumerate(sequences)))
    command = [diamond(), "blastp", "--db", str(database()), "--query", str(fasta), "--out", str(out)]
    command += ["--more-sensitive", "--top", str(DEEP_PERCENT), "--index-chunks", "1", "--threads", "2", "--quiet"]
    subprocess.run([*command, "--outfmt", "6", *(name for name, _ in COLUMNS)], check=True)
    hits: dict[str, list[str]] = {sequence: [] for sequence in sequences}
    for line in out.read_text().splitlines():
        query, _, rest = line.partition("\t")
        hits[sequences[int(query)]].append(rest)
    said = subprocess.run([diamond(), "version"], capture_output=True, text=True, check=True).stdout
    path = folder / "known_hits.json"
    path.write_text(json.dumps({"version": said.split()[-1], "hits": hits}))
    return path


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int = 64) -> Iterator[bool]:
    """A file system of its own on `folder` where the system lets us; whether it does."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = False
    if shutil.which("mount") and os.geteuid() == 0:
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)
