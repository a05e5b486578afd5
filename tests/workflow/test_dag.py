"""The DAG by real dry runs: both entries, config branches, and how many jobs a change wakes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gemforest.stage import Context
from gemforest.stages import STAGE_NAMES

ProjectMaker = Callable[..., Context]
SHEET = "genome_id\tsource\n" + "".join(f"g{i}\tg{i}.faa\n" for i in range(5))


def dry_run(context: Context, *arguments: str) -> dict[str, int]:
    """Jobs by rule of a dry run."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "2", *arguments]
    ended = subprocess.run(command, cwd=context.project, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    counts = re.findall(r"^(\w+)\s+(\d+)$", ended.stdout + ended.stderr, flags=re.MULTILINE)
    return {rule: int(count) for rule, count in counts if rule != "total"}


def test_both_entries_plan_the_same_jobs_and_a_dry_run_writes_nothing(project: ProjectMaker) -> None:
    context = project(SHEET, shard_size=2)
    root = dry_run(context)
    workflow = dry_run(context, "--snakefile", "workflow/Snakefile", "--directory", str(context.project))
    root.pop("default", None)
    workflow.pop("all", None)
    root.pop("all", None)
    assert root == workflow
    # The encoder is off: no job for that.
    on = [name for name in STAGE_NAMES if name != "embed"]
    assert root == dict.fromkeys(on, 3) | {"atlas": 1, "report": 1, "figures": 1}
    assert not context.store.root.exists()


def test_a_stage_has_jobs_only_where_it_is_switched_on(project: ProjectMaker) -> None:
    (encoder := project(SHEET).project / "small.pt").write_bytes(b"weights")
    on = dry_run(project(SHEET, shard_size=2, embed={"enabled": True, "encoder": str(encoder)}))
    assert (on["embed"], on["kinetics"], on["simulate"]) == (3, 3, 3)
    off = dry_run(project(SHEET, shard_size=2, kinetics={"enabled": False}))
    assert off["simulate"] == 3
    assert not {"embed", "kinetics"} & set(off)


@pytest.mark.parametrize(
    ("config", "shards"),
    [
        ({"shard_size": 1}, 5),
        ({"shard_size": 100}, 1),
        ({"shard_size": 2, "gapfill": {"enabled": False}}, 3),
        ({"shard_size": 3, "medium": "LB;M9"}, 2),
    ],
)
def test_dry_run_over_config_branches(project: ProjectMaker, config: dict[str, object], shards: int) -> None:
    assert dry_run(project(SHEET, **config))["draft"] == shards


def test_a_wrong_config_is_told_by_key_before_any_job(project: ProjectMaker) -> None:
    context = project(SHEET)
    (context.project / "config" / "config.yaml").write_text("shard_sise: 3\n")
    ended = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--cores", "2"],
        cwd=context.project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode != 0
    assert "did you mean 'shard_size'?" in ended.stdout + ended.stderr
