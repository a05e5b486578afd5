"""Media of CarveMe and cobrapy become rows of the project's table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from projects import make_project

from gemforest.carveme_files import carveme_data
from gemforest.cli import main
from gemforest.errors import InputError
from gemforest.media import Media, read_media
from gemforest.mediacheck import uncapped_metals
from gemforest.mediaimport import add_to_table, read_foreign


def written(folder: Path, text: str, name: str = "media.json") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_carvemes_own_table_gives_the_media_that_we_ship() -> None:
    imported = read_foreign(carveme_data("benchmark/media_db.tsv"))
    shipped = read_media(Path(__file__).resolve().parents[2] / "config" / "media.tsv")
    assert set(imported.media) == {"LB", "LB[-O2]", "M9", "M9[-O2]", "M9[DL-lac]", "M9[glyc]", "M9[succ]", "ShewMM"}
    for medium, compounds in imported.media.items():
        assert dict(compounds) == dict(shipped.compounds[medium]), medium


def test_cobrapys_medium_becomes_a_medium_with_its_limits(tmp_path: Path) -> None:
    from cobra.io import load_model

    exchanges = load_model("textbook").medium
    imported = read_foreign(written(tmp_path, json.dumps(exchanges)), "core")
    assert set(imported.media["core"]) == {r.removeprefix("EX_").removesuffix("_e") for r in exchanges}
    assert imported.media["core"]["glc__D"] == 10.0
    project = make_project(tmp_path / "project", "genome_id\tsource\n").project
    table = project / "config" / "media.tsv"
    assert add_to_table(imported, table) == len(exchanges)
    assert read_media(table).uptakes("core", 5.0) == {c: min(v, 1000.0) for c, v in imported.media["core"].items() if v}
    with pytest.raises(InputError, match="has a medium 'core' already"):
        add_to_table(imported, table)


def test_pythons_own_writing_of_a_dict_and_several_media_are_read(tmp_path: Path) -> None:
    several = written(tmp_path, "{'a': {'EX_glc__D_e': 10.0}, 'b': {'R_EX_ac_e': 5, 'EX_o2(e)': 20}}")
    assert read_foreign(several).media == {"a": {"glc__D": 10.0}, "b": {"ac": 5.0, "o2": 20.0}}
    assert set(read_foreign(several, "b").media) == {"b"}
    with pytest.raises(InputError, match="no medium 'c' in it; it holds a, b"):
        read_foreign(several, "c")


def test_trace_metals_are_capped_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, '{"EX_fe2_e": 1000.0, "EX_glc__D_e": 10.0}')
    project = make_project(tmp_path / "project", "genome_id\tsource\n").project
    assert main(["media", "import", str(file), "--name", "mine", "--project", str(project)]) == 0
    assert "mine\tfe2: 1000 capped at 0.1" in capsys.readouterr().out
    assert read_media(project / "config" / "media.tsv").compounds["mine"] == {"fe2": 0.1, "glc__D": 10.0}


def test_a_metal_without_a_cap_is_told_by_the_check() -> None:
    media = Media(Path("media.tsv"), {"mine": {"fe2": None, "zn2": 0.1, "mn2": 1000.0, "glc__D": None}})
    assert [line.split("\t")[1] for line in uncapped_metals(media)] == ["fe2", "mn2"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"EX_glc__D_e": 10.0}', "without a name"),
        ('{"m": {"glucose": 10.0}}', "'glucose'; expected an exchange reaction"),
        ('{"m": {"EX_glc__D_e": -1}}', "EX_glc__D_e: -1; expected mmol/gDW/h"),
        ('{"m": {"EX_glc__D_e": "ten"}}', "EX_glc__D_e: 'ten'; expected mmol/gDW/h"),
        ("just words", "expected CarveMe's table"),
        ("[1, 2", "neither CarveMe's table"),
        ('{"complete": {"EX_glc__D_e": 1}}', "reserved"),
        ("medium\tdescription\tcompound\tname\nM\tx\t\ty\n", "line 2: medium and compound must not be empty"),
        ("medium\tcompound\tmax_uptake\tsource\nM\tglc__D\t\tx\n", "is a table of media of ours already"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError) as error:
        read_foreign(written(tmp_path, text))
    assert told in str(error.value)
    assert "media.json" in str(error.value)


def test_the_command_without_a_file_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = make_project(tmp_path / "project", "genome_id\tsource\n").project
    assert main(["media", "import", "--project", str(project)]) == 2
    assert "name the file" in capsys.readouterr().err
