"""What the Snakefile asks: which shards there are, what a rule's job depends on, where the effective config lies.

Parsing reads `plan.json` and the sheet; where the plan is stale the main process alone plans again. The new plan is
written when Snakemake first asks for a job's input, and not at all in a dry run: there the plan stays in memory, and
a shard whose rows would change has no rows file yet.
"""

from __future__ import annotations

import gc
import json
import re
from pathlib import Path
from typing import Any, Protocol

from gemforest.config import Config, complete, to_text
from gemforest.plan import Plan, is_current, make_plan, plan_folder, read_shards, rows_path, write_plan
from gemforest.stage import Context
from gemforest.stages import STAGE_NAMES, stage
from gemforest.store import Store, write_text

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


class Workflow(Protocol):
    """The part of Snakemake's workflow object that is used here."""

    is_main_process: bool
    dryrun: bool


class Dag:
    """Answers for the rules; one instance per Snakemake process."""

    def __init__(self, raw_config: dict[str, Any], workflow: Workflow, project: Path | None = None) -> None:
        self.config: Config = complete(raw_config)
        self.workflow = workflow
        project = project or Path.cwd()
        self.context = Context(project, self.config, Store(project / self.config["results"]))
        self.root = self.config["results"]
        self._new_plan: Plan | None = None
        self._stale: set[str] = set()
        if workflow.is_main_process:
            # A DAG of thousands of jobs is all long-lived objects: looking through them again and again for garbage
            # takes a tenth of the time.
            gc.set_threshold(200_000, 20, 100)
            plan = make_plan(self.context)
            if not is_current(plan, self.context.store.root):
                self._new_plan = plan
                self._stale = {s for s, text in plan.shards.items() if not _holds(self._rows_path(s), text)}
            self.shards = list(plan.shards)
        else:
            self.shards = read_shards(self.context.store.root)

    @property
    def config_path(self) -> str:
        """File of the effective config, which jobs read."""
        return f"{self.root}/plan/config.json"

    def rows(self, wildcards: Any) -> list[str]:
        """Input function: the rows file of a shard."""
        self._publish()
        if wildcards.shard in self._stale:
            return []
        return [str(rows_path(Path(self.root), wildcards.shard))]

    def ncbi(self, wildcards: Any) -> int:
        """Units of the resource `ncbi` that a shard's fetch takes: none where all its genomes lie on this machine."""
        path = self._rows_path(wildcards.shard)
        text = self._new_plan.shards.get(wildcards.shard, "") if self._new_plan else ""
        if not text and path.exists():
            text = path.read_text(encoding="utf-8")
        return int(FROM_AFAR.search(text) is not None)

    @property
    def gpus(self) -> int:
        """GPUs that a job of the embed stage asks for."""
        embed = self.config["embed"]
        return int(embed["enabled"] and embed["device"] == "cuda")

    def ledgers(self, name: str) -> list[str]:
        """Ledgers that a stage's rule takes as input, with the wildcard `shard`."""
        return [f"{self.root}/ledger/{before}/shard={{shard}}.parquet" for before in stage(name).upstream]

    def last_ledgers(self) -> list[str]:
        """Ledgers of all stages, with the wildcard `shard`: what the atlas gathers."""
        return [f"{self.root}/ledger/{name}/shard={{shard}}.parquet" for name in STAGE_NAMES]

    def settings(self, name: str) -> str:
        """A stage's parameters and version as text, so that Snakemake reruns on a change."""
        found = stage(name)
        return json.dumps({"version": found.version, **found.settings(self.config)}, sort_keys=True)

    def atlas_parts(self) -> list[str]:
        """The tracked part of the atlas of every shard."""
        return [f"{self.root}/atlas/ledger/shard={shard}.parquet" for shard in self.shards]

    def figures(self, ending: str) -> dict[str, str]:
        """File of each figure to its label, in the order of the report."""
        return {f"{self.root}/report/figures/{name}.{ending}": label for name, label in FIGURES.items()}

    def _rows_path(self, shard: str) -> Path:
        return rows_path(self.context.store.root, shard)

    def _publish(self) -> None:
        """Write plan and config once, unless this is a dry run or a job's own process."""
        if self.workflow.dryrun or not self.workflow.is_main_process:
            return
        if self._new_plan:
            write_plan(self._new_plan, self.context)
            self._new_plan, self._stale = None, set()
        write_text(plan_folder(self.context.store.root) / "config.json", to_text(self.config))


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text
