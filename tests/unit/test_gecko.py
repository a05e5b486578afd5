"""Enzyme-constrained models as GECKO's YAML, read back by cobrapy and by a YAML reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cobra
import pytest
from ruamel.yaml import YAML
from toy_networks import toy_network

from gemforest.gecko import gecko_yaml
from gemforest.kinetics.costs import enzyme_costs, find_enzymes, reaction_costs
from gemforest.kinetics.ecmodel import POOL, constrained_network


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """s → x ⇄ p; two isozymes for the first step, a complex for the second; 20 mg/gDW of protein."""
    network = toy_network(
        {
            "EX_s_e": ("s_e ->", -10, 0),
            "A": ("s_e -> x_c", 0, 1000),
            "B": ("x_c <-> p_c", -1000, 1000),
            "GROWTH": ("p_c ->", 0, 1000),
        },
        "GROWTH",
        {"A": "a or no", "B": "b and c:1"},
    )
    enzymes = find_enzymes(network, {"a": 36_000.0, "no": 72_000.0, "b": 18_000.0, "c:1": 18_000.0})
    costs = reaction_costs(enzymes, enzyme_costs(enzymes.mass, 0.0), len(network.reactions))
    rows = [
        {
            "reaction": network.reactions[j],
            "direction": "forward" if forward else "reverse",
            "genes": list(genes),
            "kcat_per_s": 1.0,
            "tier": "user",
            "source": 'my "own" assay: 5',
        }
        for j, forward, genes in zip(enzymes.reaction, enzymes.forward, enzymes.genes, strict=True)
    ]
    proteins = [{"gene_id": "a", "mass_g_per_mol": 36_000.0, "sequence": "MKA"}]
    path = tmp_path_factory.mktemp("gecko") / "g.yml"
    path.write_text(gecko_yaml("g", constrained_network(network, costs, 40.0), rows, proteins, {("B", "b"): 2.0}))
    return path


def test_cobrapy_reads_the_network_with_its_pool_and_growth(written: Path) -> None:
    model = cobra.io.load_yaml_model(str(written))
    # 40 mg/gDW over 10 mg h/mmol of either step
    assert model.slim_optimize() == pytest.approx(2.0)
    assert model.reactions.B_REV.metabolites[model.metabolites.get_by_id(POOL)] == pytest.approx(-10.0)
    assert {gene.id for gene in model.genes} >= {"a", "no", "b"}


def test_every_enzyme_is_listed_with_kcat_subunits_and_mass(written: Path) -> None:
    told: Any = YAML(typ="rt").load(written)
    assert told["metaData"]["geckoLight"] == "true"
    enzymes = {row["id"]: row for row in told["ec-rxns"]}
    assert set(enzymes) == {"001_A", "002_A", "001_B", "001_B_REV"}
    assert dict(enzymes["001_B_REV"]["enzymes"]) == {"b": 2, "c:1": 1}
    assert dict(enzymes["002_A"]["enzymes"]) == {"no": 1}
    assert enzymes["001_A"]["kcat"] == 1 and enzymes["001_A"]["notes"] == 'my "own" assay: 5'
    masses = {row["genes"]: row.get("mw") for row in told["ec-enzymes"]}
    assert masses == {"a": 36000, "b": None, "c:1": None, "no": None}
