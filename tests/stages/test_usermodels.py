"""Models of other tools: named where their ids allow it, refused in plain words where not, never silently dead."""

from __future__ import annotations

import csv
import logging
import re
from importlib import util
from pathlib import Path

import cobra
import pyarrow.parquet as pq
import pytest

from gemforest.cli import main
from gemforest.config import complete
from gemforest.errors import InputError
from gemforest.stage import Context
from gemforest.store import Store
from gemforest.usermodels import simulate_models

logging.getLogger("cobra").setLevel(logging.CRITICAL)

# Glucose minimal medium of the core model (Orth, Fleming and Palsson 2010): growth 0.8739 per h at 10 mmol of glucose.
CORE_MEDIUM = ("co2", "glc__D", "h", "h2o", "nh4", "o2", "pi")
TEXTBOOK = Path(util.find_spec("cobra").origin).parent / "data" / "textbook.xml.gz"
SEED = {"glc__D": "cpd00027", "o2": "cpd00007", "pi": "cpd00009", "nh4": "cpd00013", "h2o": "cpd00001"}


@pytest.fixture
def context(tmp_path: Path) -> Context:
    project = tmp_path / "project"
    (project / "config").mkdir(parents=True)
    uptake = {"glc__D": "10"}
    rows = [f"core\t{compound}\t{uptake.get(compound, '1000')}\ttest" for compound in CORE_MEDIUM]
    rows.append("odd\tzn2\t1\ttest")
    (project / "config" / "media.tsv").write_text("medium\tcompound\tmax_uptake\tsource\n" + "\n".join(rows) + "\n")
    config = complete({"simulate": {"screens": [], "fva": "off", "knockouts": []}})
    return Context(project, config, Store(project / "results"))


def renamed(path: Path, name: str, rename, annotate: bool = False) -> Path:
    """The core model with other metabolite and exchange ids, written as SBML."""
    model = cobra.io.read_sbml_model(str(TEXTBOOK))
    for metabolite in model.metabolites:
        compound = metabolite.id[:-2]
        metabolite.annotation = {"bigg.metabolite": compound} if annotate else {}
        metabolite.id = rename(compound, metabolite.compartment)
    for reaction in model.boundary:
        (metabolite,) = reaction.metabolites
        reaction.id = f"EX_{metabolite.id}"
    model.repair()
    path = path / f"{name}.xml"
    cobra.io.write_sbml_model(model, str(path))
    return path


def vmh(compound: str, compartment: str) -> str:
    plain = re.sub("__(?=[DLRS]$)", "_", compound)
    return f"{plain}[{compartment}]"


def modelseed(compound: str, compartment: str) -> str:
    number = sum(ord(letter) * 7**place for place, letter in enumerate(compound)) % 100_000
    return f"{SEED.get(compound, f'cpd{number:05d}')}_{compartment}0"


def outcomes(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "outcomes.tsv").open() as file:
        return {row["model"]: row for row in csv.DictReader(file, delimiter="\t")}


def test_growth_is_the_same_under_the_ids_of_every_tool(context: Context, tmp_path: Path) -> None:
    files = [
        TEXTBOOK,
        renamed(tmp_path, "agora", vmh),
        renamed(tmp_path, "gapseq", modelseed, annotate=True),
    ]
    rows = simulate_models(context, files, "core", tmp_path / "out")
    assert [row.outcome for row in rows] == ["ok", "ok", "ok"]
    assert [row.growth_per_h for row in rows] == [pytest.approx(0.8739215, abs=1e-6)] * 3
    table = pq.read_table(tmp_path / "out" / "fba" / "agora.parquet").to_pylist()
    uptake = {row["reaction"]: row["flux"] for row in table if row["condition"] == "aerobic"}
    assert uptake["EX_glc__D_e"] == pytest.approx(-10.0, abs=1e-6)


def test_every_file_leaves_a_row_and_what_cannot_be_named_is_refused(context: Context, tmp_path: Path) -> None:
    no_objective = cobra.io.read_sbml_model(str(TEXTBOOK))
    no_objective.objective = {}
    cobra.io.write_sbml_model(no_objective, str(tmp_path / "aimless.xml"))
    crossed = tmp_path / "crossed.xml"
    plain = renamed(tmp_path, "plain", lambda compound, compartment: f"{compound}_{compartment}").read_text()
    crossed.write_text(plain.replace('id="cobra_default_lb" value="-1000"', 'id="cobra_default_lb" value="2000"'))
    (tmp_path / "text.xml").write_text("no model")
    (tmp_path / "nan.xml").write_text(plain.replace('stoichiometry="1"', 'stoichiometry="NaN"', 1))
    files = [renamed(tmp_path, "seed", modelseed), tmp_path / "none.xml", tmp_path / "aimless.xml", crossed]
    files += [tmp_path / "text.xml", tmp_path / "nan.xml", tmp_path / "plain.xml"]
    simulate_models(context, files, "core", tmp_path / "out")
    found = outcomes(tmp_path / "out")
    assert {name: (row["outcome"], row["reason"]) for name, row in found.items()} == {
        "seed": ("refused", "bad_model"),
        "none": ("refused", "file_not_found"),
        "aimless": ("refused", "bad_model"),
        "crossed": ("refused", "bad_model"),
        "text": ("refused", "bad_model"),
        "nan": ("refused", "bad_model"),
        "plain": ("ok", ""),
    }
    assert "expected BiGG or VMH ids, or annotations" in found["seed"]["detail"]
    assert "only objective" in found["aimless"]["detail"]
    assert "2000" in found["crossed"]["detail"]


def test_a_medium_that_the_model_knows_nothing_of_is_refused(context: Context, tmp_path: Path) -> None:
    (row,) = simulate_models(context, [TEXTBOOK], "odd", tmp_path / "out")
    assert (row.outcome, row.reason) == ("refused", "bad_model")
    assert "no compound of the medium" in row.detail


def test_two_files_of_one_name_are_told_before_anything_runs(context: Context, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="another file is also named Textbook"):
        simulate_models(context, [TEXTBOOK, tmp_path / "Textbook.xml"], "core", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_exits_with_one_where_a_model_was_refused(
    context: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (context.project / "config" / "config.yaml").write_text("simulate: {screens: [], fva: 'off', knockouts: []}\n")
    words = ["simulate-model", "--project", str(context.project), "--medium", "core", "--output", str(tmp_path / "out")]
    assert main([*words, str(TEXTBOOK)]) == 0
    assert "textbook: ok, growth 0.8739 per h" in capsys.readouterr().out
    assert main([*words, str(TEXTBOOK), str(tmp_path / "none.xml")]) == 1
