"""Figures as files: readable, the same each time, in agreement with the tables, and never in the way of a run."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.container import BarContainer
from toy_atlas import COMPOUNDS, make_atlas

from gemforest import figures
from gemforest.cli import main
from gemforest.dag import FIGURES
from gemforest.errors import InputError
from gemforest.figures import PLOTS, Run, draw, draw_all, plot
from gemforest.stage import Context

NAMES = ("", "", "", "<script>alert('x')</script>", "$x^2$ & a name that is much too long for any figure")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A made-up run with names that could do harm."""
    return make_atlas(tmp_path_factory.mktemp("run") / "project", names=NAMES)


@pytest.fixture(scope="module")
def drawn(run: Context, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All its figures."""
    folder = tmp_path_factory.mktemp("figures")
    draw_all(run.store.root, folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def coarse() -> Iterator[None]:
    """Pixels that are quickly drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "DOTS_PER_INCH", 40)
        yield


def texts(path: Path) -> list[str]:
    """Every text of an SVG."""
    tree = ElementTree.parse(path)
    return ["".join(node.itertext()).strip() for node in tree.iter("{http://www.w3.org/2000/svg}text")]


def rows(run: Context, table: str) -> list[dict[str, object]]:
    import pyarrow.parquet as pq

    paths = sorted((run.store.root / table).glob("shard=*/*.parquet"))
    return [row for path in paths for row in pq.ParquetFile(path).read().to_pylist()]


def test_the_workflow_and_the_registry_name_the_same_figures() -> None:
    assert set(FIGURES) == {found.name for found in PLOTS}


