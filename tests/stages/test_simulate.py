import csv
import logging
from dataclasses import replace
from importlib import util
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import cobra
import numpy as np
import pyarrow as pa
import pytest
from cobra.flux_analysis import single_gene_deletion

from gemforest.config import complete
from gemforest.fluxes import fba, growth, medium_bounds, with_bounds
from gemforest.gprs import genes_of, parse_gpr
from gemforest.lp import Status
from gemforest.models import Network, read_sbml
from gemforest.simulate import STAGE, _scores, process
from gemforest.simulate.knockouts import gene_losses, gene_pairs, knock_out, reaction_losses
from gemforest.simulate.quality import quality
from gemforest.simulate.screens import Screener, read_compounds
from gemforest.stage import Context, Task
from gemforest.store import Store, write_parquet
from gemforest.tables import TABLES
from gemforest.universe import load_universe

logging.getLogger("cobra").setLevel(logging.CRITICAL)
PROJECT = Path(__file__).resolve().parents[2]


def package_file(package: str, *parts: str) -> Path:
    return Path(util.find_spec(package).origin).parent.joinpath(*parts)


def curated(name: str) -> Path:
    return package_file("cobra", "data", f"{name}.xml.gz")


@pytest.fixture(scope="module")
def textbook() -> Network:
    return read_sbml(curated("textbook"))


@pytest.fixture(scope="module")
def mycoplasma() -> Network:
    return read_sbml(package_file("carveme", "data", "benchmark", "models", "mgen.xml"))


def rich_medium(network: Network) -> dict[str, float]:
    return {r[3:-2]: 10.0 for r in network.reactions if r.startswith("EX_")}


# -- knock-outs --------------------------------------------------------------------------------------------------------


def test_single_gene_deletions_are_those_of_cobrapy(textbook):
    expected = single_gene_deletion(cobra.io.read_sbml_model(str(curated("textbook"))), processes=1)
    theirs = {next(iter(ids)): value for ids, value in zip(expected["ids"], expected["growth"], strict=True)}
    found = knock_out(textbook, gene_losses(textbook))
    assert set(found.targets) == set(theirs)
    assert dict(zip(found.targets, found.growths, strict=True)) == pytest.approx(theirs, abs=1e-6, nan_ok=True)
    essential = {gene for gene, lost in zip(found.targets, found.essential(0.01), strict=True) if lost}
    assert essential == {gene for gene, value in theirs.items() if not value >= 0.01}
    assert essential


def test_ijo1366_gene_deletions_are_those_of_cobrapy_on_a_sample():
    network, model = read_sbml(curated("iJO1366")), cobra.io.read_sbml_model(str(curated("iJO1366")))
    losses = gene_losses(network)
    genes = sorted(losses)[::23]
    expected = single_gene_deletion(model, gene_list=genes, processes=1)
    theirs = {next(iter(ids)): value for ids, value in zip(expected["ids"], expected["growth"], strict=True)}
    found = knock_out(network, {gene: losses[gene] for gene in genes})
    assert dict(zip(found.targets, found.growths, strict=True)) == pytest.approx(theirs, abs=1e-6, nan_ok=True)
    assert found.solved < len(genes)


def test_losing_more_never_helps(textbook):
    genes = ["b0720", "b1136", "b0727", "b2276"]
    singles = knock_out(textbook, gene_losses(textbook))
    pairs = knock_out(textbook, gene_pairs(textbook, genes))
    single = dict(zip(singles.targets, singles.growths, strict=True))
    assert len(pairs.targets) == 6
    assert (np.nan_to_num(singles.growths) <= singles.intact_growth + 1e-6).all()
    for target, value in zip(pairs.targets, pairs.growths, strict=True):
        assert np.nan_to_num(value) <= min(np.nan_to_num(single[gene]) for gene in target.split(",")) + 1e-6


def test_a_reaction_loss_is_its_bounds_closed(textbook):
    found = knock_out(textbook, reaction_losses(textbook))
    by_name = dict(zip(found.targets, found.growths, strict=True))
    assert "EX_glc__D_e" not in by_name
    for reaction in ("PGI", "PFK", "CS", "ATPS4r"):
        status, value = growth(textbook, {reaction: (0.0, 0.0)})
        assert by_name[reaction] == pytest.approx(value, abs=1e-6, nan_ok=True), status


def test_a_model_that_does_not_live_has_no_knock_out_growths(textbook):
    starved = with_bounds(textbook, medium_bounds(textbook, {}))  # maintenance cannot be paid
    found = knock_out(starved, gene_losses(starved))
    assert found.intact_status is Status.INFEASIBLE
    assert np.isnan(found.growths).all()


# -- screens -----------------------------------------------------------------------------------------------------------

