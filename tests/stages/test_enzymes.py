"""EC numbers from the nearest reviewed enzymes, with DIAMOND itself; what is excluded does not answer."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from gemforest.evidence.enzymes import predict_ecs
from gemforest.homology import diamond
from gemforest.reviewed import ec_resource, enzymes


def test_an_enzyme_answers_for_itself_and_not_once_it_is_excluded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # DIAMOND's most sensitive modes cost seconds for each thousand proteins: a part of the set tells as much.
    some = list(islice(enzymes(), 300))
    monkeypatch.setattr("gemforest.evidence.enzymes.enzymes", lambda: iter(some))
    name, _, sequence = next(entry for entry in some if len(entry[2]) > 300)
    fasta = tmp_path / "query.faa"
    fasta.write_text(f">q1 some words\n{sequence}\n>none\nMWWWWCWWWWCWWWWCHHHHWCMWWC\n")
    own = predict_ecs(fasta, diamond(), tmp_path)
    assert {one.query for one in own} == {"q1"}
    assert {one.enzyme for one in own} == {name}
    assert own[0].identity_percent == 100.0
    for excluded in (name, sequence):
        assert name not in {one.enzyme for one in predict_ecs(fasta, diamond(), tmp_path, [excluded])}


def test_the_shipped_set_is_small_enough_and_names_each_sequence_once() -> None:
    assert ec_resource("reviewed.faa.gz").stat().st_size < 10_000_000
    seen = [(name, ecs) for name, ecs, _ in enzymes()]
    assert len(set(seen)) == len(seen) > 10_000
