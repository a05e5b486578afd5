"""The whole workflow on a real SLURM of one node: a head killed, a job cancelled, a job out of memory, and none lost.

One run is looked at from all sides. Its head is killed while jobs run and then resumed; a draft gets too little memory
at its first attempt; a job hangs until its time limit; a gap-fill is cancelled by hand while its node is drained. The
tables must be those of an undisturbed run on this machine.

Two forms: the short one has the stand-ins of the fault runs for the slow stages (`tests/faults/standins`), genomes that
have results and a draft that takes more memory than it asked for; the long one (`make test-slurm`) has the real stages,
one whole proteome, and jobs in groups.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pytest
from projects import REPOSITORY, common_folder, make_project

from gemforest import sizing
from gemforest.ledger import Outcome, read_ledger
from gemforest.plan import rows_path
from gemforest.stage import Context
from gemforest.stages import STAGE_NAMES, all_stages

sys.path.insert(0, str(REPOSITORY / "tests" / "faults"))
from campaign import STANDINS, quickstages, shared_hits

pytestmark = pytest.mark.slurm
LONG = "GEMFOREST_SLURM_LONG"

PROTEOME = Path(str(files("carveme") / "data" / "benchmark" / "fasta" / "M_genitalium_G37.faa"))
GEMFOREST = [sys.executable, "-m", "gemforest.cli"]
# Short waits, which a controller of one's own forgives; the profile is otherwise the shipped one.
IMPATIENT = ["--slurm-init-seconds-before-status-checks", "2", "--max-status-checks-per-second", "2"]
IMPATIENT += ["--latency-wait", "10"]
OWN = ["evidence:runtime=attempt**2", "--set-threads", "homology=3"]
HUNG = "0002"
GENOMES, SHARD_SIZE, REAL, TOO_SMALL = 8, 3, "g0", "g7"
QUICK = {"simulate": {"fva": "off", "knockouts": [], "screens": []}}
PATIENCE_SECONDS = 600


@dataclass(frozen=True)
class Job:
    """A job as SLURM remembers it."""

    number: str
    state: str
    name: str
    memory: str
    cores: str
    limit: str
    waits_for: str
    partition: str
    what: str


def jobs(since: int = 0) -> list[Job]:
    """Jobs with numbers above `since`, ended ones too; `what` is the rule and its wildcards."""
    lines = subprocess.run(
        ["squeue", "--all", "--noheader", "--states", "all", "--format", "%i|%T|%j|%m|%C|%l|%r|%P|%k"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    found = [Job(*line.split("|", 8)) for line in lines]
    return [job for job in found if int(job.number) > since]


def gpus(number: str) -> str:
    """GPUs that a job asked for, as SLURM has them."""
    said = subprocess.run(["scontrol", "show", "job", number], capture_output=True, text=True, check=True).stdout
    found = re.search(r"TresPerJob=(\S+)", said)
    return found[1] if found else ""


def megabytes(text: str) -> int:
    return int(float(text[:-1]) * {"M": 1, "G": 1024}[text[-1]])


def minutes(text: str) -> int:
    *hours, minute, _ = (int(part) for part in text.split(":"))
    return minute + 60 * sum(hours)


def wait_for(seen: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not seen():
        assert time.monotonic() < end, f"never saw {what}: {jobs()}"
        time.sleep(0.5)


def running(rule: str, shard: str = "") -> list[Job]:
    return [job for job in jobs() if job.state == "RUNNING" and rule in job.what and job.what.endswith(shard)]


def freeze(job: Job) -> None:
    """Stop every process of a job, as a file system that does not answer would."""
    # A job is said to run before its first process does.
    wait_for(lambda: stopped(job) > 0, "a process of the job")
    # Whatever those were starting at that instant.
    stopped(job)


def stopped(job: Job) -> int:
    """Stop the processes that a job has now; how many."""
    mark, found = f"SLURM_JOB_ID={job.number}".encode(), 0
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdigit() and mark in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGSTOP)
                found += 1
    return found


def node(state: str) -> None:
    # A node that is not drained refuses to resume; whether it did is seen by the jobs that waited.
    command = ["scontrol", "update", "nodename=localhost", f"state={state}", "reason=test"]
    subprocess.run(command if state == "drain" else command[:-1], check=state == "drain", capture_output=True)


def held(rule: str, shard: str) -> list[Job]:
    """Jobs that wait because their node is drained."""
    pending = [job for job in jobs() if job.state == "PENDING" and "DRAINED" in job.waits_for]
    return [job for job in pending if rule in job.what and job.what.endswith(shard)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("starting SLURM needs root")
    environment = os.environ | {"GEMFOREST_SLURM_MEMORY_MB": "24000"}
    started = subprocess.run(
        [str(REPOSITORY / "scripts" / "slurm_up.sh")], env=environment, capture_output=True, text=True, check=False
    )
    assert started.stdout.endswith("slurm ready\n"), started.stdout + started.stderr
    yield
    # A configuration without its cluster would make every later Snakemake wait for a controller that is gone.
    subprocess.run([str(REPOSITORY / "scripts" / "slurm_down.sh"), "--purge"], check=True, capture_output=True)


@dataclass(frozen=True)
class Form:
    """What differs between the short form of the story and the long one.

    Attributes
    ----------
    draft_mb
        What a draft asks for at its first attempt: less than that of `REAL` takes.
    proteins
        genome_id to its first protein and their number, in the proteome of *M. genitalium*.
    """

    config: dict[str, object]
    draft_mb: int
    proteins: dict[str, tuple[int, int | None]]
    environment: dict[str, str] = field(default_factory=dict)

    def project(self, folder: Path) -> Context:
        """Eight genomes in three shards."""
        records = [">" + record for record in PROTEOME.read_text().split(">")[1:]]
        rows = [f"{genome}\t{genome}.faa\tbacteria\tcomplete\n" for genome in self.proteins]
        sheet = "genome_id\tsource\tuniverse\tmedium\n" + "".join(rows)
        context = make_project(folder, sheet, shard_size=SHARD_SIZE, **self.config)
        for genome, (first, number) in self.proteins.items():
            chosen = records[first:][:number]
            (folder / "config" / f"{genome}.faa").write_text("".join(chosen))
        return context


@dataclass(frozen=True)
class Story:
    """What happened: the run's project, what the resumed head said, SLURM's jobs before and after the resumption.

    `waiting` is the gap-fill that was tried again while the node was drained.
    """

    context: Context
    told: str
    before: list[Job]
    after: list[Job]
    waiting: Job


@pytest.fixture(scope="module")
def form(tmp_path_factory: pytest.TempPathFactory) -> Form:
    if os.environ.get(LONG):
        # One whole proteome and seven bins that are too small.
        proteins = {f"g{n}": (20 * n, 20 if n else None) for n in range(GENOMES)}
        return Form(QUICK, 450, proteins, dict(os.environ))
    proteins = {f"g{n}": (5 * n, 20 if f"g{n}" == TOO_SMALL else 60) for n in range(GENOMES)}
    declared = tmp_path_factory.mktemp("standins") / "stages.json"
    quickstages.declare(all_stages(), declared)
    paths = [str(STANDINS), str(REPOSITORY / "workflow" / "lib"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PATH": os.pathsep.join([str(STANDINS), str(Path(sys.executable).parent), os.environ["PATH"]]),
        quickstages.VARIABLE: str(declared),
        quickstages.HEAVY: f"draft:{REAL}:700:5",
        "GEMFOREST_KNOWN_HITS": str(shared_hits(common_folder(tmp_path_factory) / "hits")),
    }
    return Form({"kinetics": {"enabled": False}}, 700, proteins, environment)


@pytest.fixture(scope="module")
def story(cluster: None, form: Form, tmp_path_factory: pytest.TempPathFactory) -> Story:
    context = form.project(tmp_path_factory.mktemp("slurm") / "project")
    arguments = ["--cores", "2", "--", *IMPATIENT, "--set-resources", f"draft:mem_mb=attempt * {form.draft_mb}", *OWN]
    earlier = max((int(job.number) for job in jobs()), default=0)
    head = subprocess.Popen(
        [*GEMFOREST, "run", "--profile", "slurm", *arguments],
        cwd=context.project,
        env=form.environment,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for(lambda: bool(running("homology")), "a running homology job")
    # The lock has the run's id by then, or the resumed head could not find its jobs.
    wait_for(lambda: '"slurm"' in (context.store.root / "run.lock").read_text(), "the run's id in the lock")
    os.killpg(head.pid, signal.SIGKILL)
    head.wait()
    before = jobs(earlier)
    with (context.project / "resumed.txt").open("w+") as told:
        resumed = subprocess.Popen(
            [*GEMFOREST, "resume", *arguments],
            cwd=context.project,
            env=form.environment,
            stdout=told,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_for(lambda: bool(running("evidence", HUNG)), "running evidence")
            freeze(running("evidence", HUNG)[0])
            wait_for(lambda: bool(running("gapfill", "0000")), "a running gap-fill")
            node("drain")
            subprocess.run(["scancel", running("gapfill", "0000")[0].number], check=True)
            wait_for(lambda: bool(held("gapfill", "0000")), "a gap-fill that waits for the drained node")
            waiting = held("gapfill", "0000")[0]
            node("resume")
            assert resumed.wait(PATIENCE_SECONDS) == 0, (context.project / "resumed.txt").read_text()
        finally:
            node("resume")
            if resumed.poll() is None:
                os.killpg(resumed.pid, signal.SIGKILL)
        told.seek(0)
        return Story(context, told.read(), before, jobs(earlier), waiting)


def outcomes(context: Context, stage: str) -> dict[str, tuple[Outcome, str]]:
    folder = context.store.ledger_path(stage, "0000").parent
    rows = [row for path in sorted(folder.glob("*.parquet")) for row in read_ledger(path)]
    return {row.genome_id: (row.outcome, row.reason) for row in rows}


def test_no_genome_is_lost_and_each_has_its_outcome(story: Story, form: Form) -> None:
    for stage in STAGE_NAMES:
        assert set(outcomes(story.context, stage)) == {f"g{n}" for n in range(GENOMES)}
    ends = outcomes(story.context, STAGE_NAMES[-1])
    small = [genome for genome, (_, number) in form.proteins.items() if number == 20]
    assert {genome: ends[genome] for genome in small} == dict.fromkeys(small, ("skipped_upstream", "upstream"))
    assert {ends[genome] for genome in form.proteins.keys() - set(small)} == {("ok", "")}


def test_the_resumed_head_waits_for_the_jobs_of_the_dead_one_and_says_so(story: Story) -> None:
    assert "SLURM jobs of that run go on" in story.told
    assert "Waiting for them" in story.told


def test_no_job_of_the_dead_head_runs_a_second_time(story: Story) -> None:
    done = {job.number for job in story.after if job.state == "COMPLETED"}
    left = {job.what for job in story.before if job.number in done}
    again = {job.what for job in story.after if job.number not in {old.number for old in story.before}}
    assert left
    assert not left & again


def test_a_draft_out_of_memory_is_given_more(story: Story, form: Form) -> None:
    drafts = [job for job in story.after if "draft" in job.what and "0000" in job.what]
    assert {megabytes(job.memory) for job in drafts} == {form.draft_mb, 2 * form.draft_mb}
    assert sorted(job.state for job in drafts)[0] == "COMPLETED"
    killed = [job for job in drafts if job.state in ("FAILED", "OUT_OF_MEMORY")]
    assert killed
    said = [path.read_text() for job in killed for path in logs(story).rglob(f"{job.number}.log")]
    assert any("memory" in text for text in said)


def test_what_slurm_says_of_a_job_is_kept_beside_the_other_logs(story: Story) -> None:
    ended = {job.number for job in story.after if job.state == "TIMEOUT"}
    assert ended
    assert ended <= {path.stem for path in logs(story).rglob("*.log")}


def logs(story: Story) -> Path:
    """Folder of SLURM's own logs, as the profile has it."""
    return story.context.project / "logs" / "slurm"