MINERALS = dict.fromkeys(("nh4", "pi", "h2o", "h", "o2", "co2"), 1000.0)


def test_sources_grow_as_separate_programs_say(textbook):
    compounds = ["glc__D", "ac", "etoh", "succ", "for", "co2", "sucr"]
    screener = Screener(textbook, MINERALS | {"glc__D": 10.0}, compounds)
    for result in screener.sources("carbon", compounds):
        if result.compound == "sucr":
            assert (result.answer, result.status) == ("not_in_model", None)
            continue
        medium = {f"EX_{c}_e": v for c, v in (MINERALS | {result.compound: 10.0}).items()}
        status, value = growth(textbook, medium_bounds(textbook, medium))
        assert result.status is status
        assert result.growth == pytest.approx(value, abs=1e-6, nan_ok=True)
        assert result.answer == ("growth" if status is Status.OPTIMAL and value >= 0.01 else "no_growth")


def test_the_order_of_compounds_does_not_matter(textbook):
    compounds = ["glc__D", "ac", "etoh", "succ", "for", "mal__L"]
    screener = Screener(textbook, MINERALS, compounds)
    forward = {r.compound: r.growth for r in screener.sources("carbon", compounds)}
    backward = {r.compound: r.growth for r in screener.sources("carbon", compounds[::-1])}
    assert forward == pytest.approx(backward, abs=1e-6, nan_ok=True)


def test_products_without_oxygen_are_those_of_mixed_acid_fermentation(textbook):
    # Orth, Fleming and Palsson, EcoSal Plus 4(1), 2010: the core model without oxygen, on 10 of glucose
    compounds = ["ac", "etoh", "for", "lac__D", "succ", "btoh"]
    found = {r.compound: r for r in Screener(textbook, MINERALS | {"glc__D": 10.0}, ()).products(compounds)}
    secreted = {c: r.flux for c, r in found.items() if r.answer == "secreted"}
    assert secreted == pytest.approx({"ac": 8.50, "etoh": 8.28, "for": 17.80}, abs=0.01)
    assert {c for c, r in found.items() if r.answer == "not_secreted"} == {"lac__D", "succ"}
    assert found["btoh"].answer == "not_in_model"
    assert found["ac"].growth == pytest.approx(0.2117, abs=1e-4)


def test_without_growth_nothing_is_said_to_be_secreted(textbook):
    answers = {r.answer for r in Screener(textbook, MINERALS, ()).products(["ac", "etoh"])}
    assert answers == {"no_growth"}


def test_a_needed_nutrient_is_one_without_which_a_rich_medium_fails(mycoplasma):
    rich = rich_medium(mycoplasma)
    compounds = read_compounds(PROJECT / "resources" / "screen_compounds.tsv")["auxotrophy"]
    found = Screener(mycoplasma, rich, compounds).needs(compounds)
    needed = {r.compound for r in found if r.answer == "needed"}
    assert needed
    for result in found:
        if result.answer == "not_in_model":
            assert f"EX_{result.compound}_e" not in mycoplasma.reactions
            continue
        medium = {f"EX_{c}_e": v for c, v in rich.items() if c != result.compound}
        value = growth(mycoplasma, medium_bounds(mycoplasma, medium))[1]
        assert (value < 0.01) == (result.compound in needed)


# -- the peers' own benchmarks -----------------------------------------------------------------------------------------


def peer_medium(name: str) -> list[str]:
    with package_file("carveme", "data", "benchmark", "media_db.tsv").open() as handle:
        return [row["compound"] for row in csv.DictReader(handle, delimiter="\t") if row["medium"] == name]


def test_the_biolog_calls_are_those_of_carvemes_own_code():
    import pandas as pd
    from carveme.reconstruction.benchmark import benchmark_biolog
    from reframed import load_cbmodel

    path = package_file("carveme", "data", "benchmark", "models", "bsub.xml")
    data = pd.read_csv(package_file("carveme", "data", "benchmark", "biolog", "bsub", "biolog_carbon.tsv"), sep="\t")
    base = sorted(set(peer_medium("M9")) - {"glc__D", "lac__D", "lac__L"})
    expected = benchmark_biolog(load_cbmodel(str(path), flavor="bigg"), base, data)

    observed = {row.bigg_id: row.growth in ("++", "+") for row in data[["bigg_id", "growth"]].dropna().itertuples()}
    screener = Screener(read_sbml(path), dict.fromkeys(base, 10.0), observed, threshold=0.1)
    found = {}
    for result in screener.sources("carbon", observed, removed=()):
        letters = {(True, True): "TP", (True, False): "FP", (False, True): "FN", (False, False): "TN"}
        found[result.compound] = letters[result.answer == "growth", observed[result.compound]]
    assert len(set(expected.values())) > 2
    assert found == expected


