"""What a universe cannot take up of a medium is told, with what may have been meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from projects import make_project

from gemforest.cli import main
from gemforest.media import Media
from gemforest.mediacheck import Lacking, as_text, lacking_compounds

EXCHANGED = {"bacteria": {"glc__D", "o2"}, "cyanobacteria": {"glc__D", "o2", "photon"}}


def media(*compounds: str) -> Media:
    return Media(Path("media.tsv"), {"mine": dict.fromkeys(compounds)})


def test_a_misspelt_compound_is_told_with_the_nearest_id() -> None:
    (found,) = lacking_compounds(media("glc_D", "o2"), EXCHANGED)
    assert found == Lacking("mine", "glc_D", ("bacteria", "cyanobacteria"), ("glc__D",))
    assert "has no exchange in any universe; near: glc__D" in as_text([found], EXCHANGED)


def test_a_compound_of_some_universes_is_told_for_the_others() -> None:
    assert lacking_compounds(media("photon"), EXCHANGED) == [Lacking("mine", "photon", ("bacteria",), ())]


def test_a_medium_that_all_know_gives_nothing() -> None:
    assert lacking_compounds(media("glc__D", "o2"), EXCHANGED) == []


def test_the_command_checks_the_projects_own_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = make_project(tmp_path / "project", "genome_id\tsource\n").project
    (project / "config" / "media.tsv").write_text(
        "medium\tcompound\tmax_uptake\tsource\nmine\tglc__D\t10\tlab\nmine\tglucos\t10\tlab\n"
    )
    assert main(["media", "check", "--project", str(project)]) == 0
    told = capsys.readouterr().out
    assert "mine\tglucos\thas no exchange in any universe" in told
    assert "glc__D\t" not in told
