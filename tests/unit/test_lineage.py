"""The universe of a genome from its hits: votes, markers, and when the answer is «neither» or «not sure»."""

from __future__ import annotations

import pyarrow as pa
import pytest

from gemforest.carveme_files import carveme_data
from gemforest.errors import RefusedError
from gemforest.ledger import Reason
from gemforest.lineage import GROUPS, MODELS, LineageEvidence, _rows, decide, lineage_evidence, resource

SETS = ("lipopolysaccharide", "archaeal_lipids", "oxygenic")
EVIDENCE = LineageEvidence(
    {group: code for code, group in enumerate(GROUPS)},
    {
        **{f"gramneg.lpx{n}": (("lipopolysaccharide", f"lpx{n}"),) for n in range(9)},
        **{f"archaea.lip{n}": (("archaeal_lipids", f"lip{n}"),) for n in range(4)},
        **{f"cyanobacteria.psa{n}": (("oxygenic", f"psa{n}"),) for n in range(6)},
    },
    SETS,
)


def hits(votes: dict[str, int], markers: dict[str, int] | None = None) -> pa.Table:
    """`votes` genes with a best hit in each group and, a little weaker, one in the first group; marker genes beside."""
    rows = []
    for group, count in votes.items():
        for number in range(count):
            gene = f"{group}_{number}"
            rows.append((gene, f"{group}.gene{number}", 200.0))
            rows.append((gene, f"{GROUPS[0]}.other{number}", 190.0))
    for prefix, count in (markers or {}).items():
        for number in range(count):
            rows.append((f"marker_{prefix}{number}", f"{prefix}{number}", 300.0))
    genes, targets, bits = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "gene_id": pa.array(genes, pa.string()),
            "target": pa.array(targets, pa.string()),
            "bitscore": pa.array(bits, pa.float64()),
            "alignment_length": pa.array([100] * len(rows), pa.int32()),
            "target_length": pa.array([110] * len(rows), pa.int32()),
        }
    )


def test_lipid_a_genes_make_a_genome_gram_negative_whatever_its_neighbours_are():
    lineage = decide(hits({"gramneg": 300, "grampos": 300}, {"gramneg.lpx": 8}), 2000, EVIDENCE)
    assert lineage.universe == "gramneg" and not lineage.uncertain
    assert lineage.markers == {"lipopolysaccharide": 8, "archaeal_lipids": 0, "oxygenic": 0}
    assert lineage.score > 0.95


def test_without_lipid_a_genes_and_with_gram_positive_neighbours_it_is_gram_positive():
    lineage = decide(hits({"gramneg": 100, "grampos": 300}), 2000, EVIDENCE)
    assert (lineage.universe, lineage.uncertain) == ("grampos", False)
    assert lineage.votes["grampos"] == pytest.approx(0.75)


def test_markers_and_votes_that_disagree_leave_bacteria_flagged():
    lineage = decide(hits({"gramneg": 220, "grampos": 90}), 2000, EVIDENCE)
    assert (lineage.universe, lineage.uncertain) == ("bacteria", True)
    assert 0.5 <= lineage.score < 0.85


def test_archaea_and_cyanobacteria_need_votes_and_markers():
    archaeon = decide(hits({"archaea": 200, "gramneg": 250, "grampos": 250}, {"archaea.lip": 4}), 1700, EVIDENCE)
    assert archaeon.universe == "archaea"
    cyano = decide(
        hits({"cyanobacteria": 400, "gramneg": 250, "grampos": 50}, {"cyanobacteria.psa": 6, "gramneg.lpx": 4}),
        2700,
        EVIDENCE,
    )
    assert cyano.universe == "cyanobacteria"
    # Bacillus has homologues of two archaeal lipid genes and is no archaeon.
    bacillus = decide(hits({"gramneg": 200, "grampos": 600, "archaea": 20}, {"archaea.lip": 2}), 4100, EVIDENCE)
    assert bacillus.universe == "grampos"


@pytest.mark.parametrize(
    ("table", "proteins"),
    [
        (hits({"eukaryotes": 500, "gramneg": 200, "grampos": 100}), 6000),
        (hits({"gramneg": 12}), 150),
        (hits({"gramneg": 40}), 1200),
        (hits({}), 100),
    ],
    ids=["eukaryote", "phage", "giant virus", "no hit at all"],
)
def test_eukaryotes_and_viruses_are_refused(table, proteins):
    with pytest.raises(RefusedError) as refusal:
        decide(table, proteins, EVIDENCE)
    assert refusal.value.reason is Reason.OUTSIDE_UNIVERSES


def test_the_order_of_hits_and_genes_does_not_matter():
    table = hits({"gramneg": 100, "grampos": 120, "archaea": 5}, {"gramneg.lpx": 4})
    backwards = table.take(list(range(table.num_rows))[::-1])
    assert decide(table, 900, EVIDENCE) == decide(backwards, 900, EVIDENCE)


def test_weak_hits_do_not_vote():
    table = hits({"gramneg": 100, "grampos": 50})
    weak = table.set_column(2, "bitscore", pa.array([40.0] * table.num_rows))
    with pytest.raises(RefusedError):
        decide(weak, 900, EVIDENCE)


def test_every_organism_of_carvemes_database_has_a_group():
    with carveme_data("generated/bigg_proteins.faa").open() as handle:
        models = {line[1:].split(".", 1)[0] for line in handle if line.startswith(">")}
    assert models == set(lineage_evidence().group_of_model)
    assert {row["group"] for row in _rows(resource(MODELS))} == set(GROUPS)


def test_every_marker_family_has_a_protein_in_carvemes_database():
    evidence = lineage_evidence()
    families = {pair for pairs in evidence.families.values() for pair in pairs}
    counts = {name: sum(found == name for found, _ in families) for name in evidence.sets}
    assert counts == {"lipopolysaccharide": 9, "archaeal_lipids": 4, "oxygenic": 6}
