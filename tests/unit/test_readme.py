"""Every command of the README works: run here on a made-up project, or by the test that is named."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from projects import REPOSITORY
from test_export import NETWORK
from toy_atlas import make_atlas

from gemforest.cli import build_parser, main
from gemforest.models import write_sbml
from gemforest.plan import read_shard, read_shards
from gemforest.stage import Context

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
# What takes minutes or a cluster, and where it is run: the file holds the words.
ELSEWHERE = {
    "make run": ("Makefile", "gemforest run --cores"),
    "make test": (".ci/run", "make test"),
    "gemforest run --project forest --cores 4": ("tests/workflow/test_run.py", '"run", "--cores"'),
    "snakemake --cores 4": ("tests/workflow/test_dag.py", "snakemake"),
    "gemforest run --profile slurm": ("tests/cluster/test_slurm.py", '"slurm"'),
    "gemforest resume": ("tests/cluster/test_slurm.py", '"resume"'),
    "gemforest explain GENOME PFK": ("tests/unit/test_explain.py", "explain("),
}


def commands() -> list[str]:
    """The lines of the README's shell blocks, without their comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return [re.sub(r"\s+#.*$", "", text) for block in blocks for text in block.splitlines() if text]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A made-up run with models, beside a folder of genomes."""
    context = make_atlas(tmp_path_factory.mktemp("readme") / "project", genomes=6)
    for shard in read_shards(context.store.root):
        for row in read_shard(context.store.root, shard):
            if row["genome_id"] > "g02":
                path = context.store.model_path("models", shard, row["genome_id"])
                path.parent.mkdir(parents=True, exist_ok=True)
                write_sbml(NETWORK, path)
    genomes = context.project / "genomes"
    genomes.mkdir()
    (genomes / "mine.faa").write_text("".join(f">p{i}\nMKVLAAGIVGLCAKAYLEHG\n" for i in range(60)))
    return context


def test_every_command_is_run_here_or_where_it_says() -> None:
    assert set(ELSEWHERE) <= set(commands())
    for path, words in ELSEWHERE.values():
        assert words in (REPOSITORY / path).read_text(), (path, words)


def test_the_parser_takes_every_command() -> None:
    for text in commands():
        if text.startswith("gemforest "):
            build_parser().parse_args(shlex.split(text)[1:])


def test_the_commands_work_in_the_order_in_which_they_stand(
    project: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.project)
    for text in commands():
        if text in ELSEWHERE:
            continue
        code = main(shlex.split(text)[1:])
        # Two look for trouble and may find it: the doctor at this machine, `check` at made-up files.
        assert code == 0 or shlex.split(text)[1] in ("doctor", "check"), (text, capsys.readouterr().err)
    made = {path.name for path in project.project.iterdir()}
    assert {"acetate.csv", "growth.svg", "manifest.csv", "sbml", "forest"} <= made
    assert "mine" in (project.project / "forest" / "config" / "genomes.tsv").read_text()


def test_what_the_readme_links_to_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", README):
        assert (REPOSITORY / target).exists(), target


def test_the_headings_that_the_readme_links_to_are_there() -> None:
    for path, anchor in re.findall(r"\]\(([^)#]+)#([^)]+)\)", README):
        headings = re.findall(r"^#+ (.+)$", (REPOSITORY / path).read_text(encoding="utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in anchors, (path, anchor)


def records(name: str) -> dict[str, dict[str, float]]:
    return {r["what"]: r for r in json.loads((REPOSITORY / "tests" / "bench" / name).read_text())["records"]}


def test_the_figures_of_the_comparison_are_those_of_the_benchmarks() -> None:
    draft, ec, simulate = records("draft.json"), records("enzymes.json"), records("simulate.json")
    judged = records("evaluation.json")
    found = json.loads((REPOSITORY / "tests" / "bench" / "gapfill.json").read_text())["records"]
    # The peer has no answer for some.
    gapfill = [r for r in found if r.get("peer_value") is not None]
    rows = {line.split("|")[1].strip(): line for line in README.splitlines() if line.count("|") == 5}

    def pair(record: dict[str, float], digits: str) -> tuple[str, str]:
        return format(record["value"], digits), format(record["peer_value"], digits)

    def told(start: str) -> str:
        return next(line for what, line in rows.items() if what.startswith(start))

    cpu = [r for r in gapfill if r["what"] == "CPU"]

    def span(key: str) -> str:
        return f"{min(r[key] for r in cpu):.1f} to {max(r[key] for r in cpu):.1f} s"

    sums = [draft[f"sum of scores, {g}, highs"] for g in ("Ecoli_K12_MG1655", "Bsubtilis_168", "M_genitalium_G37")]
    speed = [judged[f"throughput, {stage}"] for stage in ("draft", "gapfill", "all stages")]
    expected = {
        "genomes per core-hour": [" / ".join(f"{r[k]:.0f}" for r in speed) for k in ("value", "peer_value")],
        "sum of reaction": [" / ".join(f"{r[k]:.0f}" for r in sums) for k in ("value", "peer_value")],
        "Biolog growth": pair(judged["Biolog pooled MCC, default against carveme"], ".3f"),
        "... of these": pair(judged["Biolog bsub MCC, default against carveme"], ".3f"),
        "gene essentiality": pair(judged["essentiality pooled MCC, default against carveme"], ".3f"),
        "CPU of it": [span(k) for k in ("value", "peer_value")],
        "FVA of iJO1366": pair(simulate["fva-ijo1366"], ".1f"),
        "EC numbers": pair(ec["EC to level 4, CARE 30"], ".3f"),
    }
    for start, figures in expected.items():
        for figure in figures:
            assert figure in told(start), (start, figure)
    costs = [r for r in gapfill if r["what"] == "cost of the fill"]
    equal = sum(r["value"] == pytest.approx(r["peer_value"]) for r in costs)
    lower = sum(r["value"] < r["peer_value"] and r["value"] != pytest.approx(r["peer_value"]) for r in costs)
    assert f"equal in {equal}, lower in {lower}" in told("cost of the gap-fill")
    assert equal + lower == len(costs) == 10


def test_the_screenshot_is_small_enough_for_a_readme() -> None:
    assert Path(REPOSITORY / "docs" / "report.png").stat().st_size <= 300_000
