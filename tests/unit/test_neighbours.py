"""Source N: the nearest of BiGG's proteins by vectors, what they say, and what happens where there are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gemforest.config import complete
from gemforest.embeddings import EmbeddingStore, Identity, Vectors
from gemforest.errors import InfrastructureError
from gemforest.evidence import encoder, neighbours
from gemforest.evidence.dark import LEAST_COSINE, MOST, DarkCalls, dark_table, propose
from gemforest.evidence.homologs import PRIORS, Reference, load_reference
from gemforest.evidence.neighbours import (
    VOTE_WIDTH,
    Neighbours,
    database_index,
    make_index,
    nearest,
    neighbour_support,
    proposals,
)
from gemforest.sequences import seq_key
from gemforest.stage import Context
from gemforest.store import Store
from gemforest.tables import TABLES

IDENTITY = Identity("toy", "0" * 64, 2, 3, "mean", "none", "float32", "cpu", 1)


@pytest.fixture(scope="module")
def reference() -> Reference:
    """Four proteins: a does X, b does X and Y, c does Y, d does Z."""
    rows = [("m.a", "X"), ("m.b", "X"), ("m.b", "Y"), ("m.c", "Y"), ("m.d", "Z")]
    gprs = pa.table(
        {
            "gene": [f"G_{gene[2:]}" for gene, _ in rows],
            "protein": [f"P_{gene[2:]}" for gene, _ in rows],
            "reaction": [f"R_{reaction}" for _, reaction in rows],
            "model": ["m"] * len(rows),
        }
    )
    return load_reference(gprs, {"m": "clade"}, {"m": "kin"})


@pytest.mark.parametrize("n", [80, 1111], ids=["few", "many, by blocks"])
def test_the_nearest_are_those_of_a_plain_search_and_hidden_ones_never_come(n: int) -> None:
    rng = np.random.default_rng(5)
    vectors, asked = rng.normal(size=(n, 12)).astype(np.float32), rng.normal(size=(700, 12)).astype(np.float32)
    hidden = rng.random(n) < 0.3
    found = nearest(make_index(vectors, np.arange(n)), asked, hidden, k=7)
    centred, moved = vectors - vectors.mean(0), asked - vectors.mean(0)
    cosine = (moved @ centred.T) / np.linalg.norm(moved, axis=1)[:, None] / np.linalg.norm(centred, axis=1)
    cosine[:, hidden] = -np.inf
    expected = np.argsort(-cosine, axis=1)[:, :7]
    assert (found.target == expected).mean() > 0.999
    np.testing.assert_allclose(found.cosine, np.take_along_axis(cosine, found.target, axis=1), atol=1e-5)


def test_fewer_proteins_than_neighbours_are_all_of_them() -> None:
    vectors = np.eye(3, dtype=np.float32)
    assert nearest(make_index(vectors, np.arange(3)), vectors).target.shape == (3, 3)


def test_cosine_margin_and_vote_of_each_proposal(reference: Reference) -> None:
    # One gene; its neighbours are b (X, Y), then a (X), then d (Z).
    near = Neighbours(np.array([[1, 0, 3]]), np.array([[0.9, 0.8, 0.6]], dtype=np.float32))
    pairs, said = proposals(near, reference)
    assert reference.reactions[pairs].tolist() == ["X", "Y", "Z"]
    np.testing.assert_allclose(said.cosine, [0.9, 0.9, 0.6], atol=1e-6)
    # The nearest that does not do X is d, that does not do Y is a, that does not do Z is b.
    np.testing.assert_allclose(said.margin, [0.9 - 0.6, 0.9 - 0.8, 0.6 - 0.9], atol=1e-6)
    weight = np.exp(np.array([0.0, -0.1, -0.3]) / VOTE_WIDTH)
    np.testing.assert_allclose(
        said.vote, np.array([weight[0] + weight[1], weight[0], weight[2]]) / weight.sum(), rtol=1e-5
    )
    assert reference.genes[said.target].tolist() == ["m.b", "m.b", "m.d"]


def test_a_reaction_that_no_neighbour_does_is_not_named(reference: Reference) -> None:
    near = Neighbours(np.array([[0, 1], [3, 2]]), np.array([[0.9, 0.8], [0.7, 0.5]], dtype=np.float32))
    names = reference.reactions.tolist()
    query, reaction = np.array([0, 0, 1, 1]), np.array([names.index("X"), names.index("Z"), names.index("Z"), 99])
    said = neighbour_support(query, reaction, near, reference)
    assert said.named.tolist() == [True, False, True, False]
    np.testing.assert_allclose(said.cosine, [0.9, 0.9, 0.7, 0.7], atol=1e-6)
    assert said.vote[[1, 3]].tolist() == [0.0, 0.0]


def stored(folder: Path, names: dict[str, np.ndarray]) -> EmbeddingStore:
    store = EmbeddingStore(folder, IDENTITY)
    keys = [seq_key(sequence.encode()) for sequence in names]
    vectors = np.stack(list(names.values())).astype(np.float16)
    n = len(keys)
    store.write(Vectors(keys, vectors, np.full(n, 5), np.ones(n), np.linalg.norm(vectors, axis=1)))
    return store


SEQUENCES = {"m.a": "MAAAA", "m.b": "MCCCC", "m.c": "MDDDD", "m.d": "MEEEE", "m.unknown": "MFFFF"}


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    fasta = tmp_path / "bigg_proteins.faa"
    fasta.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in SEQUENCES.items()))
    monkeypatch.setattr(neighbours, "carveme_data", lambda _name: fasta)
    return tmp_path


def test_the_index_is_made_once_and_mapped_afterwards(
    database: Path, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stored(database / "vectors", {s: np.arange(3) + i**2 for i, s in enumerate(SEQUENCES.values())})
    first = database_index(store, database / "cache", reference)
    monkeypatch.setattr(EmbeddingStore, "read", lambda *_: pytest.fail("the vectors were read again"))
    second = database_index(store, database / "cache", reference)
    assert isinstance(second.directions, np.memmap)
    assert reference.genes[second.genes].tolist() == ["m.a", "m.b", "m.c", "m.d"]
    np.testing.assert_array_equal(first.directions, second.directions)
    np.testing.assert_allclose(second.centre, np.arange(3) + np.mean([0, 1, 4, 9]), atol=1e-2)


def test_a_store_without_biggs_proteins_is_told(database: Path, reference: Reference) -> None:
    with pytest.raises(InfrastructureError, match="lacks 4 of 4"):
        database_index(stored(database / "vectors", {"MKKKK": np.ones(3)}), database / "cache", reference)


def embedded(store: EmbeddingStore, sequences: list[str]) -> pa.Table:
    rows = [
        {"genome_id": "g", "gene_id": f"g{i}", "seq_key": seq_key(s.encode()), "store": store.folder.name}
        for i, s in enumerate(sequences)
    ]
    return pa.Table.from_pylist(rows, schema=TABLES["embeddings"].schema)


def context(folder: Path, **embed: object) -> Context:
    config = complete({"evidence": {"sources": ["D", "N"]}, "embed": {"store": "vectors"} | embed})
    return Context(folder, config, Store(folder / "results"))


@pytest.mark.parametrize(
    ("embed", "vectors", "told"),
    [
        ({}, 0, "set `embed.enabled: true`"),
        ({}, 1, "1 of 2 proteins have a vector"),
        ({"references": False}, 2, "set `embed.references: true`"),
        ({}, 2, "fitted with another encoder than toy"),
    ],
    ids=["not embedded", "some embedded", "no references", "other weights"],
)
def test_without_vectors_the_source_is_neutral_and_says_why(
    database: Path, embed: dict[str, object], vectors: int, told: str
) -> None:
    store = stored(database / "vectors", {s: np.ones(3) for s in SEQUENCES.values()})
    table = embedded(store, list(SEQUENCES.values())[:vectors])
    near, said = encoder.hear_encoder(context(database, **embed), table, 2)
    assert near is None
    assert said is not None
    assert told in said.note
    assert said.claims == ()


def test_the_genome_meets_the_database(database: Path, reference: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "bigg_reference", lambda: reference)
    monkeypatch.setattr(encoder, "fitted_encoder", lambda: IDENTITY.checkpoint)
    rng = np.random.default_rng(2)
    store = stored(database / "vectors", {s: rng.normal(size=3) for s in SEQUENCES.values()})
    near, said = encoder.hear_encoder(context(database), embedded(store, ["MCCCC", "MEEEE"]), 2)
    assert near is not None
    assert reference.genes[near.target[:, 0]].tolist() == ["m.b", "m.d"]
    np.testing.assert_allclose(near.cosine[:, 0], 1.0, atol=1e-3)
    assert said is not None
    assert said.note.startswith("4 of BiGG's proteins")


def test_nobody_asks_and_nothing_is_read(tmp_path: Path) -> None:
    config = complete({})
    asked = Context(tmp_path, config, Store(tmp_path))
    assert encoder.hear_encoder(asked, TABLES["embeddings"].empty(), 5) == (None, None)


def dark_of(reference: Reference, dark: list[bool], cosine: float = 0.9) -> DarkCalls:
    near = Neighbours(np.array([[0, 1, 2, 3]] * len(dark)), np.tile(np.float32(cosine), (len(dark), 4)))
    return propose(near, np.array(dark), np.full((3, len(PRIORS)), 0.5), reference)


def test_only_proteins_that_nothing_else_knows_and_near_ones_get_proposals(reference: Reference) -> None:
    found = dark_of(reference, [True, False, True])
    assert set(found.query.tolist()) == {0, 2}
    assert np.bincount(found.query).max() <= MOST
    assert len(dark_of(reference, [True], LEAST_COSINE - 0.01).query) == 0


def test_the_table_names_neighbour_distance_and_numbers(reference: Reference) -> None:
    found = dark_of(reference, [False, True])
    table = dark_table("g", found, pa.array(["one", "two"]), {"X": ("1.1.1.1",)}, reference)
    assert table.schema.equals(TABLES["dark_enzymes"].schema)
    rows = {row["reaction"]: row for row in table.to_pylist()}
    assert rows["X"]["ec"] == ["1.1.1.1"]
    assert {row["gene_id"] for row in rows.values()} == {"two"}
    assert rows["X"]["distance"] == pytest.approx(0.1, abs=1e-6)
    assert all(0 < row["probability"] < 1 for row in rows.values())