def test_the_essential_genes_are_those_of_carvemes_own_code(mycoplasma):
    from carveme.reconstruction.benchmark import benchmark_essentiality
    from reframed import load_cbmodel

    path = package_file("carveme", "data", "benchmark", "models", "mgen.xml")
    with package_file("carveme", "data", "benchmark", "essentiality", "mgen.tsv").open() as handle:
        essential = {row["bigg_id"] for row in csv.DictReader(handle, delimiter="\t") if row["phenotype"] == "E"}
    model = load_cbmodel(str(path), flavor="bigg")
    in_vivo = {gene: gene[2:] in essential for gene in model.genes}
    expected = benchmark_essentiality(model, None, in_vivo)
    on_rich = with_bounds(mycoplasma, medium_bounds(mycoplasma, {f"EX_{c}_e": 10.0 for c in rich_medium(mycoplasma)}))
    lost = knock_out(on_rich, gene_losses(on_rich))
    dead = dict(zip(lost.targets, lost.essential(0.1), strict=True))
    letters = {(True, True): "TP", (True, False): "FP", (False, True): "FN", (False, False): "TN"}
    found = {gene: letters[bool(dead[gene[2:]]), in_vivo[gene]] for gene in in_vivo}
    assert len(set(expected.values())) > 1
    assert found == expected


# -- quality -----------------------------------------------------------------------------------------------------------


def measures(network: Network) -> dict[str, float]:
    return {m.name: m.value for m in quality(network)}


def test_a_curated_model_is_balanced_and_makes_nothing_from_nothing(textbook):
    found = measures(textbook)
    assert found["mass_balanced_share"] == found["charge_balanced_share"] == 1.0
    assert found["conserved_metabolites_share"] == 1.0
    assert found["energy_generating_cycles"] == found["growth_without_uptake"] == 0.0
    model = cobra.io.read_sbml_model(str(curated("textbook")))
    inside = [r for r in model.reactions if not r.boundary and not r.objective_coefficient]
    assert found["internal_reactions"] == len(inside)
    assert found["without_genes_share"] == pytest.approx(sum(not r.gene_reaction_rule for r in inside) / len(inside))


def test_balance_is_that_of_cobrapy_reaction_by_reaction():
    model = cobra.io.read_sbml_model(str(curated("iJO1366")))
    network = read_sbml(curated("iJO1366"))
    inside = [r for r in model.reactions if not r.boundary and "BIOMASS" not in r.id]
    wrong = [r for r in inside if any(abs(v) > 1e-6 for k, v in r.check_mass_balance().items() if k != "charge")]
    assert measures(network)["mass_balanced_share"] == pytest.approx(1 - len(wrong) / len(inside))


def test_an_energy_generating_cycle_is_found(textbook):
    free = with_bounds(textbook, {"ATPS4r": (-1000.0, 1000.0)})
    matrix = free.stoichiometry.tolil()
    # a symporter turned into a pump that costs nothing: protons out against no gradient
    j, pumped, inside = free.reactions.index("D_LACt2"), free.metabolites.index("h_e"), free.metabolites.index("h_c")
    matrix[:, j] = 0
    matrix[pumped, j], matrix[inside, j] = 1.0, -1.0
    broken = replace(with_bounds(free, {"D_LACt2": (0.0, 1000.0)}), stoichiometry=matrix.tocsc())
    by_name = {m.name: m for m in quality(broken)}
    assert by_name["energy_generating_cycles"].flagged
    assert "atp" in by_name["energy_generating_cycles"].detail


def test_a_reaction_that_makes_mass_breaks_conservation(textbook):
    matrix = textbook.stoichiometry.tolil()
    matrix[textbook.metabolites.index("g6p_c"), textbook.reactions.index("PGI")] = -2.0
    found = {m.name: m for m in quality(replace(textbook, stoichiometry=matrix.tocsc()))}
    assert found["conserved_metabolites_share"].value < 1.0
    assert "PGI" in found["mass_balanced_share"].detail


# -- the stage ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tables(tmp_path_factory, mycoplasma):
    store = Store(tmp_path_factory.mktemp("results"))
    context = Context(PROJECT, complete({}), store)
    universe = load_universe("gramneg", context.cache).network
    bounds = zip(universe.lower.tolist(), universe.upper.tolist(), strict=True)
    known = dict(zip(universe.reactions, bounds, strict=True))
    rules = dict(zip(mycoplasma.reactions, mycoplasma.gprs, strict=True))
    rows = {
        "model_reactions": [
            {"genome_id": "mgen", "reaction": r, "origin": "draft", "gpr": gpr}
            | dict(zip(("lower_bound", "upper_bound"), known[r], strict=True))
            for r, gpr in rules.items()
            if r in known
        ],
        "drafts": [{"genome_id": "mgen", "universe": "gramneg"}],
        "proteins": [{"genome_id": "mgen", "gene_id": "1"}],
        "hits": [],
        "reaction_scores": [],
    }
    for table, content in rows.items():
        write_parquet(
            store.table_path(table, "0000", "mgen"), pa.Table.from_pylist(content, schema=TABLES[table].schema)
        )
    row = {"medium": "complete;M9"}
    task = Task("mgen", "0000", row, STAGE.settings(context.config), context, "", "")
    return process(task).tables


