"""What reruns when: jobs counted by dry runs of the real Snakemake, genomes told apart by their stage keys.

The state of a finished run is made by hand: ledgers in the order of time, and for triggers that Snakemake remembers
itself (parameters) `snakemake --touch`, which takes them down as a run does.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from projects import make_project

from gemforest.config import complete
from gemforest.dag import Dag
from gemforest.ledger import Outcome
from gemforest.plan import make_plan, read_shard, read_shards, write_plan
from gemforest.stage import Context, KeyMaker, Stage
from gemforest.stages import STAGE_NAMES, all_stages
from gemforest.store import Store

# The last shard has room for one more.
GENOMES, SHARD_SIZE, SHARDS = 5, 2, 3
ENCODER = {"embed": {"enabled": True, "encoder": "esm2_a.pt", "references": False}}
ENDS = {"atlas": 1, "report": 1, "figures": 1}


class Parsing:
    """Snakemake as it looks what there is to do."""

    is_main_process, output_settings = True, SimpleNamespace(dryrun=True)


def sheet(genomes: int, medium: str = "M9", folder: str = "") -> str:
    rows = (f"g{n}\t{folder}g{n}.faa\tgramneg\t{medium}\n" for n in range(genomes))
    return "genome_id\tsource\tuniverse\tmedium\n" + "".join(rows)


def snakemake(context: Context, *arguments: str, first_on_path: Path | None = None, lib: Path | None = None) -> str:
    paths = [first_on_path, Path(sys.executable).parent, *map(Path, os.environ["PATH"].split(os.pathsep))]
    libraries = [str(lib)] if lib else []
    libraries += filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    environment = os.environ | {
        "PATH": os.pathsep.join(str(path) for path in paths if path),
        "PYTHONPATH": os.pathsep.join([*libraries, *(path for path in sys.path if path.endswith("workflow/lib"))]),
    }
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    ended = subprocess.run(command, cwd=context.project, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def woken(context: Context, **where: Any) -> dict[str, int]:
    """Jobs by rule that a dry run would start; the rules that only gather targets are left out."""
    said = snakemake(context, "--dry-run", "--quiet", "rules", **where)
    counts = {rule: int(n) for rule, n in re.findall(r"^(\w+)\s+(\d+)$", said, flags=re.MULTILINE)}
    return {rule: n for rule, n in counts.items() if rule not in ("total", "default", "all")}


def from_stage_on(*first: str, shards: int = SHARDS) -> dict[str, int]:
    """Jobs of the stages that are named, of all that read what they write, of the last stage, and of the end."""
    reads = {stage.name: set(stage.upstream) for stage in all_stages()}
    found = {*first, STAGE_NAMES[-1]}
    for name in STAGE_NAMES:
        if reads[name] & found:
            found.add(name)
    return dict.fromkeys((name for name in STAGE_NAMES if name in found), shards) | ENDS


def finish_by_hand(context: Context) -> None:
    """The files that Snakemake tracks, in the order in which a run makes them."""
    write_plan(make_plan(context), context)
    (context.store.root / "plan" / "config.json").write_text("{}")
    moment = time.time() - 3600
    shards = read_shards(context.store.root)
    for shard in shards:
        os.utime(context.store.root / "plan" / "shards" / f"shard={shard}.tsv", (moment, moment))
    tracked = [context.store.ledger_path(name, shard) for name in STAGE_NAMES for shard in shards]
    tracked += [context.store.atlas_path("ledger", shard) for shard in shards]
    tracked += [context.store.root / "atlas" / "atlas.duckdb", context.store.root / "report" / "index.html"]
    forest = Dag(context.config, Parsing(), context.project)
    tracked += [context.project / path for kind in ("svg", "png") for path in forest.figures(kind)]
    for number, path in enumerate(tracked):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.parent.name)
        os.utime(path, (moment + 1 + number / 10,) * 2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A run that is through, as far as Snakemake knows."""
    folder = tmp_path_factory.mktemp("finished") / "project"
    folder.mkdir()
    for n in range(GENOMES):
        (folder / f"g{n}.faa").write_text(f">a\nMK{'L' * n}\n")
    (folder / "esm2_a.pt").write_bytes(b"weights")
    context = make_project(folder, sheet(GENOMES), shard_size=SHARD_SIZE, **ENCODER)
    finish_by_hand(context)
    snakemake(context, "--touch", "--forceall", "--quiet", "all")
    return context