def test_every_figure_is_there_as_svg_and_png(drawn: Path) -> None:
    for found in PLOTS:
        assert texts(drawn / f"{found.name}.svg")
        assert (drawn / f"{found.name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_name_stays_text(drawn: Path) -> None:
    told = texts(drawn / "models.svg")
    assert "<script>alert('x')</script>" in told
    assert any(text.startswith("$x^2$ & a name that") and text.endswith("…") for text in told)
    for path in drawn.glob("*.svg"):
        assert "<script" not in path.read_text()


def test_the_same_run_gives_the_same_files(run: Context, drawn: Path, tmp_path: Path) -> None:
    for name in ("growth", "pca"):
        draw(plot(name), Run(run.store.root), [tmp_path / f"{name}.svg"])
        assert (drawn / f"{name}.svg").read_bytes() == (tmp_path / f"{name}.svg").read_bytes()


def test_the_heat_map_shows_the_screens_answers(run: Context) -> None:
    answers = {(r["genome_id"], r["compound"]): r["answer"] for r in rows(run, "screens") if r["screen"] == "carbon"}
    drawing = figures.growth(Run(run.store.root))
    (axes,) = drawing.axes
    matrix = np.asarray(axes.images[0].get_array())
    codes = Counter(matrix.ravel().astype(int).tolist())
    words = {"growth": 0, "no_growth": 1, "not_in_model": 3}
    assert codes == Counter(words[str(answer)] for answer in answers.values())
    assert matrix.shape == (11, len(COMPOUNDS))
    # Most able models first.
    grown = (matrix == 0).sum(axis=1)
    assert list(grown) == sorted(grown, reverse=True)


def test_bars_are_as_long_as_the_tables_say(run: Context) -> None:
    summaries = rows(run, "summary")
    axes = figures.models(Run(run.store.root)).axes
    for panel, key in zip(axes, ("reactions", "genes", "reactions_without_genes", "growth_per_h"), strict=True):
        (bars,) = (c for c in panel.containers if isinstance(c, BarContainer))
        assert sorted(bar.get_width() for bar in bars) == pytest.approx(sorted(row[key] for row in summaries), rel=1e-4)


def test_recurring_fills_are_counted_with_and_without_candidates(run: Context) -> None:
    expected: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in rows(run, "gapfills"):
        expected[str(row["reaction"])][not row["candidate_genes"]] += 1
    right = figures.gapfills(Run(run.store.root)).axes[1]
    labels = [label.get_text() for label in right.get_yticklabels()]
    with_genes, without = ([bar.get_width() for bar in bars] for bars in right.containers)
    assert dict(zip(labels, zip(with_genes, without, strict=True), strict=True)) == {
        reaction: tuple(counts) for reaction, counts in expected.items()
    }


def test_outcomes_show_who_was_stopped_and_why(run: Context) -> None:
    left, right = figures.outcomes(Run(run.store.root)).axes
    widths = {bars.get_label(): sum(bar.get_width() for bar in bars) for bars in left.containers}
    assert (widths["refused"], widths["timeout"], widths["failed"]) == (1, 1, 1)
    assert {label.get_text() for label in right.get_yticklabels()} == {
        *("fetch: file not found", "draft: wall clock", "gapfill: infeasible medium")
    }


def test_the_pan_reactome_ends_at_the_union_and_the_intersection(run: Context) -> None:
    held: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows(run, "model_reactions"):
        if not str(row["reaction"]).startswith("EX_"):
            held[str(row["genome_id"])].add(str(row["reaction"]))
    pan, core = figures.pan_reactome(Run(run.store.root)).axes[0].lines
    assert pan.get_ydata()[-1] == len(set.union(*held.values()))
    assert core.get_ydata()[-1] == len(set.intersection(*held.values()))
    assert pan.get_ydata()[0] == pytest.approx(np.mean([len(reactions) for reactions in held.values()]), rel=1e-3)


def test_points_can_be_coloured_by_a_rank(run: Context, tmp_path: Path) -> None:
    draw(plot("pca"), Run(run.store.root, "species"), [tmp_path / "pca.svg"])
    assert "species" in texts(tmp_path / "pca.svg")
    with pytest.raises(InputError, match=re.escape("no group 'colour' to colour by; groups of this run: ")):
        draw(plot("pca"), Run(run.store.root, "colour"), [tmp_path / "other.svg"])


@pytest.mark.parametrize("genomes", [1, 4])
def test_a_run_without_enough_models_gets_figures_that_say_so(tmp_path: Path, genomes: int) -> None:
    few = Run(make_atlas(tmp_path / "project", genomes=genomes).store.root)
    told = {found.name: [t.get_text() for axes in found.draw(few).axes for t in axes.texts] for found in PLOTS}
    assert told["pca"] == ["Principal components need three models that differ."]
    assert told["pan_reactome"] == ["A pan-reactome needs two models."]
    assert (told["models"] == ["There is no model yet."]) == (genomes == 1)


def test_a_crowd_is_drawn_without_names(run: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "MOST_NAMED", 5)
    crowd = Run(run.store.root)
    for found in (figures.models, figures.pca, figures.growth):
        drawing = found(crowd)
        labels = [label.get_text() for axes in drawing.axes for label in [*axes.get_yticklabels(), *axes.texts]]
        assert not {"Toyus parvus 6", "g06"} & set(labels)
    assert drawing.axes[0].get_ylabel() == "11 models"


def test_the_command_draws_one_or_all(run: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "growth.pdf"
    assert main(["plot", "growth", "--project", str(run.project), "--to", str(path)]) == 0
    assert path.read_bytes().startswith(b"%PDF")
    assert main(["plot", "gapfills", "--project", str(run.project)]) == 0
    assert (run.store.root / "report" / "figures" / "gapfills.svg").exists()
    assert main(["plot", "--list", "--project", str(run.project)]) == 0
    assert "pan_reactome" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"), [(["grwth"], "nearest is 'growth'"), (["pca", "--to", "x.gif"], ".svg")]
)
def test_bad_input_is_told(run: Context, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plot", *arguments, "--project", str(run.project)]) == 2
    assert told in capsys.readouterr().err