def test_a_cancelled_job_is_tried_again(story: Story) -> None:
    fills = [job for job in story.after if "gapfill" in job.what]
    cancelled = {job.what for job in fills if job.state == "CANCELLED"}
    assert len(cancelled) == 1
    assert cancelled <= {job.what for job in fills if job.state == "COMPLETED"}


def test_a_job_that_waits_for_a_drained_node_runs_when_the_node_is_back(story: Story) -> None:
    assert [job.state for job in story.after if job.number == story.waiting.number] == ["COMPLETED"]


def test_a_job_over_its_time_limit_is_given_more(story: Story) -> None:
    tries = [job for job in story.after if "evidence" in job.what and job.what.endswith(HUNG)]
    assert sorted((job.limit, job.state) for job in tries) == [("1:00", "TIMEOUT"), ("4:00", "COMPLETED")]


def test_jobs_are_granted_the_memory_and_time_of_the_measured_models(story: Story) -> None:
    for stage in ("simulate", "gapfill"):
        cost, limit = sizing.costs()[stage], story.context.config["limits"]["seconds"]
        for shard in ("0000", HUNG):
            load = sizing.load_of(rows_path(story.context.store.root, shard).read_text())
            asked = [
                (sizing.memory_mb(cost, load, 1, attempt), sizing.minutes(cost, load, 1, attempt, limit))
                for attempt in (1, 2)
            ]
            granted = [(job.memory, job.limit) for job in story.after if job.what.endswith(shard) and stage in job.what]
            assert {(megabytes(memory), minutes(time)) for memory, time in granted} <= set(asked)
            assert granted


