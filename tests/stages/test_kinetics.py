"""The stage kinetics over a curated model: tables, model file, and every input that cannot be used."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field, replace
from importlib import util
from pathlib import Path
from typing import Any

import cobra
import numpy as np
import pyarrow as pa
import pytest
from cobra.flux_analysis import flux_variability_analysis

from gemforest.config import complete
from gemforest.errors import InputError
from gemforest.fluxes import fva
from gemforest.gprs import genes_of, parse_gpr
from gemforest.kinetics import STAGE, constrain, process
from gemforest.ledger import Reason
from gemforest.models import Network, read_sbml, write_sbml
from gemforest.sequences import seq_key
from gemforest.stage import Context, Products, Task
from gemforest.store import Store
from gemforest.tables import TABLES

logging.getLogger("cobra").setLevel(logging.CRITICAL)
PROJECT = Path(__file__).resolve().parents[2]
MASS = 40_000.0


@dataclass(frozen=True)
class FedTask(Task):
    """A task whose earlier tables are given."""

    tables: dict[str, pa.Table] = field(default_factory=dict)

    def read(self, table: str, columns: list[str] | None = None) -> pa.Table:
        return self.tables.get(table, TABLES[table].empty()).select(columns or TABLES[table].schema.names)


def task(tags: dict[str, str] | None = None, project: Path = PROJECT, **kinetics: Any) -> FedTask:
    few = {"draws": 0, "fva": "off", "protein_g_per_gdw": 1.0, "enzyme_share": 1.0} | kinetics
    config = complete({"kinetics": few, "media": str(PROJECT / "config/media.tsv")})
    row = {"genome_id": "g", "medium": "M9", "tags": json.dumps(tags or {})}
    context = Context(project, config, Store(project / "results"))
    return FedTask("g", "0000", row, STAGE.settings(config), context, "", "")


@pytest.fixture(scope="module")
def textbook() -> Network:
    return read_sbml(Path(util.find_spec("cobra").origin).parent / "data" / "textbook.xml.gz")


def proteins(network: Network, mass: float | None = MASS, without: frozenset[str] = frozenset()) -> pa.Table:
    genes = sorted({g for rule in network.gprs for g in genes_of(parse_gpr(rule))} - without)
    rows = [
        {"genome_id": "g", "gene_id": gene, "seq_key": seq_key(gene.encode()), "sequence": "M", "mass_g_per_mol": mass}
        for gene in genes
    ]
    return pa.Table.from_pylist(rows, schema=TABLES["proteins"].schema)


def measures(products: Products) -> dict[str, Any]:
    return {row["measure"]: row for row in products.tables["ec_summary"].to_pylist()}


@pytest.fixture(scope="module")
def products(textbook: Network) -> Products:
    return constrain(task(draws=16, fva="full"), textbook, proteins(textbook), "bacteria")


def test_tables_and_file_agree_with_each_other(products: Products, textbook: Network, tmp_path: Path) -> None:
    path = tmp_path / "g.xml.gz"
    write_sbml(products.models["ec_models"], path)
    model = cobra.io.read_sbml_model(str(path))
    growth = measures(products)["growth"]["value"]
    assert model.slim_optimize() == pytest.approx(growth, abs=1e-6)
    assert 0.0 < growth < measures(products)["growth_without_enzyme_costs"]["value"]
    theirs = flux_variability_analysis(model, fraction_of_optimum=0.9, processes=1)
    ours = {row["reaction"]: row for row in products.tables["ec_fva"].to_pylist()}
    assert set(ours) == set(textbook.reactions)
    for reaction, row in ours.items():
        if f"{reaction}_REV" not in theirs.index:
            assert row["minimum"] == pytest.approx(theirs["minimum"][reaction], abs=1e-6)
            assert row["maximum"] == pytest.approx(theirs["maximum"][reaction], abs=1e-6)
    split = products.models["ec_models"]
    again = fva(split, 0.9)
    for k, reaction in enumerate(split.reactions):
        assert again.minimum[k] == pytest.approx(theirs["minimum"][reaction], abs=1e-6)
        assert again.maximum[k] == pytest.approx(theirs["maximum"][reaction], abs=1e-6)
    costs = {(row["reaction"], row["direction"]): row["cost"] for row in products.tables["enzyme_costs"].to_pylist()}
    pool = model.metabolites.get_by_id("prot_pool")
    for reaction in pool.reactions:
        if reaction.id != "prot_pool_exchange":
            key = (reaction.id.removesuffix("_REV"), "reverse" if reaction.id.endswith("_REV") else "forward")
            assert -reaction.metabolites[pool] == pytest.approx(costs.pop(key))
            assert reaction.notes["KCAT_TIER"] in ("ec_class", "global")
            assert float(reaction.notes["KCAT_PER_S"]) > 0.0 and float(reaction.notes["KCAT_LOG10_SD"]) > 0.0
            assert reaction.notes["KCAT_SOURCE"].startswith("mean of")
    assert not costs


def test_fluxes_carry_growth_and_the_draws_enclose_themselves(products: Products, textbook: Network) -> None:
    rows = {row["reaction"]: row for row in products.tables["ec_fba"].to_pylist()}
    biomass = rows[textbook.reactions[textbook.biomass]]
    assert biomass["flux"] == pytest.approx(measures(products)["growth"]["value"])
    assert {row["draws"] for row in rows.values()} == {measures(products)["draws_solved"]["value"]}
    assert all(row["flux_p05"] <= row["flux_median"] <= row["flux_p95"] for row in rows.values())
    assert biomass["flux_p05"] < biomass["flux_p95"]
    fluxes = np.array([rows[r]["flux"] if r in rows else 0.0 for r in textbook.reactions])
    assert np.abs(textbook.stoichiometry @ fluxes).max() < 1e-6


def test_growth_is_given_for_three_pools_and_rises_with_them(products: Products) -> None:
    found = measures(products)
    low, middle, high = (found[f"growth_at_pool_x{f}"]["value"] for f in ("0.5", "1", "2"))
    assert low < middle == pytest.approx(found["growth"]["value"])
    assert middle < high <= found["growth_without_enzyme_costs"]["value"] + 1e-9


def test_what_is_costed_and_where_kcats_are_from_is_told(products: Products) -> None:
    found = measures(products)
    assert 0.0 < found["costed_share_of_reactions"]["value"] < 1.0
    assert 0.0 < found["costed_share_of_flux"]["value"] < 1.0
    assert found["class_means_only"]["flagged"] and "little more" in found["class_means_only"]["detail"]
    assert len(found["largest_consumer"]["detail"].split(", ")) == 10
    assert 0.0 < found["structures_share_of_metabolites"]["value"] < 1.0
    assert 0.0 < found["structures_share_of_reactions"]["value"] < 1.0
    assert 0.0 < found["structures_share_of_flux"]["value"] < 1.0


def test_off_leaves_empty_tables_and_no_model() -> None:
    products = process(task(enabled=False))
    assert set(products.tables) == set(STAGE.writes) and not products.models
    assert all(table.num_rows == 0 for table in products.tables.values())


def test_user_kcats_reach_tables_and_notes(textbook: Network, tmp_path: Path) -> None:
    (tmp_path / "mine.tsv").write_text("reaction\tkcat\tunit\tsource\nPGI\t125\ts^-1\tmy assay\n")
    products = constrain(task(project=tmp_path, kcat_tables=["mine.tsv"]), textbook, proteins(textbook), "bacteria")
    rows = [row for row in products.tables["kcats"].to_pylist() if row["tier"] == "user"]
    assert [(row["reaction"], row["direction"]) for row in rows] == [("PGI", "forward"), ("PGI", "reverse")]
    assert rows[0]["kcat_per_s"] == pytest.approx(125.0) and rows[0]["source"] == "my assay"
    cost = next(row["cost"] for row in products.tables["enzyme_costs"].to_pylist() if row["reaction"] == "PGI")
    assert cost == pytest.approx(MASS / (3600 * 125))
    assert products.models["ec_models"].reaction_notes["PGI_REV"]["KCAT_TIER"] == "user"
    assert "class_means_only" not in measures(products)


def test_measured_growth_is_met_and_each_change_listed(textbook: Network) -> None:
    products = constrain(task({"growth_per_h": "0.6"}), textbook, proteins(textbook), "bacteria")
    found = measures(products)
    assert found["growth"]["value"] == pytest.approx(0.6, rel=1e-6)
    changes = products.tables["ec_tuning"].to_pylist()
    assert changes and all("measured 0.6" in row["reason"] for row in changes)
    now = {
        (row["reaction"], row["direction"], tuple(row["genes"])): row for row in products.tables["kcats"].to_pylist()
    }
    for row in changes:
        if row["what"] == "kcat":
            kcat = now[row["reaction"], row["direction"], tuple(row["genes"])]
            assert kcat["kcat_per_s"] == pytest.approx(row["after"])
            assert row["after"] > row["before"] and "tuned by joint" in kcat["source"]


def test_draws_of_a_genome_of_measured_growth_grow_as_measured(textbook: Network) -> None:
    products = constrain(task({"growth_per_h": "0.6"}, draws=8), textbook, proteins(textbook), "bacteria")
    found = measures(products)
    assert found["draws_solved"]["value"] == 8
    for name in ("p05", "median", "p95"):
        assert found[f"growth_draws_{name}"]["value"] == pytest.approx(0.6, rel=1e-6)
    spread = [row["flux_p95"] - row["flux_p05"] for row in products.tables["ec_fba"].to_pylist()]
    assert max(spread) > 0.1


def test_measured_growth_of_a_table_counts_where_the_sheet_is_silent(textbook: Network, tmp_path: Path) -> None:
    (tmp_path / "rates.tsv").write_text("genome_id\tmedium\tgrowth_per_h\ng\tM9\t0.3\nh\t\t0.9\n")
    products = constrain(task(project=tmp_path, growth_rates="rates.tsv"), textbook, proteins(textbook), "bacteria")
    assert measures(products)["growth"]["value"] == pytest.approx(0.3, rel=1e-6)


# -- what cannot be used -----------------------------------------------------------------------------------------------


def test_a_pool_too_small_keeps_the_genome_and_names_the_ten_largest_consumers(
    textbook: Network, products: Products
) -> None:
    plain = measures(products)["growth_without_enzyme_costs"]
    products = constrain(task(protein_g_per_gdw=1e-4, fva="full"), textbook, proteins(textbook), "bacteria")
    told = measures(products)
    assert told["ec_model"]["value"] == 0.0 and told["ec_model"]["flagged"]
    assert told["ec_model"]["detail"].startswith(f"{Reason.POOL_TOO_SMALL}: growth of ")
    named = told["ec_model"]["detail"].rpartition("mg/gDW: ")[2].partition(";")[0].split(", ")
    assert len(named) == 10
    amounts = [float(one.split()[-1]) for one in named]
    assert amounts == sorted(amounts, reverse=True) and amounts[-1] > 0.0
    assert told["growth_without_enzyme_costs"] == plain and plain["value"] > 0.5
    assert told["protein_needed"]["value"] > told["pool"]["value"] == pytest.approx(0.05)
    assert not products.models and products.tables["ec_fva"].num_rows == 0
    assert products.tables["kcats"].num_rows > 0 and products.tables["enzyme_costs"].num_rows > 0
    (row,) = products.tables["ec_fba"].to_pylist()
    assert (row["reaction"], row["status"], row["flux"]) == (textbook.reactions[textbook.biomass], "infeasible", None)


def test_the_protein_said_to_be_needed_is_what_growth_takes(textbook: Network) -> None:
    needed = measures(constrain(task(protein_g_per_gdw=1e-4), textbook, proteins(textbook), "x"))["protein_needed"]
    for share, model in ((1.01, 1.0), (0.99, 0.0)):
        grams = needed["value"] * share / 1000.0 / complete({})["kinetics"]["saturation"]
        products = constrain(task(protein_g_per_gdw=grams), textbook, proteins(textbook), "x")
        assert measures(products)["ec_model"]["value"] == model and len(products.models) == model


def test_a_model_without_gene_rules_keeps_its_genome(textbook: Network) -> None:
    bare = replace(textbook, gprs=("",) * len(textbook.gprs))
    products = constrain(task(draws=4), bare, proteins(textbook), "bacteria")
    told = measures(products)["ec_model"]
    assert told["flagged"] and "no reaction has a gene rule" in told["detail"]
    assert told["detail"].startswith(Reason.NO_ENZYMES) and not products.models
    assert {name: table.num_rows for name, table in products.tables.items() if name != "ec_summary"} == {
        "kcats": 0,
        "enzyme_costs": 0,
        "ec_fba": 1,
        "ec_fva": 0,
        "ec_tuning": 0,
    }


def test_a_model_that_enzymes_do_not_limit_is_told(textbook: Network) -> None:
    products = constrain(task(), textbook, proteins(textbook, 1e3), "x")
    row = measures(products)["enzyme_limited"]
    assert row["value"] == 0.0 and row["flagged"] and "uptake or another bound" in row["detail"]


def test_genes_without_mass_or_sequence_are_told(textbook: Network) -> None:
    lost = frozenset(("b4025",))  # PGI's only gene
    table = proteins(textbook, without=lost)
    heavy = table.set_column(
        table.schema.get_field_index("mass_g_per_mol"),
        table.schema.field("mass_g_per_mol"),
        pa.array([None if gene == "b1779" else MASS for gene in table["gene_id"].to_pylist()]),
    )
    products = constrain(task(), textbook, heavy, "bacteria")
    told = [row["detail"] for row in products.tables["ec_summary"].to_pylist() if "median_mass" in row["measure"]]
    assert [("not in the proteome: b4025" in text, "no usable sequence: b1779" in text) for text in told] == [
        (False, True),
        (True, False),
    ]


def test_a_plain_model_that_does_not_grow_is_no_matter_of_enzymes(textbook: Network) -> None:
    starved = replace(textbook, upper=np.where(textbook.objective > 0, 0.0, textbook.upper))
    products = constrain(task(), starved, proteins(textbook), "bacteria")
    told = measures(products)
    assert told["ec_model"]["flagged"] and told["ec_model"]["detail"].startswith(Reason.NO_GROWTH)
    assert told["growth_without_enzyme_costs"]["value"] == pytest.approx(0.0, abs=1e-9)
    assert not products.models and products.tables["kcats"].num_rows > 0


@pytest.mark.parametrize(
    ("settings", "text", "complaint"),
    [
        ({"kcat_tables": ["t.tsv"]}, "reaction\tkcat\tunit\nPGI\t-1\ts^-1\n", "line 2: kcat '-1'"),
        ({"measured_tables": ["t.tsv"]}, "a\tb\n", "expected GECKO's"),
        ({"structure_tables": ["t.tsv"]}, "metabolite\tsmiles\nglc__D\tnonsense(\n", "is no structure"),
        (
            {"subunit_table": "t.tsv"},
            "reaction\tgene\tcopies\n*\tb1\t0\n",
            "line 2: copies '0'; expected a number above 0",
        ),
        ({"growth_rates": "t.tsv"}, "genome_id\tmedium\tgrowth_per_h\ng\tM9\tfast\n", "line 2: growth 'fast'"),
        ({"growth_rates": "t.tsv"}, "genome\trate\n", "expected the columns genome_id, medium, growth_per_h"),
    ],
)
def test_a_bad_table_stops_the_job_before_it_starts(
    tmp_path: Path, settings: dict[str, Any], text: str, complaint: str
) -> None:
    (tmp_path / "t.tsv").write_text(text)
    given = task(project=tmp_path, **settings)
    with pytest.raises(InputError, match=complaint):
        STAGE.resources(given.context)
        STAGE.row_resources(given.context, given.row)


def test_a_bad_growth_rate_in_the_sheet_is_named() -> None:
    given = task({"growth_per_h": "soon"})
    with pytest.raises(InputError, match="genome g, column growth_per_h of the sheet: growth 'soon'; expected 1/h"):
        STAGE.row_resources(given.context, given.row)
