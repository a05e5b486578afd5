"""What the Snakefile asks: which shards there are, what a rule's job depends on, where the effective config lies.

Parsing reads `plan.json` and the sheet; where the plan is stale the main process alone plans again. The new plan is
written when Snakemake first asks for a job's input, and not at all in a dry run: there the plan stays in memory, and
a new shard has no rows file yet.

What wakes a job is told to Snakemake as parameters, stage by stage: `settings` (version, config keys, resources, tools)
and `row_facts` (the columns of the sheet that the stage reads). So a changed medium wakes the gap-filling and what
follows, and not the search. Inside a woken job the stage keys say which genomes are made again.
"""

from __future__ import annotations

import gc
import hashlib
import inspect
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path
from shlex import quote
from typing import Any, Protocol

from gemforest import sizing
from gemforest.config import Config, complete, to_text
from gemforest.errors import GemforestError
from gemforest.plan import ROW_FIELDS, Plan, is_current, make_plan, plan_folder, read_shards, rows_path, write_plan
from gemforest.stage import Context
from gemforest.stages import STAGE_NAMES, all_stages, passengers, stage
from gemforest.store import Store, holds, write_text

# Figures of the report, by name (`figures.PLOTS`), as `snakemake --report` labels them.
FIGURES = {
    "outcomes": "Genomes by stage",
    "models": "Models",
    "growth": "Growth on carbon sources",
    "pca": "Reaction content",
    "pan_reactome": "Pan-reactome",
    "gapfills": "Gap-filling",
}

# A source, second column of a rows file, that is not on this machine.
FROM_AFAR = re.compile(r"^[^\t]+\t(?:GC[AF]_|https?://)", re.MULTILINE)


# Columns that say where a genome comes from, and its file's size and time: what the first stage goes by.
SOURCE_FIELDS = ("checksum", "fingerprint")

FULL_SHARD = "a full one"


@dataclass(frozen=True)
class _Wildcards:
    shard: str


class Workflow(Protocol):
    """The part of Snakemake's workflow object that is used here."""

    is_main_process: bool
    output_settings: Any


