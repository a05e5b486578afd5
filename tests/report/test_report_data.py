"""What the report computes by itself, against closed forms, brute force and the tables it comes from."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from forest_atlas import answer, held, is_stopped, make_forest

from gemforest.errors import InputError
from gemforest.ledger import Reason
from gemforest.report import write_report
from gemforest.report.collection import (
    Content,
    groupings,
    pan_reactome,
    principal_components,
    reaction_content,
    screen_matrices,
)
from gemforest.report.comparison import compare_runs
from gemforest.report.page import ASSETS, LIBRARIES, assemble, pack
from gemforest.report.parts import Parts
from gemforest.report.runfacts import mend
from gemforest.stage import Context

GENOMES = 12


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return make_forest(tmp_path_factory.mktemp("forest") / "project", GENOMES, shard_size=5)


def test_the_pan_reactome_is_the_mean_over_all_choices_of_genomes() -> None:
    present = np.random.default_rng(0).random((6, 40)) < np.linspace(0.05, 1, 40)
    curve = pan_reactome(present.sum(axis=0), 6)
    assert curve is not None
    for place, k in enumerate(curve["k"]):
        chosen = [present[list(rows)] for rows in itertools.combinations(range(6), k)]
        assert curve["pan"][place] == pytest.approx(np.mean([rows.any(axis=0).sum() for rows in chosen]), rel=1e-4)
        assert curve["core"][place] == pytest.approx(np.mean([rows.all(axis=0).sum() for rows in chosen]), rel=1e-4)
    assert sum(curve["classes"].values()) == sum(curve["spectrum"]) == present.any(axis=0).sum()


def test_principal_components_are_those_of_a_singular_value_decomposition() -> None:
    present = np.random.default_rng(1).random((30, 80)) < 0.4
    none = np.zeros(80, dtype=int)
    found = principal_components(Content([f"R{j}" for j in range(80)], present, none, none, np.ones(30, dtype=bool)))
    assert found is not None
    centred = present - present.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    for axis, name in enumerate("xy"):
        expected = u[:, axis] * s[axis]
        assert min(np.abs(found[name] - sign * expected).max() for sign in (1, -1)) < 1e-3
        assert found["explained"][axis] == pytest.approx(s[axis] ** 2 / np.sum(s**2), rel=1e-4)


def test_reaction_content_holds_every_internal_reaction_of_every_model(forest: Context) -> None:
    parts = Parts.of(forest.store.root)
    genomes = parts.genomes()
    content = reaction_content(parts, genomes)
    for place, name in enumerate(genomes.ids):
        number = int(name[-5:])
        found = {r for r, there in zip(content.reactions, content.present[place], strict=True) if there}
        expected = set() if is_stopped(number) else {r for r in held(number, 40) if not r.startswith("EX_")}
        assert found == expected


def test_a_letter_per_genome_and_compound_says_what_the_screen_said(forest: Context) -> None:
    parts = Parts.of(forest.store.root)
    genomes = parts.genomes()
    carbon = next(s for s in screen_matrices(parts, genomes) if s["screen"] == "carbon")
    letters = {"growth": "+", "no_growth": "-", "not_in_model": "."}
    tried = pq.read_table(forest.store.atlas_path("screens", "0000"), filters=[("screen", "=", "carbon")])
    order = list(dict.fromkeys(tried["compound"].to_pylist()))
    for place, name in enumerate(genomes.ids):
        row = carbon["letters"][place * len(order) : (place + 1) * len(order)]
        number = int(name[-5:])
        expected = {c: letters[answer(number, j)] for j, c in enumerate(order)}
        assert row == "".join(" " if is_stopped(number) else expected[c] for c in carbon["compounds"])


def test_genomes_are_grouped_by_gtdb_ranks_and_by_tags(forest: Context) -> None:
    parts = Parts.of(forest.store.root)
    genomes = parts.genomes()
    columns = [{"key": key, "values": [""] * len(genomes)} for key in ("universe", "medium")]
    found = {group["name"]: group for group in groupings(parts, genomes, columns)}
    phylum = found["phylum"]
    assert phylum["levels"][phylum["codes"][3]] == "Actinomycetota"
    assert set(found["habitat"]["levels"]) == {"soil", "sea", "gut"}
    assert "domain" not in found, "one level says nothing"


def test_two_runs_differ_by_what_was_changed_and_nothing_else(tmp_path: Path, forest: Context) -> None:
    other = make_forest(tmp_path / "project", GENOMES, shard_size=4)
    same = compare_runs(forest, Parts.of(forest.store.root), other.store.root)
    assert same["reactions"] == same["flips"] == []
    assert {row[1] + row[2] + row[6] for row in same["genomes"]} == {0}

    path = other.store.atlas_path("model_reactions", "0000")
    rows = pq.read_table(path)
    kept = np.array(
        [r != "PFK" or g != "genome_00002" for r, g in zip(*rows.select([1, 0]).to_pydict().values(), strict=True)]
    )
    pq.write_table(rows.filter(pa.array(kept)), path)
    path = other.store.atlas_path("screens", "0000")
    rows = pq.read_table(path)
    first = rows["answer"].to_pylist()
    first[0] = "no_growth" if first[0] == "growth" else "growth"
    pq.write_table(rows.set_column(rows.schema.get_field_index("answer"), "answer", pa.array(first)), path)
    config = json.loads(json.dumps(other.config))
    config["growth"]["threshold_per_h"] = 0.5
    (other.store.root / "plan" / "config.json").write_text(json.dumps(config))

    found = compare_runs(forest, Parts.of(forest.store.root), other.store.root)
    assert found["reactions"] == [["PFK", 1, 0]]
    assert [row[0] for row in found["genomes"] if row[1]] == ["genome_00002"]
    assert found["flips_total"] == 1
    assert ["growth.threshold_per_h", "0.5", "0.01"] in found["config"]


def test_comparing_with_what_is_no_run_says_what_was_expected(tmp_path: Path, forest: Context) -> None:
    with pytest.raises(InputError, match=r"expected the results folder of a finished run"):
        write_report(forest, compare=tmp_path)


def test_a_report_of_a_run_that_has_only_begun_is_written(project: Callable[..., Context]) -> None:
    from gemforest.plan import make_plan, write_plan

    context = project("genome_id\tsource\nalone\talone.faa\n")
    write_plan(make_plan(context), context)
    assert write_report(context, partial=True).stat().st_size > 100_000


def test_every_reason_comes_with_what_to_do() -> None:
    for reason in set(Reason) - {Reason.NONE}:
        assert mend(reason)
        assert "{" not in mend(reason)


def test_the_bundled_libraries_are_the_recorded_ones_and_small() -> None:
    with (ASSETS / "MANIFEST.tsv").open(encoding="utf-8", newline="") as handle:
        recorded = {row["path"]: row for row in csv.DictReader(handle, delimiter="\t")}
    assert set(recorded) == set(LIBRARIES)
    for name, row in recorded.items():
        assert hashlib.sha256((ASSETS / name).read_bytes()).hexdigest() == row["sha256"]
    assert sum(path.stat().st_size for path in ASSETS.iterdir()) < 1_000_000


def test_data_cannot_end_their_element_and_the_page_names_no_other_host() -> None:
    page = assemble("</title><script>alert(1)</script>", {"core": pack({"name": "</script><script>alert(1)</script>"})})
    assert "alert(1)</script>" not in page
    assert not re.search(
        r"""(src|href|action)\s*=\s*["']?(https?:)?//""", re.sub(r"<script>.*?</script>", "", page, flags=re.S)
    )
