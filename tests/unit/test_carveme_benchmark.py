"""CarveMe's benchmark as data: labels and counts that its paper and its package state."""

from __future__ import annotations

import csv

import pytest

from gemforest.carveme_files import carveme_data
from gemforest.evaluation.carveme_benchmark import (
    ELEMENT_OF,
    ORGANISMS,
    REPLACED,
    benchmark_media,
    compared,
    measured_essential,
    plates,
)


def test_the_plates_have_as_many_labels_as_carveme_reports_on() -> None:
    counts = {o.short: sum(len(plates(o, e)) for e in o.biolog[1]) for o in ORGANISMS if o.biolog}
    with carveme_data("benchmark/results/biolog.tsv").open(encoding="utf-8") as handle:
        rows = [row["org"] for row in csv.DictReader(handle, delimiter="\t")]
    assert counts == {short: rows.count(short) for short in counts}
    assert sum(counts.values()) == len(rows) == 808


def test_every_medium_is_there_and_loses_what_is_tried() -> None:
    media = benchmark_media()
    for organism in ORGANISMS:
        assert set(organism.media) <= set(media)
        for element in organism.biolog[1] if organism.biolog else "":
            assert REPLACED[element] & media[organism.biolog[0]], (organism.short, element)  # type: ignore[index]
    assert set(ELEMENT_OF) == set(REPLACED)


def test_essential_genes_are_read_as_said() -> None:
    mgen = measured_essential(ORGANISMS[0])
    assert mgen
    assert set(mgen.values()) <= {True, False}


def test_two_models_are_compared_on_the_union_of_their_labels() -> None:
    ours = {"a": (True, True), "b": (False, False), "c": (True, True)}
    peer = {"a": (True, False), "b": (False, True), "d": (False, False)}
    found = compared(ours, peer, draws=50)
    # of a, b, c, d ours are all right; the peer is right on d only, and c, which it lacks, counts as computed false
    assert (found["n"], found["value"], found["peer_value"]) == (4, 1.0, pytest.approx(-0.577, abs=1e-3))
    assert found["n_own"] == [3, 3]
    assert found["on_own_labels"] == [1.0, pytest.approx(-0.5)]
