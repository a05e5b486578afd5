"""`gemforest explain GENOME --medium M` on a draft small enough to see the answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from toy_networks import toy_network

from gemforest.cli import main
from gemforest.models import write_sbml
from gemforest.store import Store, write_table
from gemforest.tables import TABLES

WORLD = {
    "EX_glc__D_e": ("glc__D_e -> ", -1000, 1000),
    "EX_ac_e": ("ac_e -> ", -1000, 1000),
    "EX_fru_e": ("fru_e -> ", -1000, 1000),
    "GLC": ("glc__D_e -> pyr_c", 0, 1000),
    "ACS": ("ac_e -> pyr_c", 0, 1000),
    "ATPM": ("pyr_c -> ", 0, 1000),
    "Growth": ("pyr_c -> ", 0, 1000),
}
FORMULAS = {"glc__D_e": "C6H12O6", "ac_e": "C2H3O2", "fru_e": "C6H12O6"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A draft that lacks GLC, filled with it for the medium `sugar`; `fruit` is food for nobody."""
    network = toy_network(WORLD, "Growth")
    write_sbml(
        replace(network, formulas=tuple(FORMULAS.get(m, "") for m in network.metabolites)), tmp_path / "world.xml"
    )
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text("{}\n")
    rows = "sugar\tglc__D\t10\tx\nacid\tac\t10\tx\nfruit\tfru\t10\tx\n"
    (tmp_path / "config" / "media.tsv").write_text("medium\tcompound\tmax_uptake\tsource\n" + rows)
    plan = tmp_path / "results" / "plan"
    plan.mkdir(parents=True)
    (plan / "members.tsv").write_text("genome_id\tshard\tstate\ng\t0000\tactive\n")
    store = Store(tmp_path / "results")

    def put(table: str, rows: list[dict[str, object]]) -> None:
        content = pa.Table.from_pylist([{"genome_id": "g", **row} for row in rows], schema=TABLES[table].schema)
        write_table(store.table_path(table, "0000", "g"), table, content, {})

    put("drafts", [{"universe": str(tmp_path / "world.xml")}])
    put("reaction_scores", [])
    put("draft_reactions", [{"reaction": r, "in_draft": r != "GLC", "gpr": ""} for r in WORLD])
    put(
        "model_reactions", [{"reaction": r, "lower_bound": low, "upper_bound": up} for r, (_, low, up) in WORLD.items()]
    )
    put(
        "gapfills",
        [
            {
                "reaction": "GLC",
                "medium": "sugar",
                "cost": 1.0,
                "unblocks": ["pyr_c"],
                "candidate_genes": ["b1"],
                "flags": [],
            }
        ],
    )
    return tmp_path


def told(project: Path, medium: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["explain", "g", "--medium", medium, "--project", str(project)]) == 0
    return capsys.readouterr().out


def test_what_was_filled_and_what_the_draft_lacked(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = told(project, "sugar", capsys)
    assert "draft     growth 0 1/h, 0 without the carbon sources (glc__D)" in text
    assert "draft     cannot make pyr_c" in text
    assert "filled    GLC, cost 1; unblocks pyr_c; candidate genes b1" in text
    assert "model     growth 10 1/h" in text


def test_a_medium_that_the_genome_was_not_filled_for(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = told(project, "acid", capsys)
    assert "draft     growth 10 1/h" in text
    assert "filled" not in text and "cannot make" not in text


def test_a_medium_that_nothing_grows_on(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = told(project, "fruit", capsys)
    assert "universe  even " in text and "as a whole cannot make pyr_c; " in text
    assert "in the medium would mend it" in text


def test_an_unknown_medium_and_nothing_asked_are_told(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "g", "--medium", "soup", "--project", str(project)]) == 2
    assert "no medium 'soup'; known media: sugar, acid, fruit, complete" in capsys.readouterr().err
    assert main(["explain", "g", "--project", str(project)]) == 2
    assert "name a reaction, a gene, or a medium" in capsys.readouterr().err