class Dag:
    """Answers for the rules; one instance per Snakemake process."""

    def __init__(self, raw_config: dict[str, Any], workflow: Workflow, project: Path | None = None) -> None:
        self.config: Config = complete(raw_config)
        self.workflow = workflow
        # `workflow.dryrun` is false while rules are read, whatever the command line says.
        self.dry_run: bool = workflow.output_settings.dryrun
        project = project or Path.cwd()
        self.context = Context(project, self.config, Store(project / self.config["results"]))
        self.root = self.config["results"]
        self._new_plan: Plan | None = None
        self._stale: set[str] = set()
        self._loads: dict[str, sizing.Load] = {}
        self._last_rows: tuple[str, list[list[str]]] = ("", [])
        self._answers: dict[tuple[str, ...], dict[str, str]] = {}
        if workflow.is_main_process:
            # A DAG of thousands of jobs is all long-lived objects: looking through them again and again for garbage
            # takes a tenth of the time. A dry run is over before garbage matters.
            if self.dry_run:
                gc.disable()
            else:
                gc.set_threshold(200_000, 20, 100)
            plan = make_plan(self.context)
            if not is_current(plan, self.context.store.root):
                self._new_plan = plan
                self._stale = {s for s, text in plan.shards.items() if not holds(self._rows_path(s), text)}
            self.shards = list(plan.shards)
        else:
            self.shards = read_shards(self.context.store.root)

    @property
    def config_path(self) -> str:
        """File of the effective config, which jobs read."""
        return f"{self.root}/plan/config.json"

    def rows(self, wildcards: Any) -> list[str]:
        """Input function: the rows file of a shard. Rules call it ancient, for its time says too little."""
        self._publish()
        path = rows_path(Path(self.root), wildcards.shard)
        return [str(path)] if wildcards.shard not in self._stale or path.exists() else []

    def row_facts(self, name: str) -> Callable[..., str]:
        """Param function: digest of what a stage reads of its shard's rows, and of what these refer to."""

        def facts(wildcards: Any) -> str:
            found = stage(name)
            fields = ["genome_id", *found.row_fields, *([] if found.upstream else SOURCE_FIELDS)]
            columns = [ROW_FIELDS.index(field) for field in fields]
            read = list(map(itemgetter(*columns, 0), self._rows_of(wildcards.shard)))
            refers = {} if not found.upstream else self._referred(name, {cells[1:-1] for cells in read})
            text = "\n".join(map("\t".join, read))
            return hashlib.sha256(f"{text}\n{json.dumps(refers, sort_keys=True)}".encode()).hexdigest()[:16]

        # Snakemake asks for it three times a job: worked out anew each time it costs more than the facts.
        facts.__signature__ = inspect.signature(facts)  # type: ignore[attr-defined]
        return facts

    def _referred(self, name: str, rows: set[tuple[str, ...]]) -> dict[str, dict[str, str]]:
        """Digests of media, universes and the like that a stage's columns of the sheet name."""
        found = stage(name)
        answers = {}
        for cells in sorted(rows):
            row = dict(zip(found.row_fields, cells, strict=True))
            answers["\t".join(cells)] = self._once((name, *cells), partial(found.row_resources, self.context, row))
        return answers

    def _once(self, what: tuple[str, ...], ask: Callable[[], dict[str, str]]) -> dict[str, str]:
        """The answer of a stage, asked once; what cannot be told here, such as a program's version, is left out."""
        if what not in self._answers:
            try:
                self._answers[what] = ask()
            except (GemforestError, OSError, ValueError, LookupError):
                self._answers[what] = {}
        return self._answers[what]

    def ncbi(self, wildcards: Any) -> int:
        """Units of the resource `ncbi` that a shard's fetch takes: none where all its genomes lie on this machine."""
        return int(FROM_AFAR.search(self._rows_text(wildcards.shard)) is not None)

    def cores(self, name: str) -> int:
        """Cores of a stage's jobs, for a full shard of genomes of ordinary size."""
        return sizing.cores(self._cost(name), self._full_load)

    def memory_mb(self, name: str) -> Callable[..., int] | int:
        """Resource function: memory of a shard's job at a stage, more with each attempt."""
        cost = self._cost(name)

        def mem_mb(wildcards: Any, threads: int, attempt: int) -> int:
            return sizing.memory_mb(cost, self._load(wildcards.shard), threads, attempt)

        return self._for_full_shards(mem_mb, name) if self.dry_run else mem_mb

    def minutes(self, name: str) -> Callable[..., int] | int:
        """Resource function: time limit of a shard's job at a stage, longer with each attempt."""
        cost, limit = self._cost(name), self.config["limits"]["seconds"]

        def runtime(wildcards: Any, threads: int, attempt: int) -> int:
            return sizing.minutes(cost, self._load(wildcards.shard), threads, attempt, limit)

        return self._for_full_shards(runtime, name) if self.dry_run else runtime

    @property
    def gpus(self) -> int:
        """GPUs that a job of the embed stage asks for."""
        embed = self.config["embed"]
        return int(embed["enabled"] and embed["device"] == "cuda")

    def is_on(self, name: str) -> bool:
        """Whether a stage has jobs; one that is switched off is seen to by the next one's."""
        return stage(name).is_on(self.config)

    def ledgers(self, name: str) -> list[str]:
        """Ledgers that a stage's job takes as input, with the wildcard `shard`.

        The last one also waits for those that no later stage reads: it gathers what all have made.
        """
        aboard = passengers(name, self.config)
        before = dict.fromkeys(upstream for each in (*aboard, name) for upstream in stage(each).upstream)
        if name == STAGE_NAMES[-1]:
            read = {upstream for each in all_stages() for upstream in each.upstream}
            before |= dict.fromkeys(each for each in STAGE_NAMES if each not in read and each != name)
        return [self._ledger(each) for each in before if each not in aboard]

    def outputs(self, name: str) -> list[str]:
        """What a stage's job writes that Snakemake tracks, with the wildcard `shard`.

        That is its ledger, those of the stages before it that are switched off, and after the last stage the shard's
        part of the atlas: fewer and longer jobs suit a cluster, and Snakemake sees sooner what there is to do.
        """
        part = [self._atlas_part("{shard}")] if name == STAGE_NAMES[-1] else []
        return [*map(self._ledger, (name, *passengers(name, self.config))), *part]

    def command(self, name: str) -> str:
        """Shell command of a stage's job, with Snakemake's placeholders."""
        where = f"--shard {{wildcards.shard}} --config {quote(self.config_path)}"
        steps = [f"gemforest {each} {where}" for each in passengers(name, self.config)]
        steps.append(f"gemforest {name} {where} --cores {{threads}} --asked {{resources.mem_mb}}:{{resources.runtime}}")
        if name == STAGE_NAMES[-1]:
            steps.append(f"gemforest atlas {where}")
        return steps[0] + " 2> {log}" if len(steps) == 1 else f"({' && '.join(steps)}) 2> {{log}}"

    def settings(self, name: str) -> str:
        """A stage's version, parameters, resources and tools as text, so that Snakemake reruns on a change."""
        found = stage(name)
        # Weights of the hub are fetched by the job that needs them, never by looking what there is to do.
        encoder = str(self.config["embed"]["encoder"])
        here = name != "embed" or encoder.endswith(".pt") or encoder == "small"
        facts = {
            "version": found.version,
            **found.settings(self.config),
            "resources": self._once((name, "resources"), partial(found.resources, self.context)) if here else {},
            "tools": self._once((name, "tools"), partial(found.versions, self.context)),
        }
        return json.dumps(facts, sort_keys=True)

    def atlas_parts(self) -> list[str]:
        """The tracked part of the atlas of every shard."""
        return [self._atlas_part(shard) for shard in self.shards]

    def figures(self, ending: str) -> dict[str, str]:
        """File of each figure to its label, in the order of the report."""
        return {f"{self.root}/report/figures/{name}.{ending}": label for name, label in FIGURES.items()}

    def _ledger(self, name: str) -> str:
        return f"{self.root}/ledger/{name}/shard={{shard}}.parquet"

    def _atlas_part(self, shard: str) -> str:
        return f"{self.root}/atlas/ledger/shard={shard}.parquet"

    def _rows_of(self, shard: str) -> list[list[str]]:
        """Cells of a shard's rows; the last one is kept, for its stages ask one after another."""
        if self._last_rows[0] != shard:
            # Cells hold neither tabs nor line breaks, so a row need not be parsed to be told from another.
            rows = [line.split("\t") for line in self._rows_text(shard).splitlines()[1:]]
            self._last_rows = (shard, rows)
        return self._last_rows[1]

    def _rows_path(self, shard: str) -> Path:
        return rows_path(self.context.store.root, shard)

    def _rows_text(self, shard: str) -> str:
        """Text of a shard's rows file, from memory where it is to change; empty for a shard that has none."""
        path = self._rows_path(shard)
        text = self._new_plan.shards.get(shard, "") if self._new_plan else ""
        return text or (path.read_text(encoding="utf-8") if path.exists() else "")

    @property
    def _full_load(self) -> sizing.Load:
        size = self.config["shard_size"]
        return sizing.Load(size, size * sizing.MEAN_MEGARESIDUES)

    def _for_full_shards(self, resource: Callable[..., int], name: str) -> int:
        """One value for all shards: in a dry run, asking for each of 45,000 jobs would cost a tenth of the time."""
        self._loads[FULL_SHARD] = self._full_load
        return resource(_Wildcards(FULL_SHARD), self.cores(name), 1)

    def _load(self, shard: str) -> sizing.Load:
        if shard not in self._loads:
            self._loads[shard] = sizing.load_of(self._rows_text(shard))
        return self._loads[shard]

    def _cost(self, name: str) -> sizing.Cost:
        # Only where it is on has the encoder jobs of its own.
        return sizing.cost_of(sizing.EMBED_ON if name == "embed" else name)

    def _publish(self) -> None:
        """Write plan and config once, unless this is a dry run or a job's own process."""
        if self.dry_run or not self.workflow.is_main_process:
            return
        if self._new_plan:
            write_plan(self._new_plan, self.context)
            self._new_plan, self._stale = None, set()
        write_text(plan_folder(self.context.store.root) / "config.json", to_text(self.config))
