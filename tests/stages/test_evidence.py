"""Evidence equals CarveMe's scoring on the same hits, for a whole genome and a whole universe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from projects import CACHE, REPOSITORY
from test_golden import GENOME, FedTask, given_tables

from gemforest import evidence as evidence_stage
from gemforest.carveme_files import carveme_data
from gemforest.config import complete
from gemforest.evidence import rules_of
from gemforest.evidence.encoder import say_once
from gemforest.evidence.scores import score_reactions
from gemforest.sequences import fasta_genes, tabulate
from gemforest.stage import Context
from gemforest.store import Store
from gemforest.tables import TABLES
from gemforest.universe import shared_enzyme_table


def test_equal_to_carveme_on_a_genome_up_to_tied_hits() -> None:
    from carveme.reconstruction.diamond import load_diamond_results
    from carveme.reconstruction.scoring import reaction_scoring

    hits = load_diamond_results(str(carveme_data("benchmark/fasta/Bsubtilis_168.tsv")))
    gprs = pd.read_csv(carveme_data("generated/bigg_gprs.csv.gz"))
    rules = rules_of("grampos", CACHE)
    expected, _ = reaction_scoring(hits, gprs[gprs.reaction.str[2:].isin(rules.reactions)].copy())
    found = score_reactions(
        rules, hits.query_gene.to_numpy(object), hits.BiGG_gene.to_numpy(str), hits.score.to_numpy(float)
    )
    assert len(found) > 1000
    assert [(s.reaction, s.score, s.normalized_score) for s in found] == [
        (row.reaction[2:], row.score, row.normalized_score) for row in expected.itertuples(index=False)
    ]
    # CarveMe leaves it to an unstable sort which of two genes with the same score stands for a database gene.
    ties = hits.sort_values("score").duplicated(["BiGG_gene", "score"], keep=False)
    tied_genes = set(hits.sort_values("score").loc[ties, "query_gene"])
    for ours, theirs in zip(found, expected.GPR, strict=True):
        if ours.gpr != theirs:
            words = {word.strip("()") for word in f"{ours.gpr} {theirs}".split()} - {"and", "or"}
            assert words & tied_genes


def test_the_order_of_hits_does_not_matter_but_for_ties() -> None:
    rules = rules_of("grampos", CACHE)
    targets = rules.genes[::50]
    hits = (np.array([f"q{i}" for i in range(len(targets))], dtype=object), targets, np.arange(len(targets)) + 50.5)
    shuffled = np.random.default_rng(3).permutation(len(targets))
    assert score_reactions(rules, *hits) == score_reactions(rules, *(column[shuffled] for column in hits))


@pytest.fixture(scope="module")
def tables() -> dict[str, pa.Table]:
    given = given_tables()
    proteins = tabulate(fasta_genes(Path(given["genomes"]["file"][0].as_py()).read_bytes()))
    missing = {f.name: pa.nulls(proteins.num_rows, f.type) for f in TABLES["proteins"].schema}
    columns = missing | {name: proteins[name] for name in proteins.column_names}
    return given | {"proteins": pa.table(columns).cast(TABLES["proteins"].schema)}


def scores(tables: dict[str, pa.Table], **evidence: object) -> dict[str, dict]:
    return {row["reaction"]: row for row in made(tables, **evidence)["reaction_scores"].to_pylist()}


def made(tables: dict[str, pa.Table], **evidence: object) -> dict[str, pa.Table]:
    config = complete({"evidence": evidence})
    context = Context(REPOSITORY, config, Store(REPOSITORY / "results"))
    row = {"genome_id": GENOME, "universe": "gramneg", "tags": "{}"}
    stage = evidence_stage.STAGE
    assert stage.process
    return stage.process(FedTask(GENOME, "0000", row, stage.settings(config), context, "", "", tables)).tables


@pytest.mark.parametrize(
    "evidence",
    [
        {"sources": ["D"]},
        {"sources": ["D"], "scores": "probability"},
        {"scores": "carveme"},
    ],
    ids=["D alone", "D alone, whatever the scores are to be", "all sources, CarveMe's scores"],
)
def test_carvemes_scores_stay_what_they_are(tables: dict[str, pa.Table], evidence: dict) -> None:
    hits = tables["hits"]
    expected = score_reactions(
        rules_of("gramneg", CACHE),
        hits["gene_id"].to_numpy(zero_copy_only=False),
        np.array(hits["target"].to_pylist(), dtype=str),
        hits["bitscore"].to_numpy(),
    )
    found = scores(tables, **evidence)
    kept = {
        reaction: (row["score"], row["normalized_score"], row["gpr"])
        for reaction, row in found.items()
        if row["score"] is not None
    }
    # Beside them: reactions of no universe, for the sake of those that the same enzymes do.
    beside = {reaction: kept.pop(reaction) for reaction in sorted(kept.keys() - {one.reaction for one in expected})}
    assert set(beside) <= {source for row in shared_enzyme_table() for source in row.sources}
    assert kept == {one.reaction: (one.score, one.normalized_score, one.gpr) for one in expected}


def test_every_gene_has_one_probability_of_doing_none_of_what_is_proposed(tables: dict[str, pa.Table]) -> None:
    none: dict[str, set[float]] = {}
    best: dict[str, float] = {}
    for row in made(tables)["gene_reactions"].to_pylist():
        none.setdefault(row["gene_id"], set()).add(row["none_of_these"])
        best[row["gene_id"]] = max(best.get(row["gene_id"], 0.0), row["probability"])
    assert {len(values) for values in none.values()} == {1}
    sure = [min(none[gene]) for gene, p in best.items() if p > 0.9]
    unsure = [min(none[gene]) for gene, p in best.items() if p < 0.1]
    assert max(sure) < 0.5 < np.median(unsure)


def test_scores_made_of_probabilities_fill_or_replace_carvemes(tables: dict[str, pa.Table]) -> None:
    own, filled, replaced = (scores(tables, scores=way) for way in ("carveme", "fill", "probability"))
    missing = [r for r, row in own.items() if row["score"] is None]
    assert missing
    assert all(filled[r]["normalized_score"] is not None and filled[r]["gpr"] for r in missing)
    with_score = [r for r, row in own.items() if row["score"] is not None]
    assert all(filled[r] == own[r] for r in with_score)
    changed = [r for r in with_score if replaced[r]["normalized_score"] != own[r]["normalized_score"]]
    assert len(changed) > len(with_score) / 2
    order = sorted((row["probability"], row["normalized_score"]) for r, row in replaced.items() if r in changed)
    assert [score for _, score in order] == sorted(score for _, score in order), "the likelier, the higher"


def test_an_encoder_that_is_asked_and_not_there_changes_nothing_and_is_told(
    tables: dict[str, pa.Table], caplog: pytest.LogCaptureFixture
) -> None:
    say_once.cache_clear()
    without = made(tables, sources=["D", "E"])
    nothing = {"embeddings": TABLES["embeddings"].empty()}
    asked = made(tables | nothing, sources=["D", "E", "N"], dark="use")
    for name in ("gene_reactions", "reaction_scores"):
        assert asked[name].equals(without[name])
    assert asked["dark_enzymes"].equals(TABLES["dark_enzymes"].empty())
    said = {row["source"]: row["note"] for row in asked["evidence_sources"].to_pylist()}
    assert "embed.enabled" in said["N"]
    assert "embed.enabled" in caplog.text
    assert "N" not in {row["source"] for row in without["evidence_sources"].to_pylist()}
