"""The default encoder's training: what is tested on is left out, and what is exported is fair-esm's ESM-2."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from projects import REPOSITORY

from gemforest.embed.checkpoint import Checkpoint, load
from gemforest.embed.forward import PackedEncoder

EXCLUSIONS = REPOSITORY / "resources" / "encoder" / "exclusions.json"
DESIGN = {"layers": 2, "width": 20, "heads": 5, "crop": 64}


@pytest.fixture(scope="module")
def training() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_encoder", REPOSITORY / "scripts" / "train_encoder.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["train_encoder"] = module
    spec.loader.exec_module(module)
    return module


def test_queries_go_by_accession_sequence_and_similarity_and_bigg_proteins_by_sequence(training: ModuleType) -> None:
    ids = ["P1;P2", "UniRef90_P3", "P4", "P5", "P6", "P7"]
    sequences = ["MA", "MC", "MQUERY", "MD", "MBIGG", "ME"]
    everything = training.Labelled(ids, sequences, [("1.1.1.1",)] * 6)
    queries = {"P2": "MX", "P3": "MY", "Q": "MQUERY"}
    kept = training.without_test_proteins(everything, queries, {3}, {"MBIGG"})
    assert kept.ids == ["P7"]


@pytest.mark.needs_shared_data
def test_no_care_query_was_trained_on(shared_data: Path) -> None:
    said = json.loads(EXCLUSIONS.read_text())
    left_out = set(said["left_out"])
    reviewed = pq.read_table(shared_data / "ec" / "gapseq_reviewed_ec.parquet", columns=["ids", "sequence"]).to_pylist()
    for name, expected in (("care_30_test.csv", 125), ("care_30-50_test.csv", 121)):
        with (shared_data / "ec" / name).open(newline="") as handle:
            rows = list(csv.DictReader(handle))
        accessions, sequences = {row["Entry"] for row in rows}, {row["Sequence"] for row in rows}
        there = [r["ids"] for r in reviewed if accessions & set(r["ids"].split(";")) or r["sequence"] in sequences]
        # The numbers of the data's own description.
        assert len(there) == pytest.approx(expected, abs=2)
        assert set(there) <= left_out


@pytest.mark.needs_shared_data
def test_what_was_trained_on_is_what_diamond_found_far_from_all_care_queries_but_two(
    training: ModuleType, shared_data: Path
) -> None:
    """The record is made by `scripts/check_encoder_exclusions.py` in minutes; here it is tied to the lists."""
    record = json.loads((EXCLUSIONS.parent / "exclusions_check.json").read_text())
    said = json.loads(EXCLUSIONS.read_text())
    assert record["exclusions_sha256"] == hashlib.sha256(EXCLUSIONS.read_bytes()).hexdigest()
    everything = training.labelled(shared_data)
    out = set(said["left_out"])
    kept = sorted(s for name, s in zip(everything.ids, everything.sequences, strict=True) if name not in out)
    digest = hashlib.sha256("\n".join(kept).encode()).hexdigest()
    assert digest == said["kept_sha256"] == record["kept_sha256"]
    assert not set(kept) & set(training.care_queries(shared_data).values())
    assert (record["kept"], record["queries"]) == (len(kept), 1201)
    # Masking hid three neighbours of two queries from the training's own search; no figure counts these queries.
    assert {query for query, _, _ in record["above_90_percent"]} == {"P09487", "Q83JY2"}
    assert {name for _, name, _ in record["above_90_percent"]} <= set(everything.ids) - out
    assert record["highest_identity"] <= training.IDENTITY_LIMIT + 1


def test_the_training_reads_no_bigg_reaction_label(training: ModuleType) -> None:
    text = Path(str(training.__file__)).read_text()
    assert "bigg_gprs" not in text
    assert "gene_annotations" not in text


def test_what_is_exported_is_read_by_fair_esm_and_computes_the_same(training: ModuleType, tmp_path: Path) -> None:
    torch.manual_seed(3)
    design = training.Design(**DESIGN)
    model = training.Encoder(design, 4)
    model.centre += torch.randn(design.width)
    training.export(model, design, tmp_path / "esm2_x.pt", {"steps": 0})
    packed = PackedEncoder.from_esm(
        load(Checkpoint("esm2_x", tmp_path / "esm2_x.pt", "")), torch.device("cpu"), torch.float32
    )
    batch = packed.pack([b"MKVLAAGIVGLCAKELLQRHNPQ"])
    with torch.no_grad():
        ours = model(batch.tokens[None])[0] - model.centre
    # Weights are stored in half precision: three digits remain.
    assert np.abs(packed.residues(batch).numpy() - ours.numpy()).max() < 0.02


def test_the_large_size_is_the_architecture_of_the_smallest_published_esm2(
    training: ModuleType, tmp_path: Path
) -> None:
    design = training.Design(layers=6, width=320, heads=20, crop=64)
    model = training.Encoder(design, 4)
    training.export(model, design, tmp_path / "esm2_large.pt", {"steps": 0})
    found = load(Checkpoint("esm2_large", tmp_path / "esm2_large.pt", ""))
    assert (found.num_layers, found.embed_dim, found.attention_heads) == (6, 320, 20)
    # Lin et al. 2023 call it 8 M.
    assert 7.0e6 < sum(value.numel() for value in found.parameters()) < 8.5e6


def test_the_solved_encoder_is_the_discriminant_of_pair_frequencies(training: ModuleType, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    design = training.Solved()
    directions, centre = rng.normal(size=(1600, 136)) * 20, rng.normal(size=136)
    training.save(tmp_path / "esm2_s.pt", training.written_down(directions, centre, design), design, {})
    packed = PackedEncoder.from_esm(
        load(Checkpoint("esm2_s", tmp_path / "esm2_s.pt", "")), torch.device("cpu"), torch.float32
    )
    texts = ["".join(rng.choice(list(training.LETTERS), length)) for length in (1, 2, 5, 60, 700, 1022)]
    found = packed.means(packed.pack([text.encode() for text in texts]))
    expected = training.pair_frequencies(texts, (1, 2, 3, 4)) @ directions - centre
    assert np.abs(found[:, :64]).max() == 0
    # Half-precision weights, soft indicators, and norms that see a little of the discriminant itself.
    assert np.abs(found[:, 64:] - expected)[3:].max() < 0.02 * expected[3:].std()
    assert np.abs(found[:, 64:] - expected).max() < 0.1 * expected.std()


def test_fishers_directions_part_the_classes_and_leave_unit_variance_within(training: ModuleType) -> None:
    rng = np.random.default_rng(2)
    classes = np.repeat(np.arange(3), 400)
    noise = rng.normal(size=(1200, 4)) * [1, 5, 1, 9]
    means = np.array([[0, 0, 0, 0], [6, 0, 0, 0], [0, 0, 4, 0]])
    directions = training.discriminant(noise + means[classes], classes, 2, 0.0)
    projected = (noise + means[classes]) @ directions
    within = np.concatenate([projected[classes == c] - projected[classes == c].mean(0) for c in range(3)])
    assert np.allclose(within.T @ within / len(within), np.eye(2), atol=1e-8)
    # Only the first and third features tell the classes apart.
    assert np.abs(directions[[1, 3]] * [[5], [9]]).max() < 0.25


@pytest.mark.parametrize("offset", [-3, 0, 2])
def test_a_head_can_be_made_to_look_at_an_offset(training: ModuleType, offset: int) -> None:
    layer = training.Layer(16)
    with torch.no_grad():
        for name in ("q_proj", "k_proj"):
            layer.self_attn[name].weight.zero_()
        training.look_at(layer, 0, offset, 16)
        angles = torch.outer(torch.arange(40).float(), training.rotary_frequencies(16))
        cos, sin = torch.cat((angles, angles), -1).cos(), torch.cat((angles, angles), -1).sin()
        query, key = (
            training.rotate(layer.self_attn[name].bias.expand(40, 16), cos, sin) for name in ("q_proj", "k_proj")
        )
        weights = torch.softmax(query @ key.T / 4, dim=1)
    assert (weights.argmax(1)[5:35] - torch.arange(5, 35)).tolist() == [offset] * 30
    assert weights[20].max() > 0.5


def test_crops_hold_two_of_a_class_and_two_of_a_protein(training: ModuleType) -> None:
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("ACDEFGHIKL"), 100)) for _ in range(12)]
    train = training.Labelled([str(n) for n in range(12)], texts, [(f"1.1.1.{n // 3}",) for n in range(12)])
    design = training.Design(**DESIGN, classes_a_step=3, proteins_a_step=2)
    batch = training.Crops(design, train, texts, rng).draw()
    assert batch.label.tolist()[6:] == [-1] * 4
    assert all(a == b for a, b in zip(batch.pair.tolist()[::2], batch.pair.tolist()[1::2], strict=True))
    masked = batch.seen == training.MASK
    assert 0.05 < masked.float().mean() < 0.25
    assert (batch.seen[~masked] == batch.tokens[~masked]).all()