def test_every_table_has_its_declared_columns_and_the_genome_in_each_row(tables):
    assert set(tables) == set(STAGE.writes)
    for name, table in tables.items():
        assert table.schema == TABLES[name].schema
        assert set(table["genome_id"].to_pylist()) == {"mgen"}


def test_every_medium_and_condition_is_there_with_a_status(tables):
    rows = [row for row in tables["fba"].to_pylist() if row["kind"] == "biomass"]
    places = {(row["medium"], row["condition"]) for row in rows}
    assert places == set(product(["complete", "M9"], ["aerobic", "anaerobic"]))
    assert all((row["flux"] is not None) == (row["status"] == "optimal") for row in rows)


def test_values_are_null_exactly_where_the_status_is_not_optimal(tables):
    for name, value in (("fva", "minimum"), ("knockouts", "growth_per_h")):
        for row in tables[name].to_pylist():
            assert (row[value] is not None) == (row["status"] == "optimal")
    for row in tables["screens"].to_pylist():
        assert (row["answer"] == "not_in_model") == (row["status"] is None)
        assert (row["growth_per_h"] is None) == (row["status"] != "optimal")


def test_growth_on_genes_is_told_of_carbon_sources_and_never_above_growth(tables):
    rows = tables["screens"].to_pylist()
    assert all(row["growth_on_genes_per_h"] is None for row in rows if row["screen"] != "carbon")
    told = [row for row in rows if row["growth_on_genes_per_h"] is not None]
    assert told
    for row in told:
        assert row["growth_per_h"] is None or row["growth_on_genes_per_h"] <= row["growth_per_h"] + 1e-6


def test_growth_scores_are_looked_for_in_the_universe_of_the_evidence(monkeypatch):
    """Not in the draft's variant of it: calls of growth were fitted on scores in the plain universe."""
    asked = []
    monkeypatch.setattr("gemforest.simulate.growth_scores", lambda universe, *_: asked.append(universe) or {})
    row = {"genome_id": "mgen", "reaction": "PGI", "probability": 0.9, "universe": "gramneg"}
    given = {
        "drafts": pa.Table.from_pylist([{"universe": "gramneg~any_quinol"}]),
        "reaction_scores": pa.Table.from_pylist([row], schema=TABLES["reaction_scores"].schema),
        "hits": TABLES["hits"].empty(),
    }
    task = SimpleNamespace(
        parameters={"simulate.growth_scores": ["common"], "simulate.screens": ["carbon"]},
        context=Context(PROJECT, complete({}), Store(PROJECT)),
        read=lambda table, columns: given[table].select(columns),
    )
    assert _scores(task) == {}
    assert asked == ["gramneg"]


def test_the_summary_agrees_with_the_other_tables(tables):
    (summary,) = tables["summary"].to_pylist()
    assert summary["grows"]
    assert summary["reactions"] == tables["fva"].num_rows
    assert summary["essential_genes"] == sum(tables["knockouts"]["essential"].to_pylist())
    assert summary["genes"] == tables["knockouts"].num_rows
    biomass = [r for r in tables["fba"].to_pylist() if r["kind"] == "biomass"]
    first = next(r for r in biomass if (r["medium"], r["condition"]) == ("complete", "aerobic"))
    assert summary["growth_per_h"] == pytest.approx(first["flux"], abs=1e-6)


def test_the_listed_compounds_are_in_some_screen_once():
    compounds = read_compounds(PROJECT / "resources" / "screen_compounds.tsv")
    assert set(compounds) == {"carbon", "nitrogen", "phosphorus", "sulfur", "auxotrophy", "product"}
    for names in compounds.values():
        assert len(names) == len(set(names)) > 20
    assert {"glc__D", "ac", "succ"} <= set(compounds["carbon"])
    assert not {"co2", "hco3"} & set(compounds["carbon"])


def test_gene_rules_of_the_model_hold_the_genes_that_are_knocked_out(mycoplasma):
    genes = {gene for rule in mycoplasma.gprs for gene in genes_of(parse_gpr(rule))}
    assert set(gene_losses(mycoplasma)) == genes
    assert fba(mycoplasma).status is Status.OPTIMAL