def test_a_job_has_its_own_cores_however_few_the_head_has(story: Story) -> None:
    assert {job.cores for job in story.after if "homology" in job.what} == {"3"}


def test_fetch_and_report_stay_on_the_head_node(story: Story) -> None:
    assert not [job for job in story.after if re.search(r"fetch|report|\batlas\b", job.what)]


def test_the_tables_are_those_of_an_undisturbed_run_on_this_machine(
    story: Story, form: Form, tmp_path_factory: pytest.TempPathFactory
) -> None:
    local = form.project(tmp_path_factory.mktemp("local") / "project")
    command = [*GEMFOREST, "run", "--cores", "2"]
    ended = subprocess.run(
        command, cwd=local.project, env=form.environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    compared = 0
    for stage in all_stages():
        ends = outcomes(local, stage.name)
        assert outcomes(story.context, stage.name) == ends
        for number, genome in enumerate(form.proteins):
            shard = f"{number // SHARD_SIZE:04d}"
            # A genome that was stopped leaves its main table alone.
            for table in stage.writes if ends[genome][0] == Outcome.OK else [stage.main_table]:
                ours, theirs = (context.store.read(table, shard, genome) for context in (story.context, local))
                assert content(ours).equals(content(theirs)), (table, genome)
                compared += ours.num_rows > 0
    assert compared
    assert not list(story.context.store.root.rglob("*.tmp"))
    assert not (story.context.store.root / "run.lock").exists()


def content(table: pa.Table) -> pa.Table:
    """A table without the column that says where a genome's file lay."""
    return table.drop_columns([name for name in table.column_names if name == "file"])


# Groups: several jobs in one submission


ENCODER: dict[str, object] = {"enabled": True, "device": "cpu", "references": False, "store": "store"}
SHARDS = ("0000", "0001")
GROUPS = "groups: {genes: search, homology: search}\n"
UP_TO = [*IMPATIENT, "--until", "homology", "embed"]
# The test cluster's GPUs are no GPUs: asked for as real ones, and not used.
UP_TO += ["--set-resources", "embed:gpu=1", "embed:slurm_partition=gpu", "genes:mem_mb=attempt * 1100"]


@dataclass(frozen=True)
class Grouped:
    """A run of two shards up to homology and embed; `cancelled` is the first search that ran."""

    context: Context
    after: list[Job]
    cancelled: Job

    def of(self, group: str) -> list[Job]:
        return [job for job in self.after if group in job.what]


@pytest.fixture(scope="module")
def grouped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Grouped:
    if not os.environ.get(LONG):
        pytest.skip(f"jobs in groups belong to the long form: `make test-slurm` ({LONG}=1)")
    request.getfixturevalue("cluster")
    records = [">" + record for record in PROTEOME.read_text().split(">")[1:]]
    rows = [f"g{n}\tg{n}.faa\tbacteria\tcomplete\n" for n in range(len(SHARDS))]
    sheet = "genome_id\tsource\tuniverse\tmedium\n" + "".join(rows)
    folder = tmp_path_factory.mktemp("grouped") / "project"
    # A short limit of a genome: the time of all jobs of a group must fit into the longest that the partition allows.
    limits = {"seconds": 300}
    context = make_project(folder, sheet, shard_size=1, embed=ENCODER | {"batch_shards": 2}, limits=limits)
    shipped = (REPOSITORY / "workflow" / "profiles" / "slurm" / "config.yaml").read_text()
    (folder / "profile").mkdir()
    (folder / "profile" / "config.yaml").write_text(shipped + GROUPS)
    for n in range(len(SHARDS)):
        (folder / "config" / f"g{n}.faa").write_text("".join(records[60 * n : 60 * n + 60]))
    earlier = max((int(job.number) for job in jobs()), default=0)
    command = [*GEMFOREST, "run", "--profile", "profile", "--cores", "2", "--", *UP_TO]
    with (folder / "told.txt").open("w") as told:
        head = subprocess.Popen(command, cwd=folder, stdout=told, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            wait_for(lambda: bool(running("search")), "a running search")
            cancelled = running("search")[0]
            freeze(cancelled)
            subprocess.run(["scancel", cancelled.number], check=True)
            assert head.wait(PATIENCE_SECONDS) == 0, (folder / "told.txt").read_text()
        finally:
            if head.poll() is None:
                os.killpg(head.pid, signal.SIGKILL)
    return Grouped(context, jobs(earlier), cancelled)


def test_a_batch_of_shards_is_embedded_in_one_job_on_one_gpu(grouped: Grouped) -> None:
    batches = grouped.of("embed")
    asked = [(job.state, job.partition, gpus(job.number)) for job in batches]
    assert asked == [("COMPLETED", "gpu", "gres:gpu:1")]
    assert outcomes(grouped.context, "embed") == dict.fromkeys(("g0", "g1"), ("ok", ""))


def test_a_batch_asks_for_the_cores_and_memory_of_one_shard_and_the_time_of_all(grouped: Grouped) -> None:
    cost, limit = sizing.costs()[sizing.EMBED_ON], grouped.context.config["limits"]["seconds"]
    loads = [sizing.load_of(rows_path(grouped.context.store.root, shard).read_text()) for shard in SHARDS]
    memory = max(sizing.memory_mb(cost, load, 1, 1) for load in loads)
    time = sum(sizing.minutes(cost, load, 1, 1, limit) for load in loads)
    granted = {(job.cores, megabytes(job.memory), minutes(job.limit)) for job in grouped.of("embed")}
    assert granted == {("1", memory, time)}


def test_stages_of_a_shard_that_share_a_job_are_tried_again_together_with_more(grouped: Grouped) -> None:
    searches = grouped.of("search")
    assert [job.state for job in searches if job.number == grouped.cancelled.number] == ["CANCELLED"]
    assert sorted(job.state for job in searches) == ["CANCELLED", "COMPLETED", "COMPLETED"]
    again = max(searches, key=lambda job: int(job.number))
    assert megabytes(again.memory) == 2 * megabytes(grouped.cancelled.memory)
    assert set(outcomes(grouped.context, "homology").values()) == {("ok", "")}