@pytest.fixture
def state(finished: Context, tmp_path: Path) -> Callable[..., Context]:
    """A copy of the finished run with another sheet or config."""
    folder = tmp_path / "project"
    subprocess.run(["cp", "-a", str(finished.project), str(folder)], check=True)

    def change(rows: str = sheet(GENOMES), **config: Any) -> Context:
        return make_project(folder, rows, **{"shard_size": SHARD_SIZE} | ENCODER | config)

    return change


def keys(context: Context, stage: Stage, inputs: str = "k") -> dict[str, str]:
    """Stage key of every genome where all that it reads has this key."""
    maker = KeyMaker.for_stage(stage, context)
    given = dict.fromkeys(stage.upstream, (inputs, Outcome.OK))
    return {
        row["genome_id"]: maker.key(row, given)
        for shard in read_shards(context.store.root)
        for row in read_shard(context.store.root, shard)
    }


def stages_with_other_keys(before: Context, after: Context) -> set[str]:
    """Stages whose own keys change for any genome, what they read being the same."""
    return {stage.name for stage in all_stages() if keys(before, stage) != keys(after, stage)}


def plain(folder: Path, **config: Any) -> Context:
    """A planned project without an encoder, for keys."""
    context = make_project(folder, sheet(2), **config)
    write_plan(make_plan(context), context)
    return context


def test_a_finished_run_wakes_nobody(state: Callable[..., Context]) -> None:
    assert "Nothing to be done" in snakemake(state(), "--dry-run")


def test_ten_genomes_more_in_ten_thousand_are_one_new_job_per_stage(tmp_path: Path) -> None:
    context = make_project(tmp_path / "project", sheet(10_000))
    finish_by_hand(context)
    # What the last rules were given is all that Snakemake has to remember here: a new shard is a new input of theirs.
    snakemake(context, "--touch", "--forceall", "--quiet", "all", "--allowed-rules", *ENDS)
    context = make_project(tmp_path / "project", sheet(10_010))
    every = from_stage_on(*STAGE_NAMES, shards=1)
    # Without an encoder, which this project has not, the job of the evidence sees to that stage.
    assert every.pop("embed") == 1
    assert woken(context) == every


def test_genomes_that_fill_the_last_shard_wake_that_shard_and_no_key_of_those_in_it(
    state: Callable[..., Context],
) -> None:
    context = state()
    quick = [stage for stage in all_stages() if stage.name != "embed"]
    before = {stage.name: keys(context, stage) for stage in quick}
    context = state(sheet(GENOMES) + "new\tg0.faa\tgramneg\tM9\n")
    assert woken(context) == from_stage_on(*STAGE_NAMES, shards=1)
    write_plan(make_plan(context), context)
    for stage in quick:
        now = keys(context, stage)
        assert now.pop("new")
        assert now == before[stage.name]


@pytest.mark.parametrize("how", ["its composition", "the sheet", "the config"])
def test_another_gapfill_medium_wakes_gapfill_and_what_follows(state: Callable[..., Context], how: str) -> None:
    context = state()
    if how == "its composition":
        media = context.project / "config" / "media.tsv"
        media.write_text(re.sub(r"(?m)^(M9\t.*\n)", r"", media.read_text(), count=1))
    elif how == "the sheet":
        context = state(sheet(GENOMES, "LB"))
    else:
        context = state(gapfill={"min_growth_per_h": 0.07})
    assert woken(context) == from_stage_on("gapfill")


def test_a_medium_of_one_genome_wakes_its_shard_only(state: Callable[..., Context]) -> None:
    context = state(sheet(GENOMES).replace("g3\tg3.faa\tgramneg\tM9", "g3\tg3.faa\tgramneg\tLB"))
    assert woken(context) == from_stage_on("gapfill", shards=1)


def test_another_medium_changes_keys_from_gapfill_on_and_of_its_genomes_only(tmp_path: Path) -> None:
    before = plain(tmp_path / "a")
    after = make_project(tmp_path / "b", sheet(2).replace("g1\tg1.faa\tgramneg\tM9", "g1\tg1.faa\tgramneg\tLB"))
    write_plan(make_plan(after), after)
    changed = stages_with_other_keys(before, after)
    assert {"gapfill", "simulate"} <= changed <= set(from_stage_on("gapfill"))
    gapfill = next(stage for stage in all_stages() if stage.name == "gapfill")
    assert keys(before, gapfill)["g0"] == keys(after, gapfill)["g0"]
    assert keys(before, gapfill)["g1"] != keys(after, gapfill)["g1"]


