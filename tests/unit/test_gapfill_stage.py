"""The gap-filling stage on universes small enough to see the answer, and on the core model of E. coli."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from toy_networks import Equation, toy_network

from gemforest.config import complete
from gemforest.energy import Energy
from gemforest.errors import GenomeError
from gemforest.gapfill import reach as reach_module
from gemforest.gapfill.costs import Evidence, Prices, addition_costs, addition_problem, uphill
from gemforest.gapfill.filling import cheapest_fill
from gemforest.gapfill.guards import carbon_sources, oxidases, oxygen_consumption, uptake_route
from gemforest.gapfill.reach import universe_reach
from gemforest.ledger import Reason
from gemforest.models import Network, write_sbml
from gemforest.stage import Context, Products, Task
from gemforest.stages import stage
from gemforest.store import Store
from gemforest.tables import TABLES
from gemforest.universe import load_universe

FORMULAS = {"glc__D": "C6H12O6", "ac": "C2H3O2", "thm": "C12H17N4OS", "o2": "O2", "co2": "CO2"}
WORLD: dict[str, Equation] = {
    "EX_glc__D_e": ("glc__D_e -> ", -1000, 1000),
    "EX_ac_e": ("ac_e -> ", -1000, 1000),
    "EX_thm_e": ("thm_e -> ", -1000, 1000),
    "EX_o2_e": ("o2_e -> ", -1000, 1000),
    "GLCt": ("glc__D_e -> glc__D_c", 0, 1000),
    "ACt": ("ac_e -> ac_c", 0, 1000),
    "THMt": ("thm_e -> thm_c", 0, 1000),
    "O2t": ("o2_e -> o2_c", -1000, 1000),
    "GLC": ("glc__D_c -> pyr_c", 0, 1000),
    "ACS": ("ac_c -> pyr_c", 0, 1000),
    "EAT": ("thm_c -> pyr_c", 0, 1000),
    "FERM": ("pyr_c -> x_c", 0, 1000),
    "BURN": ("pyr_c + o2_c -> x_c", 0, 1000),
    "CYTBD": ("2 q8h2_c + o2_c -> 2 q8_c + 2 h2o_c", 0, 1000),
    "H2Ot": ("h2o_c -> ", 0, 1000),
    "QRED": ("q8_c -> q8h2_c", -1000, 1000),
    "ATPM": ("x_c -> ", 0, 1000),
    "Growth": ("x_c -> ", 0, 1000),
}
MEDIA = "medium\tcompound\tmax_uptake\tsource\n" + "".join(
    f"{medium}\t{compound}\t{limit}\ttest\n"
    for medium, compounds in {
        "sugar": {"glc__D": "10", "thm": "10", "o2": "20"},
        "acid": {"ac": "10", "o2": "20"},
        "sugar and potash": {"glc__D": "10", "k": "1"},
        "M9": dict.fromkeys(("h", "h2o", "nh4", "pi", "k"), "1000") | {"glc__D": "10", "o2": "20"},
        "nothing": {"o2": "20", "thm": "0.1"},
    }.items()
    for compound, limit in compounds.items()
)


@dataclass(frozen=True)
class Fed(Task):
    """A task whose earlier tables are given."""

    tables: dict[str, pa.Table] = field(default_factory=dict)

    def read(self, table: str, columns: list[str] | None = None) -> pa.Table:
        return self.tables[table].select(columns) if columns else self.tables[table]


def with_formulas(network: Network) -> Network:
    return replace(network, formulas=tuple(FORMULAS.get(m.rpartition("_")[0], "") for m in network.metabolites))


def fill(
    folder: Path,
    world: Mapping[str, Equation] | Network,
    lacks: Sequence[str],
    medium: str,
    scores: Mapping[str, float] | None = None,
    **settings: Any,
) -> Products:
    """Run the stage on a draft that is the world without some reactions."""
    network = world if isinstance(world, Network) else with_formulas(toy_network(world, "Growth"))
    folder.mkdir(exist_ok=True)
    path = folder / "world.xml"
    write_sbml(network, path)
    (folder / "media.tsv").write_text(MEDIA)
    config = complete({"media": "media.tsv", "gapfill": settings})
    context = Context(folder, config, Store(folder / "results"))
    found = stage("gapfill")
    score = scores or {}
    rows = [
        {
            "genome_id": "g",
            "reaction": r,
            "in_draft": r not in lacks,
            "gpr": "",
            "normalized_score": score.get(r),
        }
        for r in network.reactions
    ]
    tables = {
        "draft_reactions": pa.Table.from_pylist(rows, schema=TABLES["draft_reactions"].schema),
        "drafts": pa.Table.from_pylist([{"genome_id": "g", "universe": str(path)}], schema=TABLES["drafts"].schema),
        "reaction_scores": TABLES["reaction_scores"].schema.empty_table(),
        "gene_reactions": TABLES["gene_reactions"].schema.empty_table(),
    }
    task = Fed("g", "0000", {"genome_id": "g", "medium": medium}, found.settings(config), context, "", "", tables)
    assert found.process is not None
    return found.process(task)


def additions(products: Products) -> dict[str, list[str]]:
    """Reaction to the media that it was added for."""
    media: dict[str, list[str]] = {}
    for row in products.tables["gapfills"].to_pylist():
        media.setdefault(row["reaction"], []).append(row["medium"])
    return media


def only(products: Products, table: str) -> dict[str, Any]:
    (row,) = products.tables[table].to_pylist()
    found: dict[str, Any] = row
    return found


def test_growth_on_vitamins_alone_does_not_count(tmp_path: Path) -> None:
    # The draft lives on thiamine: it must learn to eat sugar all the same.
    products = fill(tmp_path, WORLD, ["GLCt", "GLC", "BURN"], "sugar")
    assert set(additions(products)) == {"GLCt", "GLC"}
    row = only(products, "fills")
    assert row["carbon_sources"] == ["glc__D"]
    assert row["growth_per_h"] - row["growth_without_carbon_per_h"] >= 0.05 * (1 - 1e-6)
    assert row["flags"] == ["grows_without_carbon"]
    # A draft without either eats sugar, though thiamine is the shorter way.
    assert set(additions(fill(tmp_path, WORLD, ["GLCt", "GLC", "EAT"], "sugar"))) == {"GLCt", "GLC"}


def test_growth_that_something_else_than_carbon_limits_is_flagged(tmp_path: Path) -> None:
    world = WORLD | {"EX_k_e": ("k_e -> ", -1000, 1000), "Growth": ("x_c + 10 k_e -> ", 0, 1000)}
    row = only(fill(tmp_path, world, [], "sugar and potash"), "fills")
    assert row["growth_per_h"] == row["growth_half_carbon_per_h"] == pytest.approx(0.1)
    assert row["growth_without_carbon_per_h"] == 0.0
    assert row["flags"] == ["not_limited_by_carbon"]
    assert only(fill(tmp_path, WORLD, [], "sugar and potash"), "fills")["flags"] == []


def test_a_medium_without_a_carbon_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GenomeError) as told:
        fill(tmp_path, WORLD, ["GLC", "EAT"], "nothing")
    assert told.value.reason is Reason.INFEASIBLE_MEDIUM
    assert "no carbon source" in told.value.detail


def test_a_genome_without_an_oxidase_is_not_rescued_with_oxygen(tmp_path: Path) -> None:
    world = {r: e for r, e in WORLD.items() if r not in ("FERM", "EAT")}
    with pytest.raises(GenomeError, match="anaerobe"):
        fill(tmp_path / "a", world, ["BURN"], "sugar")
    assert set(additions(fill(tmp_path / "b", world, ["BURN"], "sugar", oxygen="allow"))) == {"BURN"}
    assert set(additions(fill(tmp_path / "c", world, ["BURN"], "sugar", {"CYTBD": 1.0}))) == {"BURN"}


def test_oxidases_are_known_by_what_they_do() -> None:
    network = toy_network(
        {
            "CYTB_B3": ("2 mql7_c + o2_c -> 2 mqn7_c + 2 h2o_c", 0, 1000),
            "CYTCAA3pp": ("4 focytc_c + o2_c -> 4 ficytc_c + 2 h2o_c", 0, 1000),
            "makes_superoxide": ("q8h2_c + 2 o2_c -> q8_c + 2 o2s_c", 0, 1000),
            "oxygenase": ("a_c + o2_c -> b_c + h2o_c", 0, 1000),
            "O2tpp": ("o2_p -> o2_c", -1000, 1000),
        }
    )
    assert oxidases(network) == {"CYTB_B3", "CYTCAA3pp"}
    users = dict(oxygen_consumption(network))
    assert users == dict.fromkeys(("CYTB_B3", "CYTCAA3pp", "makes_superoxide", "oxygenase"), 1)


def test_what_the_whole_universe_cannot_do_is_told_with_what_would_mend_it(tmp_path: Path) -> None:
    world = {r: e for r, e in WORLD.items() if r not in ("ACS", "ACt")}
    with pytest.raises(GenomeError) as told:
        fill(tmp_path, world, ["EAT"], "acid")
    assert told.value.reason is Reason.INFEASIBLE_MEDIUM
    assert "no carbon source" not in told.value.detail
    assert "cannot make x_c; " in told.value.detail and "in the medium would mend it" in told.value.detail


def test_a_fill_above_the_limit_stops_the_genome_and_tells_what_would_mend_it(tmp_path: Path) -> None:
    with pytest.raises(GenomeError) as told:
        fill(tmp_path, WORLD, ["GLCt", "GLC", "EAT"], "sugar", max_fill=1)
    assert told.value.reason is Reason.FILL_TOO_LARGE
    # the draft has what eats acetate
    assert told.value.detail.endswith(
        "2 additions for sugar, gapfill.max_fill is 1; the draft cannot make x_c; ac in the medium would mend it"
    )
    assert set(additions(fill(tmp_path, WORLD, ["GLCt", "GLC", "EAT"], "sugar", max_fill=2))) == {"GLCt", "GLC"}


SHARED = WORLD | {
    "P1": ("glc__D_c -> p_c", 0, 1000),
    "P2": ("ac_c -> p_c", 0, 1000),
    "P3": ("p_c -> pyr_c", 0, 1000),
}


def test_media_filled_jointly_share_what_serves_both(tmp_path: Path) -> None:
    # GLC and ACS cost 0.7 each, P3 serves both for 1.
    scores = {"GLC": 3 / 7, "ACS": 3 / 7}
    lacks = ["GLC", "ACS", "P3", "EAT"]
    one_by_one = fill(tmp_path / "a", SHARED, lacks, "sugar;acid", scores)
    assert additions(one_by_one) == {"GLC": ["sugar"], "ACS": ["acid"]}
    together = fill(tmp_path / "b", SHARED, lacks, "sugar;acid", scores, media="joint")
    assert additions(together) == {"P3": ["acid", "sugar"]}
    assert together.models["models"].reaction_notes["P3"]["GAP_FILL"] == "sugar;acid"


def test_an_ensemble_tells_ways_and_shares(tmp_path: Path) -> None:
    lacks = ["GLC", "P3", "EAT"]
    scores = {"GLC": 0.1}
    products = fill(tmp_path, SHARED, lacks, "sugar", scores, ensemble_size=5)
    ways = products.tables["fills"].to_pylist()
    assert [(way["rank"], way["reactions"]) for way in ways] == [(1, ["GLC"]), (2, ["P3"])]
    assert ways[0]["cost"] == pytest.approx(1 / 1.1) and ways[1]["cost"] == pytest.approx(1.0)
    assert only(products, "gapfills")["frequency"] == 0.5
    alone = fill(tmp_path, SHARED, lacks, "sugar", scores, ensemble_size=5, ensemble_within=0.05)
    assert len(alone.tables["fills"]) == 1


def test_vitamins_of_the_medium_get_a_way_in(tmp_path: Path) -> None:
    world = WORLD | {"USE": ("thm_c + pyr_c -> x_c", 0, 1000)}
    lacks = ["EX_thm_e", "THMt", "EAT"]
    products = fill(tmp_path / "a", world, lacks, "sugar")
    rows = {row["reaction"]: row for row in products.tables["gapfills"].to_pylist()}
    assert set(rows) == {"EX_thm_e", "THMt"}
    assert rows["EX_thm_e"]["flags"] == rows["THMt"]["flags"] == ["vitamin"]
    assert rows["EX_thm_e"]["cost"] == pytest.approx(0.01)
    assert not additions(fill(tmp_path / "b", world, lacks, "sugar", vitamins=False))
    assert not additions(fill(tmp_path / "c", world, lacks, "acid"))


def test_the_cheapest_way_in_may_lead_through_the_periplasm() -> None:
    network = toy_network(
        {
            "EX_thm_e": ("thm_e -> ", -1000, 1000),
            "direct": ("thm_e -> thm_c", 0, 1000),
            "outward": ("thm_c -> thm_e", 0, 1000),
            "pore": ("thm_e -> thm_p", -1000, 1000),
            "pump": ("thm_p -> thm_c", 0, 1000),
        }
    )
    dear = {"direct": 1.0, "outward": 0.0, "pore": 0.1, "pump": 0.5, "EX_thm_e": 0.01}
    assert uptake_route(network, "thm", dear) == ("EX_thm_e", "pore", "pump")
    assert uptake_route(network, "thm", dear | {"direct": 0.2}) == ("EX_thm_e", "direct")
    assert uptake_route(network, "btn", dear) == ()


def test_carbon_sources_are_organic_and_no_vitamins_unless_there_is_nothing_else() -> None:
    network = with_formulas(
        toy_network({f"EX_{c}_e": (f"{c}_e -> ", -1000, 1000) for c in ("glc__D", "thm", "o2", "co2")})
    )
    assert carbon_sources(network, {"glc__D": 10.0, "thm": 10.0, "co2": 10.0}) == ("glc__D",)
    assert carbon_sources(network, {"thm": 0.1, "co2": 10.0, "o2": 20.0}) == ("co2",)
    assert carbon_sources(network, {"thm": 10.0, "o2": 20.0}) == ("thm",)
    assert carbon_sources(network, {"thm": 0.1, "o2": 20.0}) == ()
    assert carbon_sources(network, None) == ("glc__D",)


def test_a_direction_against_its_energy_costs_more_and_another_route_is_taken() -> None:
    network = toy_network(
        {
            "EX_a_e": ("a_c -> ", -10, 0),
            "UP": ("b_c -> a_c", -1000, 1000),
            "ONE_WAY": ("a_c -> b_c", 0, 1000),
            "Growth": ("b_c -> ", 0, 1000),
        },
        "Growth",
    )
    energies = {"UP": Energy(-50.0, 5.0), "ONE_WAY": Energy(40.0, 20.0)}
    against = uphill(network, energies)
    # b -> a gives 45 kJ/mol at least, so UP must not run backwards; ONE_WAY's error is too large to tell
    assert against == {1: -1}
    costs = addition_costs(network.reactions, Evidence({"UP": 1.0}, {}), {}, Prices())
    present = frozenset({"EX_a_e", "Growth"})
    bounds = [(network.lower, network.upper)]
    asked = addition_problem(network, bounds, present, costs, 0.05, against, 1.0)
    assert cheapest_fill(asked).added == (2,)
    assert cheapest_fill(addition_problem(network, bounds, present, costs, 0.05, {}, 0.0)).added == (1,)
    only_uphill = addition_problem(network, bounds, present | {"ONE_WAY"}, costs, 0.05, against, 1.0)
    blocked = replace(only_uphill, upper=np.where(np.arange(5) == 2, 0.0, only_uphill.upper))
    found = cheapest_fill(blocked)
    assert found.added == (4,) and found.cost == pytest.approx(1.5)


def test_what_a_universe_can_do_is_worked_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "world.xml"
    write_sbml(with_formulas(toy_network(WORLD, "Growth")), path)
    universe = load_universe(str(path), tmp_path)
    first = universe_reach(universe, (), {"glc__D": 10.0}, 10.0, 0.05, tmp_path)
    assert first.growth_per_h == pytest.approx(10.0) and not first.missing
    hopeless = universe_reach(universe, (), {"o2": 10.0}, 10.0, 0.05, tmp_path)
    assert hopeless.growth_per_h == 0.0 and hopeless.missing == ("x_c",) and len(hopeless.mending) == 1

    def never(*_: object) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(reach_module, "growth", never)
    assert universe_reach(universe, (), {"glc__D": 10.0}, 10.0, 0.05, tmp_path) == first
    with pytest.raises(AssertionError, match="asked again"):
        universe_reach(universe, (), {"glc__D": 5.0}, 10.0, 0.05, tmp_path)


def test_a_filled_model_read_back_by_cobrapy_grows_at_the_rate_in_the_table(tmp_path: Path) -> None:
    import cobra

    from gemforest.models import read_sbml

    core = tmp_path / "core.xml"
    core.write_bytes(gzip.decompress(resources.files("cobra.data").joinpath("textbook.xml.gz").read_bytes()))
    products = fill(tmp_path, read_sbml(core), ["PGI", "ENO", "GLCpts", "AKGDH"], "M9", oxygen="allow")
    rows = products.tables["gapfills"].to_pylist()
    assert rows and {row["medium"] for row in rows} == {"M9"}
    exported = tmp_path / "filled.xml"
    write_sbml(products.models["models"], exported)
    model = cobra.io.read_sbml_model(str(exported))
    assert model.slim_optimize() == pytest.approx(only(products, "fills")["growth_per_h"], abs=1e-6)
    assert model.slim_optimize() > 0.05
    for row in rows:
        assert f"GAP_FILL_COST: {row['cost']:.4g}" in str(model.reactions.get_by_id(row["reaction"]).notes) or (
            model.reactions.get_by_id(row["reaction"]).notes["GAP_FILL_COST"] == f"{row['cost']:.4g}"
        )
    with model:
        model.reactions.EX_glc__D_e.lower_bound = 0.0
        assert not model.slim_optimize() > 1e-6
