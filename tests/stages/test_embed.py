"""The embed stage: unique proteins once, over genomes, shards and runs; off by default; errors that say the mend."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
import torch
from esm2_weights import write_esm2

from gemforest import embed, fetch, genes
from gemforest.embed import engine
from gemforest.embed.checkpoint import Checkpoint
from gemforest.embeddings import EmbeddingStore
from gemforest.errors import InfrastructureError, InputError
from gemforest.ledger import Outcome, Reason, read_ledger
from gemforest.loop import run_shard
from gemforest.plan import make_plan, write_plan
from gemforest.sequences import seq_key
from gemforest.stage import Context

ProjectMaker = Callable[..., Context]
SHEET = "genome_id\tsource\nx\tx.faa\ny\ty.faa\n"
SHARED, ALONE, LONG = "MKVLAAGIVGLCAKELLQRHNPQ", "MSTNPKPQRKTKRNTNRRPQDVK", "MKVL" * 400


def prepared(project: ProjectMaker, **settings: object) -> Context:
    """Two genomes that share a protein, through fetch and genes; tiny weights in the project folder."""
    wanted = {"enabled": True, "encoder": "esm2_tiny.pt", "device": "cpu", "references": False, "store": "vectors"}
    context = project(SHEET, genes={"min_proteins": 1}, embed=wanted | settings)
    folder = context.project / "config"
    (folder / "x.faa").write_text(f">a\n{SHARED}\n>b\n{LONG}\n>c\n{SHARED}*\n")
    (folder / "y.faa").write_text(f">a\n{ALONE}\n>b\n{SHARED}\n")
    if not (context.project / "esm2_tiny.pt").exists():
        write_esm2(context.project / "esm2_tiny.pt")
    write_plan(make_plan(context), context)
    for stage in (fetch.STAGE, genes.STAGE):
        run_shard(stage, context, "0000", cores=1)
    return context


def parts(context: Context) -> list[Path]:
    return sorted((context.project / "vectors").glob("*/part-*.parquet"))


def test_every_gene_has_a_vector_and_each_protein_is_embedded_once(
    project: ProjectMaker, capfd: pytest.CaptureFixture[str]
) -> None:
    context = prepared(project)
    assert run_shard(embed.STAGE, context, "0000", cores=1) == {Outcome.OK: 2}
    rows = context.store.read("embeddings", "0000", "x")
    assert rows["gene_id"].to_pylist() == ["a", "b", "c"]
    keys = rows["seq_key"].to_pylist()
    assert keys[0] == keys[2] == seq_key(SHARED.encode())
    store = EmbeddingStore.open(context.project / "vectors" / rows["store"][0].as_py())
    found = store.read(keys)
    assert found.shape == (3, 32)
    assert np.isfinite(found).all()
    said = capfd.readouterr().err
    assert "embed: 3 proteins" in said
    assert "on cpu (float32" in said
    assert "tokens/s" in said


def test_the_shipped_encoder_needs_no_download(project: ProjectMaker) -> None:
    context = prepared(project, encoder="small")
    assert run_shard(embed.STAGE, context, "0000", cores=1) == {Outcome.OK: 2}
    rows = context.store.read("embeddings", "0000", "y")
    found = EmbeddingStore.open(context.project / "vectors" / rows["store"][0].as_py()).read(
        rows["seq_key"].to_pylist()
    )
    assert found.shape == (2, 200)
    assert np.linalg.norm(found[0] - found[1]) > 1


def test_a_later_run_embeds_only_what_is_new(project: ProjectMaker, capfd: pytest.CaptureFixture[str]) -> None:
    context = prepared(project)
    run_shard(embed.STAGE, context, "0000", cores=1)
    before = parts(context)
    (context.project / "config" / "y.faa").write_text(f">a\n{ALONE}\n>new\n{ALONE[::-1]}\n")
    for stage in (fetch.STAGE, genes.STAGE, embed.STAGE):
        run_shard(stage, context, "0000", cores=1)
    assert "embed: 1 proteins" in capfd.readouterr().err
    assert set(before) < set(parts(context))
    assert len(parts(context)) == len(before) + 1


def test_another_encoder_gets_a_folder_of_its_own(project: ProjectMaker) -> None:
    context = prepared(project)
    run_shard(embed.STAGE, context, "0000", cores=1)
    write_esm2(context.project / "esm2_second.pt", seed=9)
    context = prepared(project, encoder="esm2_second.pt")
    run_shard(embed.STAGE, context, "0000", cores=1)
    first, second = parts(context)
    assert first.parent != second.parent
    named = context.store.read("embeddings", "0000", "x")["store"][0].as_py()
    assert named.startswith("esm2_second-")
    assert named in (first.parent.name, second.parent.name)


def test_off_leaves_empty_tables_and_never_touches_torch(
    project: ProjectMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = prepared(project, enabled=False, encoder="no such thing")
    monkeypatch.setitem(sys.modules, "gemforest.embed.engine", None)
    assert run_shard(embed.STAGE, context, "0000", cores=1) == {Outcome.OK: 2}
    assert context.store.read("embeddings", "0000", "x").num_rows == 0
    assert not parts(context)


def test_a_gpu_that_is_missing_stops_the_job_and_is_booked_on_nobody(
    project: ProjectMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    context = prepared(project, device="cuda")
    with pytest.raises(InfrastructureError, match="torch sees no GPU"):
        run_shard(embed.STAGE, context, "0000", cores=1)
    assert not context.store.ledger_path("embed", "0000").exists()


def test_missing_and_random_weights_are_the_users_to_mend(project: ProjectMaker) -> None:
    with pytest.raises(InputError, match="does not exist"):
        run_shard(embed.STAGE, prepared(project, encoder="esm2_absent.pt"), "0000", cores=1)
    context = prepared(project, encoder="esm2_random.pt")
    write_esm2(context.project / "esm2_random.pt", random=True)
    with pytest.raises(InputError, match="random weights"):
        run_shard(embed.STAGE, context, "0000", cores=1)


def test_a_worker_that_dies_on_one_genome_costs_that_genome_alone(
    project: ProjectMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = engine.embed

    def dies(proteins: list[bytes], *rest: object) -> engine.Embedded:
        if ALONE.encode() in proteins:
            raise engine.OutOfProcess(str(BrokenProcessPool("killed")))
        return real(proteins, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "embed", dies)
    context = prepared(project)
    run_shard(embed.STAGE, context, "0000", cores=1)
    rows = {row.genome_id: row for row in read_ledger(context.store.ledger_path("embed", "0000"))}
    assert rows["x"].outcome is Outcome.OK
    assert (rows["y"].outcome, rows["y"].reason) == (Outcome.FAILED, Reason.ENCODER_CRASHED)


def test_nothing_to_embed_writes_nothing(project: ProjectMaker) -> None:
    context = prepared(project)
    assert embed.fill(_store(context), {}, *_encoder(context)) == 0
    assert not parts(context)


def test_a_shard_without_a_protein_writes_nothing_and_says_why(project: ProjectMaker) -> None:
    context = prepared(project)
    for name in ("x", "y"):
        (context.project / "config" / f"{name}.faa").write_text("")
    for stage in (fetch.STAGE, genes.STAGE):
        run_shard(stage, context, "0000", cores=1)
    assert run_shard(embed.STAGE, context, "0000", cores=1) == {Outcome.SKIPPED_UPSTREAM: 2}
    assert not parts(context)


def _encoder(context: Context) -> tuple[Checkpoint, engine.Place]:
    found = embed._checkpoint(context)
    return found, engine.Place("cpu", "float32", 1)


def _store(context: Context) -> EmbeddingStore:
    return EmbeddingStore(embed.store_root(context), embed.identity(*_encoder(context)))


def test_carvemes_database_has_a_key_for_each_different_protein() -> None:
    references = embed.reference_proteins()
    assert 20_000 < len(references) <= 26_727
    assert all(len(key) == 32 for key in references)