def test_another_setting_of_the_evidence_wakes_evidence_and_what_follows(state: Callable[..., Context]) -> None:
    assert woken(state(evidence={"floor": 0.3})) == from_stage_on("evidence")


def test_another_setting_of_the_evidence_changes_its_keys_alone(tmp_path: Path) -> None:
    # What follows sees another key of the evidence as its input: nothing of its own has changed.
    assert stages_with_other_keys(plain(tmp_path / "a"), plain(tmp_path / "b", evidence={"floor": 0.3})) == {"evidence"}


def test_another_setting_of_the_encoder_wakes_embed_and_what_follows(state: Callable[..., Context]) -> None:
    encoder = {"embed": ENCODER["embed"] | {"compute": "bfloat16"}}
    assert woken(state(**encoder)) == from_stage_on("embed")


def test_other_weights_of_the_encoder_wake_embed_and_what_follows(state: Callable[..., Context]) -> None:
    context = state(embed=ENCODER["embed"] | {"encoder": "esm2_b.pt"})
    (context.project / "esm2_b.pt").write_bytes(b"other weights")
    assert woken(context) == from_stage_on("embed")


def test_weights_of_the_hub_are_not_fetched_by_a_dry_run(
    state: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = state(embed=ENCODER["embed"] | {"encoder": "esm2_t33_650M_UR50D"})
    monkeypatch.setattr("gemforest.embed.checkpoint._download", lambda *_: pytest.fail("asked the hub"))

    assert "esm2_t33_650M_UR50D" in Dag(context.config, Parsing(), context.project).settings("embed")


def test_an_edited_file_wakes_its_shard(state: Callable[..., Context]) -> None:
    context = state()
    (context.project / "g3.faa").write_text(">a\nMKV\n>b\nMKV\n")
    assert woken(context) == from_stage_on(*STAGE_NAMES, shards=1)


def test_an_edited_file_changes_the_key_of_its_genome_alone(state: Callable[..., Context]) -> None:
    context = state()
    fetch = all_stages()[0]
    before = keys(context, fetch)
    (context.project / "g3.faa").write_text(">a\nMKV\n>b\nMKV\n")
    write_plan(make_plan(context), context)
    after = keys(context, fetch)
    assert {genome for genome in before if before[genome] != after[genome]} == {"g3"}


def test_another_diamond_wakes_homology_and_what_follows(state: Callable[..., Context], tmp_path: Path) -> None:
    other = tmp_path / "bin" / "diamond"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\necho diamond version 9.9.9\n")
    other.chmod(0o755)
    assert woken(state(), first_on_path=other.parent) == from_stage_on("homology")


@pytest.mark.parametrize(("package", "first"), [("carveme", "evidence"), ("fair_esm", "embed")])
def test_another_version_of_a_package_wakes_what_depends_on_it(
    state: Callable[..., Context], tmp_path: Path, package: str, first: str
) -> None:
    declared = tmp_path / "lib" / f"{package}-9.9.9.dist-info" / "METADATA"
    declared.parent.mkdir(parents=True)
    declared.write_text(f"Metadata-Version: 2.1\nName: {package.replace('_', '-')}\nVersion: 9.9.9\n")
    assert woken(state(), lib=tmp_path / "lib") == from_stage_on(first)


def test_a_stage_that_gives_other_results_wakes_itself_and_what_follows(state: Callable[..., Context]) -> None:
    """A raised version is taken down as a parameter: put an earlier one into Snakemake's memory."""
    context = state()
    raised = 0
    for record in (context.project / ".snakemake" / "metadata").rglob("*"):
        if record.is_file():
            known = json.loads(record.read_text())
            if known.get("rule") == "draft":
                known["params"] = [text.replace('"version": ', '"version": 99') for text in known["params"]]
                record.write_text(json.dumps(known))
                raised += 1
    assert raised == SHARDS
    assert woken(context) == from_stage_on("draft")


def test_an_encoder_switched_off_and_on_wakes_who_writes_its_ledger(state: Callable[..., Context]) -> None:
    off = state(embed={"enabled": False})
    assert woken(off) == from_stage_on("evidence")
    snakemake(off, "--touch", "--forceall", "--quiet", "all")
    assert woken(off) == {}
    assert woken(state()) == from_stage_on("embed", "evidence")


def test_without_an_encoder_nothing_waits_for_one(tmp_path: Path) -> None:
    context = Context(tmp_path, complete({}), Store(tmp_path / "results"))
    embed = next(stage for stage in all_stages() if stage.name == "embed")
    assert embed.resources(context) == {}
