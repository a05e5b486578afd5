"""Models leave in forms that cobrapy and MICOM read, and grow there as here."""

from __future__ import annotations

import csv
from pathlib import Path

import cobra.io
import pytest
from toy_atlas import make_atlas
from toy_networks import toy_network

from gemforest.cli import main
from gemforest.errors import InputError
from gemforest.export import MICOM_COLUMNS, RANKS, export_micom, export_sbml, micom_ids, ranks_of
from gemforest.models import write_sbml
from gemforest.plan import read_shard, read_shards
from gemforest.stage import Context

# Two units of glucose make one of biomass: growth is half the uptake.
NETWORK = toy_network(
    {
        "EX_glc__D_e": ("glc__D_e -> ", -10, 1000),
        "GLCt": ("glc__D_e -> glc__D_c", 0, 1000),
        "Growth": ("2 glc__D_c -> ", 0, 1000),
    },
    "Growth",
    {"GLCt": "g_1 and g.2"},
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A made-up run whose finished genomes have a model each, in two shards."""
    context = make_atlas(tmp_path_factory.mktemp("run") / "project", genomes=7)
    for shard in read_shards(context.store.root):
        for row in read_shard(context.store.root, shard):
            if row["genome_id"] > "g02":
                for folder in ("models", "draft_models"):
                    path = context.store.model_path(folder, shard, row["genome_id"])
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_sbml(NETWORK, path)
    return context


def test_plain_sbml_grows_in_cobrapy_as_the_closed_form_says(run: Context, tmp_path: Path) -> None:
    (path,) = export_sbml(run, ["g06"], tmp_path)
    assert path.name == "g06.xml"
    assert path.read_bytes().startswith(b"<?xml")
    model = cobra.io.read_sbml_model(str(path))
    assert model.slim_optimize() == pytest.approx(5.0)
    assert {gene.id for gene in model.reactions.GLCt.genes} == {"g_1", "g.2"}


def test_without_a_genome_all_models_are_written(
    run: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "sbml", "--project", str(run.project), "--draft", "--to", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"g{i:02d}.xml" for i in range(3, 7)]
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_an_unknown_genome_names_the_nearest(run: Context, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nearest is 'g05'"):
        export_sbml(run, ["g_05"], tmp_path)


def test_a_genome_without_a_model_says_where_it_stopped(run: Context, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="g02 has no model: failed at gapfill, a detail"):
        export_sbml(run, ["g02"], tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_manifest_has_micoms_columns_and_files_that_cobrapy_reads(run: Context, tmp_path: Path) -> None:
    manifest = export_micom(run.store, tmp_path / "manifest.csv")
    assert (manifest.models, manifest.without_species) == (4, ())
    with (tmp_path / "manifest.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert tuple(rows[0]) == MICOM_COLUMNS
    # What MICOM's build_database demands of a manifest.
    assert {"file", "kingdom", "phylum", "class", "order", "family", "genus", "species"} <= set(rows[0])
    for row in rows:
        assert Path(row["file"]).is_absolute()
        assert row["file"].endswith(".gz")
    assert cobra.io.read_sbml_model(rows[0]["file"]).slim_optimize() == pytest.approx(5.0)
    by_id = {row["id"]: row for row in rows}
    # g03 has an archive's lineage, g04 only the sheet's word.
    assert [by_id["g03"][rank] for rank in RANKS] == [
        *("Bacteria", "Bacillota", "Bacilli", "Bacillales", "Bacillaceae", "Bacillus", "Bacillus toy3")
    ]
    assert (by_id["g04"]["genus"], by_id["g04"]["species"], by_id["g04"]["family"]) == ("Toyus", "Toyus parvus", "")


@pytest.mark.parametrize(
    ("taxonomy", "organism", "genus", "species"),
    [
        (
            "d__Bacteria;p__;c__;o__;f__;g__Shewanella;s__Shewanella oneidensis",
            "x",
            "Shewanella",
            "Shewanella oneidensis",
        ),
        ("Bacteria;P;C;O;F;Vibrio;Vibrio cholerae", None, "Vibrio", "Vibrio cholerae"),
        ("Bacteria;Pseudomonadota", "Escherichia coli K-12 MG1655", "Escherichia", "Escherichia coli"),
        (None, "[Clostridium] scindens ATCC 35704", "Clostridium", "Clostridium scindens"),
        (None, "Candidatus Pelagibacter ubique", "Pelagibacter", "Pelagibacter ubique"),
        ("d__Bacteria;g__Wolbachia;s__", "Wolbachia endosymbiont of a fly", "Wolbachia", "Wolbachia endosymbiont"),
        (None, "uncultured bacterium", "", ""),
        (None, None, "", ""),
    ],
)
def test_ranks_come_from_the_lineage_and_else_from_the_name(
    taxonomy: str | None, organism: str | None, genus: str, species: str
) -> None:
    ranks = ranks_of(taxonomy, organism)
    assert (ranks["genus"], ranks["species"]) == (genus, species)


def test_ids_are_what_micom_takes_and_stay_different() -> None:
    names = micom_ids(["GCF_000005845.2", "a-b", "a.b", "a_b"])
    assert list(names.values()) == ["GCF_000005845_2", "a_b", "a_b_2", "a_b_3"]


def test_no_model_yet_says_so(tmp_path: Path) -> None:
    context = make_atlas(tmp_path / "project", genomes=2)
    with pytest.raises(InputError, match="gemforest status"):
        export_micom(context.store, tmp_path / "m.csv")
    with pytest.raises(InputError, match="gemforest status"):
        export_sbml(context, [], tmp_path / "models")


def test_a_real_model_grows_in_cobrapy_as_in_the_summary(tmp_path: Path) -> None:
    from test_query import real_project

    run = real_project()
    growth = {row["genome_id"]: row["growth_per_h"] for row in _summaries(run)}
    smallest = min(growth, key=lambda genome: growth[genome])
    (path,) = export_sbml(run, [smallest], tmp_path)
    assert cobra.io.read_sbml_model(str(path)).slim_optimize() == pytest.approx(growth[smallest], rel=1e-6)


def _summaries(run: Context) -> list[dict[str, float]]:
    import pyarrow.parquet as pq

    return [
        row
        for path in (run.store.root / "summary").rglob("*.parquet")
        for row in pq.ParquetFile(path).read().to_pylist()
    ]
